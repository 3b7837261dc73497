/**
 * Runs a script where writing fails for want of space. With the right to mount (root, or user namespaces) that is a
 * file system of the given size of its own; elsewhere a limit on the size of each file, the one real write failure that
 * any user may set.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SmallDiskRun {
  readonly kind: "file system" | "file size limit";
  /** What the script printed, parsed. */
  readonly printed: unknown;
}

const MOUNT = 'mount -t tmpfs -o "size=$1" tallystick-test "$2" && shift 2 && exec "$@"';
const LIMIT = 'ulimit -f "$1" && shift && exec "$@"';

function canMount(folder: string): boolean {
  const [command = "", ...rest] = smallDiskCommand(folder, 65_536);
  return spawnSync(command, [...rest, "true"]).status === 0;
}

/**
 * A command that runs the rest of its arguments where a folder is a small file system of its own.
 * @param sizeBytes - of the file system; `canMount` tells whether this user may
 */
export function smallDiskCommand(folder: string, sizeBytes: number): string[] {
  return ["unshare", "-rm", "sh", "-c", MOUNT, "sh", String(sizeBytes), folder];
}

/** As `smallDiskCommand`. @throws Error when this user may not mount */
export function requireSmallDisk(folder: string, sizeBytes: number): string[] {
  if (canMount(folder)) return smallDiskCommand(folder, sizeBytes);
  throw new Error("this test needs a small file system, which this user may not mount (unshare -rm)");
}

/**
 * Runs a module's source text in a process of its own.
 * @param script - finds the folder to fill in `process.argv[1]`; prints one JSON value on stdout
 * @param sizeBytes - of the file system, or most bytes of one file
 */
export function runOnSmallDisk(script: string, sizeBytes: number): SmallDiskRun {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-small-"));
  try {
    const node = [
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      "--input-type=module",
      "-e",
      script,
      folder,
    ];
    const mounted = canMount(folder);
    const child = mounted
      ? spawnSync("unshare", [...smallDiskCommand(folder, sizeBytes).slice(1), ...node], { encoding: "utf8" })
      : spawnSync("sh", ["-c", LIMIT, "sh", String(Math.ceil(sizeBytes / 512)), ...node], { encoding: "utf8" });
    if (child.status !== 0) throw new Error(`script failed (${child.status ?? child.signal}): ${child.stderr}`);
    return { kind: mounted ? "file system" : "file size limit", printed: JSON.parse(child.stdout) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
