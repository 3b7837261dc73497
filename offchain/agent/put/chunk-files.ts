/**
 * First stage of a put: entries of the source become chunks. Each file is read once; its digest and those of its chunks
 * are taken on the way. A chunk whose content occurred before in this put is passed on as its digest only.
 */

import { createSha256, sha256 } from "#primitives";
import { toHex } from "../../core/encoding/hex.ts";
import { chunkStream } from "../../core/recipe/chunker.ts";
import { MAX_INLINE_CHUNKS } from "../../core/recipe/recipe.ts";
import type { SourceEntry } from "../platform.ts";

/** A chunk with a content that is new in this put. */
export interface NewChunk {
  readonly kind: "chunk";
  /** SHA-256 of the plaintext, hex: the name of the content within the put. */
  readonly content: string;
  readonly digest: Uint8Array;
  readonly plaintext: Uint8Array;
}

/** A chunk whose content occurred before. */
export interface RepeatedChunk {
  readonly kind: "repeat";
  readonly content: string;
  readonly sizeBytes: number;
}

/** An entry, after its chunks. */
export interface ReadEntry {
  readonly kind: "entry";
  readonly entry: SourceEntry;
  /** Bytes read; 0 for folders and links. */
  readonly sizeBytes: number;
  /** SHA-256 of the whole file; present when it has more chunks than an entry carries inline. */
  readonly fileDigest?: Uint8Array;
}

export type ChunkedInput = NewChunk | RepeatedChunk | ReadEntry;

/** Counts what has been read, for progress. */
export interface ReadCounter {
  readBytes: number;
  readEntries: number;
}

/** @throws FileUnreadableError, FileChangedError for a file that cannot be read as the source announced it. */
export async function* chunkFiles(
  entries: AsyncIterable<SourceEntry>,
  counter: ReadCounter,
  signal?: AbortSignal,
): AsyncGenerator<ChunkedInput, void, undefined> {
  const seen = new Set<string>();
  for await (const entry of entries) {
    signal?.throwIfAborted();
    if (entry.type !== "file") {
      yield { kind: "entry", entry, sizeBytes: 0 };
    } else {
      const hash = createSha256();
      let chunks = 0;
      let sizeBytes = 0;
      for await (const plaintext of chunkStream(hashing(entry.read(signal), hash))) {
        chunks += 1;
        sizeBytes += plaintext.length;
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
      const read: ReadEntry = { kind: "entry", entry, sizeBytes };
      yield chunks > MAX_INLINE_CHUNKS ? { ...read, fileDigest: hash.digest() } : read;
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
