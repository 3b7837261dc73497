/**
 * Runs the real `tallystick` command as a process of its own, the way a person would, and reads its JSON document.
 */
import { spawn } from "node:child_process";
import { resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "..", "..");
const MAIN = resolve(ROOT, "offchain", "cli", "main.ts");

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

/** @returns what the command printed and its exit code @throws Error when stdout is not one JSON document */
export async function tallystick(user: CommandUser, args: readonly string[]): Promise<CommandResult> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", MAIN, "--json", ...args], {
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
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (piece: Buffer) => {
    stdout += piece.toString();
  });
  child.stderr.on("data", (piece: Buffer) => {
    stderr += piece.toString();
  });
  const exitCode = await new Promise<number>((done, reject) => {
    child.once("error", reject);
    child.once("close", (code) => done(code ?? 1));
  });
  let document: unknown;
  try {
    document = JSON.parse(stdout);
  } catch (cause) {
    throw new Error(`tallystick ${args.join(" ")} printed no JSON document: ${stdout}${stderr}`, { cause });
  }
  return { exitCode, document: document as Record<string, unknown>, stderr };
}
