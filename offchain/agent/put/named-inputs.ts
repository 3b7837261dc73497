/**
 * Content that a program hands over under a name: bytes, blobs, the files of a page, streams. Names may have folders in
 * them (`photos/2026/a.jpg`); these become entries of their own.
 */

import { InvalidInputError } from "../../core/errors.ts";
import { checkPath, comparePaths, pathToBytes, showPath } from "../../core/recipe/path-name.ts";
import type { EntryRoot, SourceEntry, SourceFile } from "../platform.ts";
import { FileChangedError, FileUnreadableError } from "./input-errors.ts";

/** Mode of files that come without one. */
const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;
const PIECE_BYTES = 512 * 1024;
const NANOS_PER_MILLISECOND = 1_000_000n;

interface Named {
  /** Path inside the put, `/` separated. */
  readonly name: string;
  /**
   * Modification time. Default: that of a `File`, else 1970-01-01, so that equal content under an equal name has one
   * data id.
   */
  readonly mtime?: Date;
}

export interface NamedBytes extends Named {
  readonly bytes: Uint8Array;
}

export interface NamedBlob extends Named {
  readonly blob: Blob;
}

export interface NamedStream extends Named {
  /** Read once, as fast as it can be stored. */
  readonly stream: ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;
  /** If it is known: shown as progress, and compared with the length of the stream. */
  readonly sizeBytes?: number;
}

/** A `File` is stored under its `webkitRelativePath` if it has one, else under its name. */
export type NamedInput = File | NamedBytes | NamedBlob | NamedStream;

/** What an input may be, for messages. */
const SHAPES = "a File, { name, bytes: Uint8Array }, { name, blob: Blob } or { name, stream: ReadableStream }";

/**
 * Turns named inputs into roots, one per first component of a name. Files have mode 0644, folders 0755 and the time
 * 1970-01-01.
 *
 * @throws InvalidInputError for an input of another shape, a name that is no path inside the put, one that occurs
 *   twice, or a file that is also a folder
 */
export function namedRoots(inputs: readonly NamedInput[]): EntryRoot[] {
  const entries = new Map<string, SourceEntry>();
  for (const input of inputs) {
    const file = sourceFile(input);
    checkPath(pathToBytes(file.path));
    if (entries.has(file.path)) throw twice(file.path);
    entries.set(file.path, file);
  }
  for (const path of [...entries.keys()]) addFolders(entries, path);
  const roots = new Map<string, SourceEntry[]>();
  const sorted = [...entries.values()].map((entry) => ({ entry, bytes: pathToBytes(entry.path) }));
  sorted.sort((a, b) => comparePaths(a.bytes, b.bytes));
  for (const { entry } of sorted) {
    const name = firstComponent(entry.path);
    const root = roots.get(name) ?? [];
    root.push(entry);
    roots.set(name, root);
  }
  return [...roots].map(([name, members]) => ({
    name,
    origin: `the input named ${name}`,
    entries: () => each(members),
  }));
}

function addFolders(entries: Map<string, SourceEntry>, path: string): void {
  for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) {
    const folder = path.slice(0, slash);
    if (entries.get(folder)?.type === "file") throw twice(folder);
    entries.set(folder, { path: folder, type: "directory", metadata: { mode: FOLDER_MODE, mtimeNanos: 0n } });
  }
}

function sourceFile(input: NamedInput): SourceFile {
  if (input instanceof Blob) {
    // Absent in Node and empty for a file that was not chosen as part of a folder.
    const relative: unknown = "webkitRelativePath" in input ? input.webkitRelativePath : "";
    const name = typeof relative === "string" && relative !== "" ? relative : input.name;
    if (typeof name !== "string") throw wrongShape(input);
    return fileOf(name, BigInt(Math.trunc(input.lastModified)) * NANOS_PER_MILLISECOND, input.size, () =>
      blobPieces(name, input),
    );
  }
  const { name, mtime } = checkNamed(input);
  const mtimeNanos = BigInt(mtime?.getTime() ?? 0) * NANOS_PER_MILLISECOND;
  if ("bytes" in input) {
    const { bytes } = input;
    // A program without types may give a Blob or text, whose length is not that of its bytes.
    if (!isBytes(bytes)) throw wrongContent(name, "bytes", bytes);
    return fileOf(name, mtimeNanos, bytes.length, () => bytePieces(bytes));
  }
  if ("blob" in input) {
    const { blob } = input;
    if (!isBlob(blob)) throw wrongContent(name, "blob", blob);
    return fileOf(name, mtimeNanos, blob.size, () => blobPieces(name, blob));
  }
  const { stream, sizeBytes } = input;
  if (!isStream(stream)) throw wrongContent(name, "stream", stream);
  return { ...fileOf(name, mtimeNanos, sizeBytes, () => streamPieces(name, stream)), isReadOnce: true };
}

