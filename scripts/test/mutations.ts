/**
 * Breaks the contracts of data sets and of key nodes in one place at a time and runs the Solidity tests, which must
 * fail:
 *
 *   node scripts/run.mjs scripts/test/mutations.ts             all mutations, one after the other
 *   node scripts/run.mjs scripts/test/mutations.ts --list      what there is
 *   node scripts/run.mjs scripts/test/mutations.ts --only 7    one of them; also 7,9 and 7-12
 *
 * A mutation takes 10 to 25 seconds, most of them for compiling, and all take about half an hour. It is made in a copy
 * of the sources, so that a run that is stopped leaves the sources as they are. The tests that kill it come first; the
 * others run only when those pass. A mutation that no test notices has survived, and the exit code is 1; it is 2 when
 * the text to replace is not there any more, or when the tests fail without any mutation.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FUZZ_DEPTH_VARIABLE } from "../solidity.ts";
import { ROOT } from "./files.ts";
import { MUTATIONS, type Mutation } from "./mutation-list.ts";

const HARDHAT = join(ROOT, "node_modules", "hardhat", "dist", "src", "cli.js");
const CONFIG = join("scripts", "test", "hardhat-mutations.config.ts");
/** In this order, until one fails. Each is compiled alone, because compiling takes longer than the tests. */
const STAGES: readonly (readonly string[])[] = [
  ["StorageEscrow"],
  ["DataSetAttacks"],
  ["DataSetTokens"],
  ["DataSetFuzz"],
  ["DataSetInvariants", "DataSetHandler"],
  ["ProofCalls"],
  ["PossessionVerifier"],
  ["PdpVerifier"],
  ["DataSetRules"],
  ["NodeRegistry"],
  ["OprfDisputes"],
  ["DelegateUpdates"],
  ["Delegates"],
];

/** The stages of a mutation: first the tests that it names. */
function stagesOf({ tests }: Mutation): readonly (readonly string[])[] {
  return [...STAGES].sort((a, b) => Number(b[0] === tests) - Number(a[0] === tests));
}

/** Whether the tests of the copy pass; what they print when they do not. */
function run(copy: string, names: readonly string[]): { passed: boolean; output: string } {
  const files = names.map((name) => join("contracts", "test", `${name}.t.sol`));
  const flags = ["--disable-warning=ExperimentalWarning", HARDHAT, "--config", CONFIG, "test", "solidity"];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, ...files], {
    cwd: copy,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, HARDHAT_DISABLE_TELEMETRY: "true", [FUZZ_DEPTH_VARIABLE]: "quick" },
  });
  return { passed: status === 0, output: `${stdout}${stderr}` };
}

/** The name of the test that failed. @throws Error when none did: a compiler or runner that fails notices nothing */
function killer(output: string): string {
  const failed = /^\s+1\) (\w+)/m.exec(output)?.[1];
  if (failed === undefined) throw new Error(`the tests ended without a result:\n${output.slice(-2000)}`);
  return failed;
}

function copySources(): string {
  const copy = mkdtempSync(join(tmpdir(), "tallystick-mutations-"));
  for (const name of ["contracts", "scripts", "package.json", "tsconfig.json"]) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  }
  mkdirSync(join(copy, "test", "vectors"), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  return copy;
}

/** Applies a mutation, tests, and undoes it. @returns what noticed it, undefined when nothing did */
function test(copy: string, mutation: Mutation): string | undefined {
  const path = join(copy, "contracts", mutation.file);
  const source = readFileSync(path, "utf8");
  writeFileSync(
    path,
    source.replace(mutation.original, () => mutation.replacement),
  );
  try {
    for (const names of stagesOf(mutation)) {
      const { passed, output } = run(copy, names);
      if (!passed) return killer(output);
    }
    return undefined;
  } finally {
    writeFileSync(path, source);
  }
}

/** Numbers of `--only`, counted from 1. */
function wanted(words: readonly string[]): Set<number> | undefined {
  const position = words.indexOf("--only");
  if (position < 0) return undefined;
  return new Set(
    (words[position + 1] ?? "").split(",").flatMap((part) => {
      const [first = 0, last = first] = part.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, offset) => first + offset);
    }),
  );
}

const words = process.argv.slice(2);
const only = wanted(words);
const chosen = MUTATIONS.map((mutation, index) => ({ mutation, number: index + 1 })).filter(
  ({ number }) => only === undefined || only.has(number),
);
const outdated = MUTATIONS.filter(
  ({ file, original }) => readFileSync(join(ROOT, "contracts", file), "utf8").split(original).length !== 2,
);
for (const { file, original } of outdated) {
  process.stderr.write(`contracts/${file} does not contain exactly once: ${original}\n`);
}
if (outdated.length > 0) process.exit(2);
if (words.includes("--list")) {
  for (const { mutation, number } of chosen) {
    process.stdout.write(`${number}. ${mutation.file}: ${mutation.breaks}\n`);
  }
  process.exit(0);
}

const started = Date.now();
const copy = copySources();
let survived = 0;
try {
  for (const names of STAGES) {
    const { passed, output } = run(copy, names);
    if (passed) continue;
    process.stderr.write(`${output}\nthe tests fail without any mutation\n`);
    process.exitCode = 2;
  }
  for (const { mutation, number } of process.exitCode === 2 ? [] : chosen) {
    const begin = Date.now();
    const by = test(copy, mutation);
    if (by === undefined) ++survived;
    const verdict = by === undefined ? "SURVIVED" : `killed by ${by}`;
    const seconds = Math.round((Date.now() - begin) / 1000);
    process.stdout.write(`${number}. ${mutation.file}: ${mutation.breaks}: ${verdict}, ${seconds} s\n`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
if (process.exitCode !== 2) {
  const seconds = Math.round((Date.now() - started) / 1000);
  process.stdout.write(`\nin ${seconds} s\n${chosen.length - survived} killed, ${survived} survived\n`);
  process.exitCode = survived === 0 ? 0 : 1;
}
