/**
 * Data sets before and beside their states: a device names one by a salt, sends its public audit key and the powers,
 * and adds segments (`segments.ts`). Everything is keyed by what the device drew, so either side may continue after an
 * interruption. A set expires of which no signed state can reach the chain.
 */

import { scheduleOf } from "../../chain/data-set-words.ts";
import { HASH_BYTES } from "../../core/audit/commitment-tree.ts";
import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { auditKeyHash, decodeAuditKey } from "../../core/audit/keys.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { BeginDataSetRequest, DataSetOffer, DataSetStatus } from "../../core/wire/data-sets.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { DataSetIndex, DataSetRow, ProvingLoad } from "../../store/index/data-set-index.ts";
import { type DataSetStreams, segmentStreams } from "../../store/index/data-set-streams.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import type { ProvingCapacity } from "./capacity.ts";
import type { Locks } from "./locks.ts";

export interface DataSetOptions {
  readonly offer: DataSetOffer;
  /** Most data sets of one account that are not on chain, and most segments that no state includes. */
  readonly unused: number;
  /** Seconds after the last request until what is unused expires. */
  readonly expirySeconds: number;
}

export interface DataSetParts {
  readonly index: Pick<ProviderIndex, "dataSets" | "segments" | "chunks">;
  readonly streams: DataSetStreams;
  readonly locks: Locks;
  readonly options: DataSetOptions;
  readonly logger: Logger;
  /** Unix seconds. */
  readonly now: () => number;
}

type PowersPart = "powers-a" | "powers-b";

/** The lock of a set's powers. */
export const powersLock = (id: number): string => `powers of data set ${id}`;

export class DataSetService {
  readonly rows: DataSetIndex;
  readonly #parts: DataSetParts;
  readonly #capacity: ProvingCapacity;

  constructor(parts: DataSetParts, capacity: ProvingCapacity) {
    this.rows = parts.index.dataSets;
    this.#parts = parts;
    this.#capacity = capacity;
  }

