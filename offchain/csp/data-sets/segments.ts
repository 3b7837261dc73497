/**
 * Segments of data sets: a run of new slice indices over a manifest of chunks that the account owns here, and their
 * tags. The indices lie behind all that were given before. Gaps are allowed; they are bounded by the highest index of
 * the offer, and each costs its user powers of β to send and the price of an index. A segment that no state includes
 * expires, and its indices are not given again.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { HASH_BYTES } from "../../core/audit/commitment-tree.ts";
import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import { ManifestReader } from "../../core/audit/manifest.ts";
import { SegmentCommitments } from "../../core/audit/segment-commitments.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { SegmentStatus } from "../../core/wire/data-sets.ts";
import type { DataSetRow } from "../../store/index/data-set-index.ts";
import type { ManifestChunk, ManifestFacts, Segment, SegmentIndex } from "../../store/index/segment-index.ts";
import { FairQueue } from "../fair-queue.ts";
import {
  type DataSetParts,
  dataSetNotFound,
  requireNotEnded,
  requireOffset,
  segmentLock,
  stillRemoved,
  tooMany,
} from "./data-sets.ts";
import { PieceCounter } from "./slice-pieces.ts";

/** Chunks of a manifest that are looked up in the index, and written to it, at once: some milliseconds of work. */
const BATCH_CHUNKS = 256;
/** Before the manifest: its hash, and the seed of the commitments. */
export const SEGMENT_HEAD_BYTES = 64;

/** What a request says of a segment, besides its manifest. */
interface SegmentFacts {
  readonly name: Uint8Array;
  readonly firstIndex: number;
  readonly manifestHash: Uint8Array;
  readonly commitmentSeed: Uint8Array;
}

