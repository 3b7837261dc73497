/**
 * A child process with a name, a log file and an end. Whatever happens to this process, its children end with it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import { removePidFile, writePidFile } from "./pid-files.ts";

const LOG_TAIL_CHARACTERS = 4000;
const READY_SECONDS = 180;

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
// A signal that nobody handles would end this process without the event above, and leave its children behind.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    if (process.listenerCount(signal) === 1) process.exit(128 + constants.signals[signal]);
  });
}

export interface ProcessPlan {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Folder in which the running process is recorded; see pid-files.ts. */
  readonly pidFolder?: string;
  /** Where stdout and stderr go. Appended to, so that restarts are in one place. */
  readonly logFile: string;
  /** Tells from a line of stdout that the process is ready. */
  readonly isReady: (line: string) => boolean;
}

export class ManagedProcess {
  readonly name: string;
  readonly logFile: string;
  readonly #plan: ProcessPlan;
  #child: ChildProcess | undefined;
  #isStopping = false;
  #onUnexpectedEnd: (reason: string) => void = () => undefined;

  constructor(plan: ProcessPlan) {
    this.name = plan.name;
    this.logFile = plan.logFile;
    this.#plan = plan;
  }

  /** Undefined while it does not run. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Sets what is told when the process ends after it was ready and nobody stopped it. */
  onUnexpectedEnd(listener: (reason: string) => void): void {
    this.#onUnexpectedEnd = listener;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /**
   * Starts the process and waits until it says that it is ready.
   *
   * @param wrapper a command that runs the rest of its arguments in its place.
   * @throws Error with the end of its log when it ends instead
   */
  async start(wrapper: readonly string[] = []): Promise<void> {
    if (this.#child !== undefined) return;
    const { env, cwd, logFile, pidFolder, isReady } = this.#plan;
    this.#isStopping = false;
    const [command = "", ...args] = [...wrapper, this.#plan.command, ...this.#plan.args];
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    running.add(child);
    if (pidFolder !== undefined && child.pid !== undefined) {
      writePidFile(pidFolder, this.name, child.pid, this.#plan.args.join(" "));
    }
    const log = createWriteStream(logFile, { flags: "a" });
    child.stderr?.pipe(log, { end: false });
    child.once("exit", () => {
      running.delete(child);
      if (this.#child === child) {
        this.#child = undefined;
        if (pidFolder !== undefined) removePidFile(pidFolder, this.name);
      }
      log.end();
    });
    await new Promise<void>((resolve, reject) => {
      let ready = false;
      // Once it is ready its end is the caller's business, and its log may be gone by then.
      const fail = (reason: string) => {
        if (!ready) reject(new Error(`${this.name} ${reason}\n${this.logTail()}`));
      };
      const timer = setTimeout(() => fail(`was not ready after ${READY_SECONDS} seconds`), READY_SECONDS * 1000);
      child.once("error", (error) => fail(`could not be started: ${error.message}`));
      child.once("exit", (code, signal) => {
        clearTimeout(timer);
        if (ready && !this.#isStopping) this.#onUnexpectedEnd(`ended with ${code ?? signal}`);
        // The log is written asynchronously, and its last lines state the reason.
        log.once("close", () => fail(`ended with ${code ?? signal}`));
      });
      createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
        if (log.writable) log.write(`${line}\n`);
        if (!isReady(line)) return;
        clearTimeout(timer);
        ready = true;
        resolve();
      });
    });
  }

  /** Ends the process and waits until it is gone. SIGKILL is a crash. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    this.#isStopping = true;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  /** The last lines of its log; nothing when the log is gone, as it is when a whole network was torn down. */
  logTail(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, "utf8").slice(-LOG_TAIL_CHARACTERS) : "";
  }
}

/** Ports of the loopback interface that are free now, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  const ports: number[] = [];
  for (const probe of probes) {
    if (!probe.listening) await once(probe, "listening");
    const address = probe.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    ports.push(address.port);
  }
  for (const probe of probes) {
    probe.close();
    await once(probe, "close");
  }
  return ports;
}
