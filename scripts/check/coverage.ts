/**
 * Runs the Solidity tests with Hardhat's coverage and checks that at least 95 % of the lines of every contract and
 * library are covered. Test contracts are not measured. Part of `npm test`, and of `npm run test:long` with more cases;
 * alone:
 *
 *   node scripts/run.mjs scripts/check/coverage.ts
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve, sep } from "node:path";
import { FUZZ_DEPTH_VARIABLE, type FuzzDepth } from "../solidity.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");
const HARDHAT = join(ROOT, "node_modules", "hardhat", "dist", "src", "cli.js");
const CONFIG = join("scripts", "check", "hardhat-coverage.config.ts");
const REPORT = join(ROOT, "coverage", "lcov.info");
const BAR_PERCENT = 95;

export interface CoverageOutcome {
  /** Solidity tests that passed. */
  readonly passed: number;
  /** Solidity tests that failed, plus contracts under the bar. */
  readonly failed: number;
}

/** Lines of one source file that hold code, and how many of them the tests executed. */
export interface FileCoverage {
  readonly path: string;
  readonly lines: number;
  readonly executed: number;
}

/** Reads an lcov trace file: `SF:` names a file, `LF:` and `LH:` count its lines found and hit. */
export function parseLcov(text: string): FileCoverage[] {
  return text
    .split("end_of_record")
    .map((record) => ({
      path: /^SF:(.*)$/m.exec(record)?.[1] ?? "",
      lines: Number(/^LF:(\d+)$/m.exec(record)?.[1] ?? 0),
      executed: Number(/^LH:(\d+)$/m.exec(record)?.[1] ?? 0),
    }))
    .filter(({ path }) => path !== "");
}

/** Problems of a report: files under the bar, and sources that the report does not contain. */
export function coverageProblems(report: readonly FileCoverage[], sources: readonly string[]): string[] {
  const known = new Map(report.map((file) => [file.path.split(sep).join("/"), file]));
  return sources.flatMap((path) => {
    const file = known.get(path);
    if (file === undefined) return [`${path}: no test compiles it, so none of its lines are covered`];
    const percent = file.lines === 0 ? 100 : (100 * file.executed) / file.lines;
    return percent >= BAR_PERCENT
      ? []
      : [`${path}: ${percent.toFixed(2)} % of its lines are covered, ${BAR_PERCENT} % are needed`];
  });
}

/** Sources with code to cover: all except tests, interfaces, and type definitions. */
function contractSources(): string[] {
  return readdirSync(join(ROOT, "contracts"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".sol"))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1))
    .map((path) => path.split(sep).join("/"))
    .filter((path) => !/^contracts\/(test|interfaces|types)\//.test(path))
    .sort();
}

function runTests(depth: FuzzDepth): Promise<{ code: number | null; output: string }> {
  return new Promise((done, reject) => {
    const hardhat = [HARDHAT, "--config", CONFIG, "test", "solidity", "--coverage"];
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...hardhat], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, HARDHAT_DISABLE_TELEMETRY: "true", [FUZZ_DEPTH_VARIABLE]: depth },
    });
    let output = "";
    child.stdout.on("data", (piece: Buffer) => {
      process.stdout.write(piece);
      output += piece.toString();
    });
    child.on("error", reject);
    child.on("exit", (code) => done({ code, output }));
  });
}

/** Runs the tests and prints the problems. Does not throw for a failing test: the outcome counts it. */
export async function coverageStep(depth: FuzzDepth): Promise<CoverageOutcome> {
  // Without this, the report of an earlier run could be read as the result of this one.
  rmSync(REPORT, { force: true });
  const { code, output } = await runTests(depth);
  const passed = Number(/^\s+(\d+) passing/m.exec(output)?.[1] ?? 0);
  const counted = Number(/^\s+(\d+) failing/m.exec(output)?.[1] ?? 0);
  const failedTests = code === 0 && passed > 0 ? counted : Math.max(counted, 1);
  if (!existsSync(REPORT)) {
    process.stdout.write("the run left no coverage report\n");
    return { passed, failed: failedTests + 1 };
  }
  const problems = coverageProblems(parseLcov(readFileSync(REPORT, "utf8")), contractSources());
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  if (problems.length === 0)
    process.stdout.write(`every contract has at least ${BAR_PERCENT} % of its lines covered\n`);
  return { passed, failed: failedTests + problems.length };
}

if (import.meta.main) process.exit((await coverageStep("quick")).failed === 0 ? 0 : 1);