  /**
   * Begins a data set, or returns the one with this salt.
   * @throws InvalidInputError for a slice size that is not offered, InvalidPointError for an audit key that is not
   *   three points of the subgroup other than the identity, TallystickError CONFLICT when the salt was used for another
   *   key or slice size, RATE_LIMITED for too many that are not on chain
   */
  async begin(account: string, saltHex: string, request: BeginDataSetRequest): Promise<DataSetRow> {
    const { offer, unused } = this.#parts.options;
    const salt = fromHex(saltHex, 32, "salt");
    const { X, XA, XB } = request.key;
    const key = { X: fromHex(X), XA: fromHex(XA), XB: fromHex(XB) };
    const { sliceElements } = request;
    const keyHash = auditKeyHash(key);
    const known = await this.#findAgain(account, salt, keyHash, sliceElements);
    if (known !== undefined) return known;
    if (!offer.sliceElements.includes(sliceElements)) {
      throw new InvalidInputError("slices of this size are not offered", {
        party: "client",
        check: "slice size",
        expected: offer.sliceElements.join(" or "),
        received: String(sliceElements),
      });
    }
    decodeAuditKey(key);
    const phase = (loads: readonly ProvingLoad[]): number => this.#capacity.choosePhase(loads);
    const set = { account, salt, key, auditKeyHash: keyHash, sliceElements, phase, touchedAt: this.#parts.now() };
    const { outcome } = await this.rows.begin(set, unused);
    if (outcome === "too-many") throw tooMany("data sets that are not on chain", this.#parts.options);
    const begun = await this.#findAgain(account, salt, keyHash, sliceElements);
    // Only what is being removed is unknown and exists.
    if (begun === undefined) throw stillRemoved("data set", "salt");
    return begun;
  }

  async #findAgain(
    account: string,
    salt: Uint8Array,
    keyHash: Uint8Array,
    sliceElements: number,
  ): Promise<DataSetRow | undefined> {
    const known = await this.rows.findBySalt(account, salt);
    if (known === undefined) return undefined;
    const facts = {
      "audit key hash": [toHex(known.auditKeyHash), toHex(keyHash)],
      "slice size": [String(known.sliceElements), String(sliceElements)],
    };
    for (const [check, [expected = "", received = ""]] of Object.entries(facts)) {
      if (expected === received) continue;
      throw new TallystickError("the salt was used for another data set", {
        code: "CONFLICT",
        party: "client",
        check,
        expected,
        received,
        hint: "a salt belongs to one audit key; use a new random salt",
      });
    }
    // It may have expired since it was read.
    return (await this.rows.touch(known.id, this.#parts.now())) ? known : undefined;
  }

  /** @throws TallystickError NOT_FOUND, also for another account's data set */
  async require(account: string, saltHex: string): Promise<DataSetRow> {
    const row = await this.rows.findBySalt(account, fromHex(saltHex, 32, "salt"));
    if (row === undefined) throw dataSetNotFound(saltHex);
    return row;
  }

  /**
   * Appends to the powers. The bytes are durable when the promise resolves.
   * @throws TallystickError CONFLICT when the offset is not where the stream ends, or another request is writing;
   *   InvalidInputError for a body that is longer than what is missing; DISK_FULL, DISK_FAILED
   */
  async append(
    account: string,
    saltHex: string,
    part: PowersPart,
    offsetBytes: number,
    body: AsyncIterable<Uint8Array>,
  ): Promise<DataSetRow> {
    const { id } = await this.require(account, saltHex);
    const { locks, streams, options, now } = this.#parts;
    await locks.exclusively(powersLock(id), 0, async () => {
      // Read again under the lock: an earlier request whose answer was lost may have appended.
      const row = await this.require(account, saltHex);
      requireNotEnded(row);
      const received = part === "powers-a" ? row.powersABytes : row.powersBBytes;
      requireOffset(part, received, offsetBytes);
      const points = part === "powers-a" ? row.sliceElements : options.offer.maximumIndex;
      const limitBytes = points * G1_EXPANDED_BYTES - offsetBytes;
      const writtenBytes = await streams.write(id, part, offsetBytes, body, limitBytes);
      if (writtenBytes > 0) await this.rows.setPowers(id, part, offsetBytes + writtenBytes);
      await this.rows.touch(id, now());
    });
    return this.require(account, saltHex);
  }

  /** The wire form. */
  async status(row: DataSetRow): Promise<DataSetStatus> {
    const { options } = this.#parts;
    const states = await this.rows.statesOf(row.id);
    const { proven, notProven, lastProof: last } = await this.rows.summaryOf(row.id);
    const newest = states.at(-1);
    return {
      salt: toHex(row.salt),
      auditKeyHash: toHex(row.auditKeyHash),
      sliceElements: row.sliceElements,
      phase: row.phase,
      state: row.state,
      ...(row.agreed === undefined ? {} : { id: row.agreed.id }),
      powersABytes: row.powersABytes,
      powersBBytes: row.powersBBytes,
      ...(newest === undefined
        ? scheduledState(row)
        : { version: String(newest.version), ranges: toHex(newest.ranges), contentHash: newest.contentHash }),
      health: row.health,
      ...(row.healthDetail === undefined ? {} : { healthDetail: row.healthDetail }),
      provenEpochs: proven,
      failedEpochs: notProven,
      ...(last === undefined ? {} : { lastProof: { ...last, gasUsed: String(last.gasUsed) } }),
      ...(row.state === "preparing" ? { expiresAt: row.touchedAt + options.expirySeconds } : {}),
    };
  }

  /** Removes sets and segments that have expired, and those whose removal or manifest was interrupted. */
  async expire(): Promise<void> {
    const { index, streams, locks, options, logger, now } = this.#parts;
    const { segments } = index;
    for (const { id, dataSetId } of await segments.incomplete({ own: false })) {
      await segments.delete(id);
      for (const stream of segmentStreams(id)) await streams.removeStream(dataSetId, stream);
    }
    const before = now() - options.expirySeconds;
    for (const { id, dataSetId } of await segments.abandoned(before)) {
      if (locks.isBusy(segmentLock(id))) continue;
      await locks.exclusively(segmentLock(id), 0, async () => {
        if (!(await segments.deleteAbandoned(id, before))) return;
        for (const stream of segmentStreams(id)) await streams.removeStream(dataSetId, stream);
        logger.info({ segment: id }, "abandoned segment removed");
      });
    }
    for (const id of await this.rows.abandoned(before)) {
      if (locks.isBusy(powersLock(id)) || !(await this.rows.beginRemoval(id, before))) continue;
      for (const segment of await segments.ofDataSet(id)) await segments.delete(segment.id);
      // A segment whose manifest is still arriving is removed by its own request.
      if ((await segments.incomplete({ own: true })).some(({ dataSetId }) => dataSetId === id)) continue;
      await this.rows.delete(id);
      await streams.remove(id);
      logger.info({ dataSet: id }, "abandoned data set removed");
    }
  }

  /** Compares rows with streams after a start: removes streams without a row, and corrects rows that count too much. */
  async reconcile(): Promise<void> {
    const { index, streams } = this.#parts;
    for (const { id, dataSetId } of await index.segments.incomplete({ own: true })) {
      await index.segments.delete(id);
      for (const stream of segmentStreams(id)) await streams.removeStream(dataSetId, stream);
    }
    const withoutRow = new Set(await streams.list());
    for await (const page of this.rows.pages()) {
      for (const row of page) {
        withoutRow.delete(row.id);
        if (row.state !== "ended") await this.#countFound(row);
      }
    }
    for (const id of withoutRow) await streams.remove(id);
  }

  /** Lets rows count no more than what the streams hold. */
  async #countFound(row: DataSetRow): Promise<void> {
    const { index, streams, logger } = this.#parts;
    const lost = (stream: string, foundBytes: number, receivedBytes: number): void =>
      logger.error({ dataSet: row.id, stream, foundBytes, receivedBytes }, "DATA SET STREAM IS LOST");
    let verified = { a: row.verifiedA, b: row.verifiedB };
    for (const part of ["powers-a", "powers-b"] as const) {
      const received = part === "powers-a" ? row.powersABytes : row.powersBBytes;
      const found = await streams.size(row.id, part);
      if (found >= received) continue;
      lost(part, found, received);
      const points = Math.floor(found / G1_EXPANDED_BYTES);
      await this.rows.setPowers(row.id, part, points * G1_EXPANDED_BYTES);
      verified = part === "powers-a" ? { ...verified, a: false } : { ...verified, b: Math.min(verified.b, points) };
      await this.rows.setVerified(row.id, verified);
    }
    for (const { id, tagsBytes, sliceCount } of await index.segments.ofDataSet(row.id)) {
      const found = await streams.size(row.id, `tags-${id}`);
      const leaves = await streams.size(row.id, `leaves-${id}`);
      // Of a segment that was retired as a whole, neither is kept.
      if (found > 0 && leaves < sliceCount * HASH_BYTES) lost(`leaves-${id}`, leaves, sliceCount * HASH_BYTES);
      if (found >= tagsBytes) continue;
      lost(`tags-${id}`, found, tagsBytes);
      await index.segments.setTags(id, Math.floor(found / G1_EXPANDED_BYTES) * G1_EXPANDED_BYTES);
    }
  }
}

/** The lock of a segment's tags. */
export const segmentLock = (id: number): string => `segment ${id}`;

function scheduledState({ scheduled }: DataSetRow): Pick<DataSetStatus, "version" | "ranges" | "contentHash"> {
  if (scheduled === undefined) return {};
  const schedule = scheduleOf(scheduled);
  return {
    version: String(schedule.version),
    ranges: toHex(scheduled.ranges),
    contentHash: schedule.contentHash,
  };
}

/** @throws TallystickError CONFLICT for a set that has been closed */
export function requireNotEnded({ state }: DataSetRow): void {
  if (state !== "ended") return;
  throw new TallystickError("the data set has ended", {
    code: "CONFLICT",
    party: "client",
    check: "state of the data set",
    received: state,
    hint: "begin another one",
  });
}

/** @throws TallystickError CONFLICT with `details.received` unless the stream ends there */
export function requireOffset(stream: string, received: number, offsetBytes: number): void {
  if (offsetBytes === received) return;
  throw new TallystickError(`the offset is not where ${stream} end`, {
    code: "CONFLICT",
    party: "client",
    check: "offset",
    expected: String(received),
    received: String(offsetBytes),
    details: { received },
  });
}

export function tooMany(what: string, { unused, expirySeconds }: DataSetOptions): TallystickError {
  return new TallystickError(`the account has too many ${what}`, {
    code: "RATE_LIMITED",
    party: "client",
    check: what,
    expected: `at most ${unused}`,
    hint: "finish some, or wait until they expire",
    retryable: true,
    retryAfterSeconds: expirySeconds,
  });
}

export function stillRemoved(what: string, check: string): TallystickError {
  return new TallystickError(`an earlier ${what} of this name is still being removed`, {
    code: "CONFLICT",
    party: "client",
    check,
    retryable: true,
    retryAfterSeconds: 1,
  });
}

export function dataSetNotFound(saltHex: string): TallystickError {
  return new TallystickError("there is no such data set", {
    code: "NOT_FOUND",
    check: "salt",
    received: saltHex,
    hint: "it may have expired; begin it again",
  });
}
