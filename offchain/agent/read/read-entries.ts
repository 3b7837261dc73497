/**
 * Reads a put without a target: its entries in listing order, each file with its content as a stream that is fetched
 * when it is read. Nothing is fetched for entries whose content nobody reads.
 */

import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { showPath } from "../../core/recipe/path-name.ts";
import type { FileEntry, RegularFileEntry, RootRecipe } from "../../core/recipe/recipe.ts";
import { type ByteRange, withinSize } from "./byte-range.ts";
import type { ObjectSource } from "./object-source.ts";
import { OpenedBundles } from "./opened-bundles.ts";
import { readListing } from "./read-content.ts";
import { fileStream } from "./read-range.ts";
import { streamPieces } from "./stream-pieces.ts";

/** Largest file that is returned as one array unless the caller allows more. */
const DEFAULT_MAXIMUM_BYTES = 64 * 1024 * 1024;

/** A file of a put. */
export interface ReadFile {
  readonly type: "file";
  readonly path: string;
  readonly sizeBytes: number;
  /**
   * The content or a part of it, verified piece by piece; may be opened again. Only what the range needs is fetched.
   * Cancel it to stop early.
   * @throws InvalidInputError for a range that is none; IntegrityError (as the stream's error) naming file, offset and
   *   object
   */
  stream(range?: Partial<ByteRange>): ReadableStream<Uint8Array>;
}

export type ReadEntry = ReadFile | Exclude<FileEntry, { type: "file" }>;

/** The entries of a put. */
export async function* readEntries(
  root: RootRecipe,
  source: ObjectSource,
  signal?: AbortSignal,
): AsyncGenerator<ReadEntry, void, undefined> {
  const bundles = new OpenedBundles(source);
  for await (const entry of readListing(root, source, signal)) {
    yield entry.type === "file" ? readableFile(entry, source, bundles, signal) : entry;
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

/**
 * The content of a file, or a part of it.
 * @throws InvalidInputError for one that is larger than allowed, and for a range that is none
 */
export async function readBytes(
  file: ReadFile,
  maximumBytes: number = DEFAULT_MAXIMUM_BYTES,
  range: Partial<ByteRange> = {},
): Promise<Uint8Array> {
  const { start, end } = withinSize(range, file.sizeBytes);
  if (end - start > maximumBytes) {
    throw new InvalidInputError(`${showPath(file.path)} is too large to be returned as one array`, {
      party: "you",
      check: "size of the file",
      expected: `at most ${maximumBytes} bytes`,
      received: `${end - start} bytes`,
      hint: "read it as a stream, read a range of it, or allow more with maximumBytes",
    });
  }
  const bytes = new Uint8Array(end - start);
  let filled = 0;
  for await (const piece of streamPieces(file.stream({ start, end }))) {
    bytes.set(piece, filled);
    filled += piece.length;
  }
  return bytes;
}

function readableFile(
  entry: RegularFileEntry,
  source: ObjectSource,
  bundles: OpenedBundles,
  signal: AbortSignal | undefined,
): ReadFile {
  const { type, path, sizeBytes } = entry;
  const stream = (range: Partial<ByteRange> = {}) => fileStream(entry, source, range, { bundles, signal });
  return { type, path, sizeBytes, stream };
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
