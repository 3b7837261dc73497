/** Verified plaintext from sealed objects. Everything that reads stored data uses this module. */

import { TallystickError } from "../../core/errors.ts";
import { openChunkObject, withStub } from "../../core/recipe/chunk-object.ts";
import { readFrame } from "../../core/recipe/frame.ts";
import { decodeListing } from "../../core/recipe/listing.ts";
import type { ChunkRef, Content, FileEntry, RootRecipe, SegmentRef } from "../../core/recipe/recipe.ts";
import { readContent, readContentFrom } from "../../core/recipe/tree.ts";
import type { DataStages, OpenedChunk } from "../pipeline/data-stages.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import { macOf } from "../pipeline/written-mac.ts";
import type { ObjectSource } from "./object-source.ts";
import type { OpenedBundles } from "./opened-bundles.ts";

/** Chunks of a listing that are fetched ahead. */
const LISTING_AHEAD = 2;

/** Fetches and opens one chunk. @throws IntegrityError when it does not decrypt; whatever the source throws */
export async function openedChunk(source: ObjectSource, ref: ChunkRef, signal?: AbortSignal): Promise<Uint8Array> {
  const frame = openChunkObject(ref, await source.fetch(ref.id, signal), ref.id);
  return await readFrame(frame, ref.sizeBytes, `chunk ${ref.id}`);
}

export interface ReceiveOptions {
  /** Where the chunk is opened, if the source leaves that to its caller. */
  readonly stages: DataStages;
  /** Asks for the MAC of the plaintext. */
  readonly macKey: Uint8Array | undefined;
  readonly signal: AbortSignal | undefined;
}

/** As `openedChunk`, where stages may work beside this thread, and in memory that is to be released to them. */
export async function receivedChunk(
  source: ObjectSource,
  ref: ChunkRef,
  { stages, macKey, signal }: ReceiveOptions,
): Promise<OpenedChunk> {
  if (source.receive === undefined) {
    const plaintext = await openedChunk(source, ref, signal);
    return macKey === undefined ? { plaintext } : { plaintext, mac: macOf(macKey, ref.id, plaintext) };
  }
  const read = (sealed: Uint8Array) => stages.open(sealed, ref, macKey);
  const { opened, failure } = await source.receive(ref.id, { allocate: stages.allocateSealed, read }, signal);
  if (opened === undefined) throw failure ?? new TallystickError("a chunk was not opened", { code: "INTERNAL" });
  return opened;
}

/** The entries of a put, checked for order, parents, bundles and totals as they come. */
export function readListing(root: RootRecipe, source: ObjectSource, signal?: AbortSignal): AsyncIterable<FileEntry> {
  const refs = readContent(root.listing, (id) => source.fetch(id, signal));
  const pieces = mapOrdered(refs, (ref) => openedChunk(source, ref, signal), { concurrency: LISTING_AHEAD });
  return decodeListing(pieces, root);
}

/** A piece of a file that is opened as one. */
export interface ContentPiece {
  /** Of the object that it is in. */
  readonly id: string;
  /** Where it begins in the file. */
  readonly offset: number;
  readonly sizeBytes: number;
  readonly ref: { readonly chunk: ChunkRef } | { readonly segment: SegmentRef };
}

/**
 * The pieces of a file in order, with the lists on the way fetched from the source.
 * @param startBytes offset of a byte: pieces, and lists, that end before it are left out
 */
export async function* contentPieces(
  content: Content,
  source: ObjectSource,
  startBytes: number,
  signal?: AbortSignal,
): AsyncGenerator<ContentPiece, void, undefined> {
  if ("segment" in content) {
    const { segment } = content;
    if (startBytes < segment.sizeBytes) {
      yield { id: segment.id, offset: 0, sizeBytes: segment.sizeBytes, ref: { segment } };
    }
    return;
  }
  const load = (id: string) => source.fetch(id, signal);
  for await (const { ref, offset } of readContentFrom(content, load, startBytes)) {
    const chunk = withStub(ref, source.stubs);
    yield { id: chunk.id, offset, sizeBytes: chunk.sizeBytes, ref: { chunk } };
  }
}

/** Fetches and opens one piece. @throws IntegrityError when it does not decrypt; whatever the source throws */
export async function openedPiece(
  { ref }: ContentPiece,
  source: ObjectSource,
  bundles: OpenedBundles,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  return "chunk" in ref ? await openedChunk(source, ref.chunk, signal) : await bundles.open(ref.segment, signal);
}
