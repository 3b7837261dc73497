/**
 * Gives back the space of removed objects: what a pack still holds is copied into a new pack, and the old one removed.
 * Any number of processes may do so at a time. A pack is removed only when each of its live objects is in a pack with a
 * greater name, so the copy in the pack with the greatest name always stays. An object that another
 * process removes while it is copied comes back in the copy, and is then an object that no provider's index names.
 */
import type { NamedBytes } from "../object-store.ts";
import type { S3Bucket } from "./s3-bucket.ts";
import type { PackUse, S3Index } from "./s3-index.ts";
import { readPacked } from "./s3-pack.ts";
import type { Removed } from "./s3-removals.ts";
import type { S3Keys, S3Sync } from "./s3-sync.ts";

/** Packs of which less than half is needed are copied. */
const LIVE_SHARE = 0.5;
/** So many packs of less than `SMALL_BYTES` are joined. */
const SMALL_PACKS = 16;
const SMALL_BYTES = 4 * 1024 * 1024;

interface Parts {
  readonly bucket: S3Bucket;
  readonly index: S3Index;
  readonly sync: S3Sync;
  readonly keys: S3Keys;
  /** Largest number of bytes that are copied at a time. */
  readonly packBytes: number;
  /** Writes a pack and puts it into the index. @returns its name */
  readonly write: (objects: readonly NamedBytes[]) => Promise<string>;
  /** Removes objects of packs. */
  readonly remove: (removed: readonly Removed[]) => Promise<void>;
}

/** @returns bytes that were given back */
export async function compactBucket(parts: Parts, signal?: AbortSignal): Promise<number> {
  const { bucket, index, sync, keys, packBytes } = parts;
  await sync.refreshAll();
  let freed = 0;
  let group: PackUse[] = [];
  const copyGroup = async () => {
    freed += await replacePacks(parts, group);
    group = [];
  };
  for (const pack of candidates(index.use())) {
    if (signal?.aborted) break;
    const groupBytes = group.reduce((sum, { liveBytes }) => sum + liveBytes, 0);
    if (group.length > 0 && groupBytes + pack.liveBytes > packBytes) await copyGroup();
    group.push(pack);
  }
  if (!signal?.aborted) await copyGroup();
  for (const name of index.spentRemovals()) {
    if (signal?.aborted) break;
    await bucket.delete(`${keys.removals}${name}`);
    index.forgetRemoval(name);
  }
  return freed;
}

function candidates(packs: readonly PackUse[]): PackUse[] {
  const small = packs.filter(({ bytes }) => bytes < SMALL_BYTES);
  const joined = new Set(small.length >= SMALL_PACKS ? small : []);
  return packs.filter((pack) => pack.liveBytes < pack.bytes * LIVE_SHARE || joined.has(pack));
}

/** Copies what packs still hold into one, then removes them. */
async function replacePacks(parts: Parts, packs: readonly PackUse[]): Promise<number> {
  const { bucket, index, keys, write, remove } = parts;
  const objects: NamedBytes[] = [];
  const sources: Removed[] = [];
  const replaced: PackUse[] = [];
  for (const pack of packs) {
    const live = [];
    let isGone = false;
    for (const at of index.liveIn(pack.name)) {
      const bytes = await readPacked(bucket, `${keys.packs}${pack.name}`, at);
      if (bytes === undefined) isGone = true;
      else live.push({ id: at.id, bytes });
    }
    // Another process removed it, after it copied what it held.
    if (isGone) continue;
    objects.push(...live);
    sources.push(...live.map(({ id }) => ({ id, pack: pack.name })));
    replaced.push(pack);
  }
  if (objects.length > 0) {
    const copy = await write(objects);
    // What this process removed meanwhile must not come back in the copy.
    const gone = sources.filter(({ id, pack }) => !index.find(id).some((at) => at.pack === pack));
    await remove(gone.map(({ id }) => ({ id, pack: copy })));
  }
  for (const { name } of replaced) {
    await bucket.delete(`${keys.packs}${name}`);
    index.removePacks([name]);
  }
  const copied = objects.reduce((sum, { bytes }) => sum + bytes.length, 0);
  return Math.max(0, replaced.reduce((sum, { bytes }) => sum + bytes, 0) - copied);
}
