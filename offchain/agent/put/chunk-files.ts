/**
 * First stage of a put: entries of a walk become chunks. Each file is read once; its digest and those of its chunks are taken
 * on the way. A chunk whose content came up before in this put travels on as its digest only.
 */

import { createSha256, sha256 } from "#primitives";
import { toHex } from "../../core/encoding/hex.ts";
import { chunkStream } from "../../core/recipe/chunker.ts";
import { MAX_INLINE_CHUNKS } from "../../core/recipe/recipe.ts";
import { readFile } from "../node/read-file.ts";
import type { WalkedEntry } from "../node/walk.ts";

/** A chunk with a content that is new in this put. */
export interface NewChunk {
  readonly kind: "chunk";
  /** SHA-256 of the plaintext, hex: the name of the content within the put. */
  readonly content: string;
  readonly digest: Uint8Array;
  readonly plaintext: Uint8Array;
}

/** A chunk whose content came up before. */
export interface RepeatedChunk {
  readonly kind: "repeat";
  readonly content: string;
  readonly sizeBytes: number;
}

/** An entry, after its chunks. */
export interface ReadEntry {
  readonly kind: "entry";
  readonly entry: WalkedEntry;
  /** SHA-256 of the whole file; present when it has more chunks than an entry carries inline. */
  readonly fileDigest?: Uint8Array;
}

export type ChunkedInput = NewChunk | RepeatedChunk | ReadEntry;

/** Counts what has been read, for progress. */
export interface ReadCounter {
  readBytes: number;
  readEntries: number;
}

/** @throws FileUnreadableError, FileChangedError for a file that cannot be read as it was walked. */
export async function* chunkFiles(
  entries: AsyncIterable<WalkedEntry>,
  counter: ReadCounter,
  signal?: AbortSignal,
): AsyncGenerator<ChunkedInput, void, undefined> {
  const seen = new Set<string>();
  for await (const entry of entries) {
    signal?.throwIfAborted();
    if (entry.type !== "file") {
      yield { kind: "entry", entry };
    } else {
      const hash = createSha256();
      let chunks = 0;
      for await (const plaintext of chunkStream(hashing(readFile(entry, signal), hash))) {
        chunks += 1;
        counter.readBytes += plaintext.length;
        const digest = sha256(plaintext);
        const content = toHex(digest);
        if (seen.has(content)) {
          yield { kind: "repeat", content, sizeBytes: plaintext.length };
        } else {
          seen.add(content);
          yield { kind: "chunk", content, digest, plaintext };
        }
      }
      yield chunks > MAX_INLINE_CHUNKS ? { kind: "entry", entry, fileDigest: hash.digest() } : { kind: "entry", entry };
    }
    counter.readEntries += 1;
  }
}

async function* hashing(
  pieces: AsyncIterable<Uint8Array>,
  hash: { update(piece: Uint8Array): void },
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}
