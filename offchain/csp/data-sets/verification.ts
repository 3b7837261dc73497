/**
 * Verifies a segment before a state may include it: powers against the audit key, as far as they were not checked
 * before, and tags against the bytes in the object store. The main thread reads, two worker threads compute: one checks
 * tags, the other one powers and then tags as well. Slices are streamed, so memory does not grow with the data.
 * Accounts are served in turn. A check that a restart interrupted starts again when the client asks again.
 */
import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { InvalidPointError, InvalidProofError, TallystickError } from "../../core/errors.ts";
import type { DataSetRow } from "../../store/index/data-set-index.ts";
import type { Segment } from "../../store/index/segment-index.ts";
import type { ChunkService } from "../chunks/chunk-service.ts";
import { ObjectLostError } from "../chunks/object-lost.ts";
import { type DataSetParts, powersLock, segmentLock } from "./data-sets.ts";
import { readPowersA, readPowersB, SegmentData, type SetDataParts } from "./set-data.ts";
import type { Perform, Threads, VerificationWorkers } from "./verification-workers.ts";

/** Powers that are read from disk and sent to the worker at once. */
const POWERS_PER_PAGE = 1024;
/** Elements of slices that are read from the store and sent to the worker at once: 1 MiB. */
const ELEMENTS_PER_PAGE = 8 * 4096;

/** A verification that takes longer is ended: 60 s, and so much for each slice and power. */
const BASE_SECONDS = 60;
const SECONDS_PER_ELEMENT = 0.05 / 4096;
const SECONDS_PER_POWER = 0.005;
/** How long a request that appends powers is waited for. */
const APPEND_SECONDS = 600;

interface Run {
  done: Promise<void>;
  checkedSlices: number;
}

interface Failure {
  error: unknown;
  at: number;
}

/** As the step `addTags` takes it. */
interface TaggedPage {
  readonly slices: Uint8Array<ArrayBuffer>;
  readonly powersB: Uint8Array;
  readonly tags: Uint8Array;
  readonly sliceCount: number;
}

/** The slices of a segment, for the threads that check them. */
interface Pages {
  /** Begins to read the next page; undefined when there is none. */
  next(): Promise<TaggedPage> | undefined;
  /** @param memory of the page, for another one */
  checked(page: TaggedPage, memory: ArrayBuffer | undefined): void;
  /** Gives no more pages. */
  end(): void;
}

export class SegmentVerification {
  readonly #parts: DataSetParts;
  readonly #data: SetDataParts;
  readonly #chunks: ChunkService;
  readonly #workers: VerificationWorkers;
  readonly #runs = new Map<number, Run>();
  /** Failures of checks whose request had been answered before; the next request gets them. */
  readonly #failures = new Map<number, Failure>();

  constructor(parts: DataSetParts, data: SetDataParts, chunks: ChunkService, workers: VerificationWorkers) {
    this.#parts = parts;
    this.#data = data;
    this.#chunks = chunks;
    this.#workers = workers;
  }

  /** Slices checked so far by a running check; undefined when none is running. */
  progressOf(segmentId: number): number | undefined {
    return this.#runs.get(segmentId)?.checkedSlices;
  }

