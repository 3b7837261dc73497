/** Verified plaintext from sealed objects. Everything that reads stored data uses this module. */

import { openChunk } from "../../core/crypto/encryption.ts";
import { decodeListing } from "../../core/recipe/listing.ts";
import type { ChunkRef, Content, FileEntry, RootRecipe } from "../../core/recipe/recipe.ts";
import { type PlacedRef, readContent, readContentFrom } from "../../core/recipe/tree.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";

/** Chunks of a listing that are fetched ahead. */
const LISTING_AHEAD = 2;

/** Where sealed objects come from. It returns only bytes whose hash matches the id. */
export interface ObjectSource {
  fetch(id: string, signal?: AbortSignal): Promise<Uint8Array>;
}

/** Fetches and opens one chunk. @throws IntegrityError when it does not decrypt; whatever the source throws */
export async function openedChunk(source: ObjectSource, ref: ChunkRef, signal?: AbortSignal): Promise<Uint8Array> {
  return openChunk(ref.key, await source.fetch(ref.id, signal), ref.sizeBytes, ref.id);
}

/** The entries of a put, checked for order, parents and totals as they come. */
export function readListing(root: RootRecipe, source: ObjectSource, signal?: AbortSignal): AsyncIterable<FileEntry> {
  const refs = readContent(root.listing, (id) => source.fetch(id, signal));
  const pieces = mapOrdered(refs, (ref) => openedChunk(source, ref, signal), { concurrency: LISTING_AHEAD });
  return decodeListing(pieces, root);
}

/** The chunk references of a content, with the lists on the way fetched from the source. */
export function chunkRefs(content: Content, source: ObjectSource, signal?: AbortSignal): AsyncIterable<ChunkRef> {
  return readContent(content, (id) => source.fetch(id, signal));
}

/** As `chunkRefs`, from the chunk on that holds a byte, each with its offset. Lists before that chunk are not fetched. */
export function chunkRefsFrom(
  content: Content,
  source: ObjectSource,
  startBytes: number,
  signal?: AbortSignal,
): AsyncIterable<PlacedRef> {
  return readContentFrom(content, (id) => source.fetch(id, signal), startBytes);
}
