/**
 * `npm test`: everything a contributor needs to see pass, in one command. Solidity unit, fuzz and invariant tests with the
 * coverage bar of the contracts, then the TypeScript tests: vectors, properties, and flows with real processes, databases
 * and chains, all started here on free loopback ports.
 *
 *   npm test                    everything
 *   npm test -- core agent      only test/core and test/agent
 */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { coverageStep } from "./check/coverage.ts";

const root = resolve(import.meta.dirname, "..");
const flags = ["--disable-warning=ExperimentalWarning"];

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

function testFiles(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function runMocha(files: readonly string[], parallel: boolean): Promise<Outcome> {
  return new Promise((done, reject) => {
    const mocha = join(root, "node_modules", "mocha", "bin", "mocha.js");
    const mode = parallel ? ["--parallel", "--jobs", "2"] : [];
    const child = spawn(process.execPath, [...flags, mocha, ...mode, "--forbid-only", "--forbid-pending", ...files], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (piece: Buffer) => {
      process.stdout.write(piece);
      output += piece.toString();
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      const passed = Number(/^\s+(\d+) passing/m.exec(output)?.[1] ?? 0);
      const failed = Number(/^\s+(\d+) failing/m.exec(output)?.[1] ?? 0);
      // A runner that dies without counting, or that runs nothing, has failed whatever it printed.
      done({ passed, failed: code === 0 && passed > 0 ? failed : Math.max(failed, 1) });
    });
  });
}

const wanted = process.argv.slice(2);
const everything = wanted.length === 0;
const started = Date.now();
const outcomes: Outcome[] = [];

if (everything || wanted.includes("solidity")) outcomes.push(await coverageStep());

/** Pure computation runs on both cores; what starts processes and chains runs alone, so that timeouts mean something. */
const PURE = ["core", "store", "agent", "cli"];
const all = readdirSync(join(root, "test"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && (everything || wanted.includes(entry.name)))
  .map((entry) => entry.name);
const pure = all.filter((name) => PURE.includes(name)).flatMap((name) => testFiles(join(root, "test", name)));
const heavy = all.filter((name) => !PURE.includes(name)).flatMap((name) => testFiles(join(root, "test", name)));
if (pure.length > 0) outcomes.push(await runMocha(pure, true));
if (heavy.length > 0) outcomes.push(await runMocha(heavy, false));

const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0) + (outcomes.length === 0 ? 1 : 0);
process.stdout.write(`\nin ${Math.round((Date.now() - started) / 1000)} s\n${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
