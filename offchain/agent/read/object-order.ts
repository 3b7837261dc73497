/**
 * The objects of a put in the order in which `put` stores them, found from its recipe alone: anybody who has the key
 * can rebuild the audit manifest, on another device or years later. `put/assemble.ts` says what the order is.
 */

import type { ManifestChunk } from "../../core/audit/manifest.ts";
import { CHUNK_OVERHEAD_BYTES, openRecipe } from "../../core/crypto/encryption.ts";
import { contentId } from "../../core/encoding/content-id.ts";
import { IntegrityError } from "../../core/errors.ts";
import {
  type ChunkRef,
  type Content,
  decodeList,
  encodeEntry,
  isChunkList,
  type RootRecipe,
} from "../../core/recipe/recipe.ts";
import { type ObjectSource, readListing } from "./read-content.ts";

/**
 * Every distinct object once.
 *
 * @param rootBytes length of the sealed root.
 * @throws IntegrityError, InvalidInputError when the recipe is damaged; whatever the source throws
 */
export async function* objectOrder(
  dataId: string,
  root: RootRecipe,
  rootBytes: number,
  source: ObjectSource,
  signal?: AbortSignal,
): AsyncGenerator<ManifestChunk, void, undefined> {
  const seen = new Set<string>();
  function* fresh(objects: Iterable<ManifestChunk>): Generator<ManifestChunk, void, undefined> {
    for (const object of objects) {
      if (seen.has(object.id)) continue;
      seen.add(object.id);
      yield object;
    }
  }
  const listing = await expand(root.listing, source, signal);
  const listingChunks = listing.chunks.values();
  let writtenBytes = 0;
  let cutAt = 0;
  let next = listingChunks.next();
  for await (const entry of readListing(root, source, signal)) {
    if (entry.type === "file") {
      const { chunks, lists } = await expand(entry.content, source, signal);
      yield* fresh(chunks.map(sealedChunk));
      yield* fresh(lists);
    }
    writtenBytes += encodeEntry(entry).length;
    // The chunk that ends the listing is closed by its end, not by an entry.
    while (!next.done && cutAt + next.value.sizeBytes <= writtenBytes && next.value !== listing.chunks.at(-1)) {
      cutAt += next.value.sizeBytes;
      yield* fresh([sealedChunk(next.value)]);
      next = listingChunks.next();
    }
  }
  for (; !next.done; next = listingChunks.next()) yield* fresh([sealedChunk(next.value)]);
  yield* fresh(listing.lists);
  yield* fresh([{ id: dataId, sizeBytes: rootBytes }]);
}

function sealedChunk(ref: ChunkRef): ManifestChunk {
  return { id: ref.id, sizeBytes: ref.sizeBytes + CHUNK_OVERHEAD_BYTES };
}

/** Chunks of a content in order, and its lists in the order in which they were completed: lower ones first. */
async function expand(
  content: Content,
  source: ObjectSource,
  signal: AbortSignal | undefined,
): Promise<{ chunks: ChunkRef[]; lists: ManifestChunk[] }> {
  const chunks: ChunkRef[] = [];
  const lists: ManifestChunk[] = [];
  if (!("blob" in content)) return { chunks: [...content.chunks], lists };
  const { key } = content.blob;
  const visit = async (id: string, level: number): Promise<void> => {
    const sealed = await source.fetch(id, signal);
    if (contentId(sealed) !== id)
      throw new IntegrityError(`object ${id} is not what its id names`, { check: "content id" });
    const list = decodeList(openRecipe(key, "list", sealed, id), level);
    if (isChunkList(list)) chunks.push(...list.refs);
    else for (const ref of list.refs) await visit(ref.id, level - 1);
    lists.push({ id, sizeBytes: sealed.length });
  };
  await visit(content.blob.id, content.blob.level);
  return { chunks, lists };
}
