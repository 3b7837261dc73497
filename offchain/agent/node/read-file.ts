/**
 * Reads one file as a stream and notices if it does not stay the same from the first byte to the last: size,
 * modification and status-change time after the last byte are held against those of the moment when it was opened. The
 * status-change time cannot be set by a program, so a file that was written to is noticed even if its modification time
 * was put back. What the walk saw counts for the identity only: a log that is written to all the time has changed
 * since.
 */
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { FileChangedError } from "../put/input-errors.ts";
import { fileUnreadable } from "./file-errors.ts";
import { systemPath } from "./system-path.ts";
import type { WalkedEntry } from "./walk.ts";

/** Large enough that the calls do not count, small enough for the cache of a core and for the wait of a slow disk. */
const PIECE_BYTES = 256 * 1024;
/** Read before the event loop gets a turn, so that uploads, progress and Ctrl-C do not wait for a long file. */
const TURN_BYTES = 4 * 1024 * 1024;
/** What opening a file counts for in this. */
const OPEN_BYTES = 32 * 1024;
/** Buffers that are kept for the next file. */
const KEPT_BUFFERS = 4;
/** Only Linux has it, and only the owner and root may. */
const NO_ATIME = "O_NOATIME" in constants ? constants.O_NOATIME : 0;

const freeBuffers: Uint8Array[] = [];
let bytesSinceTurn = 0;

export interface ReadFileOptions {
  /** Told how the file was when it was opened, before its first piece. */
  readonly onOpen?: (opened: BigIntStats) => void;
  /** Reads no further, for another reading of a file that may have grown since the first. */
  readonly limitBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Check of a file of which more or fewer bytes came than the system says that it has, without a change of it. */
export const BYTES_READ = "bytes read";

/**
 * Reads synchronously: a thread of Node's pool costs a third more CPU time, and the system reads ahead by itself.
 *
 * @returns pieces in one buffer that is used again: a piece is valid until the next one is asked for.
 * @throws FileUnreadableError when it cannot be opened or read.
 * @throws FileChangedError when another file is in its place, or when it changes after it was opened.
 */
export async function* readFile(
  entry: WalkedEntry,
  { onOpen, limitBytes = Number.POSITIVE_INFINITY, signal }: ReadFileOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const { absolutePath: path } = entry;
  const file = reading(path, () => openUnchanged(path));
  const buffer = freeBuffers.pop() ?? new Uint8Array(PIECE_BYTES);
  try {
    await turn(OPEN_BYTES);
    const opened = statOf(file, path);
    requireSameFile(opened, entry);
    onOpen?.(opened);
    const sizeBytes = Math.min(Number(opened.size), limitBytes);
    let readBytes = 0;
    // One byte of an empty file: those of /proc have content beyond their size, or fail.
    for (let wanted = Math.max(sizeBytes, 1); wanted > 0; wanted = sizeBytes - readBytes) {
      signal?.throwIfAborted();
      const length = reading(path, () => readSync(file, buffer, 0, Math.min(wanted, buffer.length), readBytes));
      await turn(length);
      readBytes += length;
      if (length === 0 || readBytes > sizeBytes) break;
      yield buffer.subarray(0, length);
    }
    requireUnchanged(path, opened, statOf(file, path));
    if (readBytes !== sizeBytes)
      throw new FileChangedError(path, BYTES_READ, `${sizeBytes} bytes`, `${readBytes} bytes`);
  } finally {
    closeSync(file);
    if (freeBuffers.length < KEPT_BUFFERS) freeBuffers.push(buffer);
  }
}

/**
 * O_NOFOLLOW: the walk saw a file here; a link put in its place must not lead elsewhere. O_NONBLOCK: and a pipe must
 * not block the read. O_NOATIME: a backup is no use of the file.
 */
function openUnchanged(path: string): number {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    return openSync(systemPath(path), flags | NO_ATIME);
  } catch (error) {
    const isRefused = NO_ATIME !== 0 && error instanceof Error && "code" in error && error.code === "EPERM";
    if (!isRefused) throw error;
    return openSync(systemPath(path), flags);
  }
}

async function turn(bytes: number): Promise<void> {
  bytesSinceTurn += bytes;
  if (bytesSinceTurn < TURN_BYTES) return;
  bytesSinceTurn = 0;
  await new Promise(setImmediate);
}

function statOf(file: number, path: string): BigIntStats {
  return reading(path, () => fstatSync(file, { bigint: true }));
}

function requireSameFile(opened: BigIntStats, { absolutePath: path, identity }: WalkedEntry): void {
  if (opened.isFile() && opened.dev === identity.device && opened.ino === identity.inode) return;
  throw new FileChangedError(path, "identity", `inode ${identity.inode}`, `inode ${opened.ino}`);
}

function requireUnchanged(path: string, opened: BigIntStats, read: BigIntStats): void {
  if (read.size !== opened.size) {
    throw new FileChangedError(path, "size", `${opened.size} bytes`, `${read.size} bytes`);
  }
  if (read.mtimeNs !== opened.mtimeNs) {
    throw new FileChangedError(path, "modification time", `${opened.mtimeNs} ns`, `${read.mtimeNs} ns`);
  }
  if (read.ctimeNs !== opened.ctimeNs) {
    throw new FileChangedError(path, "status-change time", `${opened.ctimeNs} ns`, `${read.ctimeNs} ns`);
  }
}

function reading<Value>(path: string, work: () => Value): Value {
  try {
    return work();
  } catch (cause) {
    throw fileUnreadable(path, cause);
  }
}
