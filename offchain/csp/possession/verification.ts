/**
 * Verifies a preparation before the provider accepts an agreement over it: powers against the audit key, tags against
 * the bytes in the object store. The main thread reads, two worker threads compute: one checks tags, the other one
 * powers and then tags as well. Slices are streamed, so memory does not grow with the data. Accounts are served in
 * turn. A check that a restart interrupted starts again when the client asks again.
 */
import { DEFAULT_SLICE_ELEMENTS, FIRST_INDEX } from "../../core/audit/field.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { InvalidPointError, InvalidProofError } from "../../core/errors.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { Preparation } from "../../store/index/preparation-index.ts";
import type { ChunkService } from "../chunks/chunk-service.ts";
import { ObjectLostError } from "../chunks/object-lost.ts";
import { DataSet, type DataSetParts } from "./data-set.ts";
import type { PreparationService } from "./preparations.ts";
import { type Perform, type Threads, VerificationWorkers } from "./verification-workers.ts";

/** Powers that are read from disk and sent to the worker at once. */
const POWERS_PER_PAGE = 1024;
/** Slices that are read from the store and sent to the worker at once: 1 MiB. */
const SLICES_PER_PAGE = 8;

/** A verification that takes longer is ended: 60 s, and 50 ms for each slice, which takes some milliseconds. */
const BASE_SECONDS = 60;
const SECONDS_PER_SLICE = 0.05;

interface Run {
  done: Promise<void>;
  checkedSlices: number;
}

/** As the step `addTags` takes it. */
interface TaggedPage {
  readonly slices: Uint8Array;
  readonly powersB: Uint8Array;
  readonly tags: Uint8Array;
  readonly sliceCount: number;
}

/** The slices of a data set, for the threads that check them. */
interface Pages {
  /** Begins to read the next page; undefined when there is none. */
  next(): Promise<TaggedPage> | undefined;
  checked(page: TaggedPage): void;
  /** Gives no more pages. */
  end(): void;
}

interface Failure {
  error: unknown;
  at: number;
}

export class VerificationService {
  readonly #parts: DataSetParts;
  readonly #preparations: PreparationService;
  readonly #chunks: ChunkService;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #runs = new Map<number, Run>();
  /** Failures of checks whose request had been answered before; the next request gets them. */
  readonly #failures = new Map<number, Failure>();
  readonly #workers = new VerificationWorkers();

  constructor(
    parts: DataSetParts,
    preparations: PreparationService,
    chunks: ChunkService,
    logger: Logger,
    now: () => number,
  ) {
    this.#parts = parts;
    this.#preparations = preparations;
    this.#chunks = chunks;
    this.#logger = logger;
    this.#now = now;
  }

  /** Slices checked so far by a running check; undefined when none is running. */
  progressOf(preparationId: number): number | undefined {
    return this.#runs.get(preparationId)?.checkedSlices;
  }

  /**
   * Starts the check, or joins the one that is running, and waits for it.
   * @param waitSeconds - longest wait; the check continues after it
   * @returns whether the preparation is verified; false when the check is still running
   * @throws TallystickError CONFLICT when streams are incomplete; InvalidPointError or InvalidProofError when powers or
   *   tags are wrong, in which case the wrong stream counts as not received; ObjectLostError
   */
  async verify(preparation: Preparation, waitSeconds: number): Promise<boolean> {
    if (preparation.verified) return true;
    const { id } = preparation;
    const failure = this.#failures.get(id);
    this.#failures.delete(id);
    // Bytes that were sent since then need another check.
    if (failure !== undefined && failure.at >= preparation.touchedAt) throw failure.error;
    await this.#preparations.rows.touch(id, this.#now());
    this.#preparations.requireComplete(preparation);
    const run = this.#runs.get(id) ?? this.#start(preparation);
    const timer = new AbortController();
    let waiting = true;
    try {
      return await Promise.race([
        run.done.then(() => true),
        sleep(waitSeconds, timer.signal).then(() => {
          waiting = false;
          return false;
        }),
      ]);
    } finally {
      timer.abort();
      if (!waiting) {
        run.done.catch((error: unknown) => this.#failures.set(id, { error, at: this.#now() }));
      }
    }
  }

  #start(preparation: Preparation): Run {
    const { id, account, sliceCount } = preparation;
    const run: Run = { done: Promise.resolve(), checkedSlices: 0 };
    run.done = this.#workers
      .run(account, BASE_SECONDS + sliceCount * SECONDS_PER_SLICE, (threads) =>
        this.#preparations.exclusively(id, () => this.#check(preparation, run, threads)),
      )
      .finally(() => this.#runs.delete(id));
    // The callers that wait get the failure as well.
    run.done.catch((error: unknown) => {
      this.#logger.info(
        { preparation: id, reason: error instanceof Error ? error.message : "" },
        "preparation refused",
      );
    });
    this.#runs.set(id, run);
    return run;
  }

  /** Ends the workers; checks under way fail and start again when the client asks again. */
  close(): Promise<void> {
    return this.#workers.close();
  }

