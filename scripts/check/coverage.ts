/**
 * Runs the Solidity tests under Hardhat's coverage and holds every contract to the bar: at least 95 % of its lines, the
 * same for libraries. Test contracts count neither way. Part of `npm test`; alone:
 *
 *   node scripts/run.mjs scripts/check/coverage.ts
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve, sep } from "node:path";

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

/** What is wrong with a report: files under the bar, and files with code that it does not know. */
export function coverageProblems(report: readonly FileCoverage[], sources: readonly string[]): string[] {
  const known = new Map(report.map((file) => [file.path.split(sep).join("/"), file]));
  return sources.flatMap((path) => {
    const file = known.get(path);
    if (file === undefined) return [`${path}: no test compiles it, so nothing of it is covered`];
    const percent = file.lines === 0 ? 100 : (100 * file.executed) / file.lines;
    return percent >= BAR_PERCENT
      ? []
      : [`${path}: ${percent.toFixed(2)} % of its lines are covered, ${BAR_PERCENT} % are needed`];
  });
}

/** Sources with code of their own: all but tests, interfaces, and type definitions. */
function contractSources(): string[] {
  return readdirSync(join(ROOT, "contracts"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".sol"))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1))
    .map((path) => path.split(sep).join("/"))
    .filter((path) => !/^contracts\/(test|interfaces|types)\//.test(path))
    .sort();
}

function runTests(): Promise<{ code: number | null; output: string }> {
  return new Promise((done, reject) => {
    const hardhat = [HARDHAT, "--config", CONFIG, "test", "solidity", "--coverage"];
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...hardhat], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, HARDHAT_DISABLE_TELEMETRY: "true" },
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

/** Runs everything and prints what it finds. Never throws for a failing test: the outcome says it. */
export async function coverageStep(): Promise<CoverageOutcome> {
  // A report of an earlier run must not count for this one.
  rmSync(REPORT, { force: true });
  const { code, output } = await runTests();
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

if (import.meta.main) process.exit((await coverageStep()).failed === 0 ? 0 : 1);
