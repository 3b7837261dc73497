/**
 * First stage of a put: entries of the source become frames to be compressed, and entries. Each file is read once.
 */

import { BUNDLE_LIMITS, isBundled } from "../../core/recipe/bundle.ts";
import { type AllocateFrame, Chunker } from "../../core/recipe/chunker.ts";
import { FRAME_HEAD_BYTES } from "../../core/recipe/frame.ts";
import type { SourceEntry, SourceFile } from "../platform.ts";
import type { CachedContent } from "./cached-content.ts";
import type { ContentCache } from "./content-cache.ts";
import { type InputError, isInputError } from "./input-errors.ts";

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
  /** What is known of a file that was not read. */
  readonly cached?: CachedContent;
}

export type ReadInput = ReadChunk | ReadEntry;

export interface ChunkOptions {
  /** Memory for the chunks of large files. Default: memory of their length. */
  readonly allocate?: AllocateFrame | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ReadOptions extends ChunkOptions {
  /** Files that it knows are not read. */
  readonly cache?: ContentCache | undefined;
}

/** Counts what has been read, for progress. */
export interface ReadCounter {
  readBytes: number;
  readEntries: number;
}

/**
 * A file that cannot be read is left out where the source allows it.
 *
 * @throws FileUnreadableError, FileChangedError for a file that cannot be read as the source announced it, where the
 *   source does not allow to leave it out, or when nothing else is left
 */
export async function* chunkFiles(
  entries: AsyncIterable<SourceEntry>,
  counter: ReadCounter,
  { cache, allocate, signal }: ReadOptions = {},
): AsyncGenerator<ReadInput, void, undefined> {
  let failure: InputError | undefined;
  let hasEntries = false;
  for await (const entry of entries) {
    signal?.throwIfAborted();
    let sizeBytes = 0;
    const cached = entry.type === "file" ? await cache?.contentOf(entry) : undefined;
    if (entry.type === "file" && cached !== undefined) {
      sizeBytes = entry.sizeBytes ?? 0;
      counter.readBytes += sizeBytes;
    } else if (entry.type === "file") {
      try {
        for await (const chunk of chunksOf(entry, { allocate, signal })) {
          sizeBytes += chunk.sizeBytes;
          counter.readBytes += chunk.sizeBytes;
          yield chunk;
        }
      } catch (error) {
        if (entry.leaveOut === undefined || sizeBytes > 0 || !isInputError(error)) throw error;
        entry.leaveOut(error);
        failure ??= error;
        counter.readEntries += 1;
        continue;
      }
    }
    yield { kind: "entry", entry, sizeBytes, ...(cached === undefined ? {} : { cached }) };
    counter.readEntries += 1;
    hasEntries = true;
  }
  // A put of nothing, although something was named, is no put.
  if (failure !== undefined && !hasEntries) throw failure;
}

/** The chunks of one file. */
export async function* chunksOf(
  file: SourceFile,
  { allocate, signal }: ChunkOptions = {},
): AsyncGenerator<ReadChunk, void, undefined> {
  const { sizeBytes: announced } = file;
  // A small file takes what it needs, since many of them wait together for their bundle.
  const isLarge = announced === undefined || announced > BUNDLE_LIMITS.fileBytes;
  const chunker = new Chunker({ sizeBytes: announced, allocate: isLarge ? allocate : undefined });
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