function checkNamed<Input extends object>(input: Input): Input {
  const given: unknown = input;
  const isNamed = typeof given === "object" && given !== null && "name" in given && typeof given.name === "string";
  if (!isNamed || ["bytes", "blob", "stream"].filter((key) => key in given).length !== 1) throw wrongShape(given);
  return input;
}

function wrongShape(input: unknown): InvalidInputError {
  const isPlain = kindOf(input) === "Object";
  return new InvalidInputError("an input has no name, or not exactly one content", {
    party: "you",
    check: "inputs",
    expected: `a path, ${SHAPES}`,
    received: isPlain ? `{ ${Object.keys(input as object).join(", ")} }` : kindOf(input),
  });
}

/** By its tag, because an object of another realm, for example of a frame, is no instance of this one's class. */
function isBytes(value: unknown): value is Uint8Array {
  return kindOf(value) === "Uint8Array";
}

function isBlob(value: unknown): value is Blob {
  return kindOf(value) === "Blob" || kindOf(value) === "File";
}

function isStream(value: unknown): value is NamedStream["stream"] {
  if (typeof value !== "object" || value === null) return false;
  return value instanceof ReadableStream || Symbol.asyncIterator in value;
}

/** The type of a value, for messages. */
function kindOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return value === null ? "null" : typeof value;
  return Object.prototype.toString.call(value).slice("[object ".length, -1);
}

function wrongContent(name: string, key: "bytes" | "blob" | "stream", value: unknown): InvalidInputError {
  return new InvalidInputError(`the input named ${showPath(name)} has a wrong content`, {
    party: "you",
    check: `${key} of the input`,
    expected: SHAPES,
    received: `{ name, ${key}: ${kindOf(value)} }`,
    hint: "text becomes bytes with `new TextEncoder().encode(text)`, an ArrayBuffer with `new Uint8Array(buffer)`",
  });
}

function fileOf(
  path: string,
  mtimeNanos: bigint,
  sizeBytes: number | undefined,
  open: () => AsyncIterable<Uint8Array>,
): SourceFile {
  return {
    path,
    type: "file",
    metadata: { mode: FILE_MODE, mtimeNanos },
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    read: (signal) => counted(path, sizeBytes, open(), signal),
  };
}

async function* counted(
  path: string,
  announcedBytes: number | undefined,
  pieces: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  let readBytes = 0;
  for await (const piece of pieces) {
    signal?.throwIfAborted();
    readBytes += piece.length;
    yield piece;
  }
  if (announcedBytes === undefined || announcedBytes === readBytes) return;
  throw new FileChangedError(path, "bytes read", `${announcedBytes} bytes`, `${readBytes} bytes`);
}

async function* bytePieces(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let start = 0; start < bytes.length; start += PIECE_BYTES) yield bytes.slice(start, start + PIECE_BYTES);
}

async function* blobPieces(name: string, blob: Blob): AsyncGenerator<Uint8Array, void, undefined> {
  yield* readablePieces(name, blob.stream());
}

async function* streamPieces(name: string, stream: NamedStream["stream"]): AsyncGenerator<Uint8Array, void, undefined> {
  const pieces = stream instanceof ReadableStream ? readablePieces(name, stream) : stream;
  for await (const piece of pieces) {
    if (!(piece instanceof Uint8Array)) throw notBytes(name, piece);
    // A copy: the producer may use its buffer again.
    for (let start = 0; start < piece.length; start += PIECE_BYTES) yield piece.slice(start, start + PIECE_BYTES);
  }
}

/** Reads by hand: not every browser can iterate over a ReadableStream. */
async function* readablePieces(
  name: string,
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = stream.getReader();
  let ended = false;
  try {
    for (;;) {
      const next = await reader.read().catch((cause: unknown) => {
        ended = true;
        throw new FileUnreadableError(name, cause instanceof Error ? cause.message : String(cause), { cause });
      });
      if (next.done) {
        ended = true;
        return;
      }
      yield next.value;
    }
  } finally {
    if (!ended) await reader.cancel();
    reader.releaseLock();
  }
}

async function* each(entries: readonly SourceEntry[]): AsyncGenerator<SourceEntry, void, undefined> {
  yield* entries;
}

function firstComponent(path: string): string {
  const slash = path.indexOf("/");
  return slash === -1 ? path : path.slice(0, slash);
}

function twice(path: string): InvalidInputError {
  return new InvalidInputError(`two inputs are named ${showPath(path)}`, {
    party: "you",
    check: "names of the inputs",
    received: showPath(path),
    hint: "give each input its own name, and no file the name of a folder",
  });
}

function notBytes(name: string, piece: unknown): InvalidInputError {
  return new InvalidInputError(`the stream named ${showPath(name)} does not consist of bytes`, {
    party: "you",
    check: "pieces of the stream",
    expected: "Uint8Array",
    received: typeof piece,
  });
}
