/** A put as a process (put-process.ts) that a test kills at a moment of its choice. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PUT_PROCESS = fileURLToPath(new URL("./put-process.ts", import.meta.url));

export interface PutResult {
  readonly dataId: string;
  readonly storedBytes: number;
  readonly uploadedBytes: number;
  /** Absent when it was to be in none. */
  readonly dataSetId?: string;
}

/** A put under way: its phases as they come, and its end. */
export class RunningPut {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<string, () => void>();
  readonly #seen = new Set<string>();
  #result: PutResult | undefined;
  #errors = "";

  constructor(planFile: string) {
    const flags = ["--disable-warning=ExperimentalWarning"];
    this.#child = spawn(process.execPath, [...flags, PUT_PROCESS, planFile], { stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stderr?.on("data", (part: Buffer) => {
      this.#errors += part.toString();
    });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      if (line.startsWith("{")) this.#result = JSON.parse(line) as PutResult;
      this.#seen.add(line);
      this.#waiting.get(line)?.();
    });
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when one of the phases begins. @throws Error when the process ends before */
  async reached(...phases: string[]): Promise<void> {
    const lines = phases.map((phase) => `phase ${phase}`);
    const seen = () => lines.some((line) => this.#seen.has(line));
    const begins = new Promise<void>((resolve) => {
      for (const line of lines) this.#waiting.set(line, resolve);
    });
    const ends = this.running ? once(this.#child, "exit") : undefined;
    if (!seen()) await Promise.race([begins, ends]);
    if (!seen()) throw new Error(`the put ended before ${lines.join(" or ")}: ${this.#errors}`);
  }

  async kill(): Promise<void> {
    if (!this.running) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  /** Waits for the end. @returns what it printed, or undefined when it failed */
  async ended(): Promise<PutResult | undefined> {
    if (this.running) await once(this.#child, "close");
    return this.#result;
  }

  get errors(): string {
    return this.#errors;
  }
}