export class SegmentService {
  readonly rows: SegmentIndex;
  readonly #parts: DataSetParts;
  /** Requests that are beginning a segment; others for the same one wait. */
  readonly #beginning = new Map<string, Promise<Segment>>();
  /** One batch of one manifest at a time, accounts in turn. The places for bodies limit how many wait. */
  readonly #batches = new FairQueue({
    what: "reading of manifests",
    concurrency: 1,
    perAccount: Number.POSITIVE_INFINITY,
    inAll: Number.POSITIVE_INFINITY,
  });

  constructor(parts: DataSetParts) {
    this.rows = parts.index.segments;
    this.#parts = parts;
  }

  /**
   * Begins a segment, or returns the one with this name.
   * @param nameHex 32 bytes
   * @param body manifest hash (32) ‖ seed of the commitments (32) ‖ the encoded manifest; it is read no further than
   * is needed to decide
   * @throws InvalidInputError for a malformed manifest, or indices above the offer's; TallystickError NOT_OWNER naming
   *   the first chunk the account does not own here, CONFLICT when the name was used for something else or indices are
   *   given already (`details.firstFree`), RATE_LIMITED for too many that no state includes
   */
  async begin(set: DataSetRow, nameHex: string, firstIndex: number, body: AsyncIterable<Uint8Array>): Promise<Segment> {
    const key = `${set.id} ${nameHex}`;
    while (this.#beginning.has(key)) await this.#beginning.get(key)?.catch(() => undefined);
    const beginning = this.#begin(set, nameHex, firstIndex, body).finally(() => this.#beginning.delete(key));
    this.#beginning.set(key, beginning);
    return await beginning;
  }

  async #begin(
    set: DataSetRow,
    nameHex: string,
    firstIndex: number,
    body: AsyncIterable<Uint8Array>,
  ): Promise<Segment> {
    const { options, streams, now } = this.#parts;
    const name = fromHex(nameHex, 32, "segment");
    const { head, rest } = await splitHead(body);
    const facts = { name, firstIndex, manifestHash: head.slice(0, 32), commitmentSeed: head.slice(32) };
    const known = await this.#findAgain(set, facts);
    if (known !== undefined) return known;
    requireNotEnded(set);
    if (firstIndex <= set.givenIndex) throw indicesTaken(set.givenIndex, firstIndex);
    const begun = await this.rows.begin({ dataSetId: set.id, ...facts, touchedAt: now() }, options.unused);
    if (begun.outcome === "no-set") throw dataSetNotFound(toHex(set.salt));
    if (begun.outcome === "too-many") throw tooMany("segments that no state includes", options);
    // Only what is being removed, or arrives at another process, is unknown and exists.
    if (begun.outcome === "exists") throw stillRemoved("segment", "segment");
    const { id } = begun;
    try {
      const outcome = await this.rows.complete(id, await this.#readManifest(set, id, facts, rest));
      if (outcome === "taken") throw indicesTaken(undefined, firstIndex);
    } catch (cause) {
      await this.rows.delete(id);
      await streams.removeStream(set.id, `leaves-${id}`);
      throw cause;
    }
    return this.require(set, nameHex);
  }

  /** The segment with this name, if there is one. @throws TallystickError CONFLICT when it is another one */
  async #findAgain(set: DataSetRow, asked: SegmentFacts): Promise<Segment | undefined> {
    const { name, firstIndex, manifestHash, commitmentSeed } = asked;
    const known = await this.rows.findByName(set.id, name);
    if (known === undefined) return undefined;
    // The seed is a secret of the two: neither one is shown.
    const hasSeed = equalBytes(known.commitmentSeed, commitmentSeed);
    const facts = {
      "manifest hash": [toHex(known.manifestHash), toHex(manifestHash)],
      "first index": [String(known.firstIndex), String(firstIndex)],
      "seed of the commitments": ["the one it was begun with", hasSeed ? "the one it was begun with" : "another one"],
    };
    for (const [check, [expected = "", received = ""]] of Object.entries(facts)) {
      if (expected === received) continue;
      throw new TallystickError("the name was used for another segment", {
        code: "CONFLICT",
        party: "client",
        check,
        expected,
        received,
        hint: "draw a new name for each segment",
      });
    }
    return (await this.rows.touch(known.id, this.#parts.now())) ? known : undefined;
  }

  /**
   * Writes a manifest to the index while it arrives, and the leaves of the tree over its commitments to their stream.
   * @param rest the encoded manifest
   */
  async #readManifest(
    set: DataSetRow,
    id: number,
    facts: SegmentFacts,
    rest: AsyncIterable<Uint8Array>,
  ): Promise<ManifestFacts> {
    const counter = new PieceCounter(set.sliceElements, sliceBytes(set.sliceElements));
    const commitments = new SegmentCommitments(facts.commitmentSeed, facts.firstIndex, set.sliceElements);
    const leaves = this.#leavesOf(set, id, facts, rest, { commitments, counter });
    // More than any manifest within the limit of the body has.
    const limitBytes = this.#parts.options.offer.maximumIndex * HASH_BYTES;
    const leavesBytes = await this.#parts.streams.write(set.id, `leaves-${id}`, 0, leaves, limitBytes);
    return {
      sliceCount: leavesBytes / HASH_BYTES,
      pieces: counter.finish(),
      commitmentsRoot: commitments.root(),
    };
  }

  async *#leavesOf(
    set: DataSetRow,
    id: number,
    { firstIndex, manifestHash }: SegmentFacts,
    rest: AsyncIterable<Uint8Array>,
    { commitments, counter }: { readonly commitments: SegmentCommitments; readonly counter: PieceCounter },
  ): AsyncGenerator<Uint8Array> {
    const { account, sliceElements } = set;
    const reader = new ManifestReader();
    let dataBytes = 0;
    const slices = (): number => Math.ceil(dataBytes / sliceBytes(sliceElements));
    for await (const piece of rest) {
      const entries = reader.push(piece);
      for (let first = 0; first < entries.length; first += BATCH_CHUNKS) {
        const batch = entries.slice(first, first + BATCH_CHUNKS);
        dataBytes = batch.reduce((sum, { sizeBytes }) => sum + sizeBytes, dataBytes);
        this.#requireIndices(firstIndex, slices());
        for (const { sizeBytes } of batch) counter.add(sizeBytes);
        await this.#batches.run(account, async () => {
          await this.#requireOwned(account, batch);
          await this.rows.addToManifest(id, batch);
          await nextTurn();
        });
        yield* joined(commitments.push(batch));
      }
    }
    const received = reader.finish();
    if (!equalBytes(received, manifestHash)) {
      throw new InvalidInputError("the manifest has another hash than the body says", {
        party: "client",
        check: "manifest hash",
        expected: toHex(manifestHash),
        received: toHex(received),
      });
    }
    yield* joined(commitments.finish());
  }

  /** @throws InvalidInputError when the segment would end above the highest index of the offer */
  #requireIndices(firstIndex: number, sliceCount: number): void {
    const { maximumIndex } = this.#parts.options.offer;
    const last = firstIndex + sliceCount - 1;
    if (last <= maximumIndex) return;
    throw new InvalidInputError("the segment ends above the highest index of a data set here", {
      party: "client",
      check: "highest index",
      expected: `at most ${maximumIndex}`,
      received: `at least ${last}`,
      hint: "begin another data set",
    });
  }

  /** Every chunk must be stored here, have the stated size, and belong to the account. */
  async #requireOwned(account: string, batch: readonly ManifestChunk[]): Promise<void> {
    const { chunks } = this.#parts.index;
    const digests = batch.map(({ digest }) => digest);
    const rows = await chunks.find(digests);
    const owns = await chunks.owns(account, digests);
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

  /** @throws TallystickError NOT_FOUND */
  async require(set: DataSetRow, nameHex: string): Promise<Segment> {
    const segment = await this.rows.findByName(set.id, fromHex(nameHex, 32, "segment"));
    if (segment !== undefined) return segment;
    throw new TallystickError("there is no such segment", {
      code: "NOT_FOUND",
      check: "segment",
      received: nameHex,
      hint: "it may have expired; begin another one",
    });
  }

  /**
   * Appends to the tags. The bytes are durable when the promise resolves.
   * @throws as `DataSetService.append`
   */
  async append(
    set: DataSetRow,
    nameHex: string,
    offsetBytes: number,
    body: AsyncIterable<Uint8Array>,
  ): Promise<Segment> {
    const { locks, streams, now } = this.#parts;
    const { id } = await this.require(set, nameHex);
    await locks.exclusively(segmentLock(id), 0, async () => {
      // Read again under the lock: an earlier request whose answer was lost may have appended.
      const { tagsBytes, sliceCount } = await this.require(set, nameHex);
      requireOffset("tags", tagsBytes, offsetBytes);
      const limitBytes = sliceCount * G1_EXPANDED_BYTES - offsetBytes;
      const writtenBytes = await streams.write(set.id, `tags-${id}`, offsetBytes, body, limitBytes);
      if (writtenBytes > 0) await this.rows.setTags(id, offsetBytes + writtenBytes);
      await this.rows.touch(id, now());
    });
    return this.require(set, nameHex);
  }

  /** The wire form. @param checkedSlices progress of a running verification, undefined when there is none */
  status(segment: Segment, checkedSlices: number | undefined): SegmentStatus {
    const { sliceCount, verified, included, tagsBytes } = segment;
    const open = checkedSlices === undefined ? "open" : "verifying";
    return {
      segment: toHex(segment.name),
      state: included ? "included" : verified ? "verified" : open,
      firstIndex: segment.firstIndex,
      sliceCount,
      manifestHash: toHex(segment.manifestHash),
      commitmentsRoot: toHex(segment.commitmentsRoot),
      tagsExpectedBytes: sliceCount * G1_EXPANDED_BYTES,
      tagsBytes,
      checkedSlices: verified ? sliceCount : (checkedSlices ?? 0),
      expiresAt: segment.touchedAt + this.#parts.options.expirySeconds,
    };
  }
}

