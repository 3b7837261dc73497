/**
 * `npm run check`: formatting, lint, types, layers, and everything that is generated or written twice and must agree.
 * Every step runs even when an earlier one failed, so that one run shows every problem.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { TYPES_FOLDER } from "../product-types.ts";
import { browserBundleProblems } from "./browser-bundle.ts";
import { errorCatalogueProblems } from "./error-catalogue.ts";
import { lineWidthProblems } from "./line-width.ts";
import { packageProblems } from "./package.ts";
import { contractRevertProblems } from "./revert-idiom.ts";

const root = resolve(import.meta.dirname, "..", "..");
const bin = (name: string): string => join(root, "node_modules", ".bin", name);

interface Step {
  readonly name: string;
  run(): string[];
}

function command(name: string, program: string, args: readonly string[]): Step {
  return {
    name,
    run() {
      const done = spawnSync(program, args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
      if (done.error) return [`${program}: ${done.error.message}`];
      return done.status === 0 ? [] : [`${done.stdout}${done.stderr}`.trim() || `exit ${done.status}`];
    },
  };
}

function readFolder(directory: string): Map<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  return new Map(paths.map((path) => [path, readFileSync(path, "utf8")]));
}

const typechain: Step = {
  name: "TypeChain types are those of the contracts",
  run() {
    const types = join(root, TYPES_FOLDER);
    const before = readFolder(types);
    const problems = command("build", bin("hardhat"), ["build", "--force", "--quiet", "--no-tests"]).run();
    if (problems.length > 0) return problems;
    const after = readFolder(types);
    const stale = [...new Set([...before.keys(), ...after.keys()])].filter(
      (path) => before.get(path) !== after.get(path),
    );
    if (stale.length > 0) {
      const names = stale.map((path) => path.slice(root.length + 1)).join(", ");
      return [`stale: ${names}; they are regenerated now: commit offchain/chain/types`];
    }
    return [];
  },
};

const steps: readonly Step[] = [
  command("format and lint (TypeScript)", bin("biome"), ["check", "--error-on-warnings", "."]),
  typechain,
  { name: "lines of at most 120 columns", run: () => lineWidthProblems(root) },
  command("types", bin("tsc"), ["-p", "."]),
  command("layers", bin("depcruise"), ["offchain", "--config", ".dependency-cruiser.mjs"]),
  command("format (Solidity)", bin("prettier"), ["--check", "contracts/**/*.sol"]),
  command("lint (Solidity)", bin("solhint"), ["--max-warnings", "0", "contracts/**/*.sol"]),
  { name: "one revert idiom (Solidity)", run: () => contractRevertProblems(root) },
  command("gas and code size are those of the snapshots", process.execPath, ["scripts/check/snapshots.ts"]),
  command("kernels are built from their sources", process.execPath, ["scripts/build-kernels.ts", "--check"]),
  { name: "error catalogue", run: () => errorCatalogueProblems(root) },
  command("API reference: links and names", bin("typedoc"), ["--emit", "none"]),
  { name: "package: entry points, types, dependencies", run: () => packageProblems(root) },
  // After the package was built.
  { name: "bundle for browsers", run: () => browserBundleProblems(root) },
];

let failed = 0;
for (const step of steps) {
  const started = Date.now();
  const problems = step.run();
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${problems.length === 0 ? "ok  " : "FAIL"} ${step.name} (${seconds} s)\n`);
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  if (problems.length > 0) failed += 1;
}
process.exit(failed === 0 ? 0 : 1);
