/** A stored file in chunks of any size, so that a few kilobytes already make a tree of lists. */

import type { ObjectSource } from "../../offchain/agent/read/object-source.ts";
import { sealChunk } from "../../offchain/core/crypto/encryption.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { storedFrame } from "../../offchain/core/recipe/frame.ts";
import type { ChunkRef, RegularFileEntry } from "../../offchain/core/recipe/recipe.ts";
import { writeContent } from "../../offchain/core/recipe/tree.ts";

/** Where the objects of the file go: `MemoryProvider.objects`. */
type Objects = Map<string, Uint8Array>;

export async function storeInChunks(
  objects: Objects,
  path: string,
  bytes: Uint8Array,
  chunkBytes: number,
): Promise<RegularFileEntry> {
  function* refs(): Generator<ChunkRef> {
    for (let start = 0; start < bytes.length; start += chunkBytes) {
      const chunk = bytes.subarray(start, start + chunkBytes);
      const key = new Uint8Array(32).fill(start % 251);
      const sealed = sealChunk(key, storedFrame(chunk));
      const id = contentId(sealed);
      objects.set(id, sealed);
      yield { id, key, sizeBytes: chunk.length, sealedBytes: sealed.length };
    }
  }
  const content = await writeContent(
    refs(),
    async () => new Uint8Array(32).fill(7),
    async ({ id, sealed }) => {
      objects.set(id, sealed);
    },
  );
  return { type: "file", path, sizeBytes: bytes.length, content };
}

/** Counts what is asked for. */
export function counting(source: ObjectSource): ObjectSource & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    fetch: (id, signal) => {
      asked.push(id);
      return source.fetch(id, signal);
    },
  };
}
