/** Verified plaintext from sealed objects: what `get` and everything else that reads stored data goes through. */

import { openChunk, sealChunk } from "../../core/crypto/encryption.ts";
import { contentId } from "../../core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import { decodeListing } from "../../core/recipe/listing.ts";
import type { ChunkRef, Content, FileEntry, RootRecipe } from "../../core/recipe/recipe.ts";
import { readContent } from "../../core/recipe/tree.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";

/** Chunks of a listing that are fetched ahead. */
const LISTING_AHEAD = 2;

/** Where sealed objects come from. What it returns must have been held against the id. */
export interface ObjectSource {
  fetch(id: string, signal?: AbortSignal): Promise<Uint8Array>;
}

/** Fetches and opens one chunk. @throws IntegrityError when it does not decrypt; whatever the source throws */
export async function openedChunk(source: ObjectSource, ref: ChunkRef, signal?: AbortSignal): Promise<Uint8Array> {
  return openChunk(ref.key, await source.fetch(ref.id, signal), ref.sizeBytes, ref.id);
}

/**
 * Whether bytes at hand are the plaintext of a chunk: sealing is deterministic, so they are if they seal to its id. Saves
 * a download without trusting what lies on this disk.
 */
export function isPlaintextOf(ref: ChunkRef, bytes: Uint8Array): boolean {
  return bytes.length === ref.sizeBytes && contentId(sealChunk(ref.key, bytes)) === ref.id;
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

/** An error about a chunk of a file, saying where in the file it is: the first byte that cannot be had. */
export function locateError(error: unknown, path: string, offsetBytes: number, id: string): unknown {
  if (!(error instanceof TallystickError)) return error;
  const place = `${path}, from byte ${offsetBytes} on`;
  const details = { ...error.details, path, offsetBytes, id };
  if (error instanceof IntegrityError) {
    return new IntegrityError(`${place}: ${error.message}`, {
      party: error.party ?? "provider",
      check: error.check ?? "content id",
      ...(error.expected === undefined ? {} : { expected: error.expected }),
      ...(error.received === undefined ? {} : { received: error.received }),
      hint: "the provider does not hold what it was given; audit the data and report the miss",
      details,
      cause: error,
    });
  }
  return new TallystickError(`${place}: ${error.message}`, {
    code: error.code,
    ...(error.party === undefined ? {} : { party: error.party }),
    ...(error.check === undefined ? {} : { check: error.check }),
    ...(error.expected === undefined ? {} : { expected: error.expected }),
    ...(error.received === undefined ? {} : { received: error.received }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    retryable: error.retryable,
    details,
    cause: error,
  });
}
