/**
 * Ends ownership that was released long enough ago, and removes objects that nobody needs: no account owns them, and no
 * segment of a data set names them. They stay for a while after the last need of them ended, because the
 * next put often names them again.
 *
 * A release is not carried out at once for the sake of puts of the same account that are under way on other devices:
 * before such a put lists its snapshot, it keeps all objects that were released since it claimed them
 * (`agent/snapshots/confirm-objects.ts`). Until it comes to that they should still be there. A day is longer than
 * nearly all puts; a longer one is told what is missing, and stores it again.
 */
import type { ChunkIndex } from "../../store/index/chunk-index.ts";
import type { Leases } from "../../store/index/leases.ts";
import { type MayRemove, type ObjectStore, requireMayRemove } from "../../store/object/object-store.ts";
import type { ChunkService } from "./chunk-service.ts";

/** The job, of which only one may run at a time on a database. */
export const GARBAGE = "garbage";
/** Objects that are looked at, and removed, at once. */
const AT_ONCE = 256;
/** Objects whose ownership one transaction ends. */
const ENDED_AT_ONCE = 500;

export interface GarbageReport {
  objects: number;
  bytes: number;
  /** Bytes that the store has given back to the disk. */
  compactedBytes: number;
}

export interface GarbageParts {
  readonly index: Pick<ChunkIndex, "unused" | "endReleases">;
  readonly chunks: Pick<ChunkService, "removeUnused">;
  readonly store: Pick<ObjectStore, "compact">;
}

export interface GarbageOptions {
  /** Ownership ends that was released then or before; seconds. */
  readonly releasedAt: number;
  /** Seconds. */
  readonly now: number;
  /** Objects are removed that have been unused since then or longer; seconds. */
  readonly since: number;
  /** Nothing is removed. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
  /** As of `ChunkService.removeUnused`. */
  readonly mayRemove?: MayRemove;
}

/** Time of requests, differences of clocks, and some more. */
const SHARED_GRACE_SECONDS = 3600;
/** A process that stands still so long has lost what it was about to record. */
const STANDSTILL_SECONDS = 300;

/**
 * Since when objects must be unused to be removed. Another process may have put the bytes of an object when it had no
 * row, and be about to write the row, although a third one has written and released it since: an upload that has begun
 * so long ago ends without a row (`LONGEST_UPLOAD_SECONDS`), unless its process stands still, and then its life ends
 * here, except for a dry run.
 */
export async function unusedSince(
  leases: Pick<Leases, "endLapsed">,
  now: number,
  { graceSeconds, isShared, dryRun = false }: { graceSeconds: number; isShared: boolean; dryRun?: boolean },
): Promise<number> {
  if (!isShared) return now - graceSeconds;
  if (!dryRun) await leases.endLapsed(STANDSTILL_SECONDS);
  return now - Math.max(graceSeconds, SHARED_GRACE_SECONDS);
}

/**
 * @returns what was removed, or would be
 * @throws RemovalStoppedError, so that the rest is not left until the next round is due
 */
export async function collectGarbage(
  { index, chunks, store }: GarbageParts,
  { releasedAt, now, since, dryRun = false, signal, mayRemove = () => true }: GarbageOptions,
): Promise<GarbageReport> {
  const report = { objects: 0, bytes: 0, compactedBytes: 0 };
  while (!dryRun && !signal?.aborted && (await index.endReleases(releasedAt, ENDED_AT_ONCE, now)) > 0);
  let after: Uint8Array | undefined;
  while (!signal?.aborted && mayRemove()) {
    const page = await index.unused(since, AT_ONCE, after);
    after = page.at(-1)?.digest;
    if (after === undefined) break;
    const removed = dryRun ? page : await chunks.removeUnused(page, since, mayRemove);
    report.objects += removed.length;
    for (const { sizeBytes } of removed) report.bytes += sizeBytes;
  }
  requireMayRemove(mayRemove);
  if (!dryRun) report.compactedBytes = await store.compact(signal);
  return report;
}
