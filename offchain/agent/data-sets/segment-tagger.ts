/**
 * Possession tags of what a put adds to a data set, made in the pass that stores it. They are made for the indices that
 * are free when the first object comes, and get indices of their own, durably and for good, when the pass is over: if
 * another put of this device has taken them meanwhile, the tags are shifted while they are sent.
 */

import { randomBytes } from "#primitives";
import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { encodedManifestHash, encodeManifest, type ManifestChunk, ManifestReader } from "../../core/audit/manifest.ts";
import { SegmentCommitments } from "../../core/audit/segment-commitments.ts";
import { SliceTagger, shiftTags } from "../../core/audit/tags.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import type { AgentPlatform, PreparationStore, PreparationWriter } from "../platform.ts";
import type { DataSetJournal, JournaledDataSet, JournaledSegment, SegmentObject } from "./journal.ts";
import type { DataSetKeys } from "./keys.ts";

/** A segment with what its delivery sends. */
export interface PreparedSegment extends JournaledSegment {
  /** Encoded. */
  readonly manifest: Uint8Array;
  readonly commitmentsRoot: string;
  /** Tags of slices from a position in the segment on, for the indices that it has reserved; 96 bytes each. */
  readTags(position: number, count: number): Promise<Uint8Array>;
}

/**
 * A reserved segment whose tags are kept here; undefined when they are not (any more). The root of its commitments is
 * computed and noted if that was not done before: commitments contain indices, and the tags may be for other ones than
 * the segment has got.
 */
export async function findSegment(
  platform: Pick<AgentPlatform, "preparations" | "dataSets" | "clock">,
  { sliceElements }: Pick<JournaledDataSet, "sliceElements">,
  segment: JournaledSegment,
  keys: DataSetKeys,
): Promise<PreparedSegment | undefined> {
  const stored = await platform.preparations.find(segment.id);
  if (stored === undefined) return undefined;
  const { secrets } = keys;
  const { manifest } = stored;
  const commitmentsRoot =
    segment.commitmentsRoot ??
    (await rootOf(platform, segment, manifest, sliceElements, keys.commitmentSeed(segment.id)));
  const { taggedFrom, firstIndex } = segment;
  const readTags = async (position: number, count: number) => {
    const tags = await stored.readTags(position * G1_EXPANDED_BYTES, count * G1_EXPANDED_BYTES);
    if (tags.length !== count * G1_EXPANDED_BYTES) throw incomplete(count, tags.length / G1_EXPANDED_BYTES);
    return taggedFrom === firstIndex ? tags : shiftTags(secrets, tags, taggedFrom + position, firstIndex + position);
  };
  return { ...segment, manifest, commitmentsRoot, readTags };
}

/** Entries of a manifest that are committed to at once: some ten milliseconds of work. */
const ENTRIES_AT_ONCE = 1024;

/** Computes the root over the commitments of a segment, and notes it. @param manifest encoded */
async function rootOf(
  { dataSets, clock }: Pick<AgentPlatform, "dataSets" | "clock">,
  { id, firstIndex }: JournaledSegment,
  manifest: Uint8Array,
  sliceElements: number,
  seed: Uint8Array,
): Promise<string> {
  const commitments = new SegmentCommitments(seed, firstIndex, sliceElements);
  const entries = new ManifestReader().push(manifest);
  for (let first = 0; first < entries.length; first += ENTRIES_AT_ONCE) {
    commitments.push(entries.slice(first, first + ENTRIES_AT_ONCE));
    await clock.pause(0);
  }
  commitments.finish();
  const root = toHex(commitments.root());
  await dataSets.noteCommitments(id, root);
  return root;
}

/** Tags that are being made. */
interface Work {
  readonly id: string;
  readonly writer: PreparationWriter;
  readonly tagger: SliceTagger;
  readonly taggedFrom: number;
  readonly objects: SegmentObject[];
}

/** Tags the objects that are not in a set yet, in the order in which they come; keeps 36 bytes and an id of each. */
export class SegmentTagger {
  readonly #platform: Pick<AgentPlatform, "preparations" | "dataSets" | "clock">;
  readonly #set: JournaledDataSet;
  readonly #keys: DataSetKeys;
  readonly #isCompaction: boolean;
  readonly #seen = new Set<string>();
  readonly #relied = new Set<string>();
  readonly #revived = new Set<string>();
  #work: Work | undefined;
  #finished: Promise<JournaledSegment | undefined> | undefined;

