/**
 * Runs the real `tallystick` command as a process of its own, the way a person would, and reads its JSON document.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { resolve } from "node:path";
import { programPath } from "../programs.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");

export interface CommandResult {
  readonly exitCode: number;
  /** The one JSON document of stdout. */
  readonly document: Record<string, unknown>;
  readonly stderr: string;
}

export interface CommandUser {
  readonly home: string;
  readonly deploymentFile: string;
  readonly passphrase: string;
  readonly extra?: Readonly<Record<string, string>>;
}

/** How a command is started, where that is not as usual. */
export interface CommandOptions {
  /** A command that runs the rest of its arguments. */
  readonly wrapper?: readonly string[];
}

export interface StartedCommand {
  readonly process: ChildProcess;
  /** Resolves when it has ended, whichever way. */
  readonly ended: Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>;
}

/** Starts the command without waiting for it. Its exit code counts as 1 when a signal ends it. */
export function startTallystick(
  user: CommandUser,
  args: readonly string[],
  { wrapper = [] }: CommandOptions = {},
): StartedCommand {
  const [command = process.execPath, ...rest] = [...wrapper, process.execPath, programPath("tallystick"), ...args];
  const child = spawn(command, rest, {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      ...user.extra,
      TALLYSTICK_HOME: user.home,
      TALLYSTICK_DEPLOYMENT: user.deploymentFile,
      TALLYSTICK_PASSPHRASE: user.passphrase,
    },
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (piece: Buffer) => stdout.push(piece));
  child.stderr.on("data", (piece: Buffer) => stderr.push(piece));
  const ended = new Promise<number>((done, reject) => {
    child.once("error", reject);
    child.once("close", (code) => done(code ?? 1));
  }).then((exitCode) => ({
    exitCode,
    stdout: Buffer.concat(stdout).toString(),
    stderr: Buffer.concat(stderr).toString(),
  }));
  return { process: child, ended };
}

/** @returns what the command printed and its exit code @throws Error when stdout is not one JSON document */
export async function tallystick(
  user: CommandUser,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { exitCode, stdout, stderr } = await startTallystick(user, ["--json", ...args], options).ended;
  let document: unknown;
  try {
    document = JSON.parse(stdout);
  } catch (cause) {
    throw new Error(`tallystick ${args.join(" ")} printed no JSON document: ${stdout}${stderr}`, { cause });
  }
  return { exitCode, document: document as Record<string, unknown>, stderr };
}
