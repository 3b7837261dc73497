/**
 * What a process costs: wall time, processor seconds and peak memory, as the Linux kernel counts them. Commands are run
 * to their end; daemons are read before and after.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";

const POLL_MILLISECONDS = 15;
const LOG_TAIL_CHARACTERS = 2000;
/** Clock ticks of /proc per second. Every Linux that Node supports has 100. */
const TICKS_PER_SECOND = 100;

/** The command under way: it ends with this process. */
let running: ChildProcess | undefined;
process.on("exit", () => running?.kill("SIGKILL"));

export interface CommandPlan {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Where stderr goes; lost when absent. */
  readonly logFile?: string;
}

export interface CommandCost {
  readonly exitCode: number;
  readonly stdout: string;
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

/** Processor time and peak memory of a process that runs on. */
export interface ProcessReading {
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

/**
 * The times in a line of /proc/<pid>/stat.
 * @returns seconds of the process itself, and of its children that have ended
 */
export function parseStat(line: string): { own: number; children: number } {
  // The second field is the command's name in parentheses and may hold anything, so fields are counted after it.
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const seconds = (index: number) => Number(fields[index]) / TICKS_PER_SECOND;
  return { own: seconds(11) + seconds(12), children: seconds(13) + seconds(14) };
}

/** @returns VmHWM in bytes; 0 when the process has no memory any more */
export function parsePeak(status: string): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}

/**
 * Uses memory, and frees it. Some hosts of virtual machines take memory back that was free for a few seconds, and who
 * uses it next, here or as a cache of files, waits for it: 2 to 3 s per GiB of the system's time, by chance of one
 * contender or the other.
 */
export function touchMemory(bytes: number): void {
  const use =
    "const kept = []; for (let n = +process.argv[1]; n > 0; n -= 2 ** 28) kept.push(Buffer.alloc(2 ** 28, 1))";
  spawnSync(process.execPath, ["-e", use, String(bytes)]);
}

/** Processor time of this process, all threads. Only differences mean anything. */
export function cpuMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function readProc(pid: number | "self", name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH")) return "";
    throw error;
  }
}

/** Reads a daemon. @param pid undefined for one that does not run: it costs nothing */
export function readProcess(pid: number | undefined): ProcessReading {
  if (pid === undefined) return { cpuSeconds: 0, peakBytes: 0 };
  const { own, children } = parseStat(readProc(pid, "stat"));
  return { cpuSeconds: own + children, peakBytes: parsePeak(readProc(pid, "status")) };
}

/** Lets the peak of a daemon count from now on. */
export function resetPeak(pid: number | undefined): void {
  // 5 resets VmHWM to the memory in use (proc(5), clear_refs).
  if (pid !== undefined) writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** Runs a command that must succeed. @throws Error with the end of its log when it does not */
export async function runToSuccess(plan: CommandPlan): Promise<CommandCost> {
  const cost = await runCommand(plan);
  if (cost.exitCode === 0) return cost;
  const log = plan.logFile === undefined ? "" : readFileSync(plan.logFile, "utf8").slice(-LOG_TAIL_CHARACTERS);
  throw new Error(`${plan.command} ${plan.args.join(" ")} ended with ${cost.exitCode}: ${cost.stdout}${log}`);
}

/** Runs a command to its end. Only one may run at a time: processor time is that of all children that ended. */
export async function runCommand(plan: CommandPlan): Promise<CommandCost> {
  const log = plan.logFile === undefined ? "ignore" : openSync(plan.logFile, "a");
  const before = parseStat(readProc("self", "stat")).children;
  const started = performance.now();
  const child = spawn(plan.command, plan.args, {
    stdio: ["ignore", "pipe", log],
    env: { ...process.env, ...plan.env },
    ...(plan.cwd === undefined ? {} : { cwd: plan.cwd }),
  });
  running = child;
  const stdout: Buffer[] = [];
  child.stdout?.on("data", (piece: Buffer) => stdout.push(piece));
  let wallSeconds = 0;
  let peakBytes = 0;
  const watch = setInterval(() => {
    peakBytes = Math.max(peakBytes, parsePeak(readProc(child.pid ?? 0, "status")));
  }, POLL_MILLISECONDS);
  try {
    const exitCode = await new Promise<number>((done, reject) => {
      child.once("error", reject);
      child.once("exit", () => {
        wallSeconds = (performance.now() - started) / 1000;
      });
      child.once("close", (code) => done(code ?? 1));
    });
    const cpuSeconds = parseStat(readProc("self", "stat")).children - before;
    return { exitCode, stdout: Buffer.concat(stdout).toString(), wallSeconds, cpuSeconds, peakBytes };
  } finally {
    running = undefined;
    clearInterval(watch);
    if (typeof log === "number") closeSync(log);
  }
}
