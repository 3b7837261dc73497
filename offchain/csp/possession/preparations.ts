/**
 * Preparation of agreements. An account names a data set (a manifest of chunks that it owns here) and its public audit
 * key, sends powers and tags in pieces, and has them verified. Everything is keyed by the client's salt, so either side
 * may continue after an interruption. A preparation that no agreement uses expires.
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { DEFAULT_SLICE_ELEMENTS, FIRST_INDEX, SLICE_BYTES } from "../../core/audit/field.ts";
import { auditKeyHash, decodeAuditKey } from "../../core/audit/keys.ts";
import { ManifestReader } from "../../core/audit/manifest.ts";
import { isFirstPowerOf } from "../../core/audit/powers.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { PreparationStatus } from "../../core/wire/csp.ts";
import { PREPARATION_HEAD_BYTES, readPreparationHead } from "../../core/wire/preparation-body.ts";
import type { Logger } from "../../daemon/logger.ts";
import { DiskFullError } from "../../store/disk/disk-errors.ts";
import { withLease } from "../../store/index/leases.ts";
import {
  type ManifestChunk,
  type PartBytes,
  PREPARATION_PARTS,
  type Preparation,
  type PreparationIndex,
  type PreparationPart,
} from "../../store/index/preparation-index.ts";
import type { PreparationStreams } from "../../store/index/preparation-streams.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import { FairQueue } from "../fair-queue.ts";

/** Chunks of a manifest that are looked up in the index, and written to it, at once: some milliseconds of work. */
const BATCH_CHUNKS = 256;

/** The length of each stream when it is complete. */
export function expectedBytes(sliceCount: number): PartBytes {
  return {
    "powers-a": DEFAULT_SLICE_ELEMENTS * G1_EXPANDED_BYTES,
    "powers-b": sliceCount * G1_EXPANDED_BYTES,
    tags: sliceCount * G1_EXPANDED_BYTES,
  };
}

export interface PreparationOptions {
  maximumSlices: number;
  /** Most preparations without agreement that one account may hold. */
  unusedPreparations: number;
  /** Seconds after the last request for a preparation until it expires. */
  expirySeconds: number;
}

/** Earlier preparations whose powers are compared with a new key: an account seldom has more than one β. */
const REUSE_CANDIDATES = 4;