  /**
   * Starts the check, or joins the one that is running, and waits for it.
   * @param waitSeconds longest wait; the check continues after it
   * @returns whether the segment is verified; false when the check is still running
   * @throws TallystickError CONFLICT when streams are incomplete; InvalidPointError or InvalidProofError when powers or
   *   tags are wrong, in which case the wrong part counts as not received; ObjectLostError
   */
  async verify(set: DataSetRow, segment: Segment, waitSeconds: number): Promise<boolean> {
    if (segment.verified) return true;
    const { id } = segment;
    const failure = this.#failures.get(id);
    this.#failures.delete(id);
    // Bytes that were sent since then need another check.
    if (failure !== undefined && failure.at >= segment.touchedAt) throw failure.error;
    await this.#parts.index.segments.touch(id, this.#parts.now());
    requireComplete(set, segment);
    const run = this.#runs.get(id) ?? this.#start(set, segment);
    let timer: NodeJS.Timeout | undefined;
    let waiting = true;
    const waited = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => {
        waiting = false;
        resolve(false);
      }, waitSeconds * 1000);
    });
    try {
      return await Promise.race([run.done.then(() => true), waited]);
    } finally {
      clearTimeout(timer);
      if (!waiting) {
        run.done.catch((error: unknown) => this.#failures.set(id, { error, at: this.#parts.now() }));
      }
    }
  }

  #start(set: DataSetRow, segment: Segment): Run {
    const { locks, logger } = this.#parts;
    const { id } = segment;
    const run: Run = { done: Promise.resolve(), checkedSlices: 0 };
    const seconds =
      BASE_SECONDS +
      segment.sliceCount * set.sliceElements * SECONDS_PER_ELEMENT +
      (lastIndex(segment) - set.verifiedB) * SECONDS_PER_POWER;
    run.done = this.#workers
      .run(set.account, seconds, (threads) =>
        locks.exclusively(segmentLock(id), 0, () => this.#check(set.id, id, run, threads)),
      )
      .finally(() => this.#runs.delete(id));
    // The callers that wait get the failure as well.
    run.done.catch((error: unknown) => {
      logger.info({ segment: id, reason: error instanceof Error ? error.message : "" }, "segment refused");
    });
    this.#runs.set(id, run);
    return run;
  }

  async #check(setId: number, segmentId: number, run: Run, [first, second]: Threads): Promise<void> {
    const { locks, index, logger } = this.#parts;
    const { dataSets, segments } = index;
    let pages: Pages | undefined;
    let tags: Promise<void>[] = [];
    let sliceCount = 0;
    try {
      // No power that is read here is sent anew before it is checked: tags that were held against wrong ones could
      // pass, with right ones in their place afterwards. What was checked is never replaced.
      await locks.exclusively(powersLock(setId), APPEND_SECONDS, async () => {
        // Read again: checks of other segments may have gone on meanwhile, and have found powers to be wrong.
        const set = await dataSets.find(setId);
        const segment = await segments.find(segmentId);
        if (set === undefined || segment === undefined) throw new TallystickError("it expired", { code: "NOT_FOUND" });
        requireComplete(set, segment);
        sliceCount = segment.sliceCount;
        const data = new SegmentData(this.#data, segment, set.sliceElements);
        const own = this.#pagesOf(set, data, run);
        pages = own;
        const powers = this.#checkPowers(set, lastIndex(segment), second);
        tags = [this.#checkTags(set, data, own, first), powers.then(() => this.#checkTags(set, data, own, second))];
        // What was found of the tags says nothing if the powers are wrong, so it is looked at later.
        for (const check of tags) check.catch(() => undefined);
        await powers;
      });
      await blaming(
        () => Promise.all(tags),
        () => segments.setTags(segmentId, 0),
      );
    } finally {
      pages?.end();
      await Promise.allSettled(tags);
    }
    await segments.setVerified(segmentId);
    logger.info({ segment: segmentId, slices: sliceCount }, "segment verified");
  }

  /**
   * Checks what was not checked before: all powers of α, and those of β that have arrived. Under the lock of the
   * powers.
   * @param set with the powers of β up to `needed`
   */
  async #checkPowers(set: DataSetRow, needed: number, perform: Perform): Promise<void> {
    const { index, streams } = this.#parts;
    const { dataSets } = index;
    const { id, key, sliceElements, verifiedA, verifiedB } = set;
    if (verifiedA && verifiedB >= needed) return;
    const lastVerifiedB = verifiedB === 0 ? undefined : await readPowersB(streams, id, verifiedB, 1);
    await perform({ step: "begin", key, lastVerifiedB, sliceElements });
    if (!verifiedA) {
      const bytes = await readPowersA(streams, id, sliceElements);
      await blaming(
        () => perform({ step: "checkPowersA", bytes }),
        () => dataSets.setPowers(id, "powers-a", 0),
      );
      await dataSets.setVerified(id, { a: true, b: verifiedB });
    }
    if (verifiedB >= needed) return;
    const count = Math.floor(set.powersBBytes / G1_EXPANDED_BYTES);
    await blaming(
      async () => {
        for (let next = verifiedB + 1; next <= count; next += POWERS_PER_PAGE) {
          const bytes = await readPowersB(streams, id, next, Math.min(POWERS_PER_PAGE, count + 1 - next));
          await perform({ step: "addPowersB", bytes });
        }
        await perform({ step: "finishPowersB" });
      },
      () => dataSets.setPowers(id, "powers-b", verifiedB * G1_EXPANDED_BYTES),
    );
    await dataSets.setVerified(id, { a: true, b: count });
  }

  /** Checks the tags of the pages that no other thread has taken. */
  async #checkTags(
    { id, key, sliceElements }: DataSetRow,
    data: SegmentData,
    pages: Pages,
    perform: Perform,
  ): Promise<void> {
    let next = pages.next();
    if (next === undefined) return;
    await perform({ step: "begin", key, lastVerifiedB: undefined, sliceElements });
    await perform({ step: "beginTags", bytes: await readPowersA(this.#parts.streams, id, sliceElements) });
    while (next !== undefined) {
      const page = await next;
      // Read while the thread computes.
      next = pages.next();
      const { slices, powersB, tags } = page;
      pages.checked(page, await perform({ step: "addTags", slices, powersB, tags }));
    }
    try {
      await perform({ step: "finishTags" });
    } catch (error) {
      await this.#requireOwnBytes(data.segment.id);
      throw error;
    }
  }

  #pagesOf(set: DataSetRow, data: SegmentData, run: Run): Pages {
    const { sliceCount } = data.segment;
    const perPage = Math.max(1, Math.floor(ELEMENTS_PER_PAGE / set.sliceElements));
    let taken = 0;
    const free: ArrayBuffer[] = [];
    return {
      next: () => {
        if (taken >= sliceCount) return undefined;
        const first = taken;
        taken = Math.min(first + perPage, sliceCount);
        const page = this.#readTagged(set, data, data.segment.firstIndex + first, taken - first, free.pop());
        // Its failure is met when its turn comes, if it does.
        page.catch(() => undefined);
        return page;
      },
      checked: ({ sliceCount: count }, memory) => {
        run.checkedSlices += count;
        if (memory !== undefined) free.push(memory);
      },
      end: () => {
        taken = sliceCount;
      },
    };
  }

  /** Consecutive slices, with their powers and tags. */
  async #readTagged(
    set: DataSetRow,
    data: SegmentData,
    index: number,
    count: number,
    memory: ArrayBuffer | undefined,
  ): Promise<TaggedPage> {
    const tags = await data.readTags(index, count);
    const powersB = await readPowersB(this.#parts.streams, set.id, index, count);
    return { slices: await this.#readSlices(data, index, count, memory), powersB, tags, sliceCount: count };
  }

  /**
   * When a chunk cannot be read, all chunks are checked first: the fault is this provider's, and the client must be
   * told so.
   */
  async #readSlices(
    data: SegmentData,
    index: number,
    count: number,
    memory: ArrayBuffer | undefined,
  ): Promise<Uint8Array<ArrayBuffer>> {
    try {
      return await data.readSlices(index, count, memory);
    } catch (error) {
      await this.#requireOwnBytes(data.segment.id);
      throw error;
    }
  }

  /** Checks the stored bytes before a client is told that its tags are wrong. @throws ObjectLostError */
  async #requireOwnBytes(segmentId: number): Promise<void> {
    for await (const digests of this.#parts.index.segments.manifestDigests(segmentId)) {
      for (const digest of digests) {
        const id = contentIdFromDigest(digest);
        if ((await this.#chunks.readIntact(id, digest)) !== undefined) continue;
        throw new ObjectLostError(id, { hint: "upload the object again, then ask for verification again" });
      }
    }
  }
}

const lastIndex = ({ firstIndex, sliceCount }: Segment): number => firstIndex + sliceCount - 1;

/** @throws TallystickError CONFLICT naming the first stream that is not complete */
function requireComplete(set: DataSetRow, segment: Segment): void {
  const streams = {
    "powers-a": [set.sliceElements, set.powersABytes],
    "powers-b": [lastIndex(segment), set.powersBBytes],
    tags: [segment.sliceCount, segment.tagsBytes],
  } as const;
  for (const [stream, [points, received]] of Object.entries(streams)) {
    const expected = points * G1_EXPANDED_BYTES;
    if (received >= expected) continue;
    throw new TallystickError(`${stream} are not complete`, {
      code: "CONFLICT",
      party: "client",
      check: stream,
      expected: `${expected} bytes`,
      received: `${received} bytes`,
      hint: "send the rest, then verify",
    });
  }
}

/** Runs a check; when the client's bytes fail it, `forget` makes them count as not received, to be sent again. */
async function blaming(check: () => Promise<unknown>, forget: () => Promise<void>): Promise<void> {
  try {
    await check();
  } catch (error) {
    if (error instanceof InvalidProofError || error instanceof InvalidPointError) await forget();
    throw error;
  }
}
