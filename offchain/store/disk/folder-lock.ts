/**
 * Locks a folder for one process. Node has no call for file locks, so the lock is the one that SQLite takes on an empty
 * database. The kernel releases it when the process ends, in whatever way, so a crash leaves nothing to clean up.
 */
import { join } from "node:path";
import { openGuarded } from "../index/sqlite.ts";
import { asDiskError, DiskFailedError } from "./disk-errors.ts";
import { makeFolders } from "./make-folders.ts";

/** How long a process that is ending may take to release the lock. */
const WAIT_MILLISECONDS = 2000;

/**
 * Locks a folder, creating it as needed, until `close` is called or the process ends.
 * @throws DiskFailedError when another process, or another caller in this one, holds the lock
 * @throws DiskFullError
 */
export function lockFolder(folder: string, waitMilliseconds = WAIT_MILLISECONDS): { close(): void } {
  try {
    makeFolders(folder, 0o700);
  } catch (error) {
    throw asDiskError(error, `folder ${folder}`);
  }
  const lock = openGuarded(join(folder, "lock"), waitMilliseconds);
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (cause) {
    lock.close();
    if (!(cause instanceof DiskFailedError && cause.retryable)) throw cause;
    throw new DiskFailedError(`folder ${folder}`, {
      reason: "another process uses it",
      hint: "stop the other process, or give each its own folder",
      retryable: true,
      cause,
    });
  }
}
