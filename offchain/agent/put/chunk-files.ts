/**
 * First stage of a put: entries of the source become frames to be compressed, and entries. Each file is read once.
 */

import { isBundled } from "../../core/recipe/bundle.ts";
import { Chunker } from "../../core/recipe/chunker.ts";
import { FRAME_HEAD_BYTES } from "../../core/recipe/frame.ts";
import type { SourceEntry, SourceFile } from "../platform.ts";

/** A chunk of a file, laid out as the frame that stores it. */
export interface ReadChunk {
  readonly kind: "chunk";
  readonly stored: Uint8Array;
  readonly sizeBytes: number;
  /** It is a whole file that goes into a bundle. */
  readonly isSmallFile: boolean;
}

/** An entry, after its chunks. */
export interface ReadEntry {
  readonly kind: "entry";
  readonly entry: SourceEntry;
  /** Bytes read; 0 for folders and links. */
  readonly sizeBytes: number;
}

export type ReadInput = ReadChunk | ReadEntry;

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
): AsyncGenerator<ReadInput, void, undefined> {
  for await (const entry of entries) {
    signal?.throwIfAborted();
    let sizeBytes = 0;
    if (entry.type === "file") {
      for await (const chunk of chunksOf(entry, signal)) {
        sizeBytes += chunk.sizeBytes;
        counter.readBytes += chunk.sizeBytes;
        yield chunk;
      }
    }
    yield { kind: "entry", entry, sizeBytes };
    counter.readEntries += 1;
  }
}

/** The chunks of one file. */
export async function* chunksOf(file: SourceFile, signal?: AbortSignal): AsyncGenerator<ReadChunk, void, undefined> {
  const chunker = new Chunker({ sizeBytes: file.sizeBytes });
  let isFirst = true;
  const readChunk = (stored: Uint8Array, isLast: boolean): ReadChunk => {
    const sizeBytes = stored.length - FRAME_HEAD_BYTES;
    const isSmallFile = isFirst && isLast && isBundled(sizeBytes);
    isFirst = false;
    return { kind: "chunk", stored, sizeBytes, isSmallFile };
  };
  for await (const piece of file.read(signal)) {
    for (const stored of chunker.push(piece)) yield readChunk(stored, false);
  }
  const last = chunker.finish();
  if (last !== undefined) yield readChunk(last, true);
}
