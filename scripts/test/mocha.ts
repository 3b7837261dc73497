/** Runs test files with mocha, several files at a time, each in a process of its own. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { ROOT } from "./files.ts";
import type { Outcome, Output } from "./outcome.ts";

export interface MochaRun {
  readonly files: readonly string[];
  readonly jobs: number;
  readonly environment?: Readonly<Record<string, string>>;
}

const FLAGS = ["--disable-warning=ExperimentalWarning"];

export function runMocha({ files, jobs, environment }: MochaRun, out: Output): Promise<Outcome> {
  return new Promise((done, reject) => {
    const mocha = join(ROOT, "node_modules", "mocha", "bin", "mocha.js");
    const hooks = ["--require", join(ROOT, "test", "helpers", "property-runs.ts")];
    const mode = ["--parallel", "--jobs", String(jobs), "--forbid-only", "--forbid-pending"];
    const child = spawn(process.execPath, [...FLAGS, mocha, ...hooks, ...mode, ...files], {
      cwd: ROOT,
      env: { ...process.env, ...environment },
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
