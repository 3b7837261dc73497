/**
 * The network that test files share: a process of its own, started once for a run when one of its files asks for it.
 * The files find it by an environment variable and wait until it is ready (test/helpers/shared-net.ts).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./files.ts";

const PROCESS = join(ROOT, "test", "helpers", "shared-net-process.ts");

/** Runs tests with the network beside them, if one of the files uses it. */
export async function withSharedNetwork<Result>(
  files: readonly string[],
  run: (environment: Readonly<Record<string, string>>) => Promise<Result>,
): Promise<Result> {
  const isUsed = files.some((file) => readFileSync(file, "utf8").includes("helpers/shared-net.ts"));
  if (!isUsed) return await run({});
  const dir = mkdtempSync(join(tmpdir(), "tallystick-shared-"));
  const stateFile = join(dir, "network.json");
  // It ends when this end of its input closes, also when this process is killed.
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", PROCESS, stateFile], {
    cwd: ROOT,
    stdio: ["pipe", "inherit", "inherit"],
  });
  try {
    return await run({ TALLYSTICK_TEST_NETWORK: stateFile });
  } finally {
    child.stdin.end();
    if (child.exitCode === null) await once(child, "exit");
    rmSync(dir, { recursive: true, force: true });
  }
}
