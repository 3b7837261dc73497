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

/** What tests print; held back while something else is printing. */
class Output {
  #held: Buffer[] | undefined;

  constructor(held: boolean) {
    this.#held = held ? [] : undefined;
  }

  write(piece: Buffer): void {
    if (this.#held === undefined) process.stdout.write(piece);
    else this.#held.push(piece);
  }

  release(): void {
    for (const piece of this.#held ?? []) process.stdout.write(piece);
    this.#held = undefined;
  }
}

function runMocha(files: readonly string[], jobs: number, out: Output): Promise<Outcome> {
  return new Promise((done, reject) => {
    const mocha = join(root, "node_modules", "mocha", "bin", "mocha.js");
    const mode = ["--parallel", "--jobs", String(jobs), "--forbid-only", "--forbid-pending"];
    const child = spawn(process.execPath, [...flags, mocha, ...mode, ...files], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (piece: Buffer) => {
      out.write(piece);
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

/** More than there are cores: many tests wait for blocks and processes. */
const FILES_AT_A_TIME = 3;
/** Folders whose files take long come first, so that all lanes end together. */
const LONGEST_FIRST = ["integration", "scripts", "csp", "nbm", "contracts"];

const rank = (name: string): number =>
  LONGEST_FIRST.includes(name) ? LONGEST_FIRST.indexOf(name) : LONGEST_FIRST.length;
const files = readdirSync(join(root, "test"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && (everything || wanted.includes(entry.name)))
  .map((entry) => entry.name)
  .sort((a, b) => rank(a) - rank(b))
  .flatMap((name) => testFiles(join(root, "test", name)));

const solidity = everything || wanted.includes("solidity");
const beside = new Output(solidity);
const both = await Promise.all([
  solidity ? coverageStep().finally(() => beside.release()) : undefined,
  files.length > 0 ? runMocha(files, FILES_AT_A_TIME, beside) : undefined,
]);
const outcomes = both.filter((outcome) => outcome !== undefined);

const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0) + (outcomes.length === 0 ? 1 : 0);
process.stdout.write(`\nin ${Math.round((Date.now() - started) / 1000)} s\n${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
