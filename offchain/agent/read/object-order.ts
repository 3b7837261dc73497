/**
 * The objects of a put in the order in which `put` stores them, found from its recipe alone: anybody who has the key
 * can rebuild the audit manifest, on another device or years later. `put/assemble.ts` says what the order is.
 */

import type { ManifestChunk } from "../../core/audit/manifest.ts";
import { openRecipe } from "../../core/crypto/encryption.ts";
import { contentId } from "../../core/encoding/content-id.ts";
import { IntegrityError } from "../../core/errors.ts";
import { MAX_BUNDLE_SPAN } from "../../core/recipe/bundle.ts";
import {
  type ChunkedContent,
  type ChunkRef,
  decodeList,
  encodeEntry,
  isChunkList,
  type RootRecipe,
  type SegmentRef,
} from "../../core/recipe/recipe.ts";
import type { ObjectSource } from "./object-source.ts";
import { readListing } from "./read-content.ts";

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
  const held = new HeldEntries(listing.chunks);
  for await (const entry of readListing(root, source, signal)) {
    let segment: SegmentRef | undefined;
    if (entry.type === "file") {
      if ("segment" in entry.content) {
        segment = entry.content.segment;
      } else {
        const { chunks, lists } = await expand(entry.content, source, signal);
        yield* fresh(chunks.map(sealedChunk));
        yield* fresh(lists);
      }
    }
    yield* fresh(held.add(encodeEntry(entry).length, segment));
  }
  yield* fresh(held.finish());
  yield* fresh(listing.lists);
  yield* fresh([{ id: dataId, sizeBytes: rootBytes }]);
}

function sealedChunk({ id, sealedBytes }: ChunkRef): ManifestChunk {
  return { id, sizeBytes: sealedBytes };
}

/**
 * The entries that a writer holds back until their bundle is complete, and the chunks of the listing, which are
 * complete once their entries are written.
 */
class HeldEntries {
  readonly #chunks: readonly ChunkRef[];
  /** Chunks of the listing that were returned, and where the last of them ends. */
  #returned = 0;
  #cutAt = 0;
  #writtenBytes = 0;
  #bundle: ManifestChunk | undefined;
  /** Length of each entry since the first file of the bundle. */
  #held: number[] = [];

  constructor(chunks: readonly ChunkRef[]) {
    this.#chunks = chunks;
  }

  /** @param segment of a file in a bundle @returns the objects that are stored before the next entry's */
  *add(entryBytes: number, segment: SegmentRef | undefined): Generator<ManifestChunk, void, undefined> {
    if (segment?.position === 0) {
      yield* this.#release();
      this.#bundle = { id: segment.id, sizeBytes: segment.bundleBytes };
    }
    this.#held.push(entryBytes);
    if (this.#bundle === undefined || this.#held.length === MAX_BUNDLE_SPAN) yield* this.#release();
  }

  *finish(): Generator<ManifestChunk, void, undefined> {
    yield* this.#release();
    for (const chunk of this.#chunks.slice(this.#returned)) yield sealedChunk(chunk);
  }

  *#release(): Generator<ManifestChunk, void, undefined> {
    if (this.#bundle !== undefined) yield this.#bundle;
    this.#bundle = undefined;
    for (const entryBytes of this.#held) {
      this.#writtenBytes += entryBytes;
      // The chunk that ends the listing is closed by its end, not by an entry.
      for (let next = this.#next(); next !== undefined; next = this.#next()) yield sealedChunk(next);
    }
    this.#held = [];
  }

  /** The next chunk of the listing if it is complete, the last one excepted. */
  #next(): ChunkRef | undefined {
    const next = this.#chunks[this.#returned];
    if (next === undefined || this.#returned === this.#chunks.length - 1) return undefined;
    if (this.#cutAt + next.sizeBytes > this.#writtenBytes) return undefined;
    this.#cutAt += next.sizeBytes;
    this.#returned += 1;
    return next;
  }
}

/** Chunks of a content in order, and its lists in the order in which they were completed: lower ones first. */
async function expand(
  content: ChunkedContent,
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
