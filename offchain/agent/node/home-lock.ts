/**
 * The lock of a home folder: one process at a time, where two would record a key or deposit fees for the same data
 * twice.
 */

import { pause } from "../../chain/pause.ts";
import { DiskFailedError } from "../../store/disk/disk-errors.ts";
import { lockFolder } from "../../store/disk/folder-lock.ts";
import type { ExclusiveOptions, HomeLock } from "../platform.ts";

const ASK_AGAIN_MILLISECONDS = 250;

export class FolderLock implements HomeLock {
  readonly #homeDir: string;

  constructor(homeDir: string) {
    this.#homeDir = homeDir;
  }

  /** @throws DiskFullError, DiskFailedError; the signal's reason; whatever the work throws */
  async exclusive<Result>(work: () => Promise<Result>, options: ExclusiveOptions = {}): Promise<Result> {
    let lock = tryLock(this.#homeDir);
    if (lock === undefined) options.onWait?.();
    for (; lock === undefined; lock = tryLock(this.#homeDir)) await pause(ASK_AGAIN_MILLISECONDS, options.signal);
    try {
      return await work();
    } finally {
      lock.close();
    }
  }
}

/** @returns undefined while somebody else has it */
function tryLock(homeDir: string): { close(): void } | undefined {
  try {
    return lockFolder(homeDir, 0);
  } catch (error) {
    if (error instanceof DiskFailedError && error.retryable) return undefined;
    throw error;
  }
}
