/**
 * Checks the stored objects one after the other, whether or not anybody asks for them. An object that is damaged counts
 * as lost from then on: no claim on it succeeds, and the next upload replaces it.
 */
import { setTimeout as pause } from "node:timers/promises";
import { randomBytes } from "#primitives";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { toHex } from "../../core/encoding/hex.ts";
import type { ChunkIndex } from "../../store/index/chunk-index.ts";
import type { ChunkService } from "./chunk-service.ts";

/**
 * Reads every stored object once. It starts at a random digest, so that a provider that restarts often does not check
 * the same objects again and again.
 *
 * @param bytesPerSecond average speed
 * @param signal ends the walk after the object under way
 */
export async function scrubObjects(
  index: Pick<ChunkIndex, "pages">,
  chunks: Pick<ChunkService, "readIntact">,
  bytesPerSecond: number,
  signal: AbortSignal,
  start: Uint8Array = randomBytes(32),
): Promise<void> {
  // Not the ids: their letters and digits are in another order than the bytes that they stand for.
  const startKey = toHex(start);
  for (const isFirstPart of [true, false]) {
    for await (const page of index.pages(isFirstPart ? start : undefined)) {
      for (const { digest, sizeBytes, stored } of page) {
        if (signal.aborted) return;
        const id = contentIdFromDigest(digest);
        if (!isFirstPart && toHex(digest) > startKey) return;
        if (!stored) continue;
        await chunks.readIntact(id, digest);
        await pause((sizeBytes * 1000) / bytesPerSecond, undefined, { signal }).catch(() => undefined);
      }
    }
  }
}