  async #check(preparation: Preparation, run: Run, [first, second]: Threads): Promise<void> {
    const { id, sliceCount } = preparation;
    const dataSet = new DataSet(this.#parts, id, sliceCount);
    const { rows } = this.#preparations;
    const pages = this.#pagesOf(dataSet, run);
    const powers = this.#checkPowers(preparation, dataSet, second);
    const tags = [
      this.#checkTags(preparation, dataSet, pages, first),
      powers.then(() => this.#checkTags(preparation, dataSet, pages, second)),
    ];
    // What was found of the tags says nothing if the powers are wrong, so it is looked at later.
    for (const check of tags) check.catch(() => undefined);
    try {
      await blaming(
        () => powers,
        () => rows.forgetPowers(id),
      );
      await blaming(
        () => Promise.all(tags),
        () => rows.setReceived(id, "tags", 0),
      );
    } finally {
      pages.end();
      await Promise.allSettled(tags);
    }
    await rows.setVerified(id, true);
    this.#logger.info({ preparation: id, slices: sliceCount }, "preparation verified");
  }

  async #checkPowers(preparation: Preparation, dataSet: DataSet, perform: Perform): Promise<void> {
    const { key, sliceCount, reusedPowers } = preparation;
    const bytes = await dataSet.readPowersA();
    // A sequence of powers of β goes on after those that were checked in an earlier preparation.
    const lastVerifiedB = reusedPowers === 0 ? undefined : await dataSet.readPowersB(FIRST_INDEX + reusedPowers - 1, 1);
    await perform({ step: "begin", key, lastVerifiedB, sliceElements: DEFAULT_SLICE_ELEMENTS });
    await perform({ step: reusedPowers > 0 ? "checkReusedPowersA" : "checkPowersA", bytes });
    for (let first = reusedPowers; first < sliceCount; first += POWERS_PER_PAGE) {
      const powersB = await dataSet.readPowersB(FIRST_INDEX + first, Math.min(POWERS_PER_PAGE, sliceCount - first));
      await perform({ step: "addPowersB", bytes: powersB });
    }
    if (reusedPowers < sliceCount) await perform({ step: "finishPowersB" });
  }

  /** Checks the tags of the pages that no other thread has taken. */
  async #checkTags({ key }: Preparation, dataSet: DataSet, pages: Pages, perform: Perform): Promise<void> {
    let next = pages.next();
    if (next === undefined) return;
    await perform({ step: "begin", key, lastVerifiedB: undefined, sliceElements: DEFAULT_SLICE_ELEMENTS });
    await perform({ step: "beginTags", bytes: await dataSet.readPowersA() });
    while (next !== undefined) {
      const page = await next;
      // Read while the thread computes.
      next = pages.next();
      await perform({ step: "addTags", ...page });
      pages.checked(page);
    }
    try {
      await perform({ step: "finishTags" });
    } catch (error) {
      await this.#requireOwnBytes(dataSet.preparationId);
      throw error;
    }
  }

  #pagesOf(dataSet: DataSet, run: Run): Pages {
    const { sliceCount } = dataSet;
    let taken = 0;
    return {
      next: () => {
        if (taken >= sliceCount) return undefined;
        const first = taken;
        taken = Math.min(first + SLICES_PER_PAGE, sliceCount);
        const page = this.#readTagged(dataSet, first, taken - first);
        // Its failure is met when its turn comes, if it does.
        page.catch(() => undefined);
        return page;
      },
      checked: ({ sliceCount: count }) => {
        run.checkedSlices += count;
      },
      end: () => {
        taken = sliceCount;
      },
    };
  }

  /** Consecutive slices from a position on, with their powers and tags. */
  async #readTagged(dataSet: DataSet, first: number, count: number): Promise<TaggedPage> {
    const tags = await dataSet.readTags(FIRST_INDEX + first, count);
    const powersB = await dataSet.readPowersB(FIRST_INDEX + first, count);
    return { slices: await this.#readSlices(dataSet, FIRST_INDEX + first, count), powersB, tags, sliceCount: count };
  }

  /**
   * When a chunk cannot be read, all chunks are checked first: the fault is this provider's, and the client must be
   * told so.
   */
  async #readSlices(dataSet: DataSet, firstIndex: number, count: number): Promise<Uint8Array> {
    try {
      return await dataSet.readSlices(firstIndex, count);
    } catch (error) {
      await this.#requireOwnBytes(dataSet.preparationId);
      throw error;
    }
  }

  /** Checks the stored bytes before a client is told that its tags are wrong. @throws ObjectLostError */
  async #requireOwnBytes(preparationId: number): Promise<void> {
    for await (const digests of this.#preparations.rows.manifestDigests(preparationId)) {
      for (const digest of digests) {
        const id = contentIdFromDigest(digest);
        if ((await this.#chunks.readIntact(id, digest)) !== undefined) continue;
        throw new ObjectLostError(id, { hint: "upload the object again, then ask for verification again" });
      }
    }
  }
}

/**
 * Runs a check; when the client's bytes fail it, `forget` makes them count as not received, so that they are sent
 * again.
 */
async function blaming(check: () => Promise<unknown>, forget: () => Promise<void>): Promise<void> {
  try {
    await check();
  } catch (error) {
    if (error instanceof InvalidProofError || error instanceof InvalidPointError) await forget();
    throw error;
  }
}

function sleep(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => clearTimeout(timer));
  });
}
