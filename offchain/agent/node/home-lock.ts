/** One process of a home folder at a time, where two would record a key or deposit fees for the same data twice. */

import { setTimeout as pause } from "node:timers/promises";
import { DiskFailedError } from "../../store/disk/disk-errors.ts";
import { lockFolder } from "../../store/disk/folder-lock.ts";
import type { AgentLogger } from "../progress.ts";

const ASK_AGAIN_MILLISECONDS = 250;

/**
 * Waits for its turn, does the work, and lets go.
 *
 * @throws DiskFullError, DiskFailedError; the signal's reason; whatever the work throws
 */
export async function inTurn<Result>(
  homeDir: string,
  logger: AgentLogger,
  signal: AbortSignal | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  let lock = tryLock(homeDir);
  if (lock === undefined) logger.warn({}, "another command of this home is recording or agreeing; waiting for its end");
  for (; lock === undefined; lock = tryLock(homeDir)) await pause(ASK_AGAIN_MILLISECONDS, undefined, { signal });
  try {
    return await work();
  } finally {
    lock.close();
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
