/**
 * Reads a put without a target: its entries in listing order, each file with its content as a stream that is fetched
 * when it is read. Nothing is fetched for entries whose content nobody reads.
 */

import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { showPath } from "../../core/recipe/path-name.ts";
import type { ChunkRef, FileEntry, RegularFileEntry, RootRecipe } from "../../core/recipe/recipe.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import { locateError } from "./locate-error.ts";
import { chunkRefs, type ObjectSource, openedChunk, readListing } from "./read-content.ts";

/** Chunks of one file that are fetched ahead of its reader: at most 16 MiB. */
const CHUNKS_AHEAD = 8;
/** Largest file that is returned as one array unless the caller allows more. */
const DEFAULT_MAXIMUM_BYTES = 64 * 1024 * 1024;

/** A file of a put. */
export interface ReadFile {
  readonly type: "file";
  readonly path: string;
  readonly mode: number;
  readonly mtimeNanos: bigint;
  readonly sizeBytes: number;
  /**
   * The content, verified chunk by chunk; may be opened again. Cancel it to stop early.
   * @throws IntegrityError (as the stream's error) naming file, offset and object
   */
  stream(): ReadableStream<Uint8Array>;
}

export type ReadEntry = ReadFile | Exclude<FileEntry, { type: "file" }>;

/** The entries of a put. */
export async function* readEntries(
  root: RootRecipe,
  source: ObjectSource,
  signal?: AbortSignal,
): AsyncGenerator<ReadEntry, void, undefined> {
  for await (const entry of readListing(root, source, signal)) {
    yield entry.type === "file" ? readableFile(entry, source, signal) : entry;
  }
}

/**
 * One file of a put.
 *
 * @param path which; default the only one that the put has.
 * @throws InvalidInputError without a path when the put has several files or none
 * @throws TallystickError NOT_FOUND when no file has the path
 */
export async function findFile(
  root: RootRecipe,
  source: ObjectSource,
  path: string | undefined,
  signal?: AbortSignal,
): Promise<ReadFile> {
  let found: ReadFile | undefined;
  for await (const entry of readEntries(root, source, signal)) {
    if (entry.type !== "file" || (path !== undefined && entry.path !== path)) continue;
    if (path !== undefined) return entry;
    if (found !== undefined) throw notOneFile("several files");
    found = entry;
  }
  if (found !== undefined) return found;
  if (path === undefined) throw notOneFile("no file");
  throw new TallystickError(`the put has no file ${showPath(path)}`, {
    code: "NOT_FOUND",
    party: "you",
    check: "path in the put",
    received: showPath(path),
  });
}

/** The whole content of a file. @throws InvalidInputError for one that is larger than allowed */
export async function readBytes(file: ReadFile, maximumBytes: number = DEFAULT_MAXIMUM_BYTES): Promise<Uint8Array> {
  if (file.sizeBytes > maximumBytes) {
    throw new InvalidInputError(`${showPath(file.path)} is too large to be returned as one array`, {
      party: "you",
      check: "size of the file",
      expected: `at most ${maximumBytes} bytes`,
      received: `${file.sizeBytes} bytes`,
      hint: "read it as a stream, or allow more with maximumBytes",
    });
  }
  const bytes = new Uint8Array(file.sizeBytes);
  let filled = 0;
  const reader = file.stream().getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    bytes.set(next.value, filled);
    filled += next.value.length;
  }
  return bytes;
}

function readableFile(entry: RegularFileEntry, source: ObjectSource, signal: AbortSignal | undefined): ReadFile {
  const { type, path, mode, mtimeNanos, sizeBytes } = entry;
  return { type, path, mode, mtimeNanos, sizeBytes, stream: () => streamOf(contentOf(entry, source, signal)) };
}

interface PlacedChunk {
  readonly ref: ChunkRef;
  readonly offset: number;
}

function contentOf(entry: RegularFileEntry, source: ObjectSource, signal: AbortSignal | undefined) {
  async function* placed(): AsyncGenerator<PlacedChunk, void, undefined> {
    let offset = 0;
    for await (const ref of chunkRefs(entry.content, source, signal)) {
      yield { ref, offset };
      offset += ref.sizeBytes;
    }
  }
  const open = async ({ ref, offset }: PlacedChunk): Promise<Uint8Array> => {
    try {
      return await openedChunk(source, ref, signal);
    } catch (error) {
      throw locateError(error, entry.path, offset, ref.id);
    }
  };
  return mapOrdered(placed(), open, { concurrency: CHUNKS_AHEAD });
}

/** A stream that takes the next piece when its reader asks for it. */
function streamOf(pieces: AsyncGenerator<Uint8Array, void, undefined>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await pieces.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await pieces.return();
      },
    },
    { highWaterMark: 0 },
  );
}

function notOneFile(received: string): InvalidInputError {
  return new InvalidInputError("the put is not a single file", {
    party: "you",
    check: "files in the put",
    expected: "one file, or the path of one",
    received,
    hint: "name the file with `path`, or read the entries one by one",
  });
}