function indicesTaken(givenIndex: number | undefined, firstIndex: number): TallystickError {
  return new TallystickError("indices of the segment are given already", {
    code: "CONFLICT",
    party: "client",
    check: "first index",
    expected: givenIndex === undefined ? "behind every index that was given" : `above ${givenIndex}`,
    received: String(firstIndex),
    hint: "begin a segment behind all others",
    ...(givenIndex === undefined ? {} : { details: { firstFree: givenIndex + 1 } }),
  });
}

/** One piece of all hashes, if there are any. */
function joined(hashes: readonly Uint8Array[]): Uint8Array[] {
  return hashes.length === 0 ? [] : [concatBytes(...hashes)];
}

/** Reads the head of a body, and leaves the rest to be read. */
async function splitHead(
  body: AsyncIterable<Uint8Array>,
): Promise<{ head: Uint8Array; rest: AsyncGenerator<Uint8Array> }> {
  const pieces = body[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < SEGMENT_HEAD_BYTES) {
    const next = await pieces.next();
    if (next.done === true) {
      throw new InvalidInputError("the body ends before the manifest", {
        party: "client",
        check: "body",
        expected: `${SEGMENT_HEAD_BYTES} bytes and a manifest`,
        received: `${head.length} bytes`,
      });
    }
    head = concatBytes(head, next.value);
  }
  const first = head.subarray(SEGMENT_HEAD_BYTES);
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    if (first.length > 0) yield first;
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) yield next.value;
  };
  return { head: head.slice(0, SEGMENT_HEAD_BYTES), rest: rest() };
}
