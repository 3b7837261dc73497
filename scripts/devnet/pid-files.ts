/**
 * Which processes belong to a devnet, as files in its folder. A devnet that was killed leaves processes behind, and the
 * next command finds them by these files. A process id counts only while its process has the recorded command line.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const GRACE_MILLISECONDS = 10_000;

export interface LiveProcess {
  readonly name: string;
  readonly pid: number;
}

/** @param mark part of the process's command line that no other process has */
export function writePidFile(folder: string, name: string, pid: number, mark: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), JSON.stringify({ pid, mark }));
}

export function removePidFile(folder: string, name: string): void {
  rmSync(join(folder, name), { force: true });
}

/** @returns the processes of the folder that still run, in the order of their names */
export function liveProcesses(folder: string): LiveProcess[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .flatMap((name) => {
      const recorded = parsePidFile(join(folder, name));
      return recorded !== undefined && commandLine(recorded.pid).includes(recorded.mark)
        ? [{ name, pid: recorded.pid }]
        : [];
    });
}

/** Ends a process in order, or at once when it does not end soon. Does nothing when it is gone. */
export async function endProcess(folder: string, { name, pid }: LiveProcess): Promise<void> {
  const runs = () => liveProcesses(folder).some((one) => one.name === name && one.pid === pid);
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    if (!runs()) break;
    process.kill(pid, signal);
    for (const end = Date.now() + GRACE_MILLISECONDS; runs() && Date.now() < end; ) await pause(100);
  }
  removePidFile(folder, name);
}

/** @returns for example `chain (process 123), node-1 (process 124)` */
export function nameProcesses(processes: readonly LiveProcess[]): string {
  return processes.map(({ name, pid }) => `${name} (process ${pid})`).join(", ");
}

function parsePidFile(file: string): { pid: number; mark: string } | undefined {
  try {
    const { pid, mark } = JSON.parse(readFileSync(file, "utf8"));
    return Number.isSafeInteger(pid) && pid > 1 && typeof mark === "string" && mark !== "" ? { pid, mark } : undefined;
  } catch {
    // Cut off while it was being written, or removed meanwhile: then its process is not known.
    return undefined;
  }
}

function commandLine(pid: number): string {
  try {
    if (existsSync("/proc/self/cmdline")) return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
  return spawnSync("ps", ["-ww", "-o", "args=", "-p", String(pid)], { encoding: "utf8" }).stdout ?? "";
}
