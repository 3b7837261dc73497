/** Any daemon as a child process of a test, from its source file. */

import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { endProcess } from "./local-chain.ts";

const NODE_ARGUMENTS = ["--disable-warning=ExperimentalWarning"];

function environment(extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const { TALLYSTICK_PASSPHRASE: _, ...env } = process.env;
  return { ...env, ...extra };
}

/** Runs a daemon's command to its end. */
export function runDaemonCommand(file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...NODE_ARGUMENTS, file, ...args], {
    encoding: "utf8",
    timeout: 60_000,
    env: environment(env),
  });
  return { status, stdout, stderr };
}

/** As `runDaemonCommand`, for tests with processes whose output must be read meanwhile: an anvil, another daemon. */
export function runDaemonCommandBeside(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ReturnType<typeof runDaemonCommand>> {
  return new Promise((resolve) => {
    const options = { encoding: "utf8", timeout: 60_000, env: environment(env) } as const;
    const child = execFile(process.execPath, [...NODE_ARGUMENTS, file, ...args], options, (_, stdout, stderr) =>
      resolve({ status: child.exitCode, stdout, stderr }),
    );
  });
}

export interface DaemonProcess {
  readonly url: string;
  /** What it has logged so far. */
  log(): string;
  /** @returns the exit code */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts a daemon and waits for its ready line. @throws Error with its log when it ends before */
export async function startDaemonProcess(
  file: string,
  configFile: string,
  env: Readonly<Record<string, string>>,
): Promise<DaemonProcess> {
  const child: ChildProcess = spawn(process.execPath, [...NODE_ARGUMENTS, file, "--config", configFile], {
    env: environment(env),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr?.on("data", (part: Buffer) => {
    log += part.toString();
  });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const first = await Promise.race([once(lines, "line"), once(child, "exit").then(() => undefined)]);
  if (first === undefined) throw new Error(`the daemon ended with ${child.exitCode}: ${log}`);
  return {
    url: (JSON.parse(String(first[0])) as { url: string }).url,
    log: () => log,
    end: async (signal = "SIGTERM") => {
      await endProcess(child, signal);
      return child.exitCode;
    },
  };
}