  /** @param isCompaction also objects that segments have already are tagged, so that these are not needed for them */
  constructor(
    platform: Pick<AgentPlatform, "preparations" | "dataSets" | "clock">,
    set: JournaledDataSet,
    keys: DataSetKeys,
    { isCompaction = false }: { readonly isCompaction?: boolean } = {},
  ) {
    this.#platform = platform;
    this.#set = set;
    this.#keys = keys;
    this.#isCompaction = isCompaction;
  }

  /** Objects that are not tagged here, because a segment has them. */
  get relied(): ReadonlySet<string> {
    return this.#relied;
  }

  /** Segments of earlier puts with such objects. Those that no state has yet are to be included. */
  get revived(): ReadonlySet<string> {
    return this.#revived;
  }

  /**
   * Takes the next object. One that a segment has already is not tagged again, but by a compaction.
   * @throws TallystickError DISK_FULL, DISK_FAILED; INTERNAL after `finish`
   */
  async add({ id, sealed }: SealedObject): Promise<void> {
    if (this.#finished !== undefined) throw new TallystickError("the segment is finished", { code: "INTERNAL" });
    if (this.#seen.has(id)) return;
    this.#seen.add(id);
    if (!this.#isCompaction && (await this.holds([id]))) return;
    this.#work ??= await this.#begin();
    const { tagger, writer, objects } = this.#work;
    objects.push({ id, startByte: tagger.sizeBytes, sizeBytes: sealed.length });
    tagger.push(sealed);
    const tags = tagger.drain();
    if (tags.length > 0) await writer.append(tags);
  }

  /**
   * Whether segments have all of the objects. If so, they are relied on: the segments of earlier puts that no state has
   * yet are to be included.
   */
  async holds(ids: readonly string[]): Promise<boolean> {
    const holders = await this.#platform.dataSets.holders(this.#set.salt, ids);
    if (ids.some((id) => !holders.has(id))) return false;
    for (const [id, segments] of holders) {
      this.#relied.add(id);
      for (const segment of segments) this.#revived.add(segment);
    }
    return true;
  }

  /**
   * Makes tags and manifest durable, and gives the segment its indices. Once: later calls return the same.
   * @returns undefined when nothing is new
   */
  finish(): Promise<JournaledSegment | undefined> {
    this.#finished ??= this.#finish();
    return this.#finished;
  }

  async #begin(): Promise<Work> {
    const { preparations, dataSets } = this.#platform;
    const { salt, sliceElements } = this.#set;
    const id = toHex(randomBytes(32));
    const taggedFrom = (await dataSets.set(salt))?.nextIndex ?? this.#set.nextIndex;
    const { secrets } = this.#keys;
    return {
      id,
      writer: await preparations.create(id),
      tagger: new SliceTagger(secrets, secrets.x, taggedFrom, sliceElements),
      taggedFrom,
      objects: [],
    };
  }

  async #finish(): Promise<JournaledSegment | undefined> {
    if (this.#work === undefined) return undefined;
    const { id, writer, tagger, taggedFrom, objects } = this.#work;
    const last = tagger.finish();
    if (last.length > 0) await writer.append(last);
    const chunks: ManifestChunk[] = objects.map((object) => ({ id: object.id, sizeBytes: object.sizeBytes }));
    const manifest = encodeManifest({ version: 1, chunks });
    await writer.finish(manifest);
    const segment = {
      id,
      salt: this.#set.salt,
      sliceCount: tagger.sliceCount,
      taggedFrom,
      manifestHash: toHex(encodedManifestHash(manifest)),
      createdAt: Math.floor(this.#platform.clock.now() / 1000),
      ...(this.#isCompaction ? { isCompaction: true } : {}),
    };
    return await this.#platform.dataSets.reserve(segment, objects);
  }

  /** Removes tags that have no indices. Those that have are kept: a later put may go on with them. */
  async discard(): Promise<void> {
    if (this.#finished !== undefined) return;
    this.#finished = Promise.resolve(undefined);
    await this.#work?.writer.discard();
  }
}

/** Forgets segments that no state will have, and their tags. Their indices stay used. */
export async function dropSegments(
  { dataSets, preparations }: { readonly dataSets: DataSetJournal; readonly preparations: PreparationStore },
  set: JournaledDataSet,
  dropped: readonly string[],
): Promise<JournaledDataSet> {
  if (dropped.length === 0) return set;
  const saved = await dataSets.save(set, { dropped });
  for (const id of dropped) await preparations.remove(id);
  return saved;
}

function incomplete(expected: number, received: number): TallystickError {
  return new TallystickError("the prepared tags on this device are incomplete", {
    code: "DISK_FAILED",
    party: "you",
    check: "number of tags",
    expected: String(expected),
    received: String(received),
    hint: "put the files again",
  });
}
