/**
 * Verifies a preparation before the provider accepts an agreement over it: powers against the audit key, tags against
 * the bytes in the object store. Slices are streamed, so memory does not grow with the data. One preparation is checked
 * at a time, so that the daemon keeps serving. A check that a restart interrupted starts again when the client asks
 * again.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import PQueue from "p-queue";
import {
  decodeSubgroupG1,
  G1_BYTES,
  G1_EXPANDED_BYTES,
  generatorG1,
  negateG1,
  pairingProductIsOne,
} from "../../core/audit/curve.ts";
import { FIRST_INDEX } from "../../core/audit/field.ts";
import { type AuditPublicKey, decodeAuditKey } from "../../core/audit/keys.ts";
import { expandPoints, PowersVerifier } from "../../core/audit/powers.ts";
import { TagVerifier } from "../../core/audit/tags.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { InvalidPointError, InvalidProofError } from "../../core/errors.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { Preparation } from "../../store/index/preparation-index.ts";
import type { ChunkService } from "../chunks/chunk-service.ts";
import { ObjectLostError } from "../chunks/object-lost.ts";
import { DataSet, type DataSetParts } from "./data-set.ts";
import type { PreparationService } from "./preparations.ts";

/** Slices whose tags and powers are read from disk at once. */
const SLICES_PER_PAGE = 1024;

interface Run {
  done: Promise<void>;
  checkedSlices: number;
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
  readonly #queue = new PQueue({ concurrency: 1 });

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
    const { id } = preparation;
    const run: Run = { done: Promise.resolve(), checkedSlices: 0 };
    run.done = this.#queue
      .add(() => this.#preparations.exclusively(id, () => this.#check(preparation, run)))
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

  async #check(preparation: Preparation, run: Run): Promise<void> {
    const { id, sliceCount } = preparation;
    const dataSet = new DataSet(this.#parts, id, sliceCount);
    const { rows } = this.#preparations;
    await blaming(
      () => this.#checkPowers(preparation, dataSet),
      () => rows.forgetPowers(id),
    );
    await this.#parts.files.syncDerived(id);
    await blaming(
      () => this.#checkTags(preparation, dataSet, run),
      () => rows.setReceived(id, "tags", 0),
    );
    await rows.setVerified(id, true);
    this.#logger.info({ preparation: id, slices: sliceCount }, "preparation verified");
  }

  async #checkPowers(preparation: Preparation, dataSet: DataSet): Promise<void> {
    const { id, key, sliceCount, reusedPowers } = preparation;
    const { files } = this.#parts;
    const powersA = await dataSet.readPowersA();
    const verifier = await this.#powersVerifier(preparation, dataSet);
    if (reusedPowers > 0) {
      requireSameAlpha(key, powersA);
    } else {
      const points = verifier.checkPowersA(powersA);
      await nextTurn();
      await files.writeDerived(id, "powers-a-expanded", 0, expandPoints(points));
      await nextTurn();
    }
    for (let first = reusedPowers; first < sliceCount; first += SLICES_PER_PAGE) {
      const powersB = await dataSet.readPowersB(FIRST_INDEX + first, Math.min(SLICES_PER_PAGE, sliceCount - first));
      const expanded = expandPoints(verifier.addPowersB(powersB));
      await files.writeDerived(id, "powers-b-expanded", first * G1_EXPANDED_BYTES, expanded);
      await nextTurn();
    }
    if (reusedPowers < sliceCount) verifier.finishPowersB();
  }

  /** Begins after the powers of β that were checked in an earlier preparation. */
  async #powersVerifier({ key, reusedPowers }: Preparation, dataSet: DataSet): Promise<PowersVerifier> {
    if (reusedPowers === 0) return new PowersVerifier(key);
    return new PowersVerifier(key, await dataSet.readPowersB(FIRST_INDEX + reusedPowers - 1, 1));
  }

  async #checkTags(preparation: Preparation, dataSet: DataSet, run: Run): Promise<void> {
    const { key, sliceCount } = preparation;
    const verifier = new TagVerifier(key, await dataSet.readExpandedPowersA());
    for (let first = 0; first < sliceCount; first += SLICES_PER_PAGE) {
      const count = Math.min(SLICES_PER_PAGE, sliceCount - first);
      const tags = await dataSet.readTags(FIRST_INDEX + first, count);
      const powersB = await dataSet.readExpandedPowersB(FIRST_INDEX + first, count);
      for (let k = 0; k < count; k++) {
        const slice = await this.#readSlice(dataSet, FIRST_INDEX + first + k);
        const powerB = powersB.subarray(k * G1_EXPANDED_BYTES, (k + 1) * G1_EXPANDED_BYTES);
        verifier.add(slice, powerB, tags.subarray(k * G1_BYTES, (k + 1) * G1_BYTES));
        run.checkedSlices = first + k + 1;
      }
    }
    await nextTurn();
    try {
      verifier.finish();
    } catch (error) {
      await this.#requireOwnBytes(dataSet.preparationId);
      throw error;
    }
  }

  /**
   * When a chunk cannot be read, all chunks are checked first: the fault is this provider's, and the client must be
   * told so.
   */
  async #readSlice(dataSet: DataSet, index: number): Promise<Uint8Array> {
    try {
      return await dataSet.readSlice(index);
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
async function blaming(check: () => Promise<void>, forget: () => Promise<void>): Promise<void> {
  try {
    await check();
  } catch (error) {
    if (error instanceof InvalidProofError || error instanceof InvalidPointError) await forget();
    throw error;
  }
}

/**
 * A geometric sequence of powers belongs to a key if its first power does: e(A_1, X) = e(G1, XA).
 * @throws InvalidProofError when they do not
 */
function requireSameAlpha(key: AuditPublicKey, powersA: Uint8Array): void {
  const { X, XA } = decodeAuditKey(key);
  const first = decodeSubgroupG1(powersA.subarray(G1_BYTES, 2 * G1_BYTES), "power of alpha");
  const same = pairingProductIsOne([
    [first, X],
    [negateG1(generatorG1()), XA],
  ]);
  if (!same) {
    throw new InvalidProofError("powers of alpha do not fit the audit key", {
      check: "powers of alpha",
      expected: "the α of the account's earlier preparations with the same β",
      hint: "send the powers again",
    });
  }
}

function sleep(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => clearTimeout(timer));
  });
}
