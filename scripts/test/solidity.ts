/**
 * The Solidity tests of what is deployed (optimized, not instrumented), with many more fuzz cases and longer invariant
 * runs.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { FUZZ_DEPTH_VARIABLE } from "../solidity.ts";
import { ROOT } from "./files.ts";
import type { Outcome } from "./outcome.ts";

const HARDHAT = join(ROOT, "node_modules", "hardhat", "dist", "src", "cli.js");

export function runDeepSolidityTests(): Promise<Outcome> {
  return new Promise((done, reject) => {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", HARDHAT, "test", "solidity"], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, HARDHAT_DISABLE_TELEMETRY: "true", [FUZZ_DEPTH_VARIABLE]: "deep" },
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
      done({ passed, failed: code === 0 && passed > 0 ? failed : Math.max(failed, 1) });
    });
  });
}
