/**
 * Reads one file as a stream and notices if it is not the same file from the first byte to the last: identity, size and
 * modification time are held against what the walk saw, before and after.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { FileChangedError } from "../put/input-errors.ts";
import { fileUnreadable } from "./file-errors.ts";
import { systemPath, type WalkedEntry } from "./walk.ts";

/** Read size: large enough for the disk, small enough not to count. */
const PIECE_BYTES = 512 * 1024;

/**
 * @returns pieces that nobody else holds: whoever takes one owns its memory.
 * @throws FileUnreadableError when it cannot be opened or read.
 * @throws FileChangedError when it is not the file the walk saw, or does not stay so.
 */
export async function* readFile(entry: WalkedEntry, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const path = entry.absolutePath;
  // O_NOFOLLOW: the walk saw a file here; a link put in its place must not lead elsewhere. O_NONBLOCK: and a pipe must
  // not block the read.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await unlessUnreadable(path, () => open(systemPath(path), flags));
  try {
    await requireUnchanged(file, entry);
    let readBytes = 0;
    for (;;) {
      signal?.throwIfAborted();
      const piece = new Uint8Array(Math.min(PIECE_BYTES, Math.max(entry.sizeBytes - readBytes, 1)));
      const { bytesRead } = await unlessUnreadable(path, () => file.read(piece, 0, piece.length, readBytes));
      if (bytesRead === 0) break;
      readBytes += bytesRead;
      if (readBytes > entry.sizeBytes) break;
      yield piece.subarray(0, bytesRead);
    }
    await requireUnchanged(file, entry);
    if (readBytes !== entry.sizeBytes) {
      throw new FileChangedError(path, "bytes read", `${entry.sizeBytes} bytes`, `${readBytes} bytes`);
    }
  } finally {
    await file.close();
  }
}

async function requireUnchanged(file: FileHandle, entry: WalkedEntry): Promise<void> {
  const path = entry.absolutePath;
  const stat = await unlessUnreadable(path, () => file.stat({ bigint: true }));
  if (!stat.isFile() || stat.dev !== entry.device || stat.ino !== entry.inode) {
    throw new FileChangedError(path, "identity", `inode ${entry.inode}`, `inode ${stat.ino}`);
  }
  if (stat.size !== BigInt(entry.sizeBytes)) {
    throw new FileChangedError(path, "size", `${entry.sizeBytes} bytes`, `${stat.size} bytes`);
  }
  if (stat.mtimeNs !== entry.mtimeNanos) {
    throw new FileChangedError(path, "modification time", `${entry.mtimeNanos} ns`, `${stat.mtimeNs} ns`);
  }
}

async function unlessUnreadable<Value>(path: string, work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (cause) {
    throw fileUnreadable(path, cause);
  }
}