export class PreparationService {
  readonly rows: PreparationIndex;
  readonly #index: ProviderIndex;
  readonly #files: PreparationStreams;
  readonly #options: PreparationOptions;
  readonly #logger: Logger;
  readonly #now: () => number;
  /** Requests that are opening a preparation; others for the same salt wait, so that its files are there. */
  readonly #opening = new Map<string, Promise<Preparation>>();
  /** One batch of one manifest at a time, accounts in turn. The places for bodies limit how many wait. */
  readonly #batches = new FairQueue({
    what: "reading of manifests",
    concurrency: 1,
    perAccount: Number.POSITIVE_INFINITY,
    inAll: Number.POSITIVE_INFINITY,
  });
  /** Preparations that a request is writing to. */
  readonly #busy = new Set<number>();

  constructor(
    index: ProviderIndex,
    files: PreparationStreams,
    options: PreparationOptions,
    logger: Logger,
    now: () => number,
  ) {
    this.#index = index;
    this.rows = index.preparations;
    this.#files = files;
    this.#options = options;
    this.#logger = logger;
    this.#now = now;
  }

  /**
   * Opens a preparation, or returns the one with this salt.
   * @param saltHex - 32 bytes
   * @param body - see `core/wire/preparation-body.ts`; it is read no further than is needed to decide
   * @throws InvalidInputError for a malformed manifest or too large a data set, InvalidPointError for an audit key that
   *   is not three points of the subgroup other than the identity, TallystickError NOT_OWNER naming the first chunk the
   *   account does not own here, CONFLICT when the salt was used for something else, RATE_LIMITED for too many without
   *   agreement
   */
  async open(account: string, saltHex: string, body: AsyncIterable<Uint8Array>): Promise<Preparation> {
    const key = openingKey(account, saltHex);
    while (this.#opening.has(key)) await this.#opening.get(key)?.catch(() => undefined);
    const opening = this.#open(account, saltHex, body).finally(() => this.#opening.delete(key));
    this.#opening.set(key, opening);
    return await opening;
  }

  async #open(account: string, saltHex: string, body: AsyncIterable<Uint8Array>): Promise<Preparation> {
    const salt = fromHex(saltHex, 32, "salt");
    const { head, rest } = await splitHead(body);
    const { manifestHash, key } = readPreparationHead(head);
    const hashes = { manifestHash, auditKeyHash: auditKeyHash(key) };
    const known = await this.#findAgain(account, salt, hashes);
    if (known !== undefined) return known;
    decodeAuditKey(key);
    const facts = { account, salt, key, ...hashes, touchedAt: this.#now() };
    const creation = await this.rows.begin(facts, this.#options.unusedPreparations);
    if (creation.outcome === "too-many") throw this.#tooMany();
    // Only what is being removed is unknown and exists.
    if (creation.outcome === "exists") throw stillRemoved();
    const { id } = creation;
    try {
      const sliceCount = await this.#readManifest(account, id, manifestHash, rest);
      await this.rows.complete(id, sliceCount);
    } catch (cause) {
      await this.rows.delete(id);
      throw cause;
    }
    await this.#fill(id);
    return this.require(account, saltHex);
  }

  /**
   * Writes a manifest to the index while it arrives.
   * @param rest - the encoded manifest
   * @returns the number of slices of the data set
   */
  async #readManifest(
    account: string,
    id: number,
    expectedHash: Uint8Array,
    rest: AsyncIterable<Uint8Array>,
  ): Promise<number> {
    const reader = new ManifestReader();
    let dataBytes = 0;
    for await (const piece of rest) {
      const entries = reader.push(piece);
      for (let first = 0; first < entries.length; first += BATCH_CHUNKS) {
        const batch = entries.slice(first, first + BATCH_CHUNKS);
        dataBytes = batch.reduce((sum, { sizeBytes }) => sum + sizeBytes, dataBytes);
        this.#requireSize(dataBytes);
        await this.#batches.run(account, async () => {
          await this.#requireOwned(account, batch);
          await this.rows.addToManifest(id, batch);
          await nextTurn();
        });
      }
    }
    const received = reader.finish();
    if (!equalBytes(received, expectedHash)) {
      throw new InvalidInputError("the manifest has another hash than the body says", {
        party: "client",
        check: "manifest hash",
        expected: toHex(expectedHash),
        received: toHex(received),
      });
    }
    return Math.ceil(dataBytes / SLICE_BYTES);
  }

  async #remove(id: number): Promise<void> {
    await this.rows.delete(id);
    await this.#files.remove(id);
  }

  /** Makes the files of a new preparation, or removes it. */
  async #fill(id: number): Promise<void> {
    await this.exclusively(id, async () => {
      try {
        await this.#files.create(id);
        const preparation = await this.rows.find(id);
        if (preparation !== undefined) await this.#reusePowers(preparation);
      } catch (cause) {
        await this.#remove(id);
        throw cause;
      }
    });
  }

  #tooMany(): TallystickError {
    return new TallystickError("the account has too many preparations without agreement", {
      code: "RATE_LIMITED",
      party: "client",
      check: "open preparations",
      expected: `at most ${this.#options.unusedPreparations}`,
      hint: "finish some, or wait until they expire",
      retryable: true,
      retryAfterSeconds: this.#options.expirySeconds,
    });
  }

  /** The preparation with this salt, if there is one. @throws TallystickError CONFLICT when it is for something else */
  async #findAgain(
    account: string,
    salt: Uint8Array,
    hashes: { manifestHash: Uint8Array; auditKeyHash: Uint8Array },
  ): Promise<Preparation | undefined> {
    const known = await this.rows.findBySalt(account, salt);
    if (known === undefined) return undefined;
    for (const [what, hash] of Object.entries(hashes)) {
      const expected = toHex(known[what as keyof typeof hashes]);
      if (toHex(hash) === expected) continue;
      throw new TallystickError("the salt was used for another preparation", {
        code: "CONFLICT",
        party: "client",
        check: what,
        expected,
        received: toHex(hash),
        hint: "a salt belongs to one data set and one audit secret; use a new random salt",
      });
    }
    // It may have expired since it was read.
    return (await this.rows.touch(known.id, this.#now())) ? known : undefined;
  }

  /** Every chunk must be stored here, have the stated size, and belong to the account. */
  async #requireOwned(account: string, batch: readonly ManifestChunk[]): Promise<void> {
    const digests = batch.map(({ digest }) => digest);
    const rows = await this.#index.chunks.find(digests);
    const owns = await this.#index.chunks.owns(account, digests);
    for (const [k, { digest, sizeBytes }] of batch.entries()) {
      const row = rows[k];
      if (row?.stored && row.sizeBytes === sizeBytes && owns[k]) continue;
      throw new TallystickError("the manifest names a chunk that the account does not own here", {
        code: "NOT_OWNER",
        party: "client",
        check: "ownership of every chunk",
        received: `${contentIdFromDigest(digest)}, ${sizeBytes} bytes`,
        hint: "upload the chunk, or claim it and prove that you have it",
      });
    }
  }

  /** @throws InvalidInputError when the data set is too large already */
  #requireSize(dataBytes: number): void {
    const sliceCount = Math.ceil(dataBytes / SLICE_BYTES);
    if (sliceCount <= this.#options.maximumSlices) return;
    throw new InvalidInputError("the data set has a size that cannot be agreed on", {
      party: "client",
      check: "slice count",
      expected: `1 to ${this.#options.maximumSlices}`,
      received: `at least ${sliceCount}`,
      hint: "divide it among several agreements",
    });
  }

  /**
   * Copies powers of an earlier, verified preparation. Powers of α and β depend on the account's secrets alone, so they
   * need neither be sent nor verified again in full: the first stored power shows whether β is the same, and
   * verification checks α likewise.
   */
  async #reusePowers(preparation: Preparation): Promise<void> {
    const earlier = await this.#verifiedUnderBetaOf(preparation);
    if (earlier === undefined) return;
    const powersABytes = expectedBytes(0)["powers-a"];
    const powersB = Math.min(earlier.sliceCount, preparation.sliceCount);
    const powersBBytes = expectedBytes(powersB)["powers-b"];
    const copy = (part: Parameters<PreparationStreams["copyStart"]>[2], bytes: number): Promise<void> =>
      this.#files.copyStart(earlier.id, preparation.id, part, bytes);
    try {
      await copy("powers-a", powersABytes);
      await copy("powers-b", powersBBytes);
      await this.rows.setReused(preparation.id, { powersABytes, powersBBytes, count: powersB });
    } catch (cause) {
      if (cause instanceof DiskFullError) throw cause;
      // The client can send the powers again. The damage is in the earlier preparation, whose next proof will report
      // it.
      this.#logger.error({ err: cause, preparation: earlier.id }, "stored powers could not be reused");
    }
  }

  /** The largest verified preparation of the account whose powers of β are those of the new one's key. */
  async #verifiedUnderBetaOf({ account, key }: Preparation): Promise<Preparation | undefined> {
    const { X, XB } = decodeAuditKey(key);
    for (const earlier of await this.rows.findVerified(account, REUSE_CANDIDATES)) {
      try {
        const first = await this.#files.read(earlier.id, "powers-b", 0, G1_EXPANDED_BYTES);
        if (isFirstPowerOf(first, X, XB)) return earlier;
      } catch (cause) {
        // Damage of the earlier preparation, which its next proof will report.
        this.#logger.error({ err: cause, preparation: earlier.id }, "stored powers could not be read");
      }
    }
    return undefined;
  }

  /** @throws TallystickError NOT_FOUND, also for another account's preparation */
  async require(account: string, saltHex: string): Promise<Preparation> {
    const preparation = await this.rows.findBySalt(account, fromHex(saltHex, 32, "salt"));
    if (preparation === undefined) throw preparationNotFound(saltHex);
    return preparation;
  }

  /**
   * Appends to one of the streams. The bytes are durable when the promise resolves.
   * @throws TallystickError CONFLICT when the offset is not where the stream ends, or another request is writing;
   *   InvalidInputError for a body that is longer than what is missing; DISK_FULL, DISK_FAILED
   */
  async append(
    account: string,
    saltHex: string,
    part: PreparationPart,
    offsetBytes: number,
    body: AsyncIterable<Uint8Array>,
  ): Promise<Preparation> {
    await this.#opening.get(openingKey(account, saltHex))?.catch(() => undefined);
    const { id } = await this.require(account, saltHex);
    await this.exclusively(id, async () => {
      // Read again under the lock: an earlier request whose answer was lost may have appended.
      const { received, sliceCount } = await this.require(account, saltHex);
      if (offsetBytes !== received[part]) {
        throw new TallystickError(`the offset is not where ${part} ends`, {
          code: "CONFLICT",
          party: "client",
          check: "offset",
          expected: String(received[part]),
          received: String(offsetBytes),
          details: { received: received[part] },
        });
      }
      const limitBytes = expectedBytes(sliceCount)[part] - offsetBytes;
      const writtenBytes = await this.#files.write(id, part, offsetBytes, body, limitBytes);
      if (writtenBytes > 0) await this.rows.setReceived(id, part, offsetBytes + writtenBytes);
      await this.rows.touch(id, this.#now());
    });
    return this.require(account, saltHex);
  }

  /**
   * Runs work that needs a preparation's files to itself.
   * @throws TallystickError CONFLICT while other work uses them
   */
  async exclusively<T>(id: number, work: () => Promise<T>): Promise<T> {
    if (this.#busy.has(id)) {
      throw new TallystickError("another request is working on this preparation", {
        code: "CONFLICT",
        party: "client",
        check: "one writer at a time",
        retryable: true,
        retryAfterSeconds: 1,
      });
    }
    this.#busy.add(id);
    try {
      return await withLease(this.#index.leases, `preparation ${id}`, 0, work);
    } finally {
      this.#busy.delete(id);
    }
  }

  /** @throws TallystickError CONFLICT naming the first stream that is not complete */
  requireComplete(preparation: Preparation): void {
    const expected = expectedBytes(preparation.sliceCount);
    for (const part of PREPARATION_PARTS) {
      if (preparation.received[part] === expected[part]) continue;
      throw new TallystickError(`${part} are not complete`, {
        code: "CONFLICT",
        party: "client",
        check: part,
        expected: `${expected[part]} bytes`,
        received: `${preparation.received[part]} bytes`,
        hint: "send the rest, then verify",
      });
    }
  }

  /** The wire form. @param checkedSlices - progress of a running verification, undefined when there is none */
  status(preparation: Preparation, checkedSlices: number | undefined): PreparationStatus {
    const { salt, sliceCount, received, verified, inUse } = preparation;
    const state = inUse ? "agreed" : verified ? "verified" : checkedSlices === undefined ? "open" : "verifying";
    return {
      salt: toHex(salt),
      state,
      firstIndex: FIRST_INDEX,
      sliceCount,
      manifestHash: toHex(preparation.manifestHash),
      auditKeyHash: toHex(preparation.auditKeyHash),
      expected: onWire(expectedBytes(sliceCount)),
      received: onWire(received),
      checkedSlices: verified ? sliceCount : (checkedSlices ?? 0),
      expiresAt: preparation.touchedAt + this.#options.expirySeconds,
    };
  }

  /** Removes preparations that have expired, and those whose process ended while their manifest arrived. */
  async expire(): Promise<void> {
    for (const id of await this.rows.incomplete({ own: false })) await this.#remove(id);
    const before = this.#now() - this.#options.expirySeconds;
    for (const id of await this.rows.abandoned(before)) {
      // A request is working on it.
      if (this.#busy.has(id)) continue;
      await this.exclusively(id, async () => {
        // While others were removed, a request may have touched it, or an agreement may depend on it by now.
        if (!(await this.rows.deleteAbandoned(id, before))) return;
        await this.#files.remove(id);
        this.#logger.info({ preparation: id }, "abandoned preparation removed");
      });
    }
  }

  /**
   * Compares rows with folders after a start: removes folders without a row, and corrects rows that count missing
   * bytes.
   */
  async reconcile(): Promise<void> {
    for (const id of await this.rows.incomplete({ own: true })) await this.rows.delete(id);
    const folders = new Set(await this.#files.list());
    const withoutRow = new Set(folders);
    for await (const page of this.rows.pages()) {
      for (const preparation of page) {
        const { id } = preparation;
        withoutRow.delete(id);
        if (!folders.has(id) || !(await this.#files.isWhole(id))) await this.#files.create(id);
        await this.#countFound(preparation);
      }
    }
    for (const id of withoutRow) await this.#files.remove(id);
  }

  /** Lets a row count no more than what its files hold. */
  async #countFound({ id, received }: Preparation): Promise<void> {
    for (const part of PREPARATION_PARTS) {
      const foundBytes = await this.#files.size(id, part);
      if (foundBytes >= received[part]) continue;
      this.#logger.error(
        { preparation: id, part, foundBytes, receivedBytes: received[part] },
        "PREPARATION DATA IS LOST",
      );
      if (part === "tags")
        await this.rows.setReceived(id, part, Math.floor(foundBytes / G1_EXPANDED_BYTES) * G1_EXPANDED_BYTES);
      else await this.rows.forgetPowers(id);
    }
  }
}

function openingKey(account: string, saltHex: string): string {
  return `${account} ${saltHex}`.toLowerCase();
}

/** Reads the head of a body, and leaves the rest to be read. */
async function splitHead(
  body: AsyncIterable<Uint8Array>,
): Promise<{ head: Uint8Array; rest: AsyncGenerator<Uint8Array> }> {
  const pieces = body[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < PREPARATION_HEAD_BYTES) {
    const next = await pieces.next();
    if (next.done === true) {
      throw new InvalidInputError("the body ends before the manifest", {
        party: "client",
        check: "body",
        expected: `${PREPARATION_HEAD_BYTES} bytes and a manifest`,
        received: `${head.length} bytes`,
      });
    }
    head = concatBytes(head, next.value);
  }
  const first = head.subarray(PREPARATION_HEAD_BYTES);
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    if (first.length > 0) yield first;
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) yield next.value;
  };
  return { head: head.slice(0, PREPARATION_HEAD_BYTES), rest: rest() };
}

function stillRemoved(): TallystickError {
  return new TallystickError("an earlier preparation with this salt is still being removed", {
    code: "CONFLICT",
    party: "client",
    check: "salt",
    retryable: true,
    retryAfterSeconds: 1,
  });
}

export function preparationNotFound(saltHex: string): TallystickError {
  return new TallystickError("there is no such preparation", {
    code: "NOT_FOUND",
    check: "salt",
    received: saltHex,
    hint: "it may have expired; open it again",
  });
}

function onWire(bytes: PartBytes): PreparationStatus["expected"] {
  return { powersA: bytes["powers-a"], powersB: bytes["powers-b"], tags: bytes.tags };
}
