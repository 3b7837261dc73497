/**
 * Puts one file together under a temporary name, chunk by chunk, and gives it its own name when all of it is there.
 * Verified chunks that an earlier attempt left behind are kept; a finished file with the right content is left in
 * place.
 */

import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { RegularFileEntry } from "../../core/recipe/recipe.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import type { ExpectedPiece, FileSink, RestoreEntry } from "../platform.ts";
import { timeArgument } from "./file-times.ts";
import { systemPath } from "./system-path.ts";
import { inTheWay, type TargetFolder } from "./target-folder.ts";

const COPY_BYTES = 1024 * 1024;
const NEW_FILE_MODE = 0o600;
/** Mode of a file without metadata. */
const FILE_MODE = 0o644;

export class FileWriter implements FileSink {
  readonly entry: RestoreEntry<RegularFileEntry>;
  readonly #folder: TargetFolder;
  readonly #path: string;
  readonly #partPath: string;
  /** The finished file as it was found; its bytes are used where they are right. */
  #existing: FileHandle | undefined;
  #part: FileHandle | undefined;
  /** Set once something had to be written: the part is what becomes the file. */
  #diverged = false;
  /** All bytes before this offset are right, in the existing file or in the part. */
  #offset = 0;

  private constructor(folder: TargetFolder, entry: RestoreEntry<RegularFileEntry>) {
    this.#folder = folder;
    this.entry = entry;
    this.#path = folder.pathOf(entry);
    this.#partPath = folder.partPathOf(entry);
  }

  /** @throws TallystickError CONFLICT when something else than a file is in the way and may not be replaced */
  static async open(folder: TargetFolder, entry: RestoreEntry<RegularFileEntry>): Promise<FileWriter> {
    const writer = new FileWriter(folder, entry);
    const found = await folder.kindAt(writer.#path);
    if (found === "folder" || (found !== "nothing" && found !== "file" && !folder.overwrite)) {
      throw inTheWay(writer.#path, "a file", found !== "folder");
    }
    await writer.#onDisk(async () => {
      if (found === "file") writer.#existing = await open(systemPath(writer.#path), readWithoutFollowing());
      writer.#part = await openIfThere(writer.#partPath);
    });
    return writer;
  }

  /** The bytes of a piece if this disk has them, right where they belong; undefined when they must be fetched. */
  async reuse(piece: ExpectedPiece, offset: number): Promise<Uint8Array | undefined> {
    return await this.#onDisk(async () => {
      for (const file of [this.#existing, this.#part]) {
        if (file === undefined) continue;
        const bytes = new Uint8Array(piece.sizeBytes);
        const { bytesRead } = await file.read(bytes, 0, bytes.length, offset);
        if (bytesRead === bytes.length && (await piece.isRight(bytes))) return bytes;
      }
      return undefined;
    });
  }

  /** Takes the next chunk. `fetched` is false for bytes that `reuse` found. */
  async write(bytes: Uint8Array, fetched: boolean): Promise<void> {
    await this.#onDisk(async () => {
      // As long as the existing file is right from its first byte on, there is nothing to write.
      const untouched = this.#existing !== undefined && !fetched && (await this.#existingHas(bytes));
      if (!untouched) await writeFully(await this.#startPart(), bytes, this.#offset);
      this.#offset += bytes.length;
    });
  }

  /** Gives the file its content's end, mode, time and name. */
  async finish(): Promise<void> {
    await this.#onDisk(async () => {
      const { metadata, sizeBytes } = this.entry;
      const sameSize = this.#existing !== undefined && (await this.#existing.stat()).size === sizeBytes;
      if (this.#existing === undefined || this.#diverged || !sameSize)
        await (await this.#startPart()).truncate(sizeBytes);
      const file = this.#diverged ? this.#part : this.#existing;
      if (metadata !== undefined) {
        const time = timeArgument(metadata.mtimeNanos);
        await file?.utimes(time, time);
      }
      if (this.#diverged) await rename(systemPath(this.#partPath), systemPath(this.#path));
      else await rm(systemPath(this.#partPath), { force: true });
      // Last: a part that is read-only already could not be opened again after a crash.
      await file?.chmod(metadata?.mode ?? FILE_MODE);
      await this.close();
    });
  }

  /** Lets go of the files; what was put together so far stays. */
  async close(): Promise<void> {
    const files = [this.#existing, this.#part];
    this.#existing = undefined;
    this.#part = undefined;
    for (const file of files) await file?.close();
  }

  async #existingHas(bytes: Uint8Array): Promise<boolean> {
    if (this.#diverged || this.#existing === undefined) return false;
    const found = new Uint8Array(bytes.length);
    await this.#existing.read(found, 0, found.length, this.#offset);
    return Buffer.compare(found, bytes) === 0;
  }

  /** The part file, holding everything before the current offset. */
  async #startPart(): Promise<FileHandle> {
    if (this.#diverged && this.#part !== undefined) return this.#part;
    if (this.#existing !== undefined && !this.#folder.overwrite) throw inTheWay(this.#path, "the same file", true);
    this.#diverged = true;
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const part = this.#part ?? (await open(systemPath(this.#partPath), flags, NEW_FILE_MODE));
    this.#part = part;
    if (this.#existing !== undefined) await copyStart(this.#existing, part, this.#offset);
    return part;
  }

  async #onDisk<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      throw asDiskError(error, `${this.#path} (in ${dirname(this.#path)})`);
    }
  }
}

function readWithoutFollowing(): number {
  return constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(systemPath(path), constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function copyStart(from: FileHandle, to: FileHandle, length: number): Promise<void> {
  const buffer = new Uint8Array(Math.min(COPY_BYTES, length));
  for (let offset = 0; offset < length; ) {
    const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, length - offset), offset);
    if (bytesRead === 0) break;
    await writeFully(to, buffer.subarray(0, bytesRead), offset);
    offset += bytesRead;
  }
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}
