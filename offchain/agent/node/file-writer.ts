/**
 * Puts one file together under a temporary name, piece by piece, and gives it its own name when content and metadata
 * are complete. Verified pieces that an earlier attempt left behind are kept; a finished file with the right content is
 * left in place.
 */

import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
} from "node:fs";
import { dirname } from "node:path";
import type { RegularFileEntry } from "../../core/recipe/recipe.ts";
import { systemErrorCode } from "../../store/disk/disk-errors.ts";
import type { ExpectedPiece, FileSink, RestoreEntry } from "../platform.ts";
import { InTheWayError, RefusedError } from "../read/obstacles.ts";
import { readFully, writeFully, writeOnThread } from "./file-bytes.ts";
import { isWithoutLinks, nameNew, nameOver, removePart } from "./naming.ts";
import { asEntryError, refusalOf } from "./refusals.ts";
import { systemPath } from "./system-path.ts";
import { appeared, type EntryPlace, type TargetFolder } from "./target-folder.ts";
import { WrittenLocalFile } from "./written-file.ts";

const COPY_BYTES = 1024 * 1024;
const NEW_FILE_MODE = 0o600;
/** From this size on a piece is written on a thread: the copy takes longer than the way there. */
const THREADED_BYTES = 256 * 1024;
/** A run of zeros of this length, at a multiple of it, becomes a hole: the block of most file systems. */
const HOLE_BYTES = 4096;
const ZEROS = new Uint8Array(HOLE_BYTES);

interface OpenFile {
  readonly file: number;
  readonly stat: BigIntStats;
}

export class FileWriter implements FileSink {
  readonly entry: RestoreEntry<RegularFileEntry>;
  readonly written = new WrittenLocalFile(() => (this.#diverged ? this.#part : this.#existing)?.file);
  readonly #folder: TargetFolder;
  readonly #path: string;
  /** Where it is written; unknown until its turn has come, because the folder may not be there. */
  #place: EntryPlace | undefined;
  /** The finished file as it was found, or a file that is to get a further name: its bytes are used where right. */
  #existing: OpenFile | undefined;
  /** Entry of the file that is to get a further name, once it is known. */
  #otherName: Pick<RegularFileEntry, "path"> | undefined;
  /** What was found and is to be replaced whatever it holds. */
  #replaced: BigIntStats | undefined;
  #part: OpenFile | undefined;
  /** Whether it could not be looked at ahead of its turn: pieces are compared with it when they are written. */
  #isUnseen = false;
  /** Whether somebody else has put something where the part belongs. */
  #isPartForeign = false;
  /** Offsets of pieces that the part has already. */
  readonly #inPart = new Set<number>();
  /** Set once something had to be written: the part is what becomes the file. */
  #diverged = false;
  /** All bytes before this offset are right, in the existing file or in the part. */
  #offset = 0;

  private constructor(folder: TargetFolder, entry: RestoreEntry<RegularFileEntry>) {
    this.#folder = folder;
    this.entry = entry;
    this.#path = folder.pathOf(entry);
  }

  /** @throws InTheWayError when something else is there and may not be replaced; RefusedError */
  static open(folder: TargetFolder, entry: RestoreEntry<RegularFileEntry>): FileWriter {
    const writer = new FileWriter(folder, entry);
    writer.#onDisk(() => writer.#lookAhead());
    return writer;
  }

  /** The bytes of a piece if this disk has them, right where they belong; undefined when they must be fetched. */
  async reuse(piece: ExpectedPiece, offset: number): Promise<Uint8Array | undefined> {
    const existing = this.#existing;
    const found = await this.#rightBytes(existing, piece, offset);
    if (found !== undefined) return found;
    if (existing !== undefined && existing === this.#existing && this.#isInTheWay) throw this.#inTheWay();
    const inPart = await this.#rightBytes(this.#part, piece, offset);
    if (inPart !== undefined) this.#inPart.add(offset);
    return inPart;
  }

  /** Takes the next piece. `fetched` is false for bytes that `reuse` found. */
  async write(bytes: Uint8Array, fetched: boolean): Promise<void> {
    this.#begin();
    if (this.#offset === 0) await this.#findOtherName();
    // As long as the existing file is right from its first byte on, there is nothing to write. What was fetched for it
    // is what it does not have; of a file under another name that is not known before.
    const mayBeThere = this.#otherName !== undefined || this.#isUnseen || !fetched;
    const untouched = !this.#diverged && this.#existing !== undefined && mayBeThere && this.#existingHas(bytes);
    if (!untouched) {
      const part = this.#onDisk(() => this.#startPart());
      if (!this.#inPart.has(this.#offset)) await this.#writeToPart(part, bytes);
    }
    this.#offset += bytes.length;
  }

  /** Gives the file its content's end, its metadata and its name. */
  async finish(): Promise<void> {
    await this.written.end();
    await this.#folder.asEntry(this.#path, async () => {
      const { sizeBytes } = this.entry;
      const place = this.#begin();
      if (this.#offset === 0) await this.#findOtherName();
      const isSameSize = this.#existing !== undefined && this.#existing.stat.size === BigInt(sizeBytes);
      if (!this.#diverged && isSameSize && this.#otherName === undefined) {
        await this.#keepExisting();
        return;
      }
      if (!this.#diverged && isSameSize && this.#otherName !== undefined && this.#linkTo(place, this.#otherName))
        return;
      const part = this.#startPart();
      const stat = fstatSync(part.file, { bigint: true });
      if (stat.size !== BigInt(sizeBytes)) ftruncateSync(part.file, sizeBytes);
      this.#part = undefined;
      const replaced = this.#otherName === undefined ? (this.#existing?.stat ?? this.#replaced) : this.#replaced;
      this.#closeExisting();
      await this.#folder.metadata.finish({
        entry: this.entry,
        path: this.#path,
        place: place.part,
        file: part.file,
        // It has what its folder hands down, as the one that it replaces may have had.
        isExisting: replaced !== undefined,
        done: () => {
          this.#takeName(place, replaced);
          this.#folder.made(this.entry, stat);
          this.written.finishedAs(this.#path, stat);
        },
      });
    });
  }

  /** Lets go of the files; what was put together so far stays. */
  async close(): Promise<void> {
    await this.written.end();
    this.#closeExisting();
    this.#closePart();
  }

  /**
   * Its turn has come: what was found ahead must be what is in the folder, because the path that led there then may
   * have led through a link.
   */
  #begin(): EntryPlace {
    if (this.#place !== undefined) return this.#place;
    const place = this.#folder.placeOf(this.entry);
    this.#place = place;
    this.#onDisk(() => {
      if (this.#isUnseen) this.#look(place.path, place.part);
      if (this.#existing !== undefined && !isSame(this.#existing.stat, place.path)) throw appeared(this.#path);
      if (this.#part !== undefined && !isSame(this.#part.stat, place.part)) {
        this.#closePart();
        this.#inPart.clear();
      }
      // Its owner could read and change what is written to it.
      if (this.#isPartForeign) removePart(systemPath(place.part));
    });
    return place;
  }

  /** Finds what is there before its turn has come. The folders around it may not be as they will be then. */
  #lookAhead(): void {
    try {
      const { path, part } = this.#folder.placeAhead(this.entry);
      this.#look(path, part);
    } catch (error) {
      // A folder that cannot be entered yet, or something else in its place, or one that is too deep for a path: what
      // is refused is decided when the turn has come.
      if (refusalOf(error) === undefined) throw error;
      this.#closeExisting();
      this.#isUnseen = true;
    }
  }

  #look(path: string, partPath: string): void {
    const found = lstatSync(systemPath(path), { bigint: true, throwIfNoEntry: false });
    const mayReplace = this.#folder.overwrite;
    if (found?.isFile() === true) {
      // No byte of it need be read, or fetched.
      if (!mayReplace && found.size !== BigInt(this.entry.sizeBytes)) throw this.#inTheWay();
      this.#existing = openIfReadable(path);
      if (this.#existing === undefined && !mayReplace) throw this.#inTheWay();
      if (this.#existing === undefined) this.#replaced = found;
    } else if (found !== undefined) {
      if (found.isDirectory() || !mayReplace) throw this.#inTheWay(!found.isDirectory());
      this.#replaced = found;
    }
    this.#openPart(partPath);
  }

  async #rightBytes(
    file: OpenFile | undefined,
    { sizeBytes, isRight }: ExpectedPiece,
    offset: number,
  ): Promise<Uint8Array | undefined> {
    if (file === undefined || BigInt(offset + sizeBytes) > file.stat.size) return undefined;
    const bytes = new Uint8Array(sizeBytes);
    const length = this.#onDisk(() => readFully(file.file, bytes, offset));
    return length === sizeBytes && (await isRight(bytes)) ? bytes : undefined;
  }

  /** Whether the file that was found may only stay, if it is right. */
  get #isInTheWay(): boolean {
    return this.#existing !== undefined && this.#otherName === undefined && !this.#folder.overwrite;
  }

  #inTheWay(replaceable = true): InTheWayError {
    return new InTheWayError(this.#path, "the same file", replaceable);
  }

  /** The part of an earlier attempt. */
  #openPart(path: string): void {
    try {
      const part = openRegular(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      if (isOwn(part)) {
        this.#part = part;
        return;
      }
      closeSync(part.file);
      this.#isPartForeign = true;
    } catch (error) {
      const code = systemErrorCode(error) ?? "";
      // A link, a socket, and what this user may not open. A folder is not removed: it costs this entry.
      if (["ELOOP", "ENXIO", "EACCES", "EPERM"].includes(code)) this.#isPartForeign = true;
      else if (code !== "ENOENT") throw error;
    }
  }

  /** Whether the entry is a further name of a file that was restored under another one. */
  async #findOtherName(): Promise<void> {
    const group = this.entry.metadata?.linkGroup;
    if (group === undefined) return;
    // The file may wait for its metadata, and has no name until then.
    await this.#folder.metadata.flush();
    const named = this.#folder.groupName(group);
    if (named === undefined) return;
    const other = openIfThere(this.#folder.nowAt(named));
    if (other === undefined) return;
    const isAnother = other.stat.ino !== named.stat.ino || other.stat.dev !== named.stat.dev;
    const isLinked = this.#existing?.stat.ino === other.stat.ino;
    if (isAnother || isLinked || (this.#existing !== undefined && !this.#folder.overwrite)) {
      closeSync(other.file);
      return;
    }
    this.#replaced = this.#existing?.stat ?? this.#replaced;
    this.#closeExisting();
    this.#existing = other;
    this.#otherName = named;
  }

  /** @returns false where the file system has no hard links, and when the other name is by now of another file */
  #linkTo(place: EntryPlace, otherName: Pick<RegularFileEntry, "path">): boolean {
    const existing = this.#existing;
    if (existing === undefined) return false;
    removePart(systemPath(place.part));
    try {
      linkSync(systemPath(this.#folder.nowAt(otherName)), systemPath(place.part));
    } catch (error) {
      if (isWithoutLinks(error)) return false;
      throw error;
    }
    if (!isSame(existing.stat, place.part)) {
      removePart(systemPath(place.part));
      return false;
    }
    this.#takeName(place, this.#replaced);
    this.#folder.made(this.entry, existing.stat);
    this.written.finishedAs(this.#path, existing.stat);
    return true;
  }

  /** The file that was found is the wanted one. Its metadata are the user's, unless they may be overwritten. */
  async #keepExisting(): Promise<void> {
    const existing = this.#existing;
    if (existing === undefined) return;
    const place = this.#begin();
    this.#folder.made(this.entry, existing.stat);
    this.written.finishedAs(this.#path, existing.stat);
    if (this.#part !== undefined) removePart(systemPath(place.part));
    const { entry } = this;
    if (this.#folder.overwrite && entry.metadata !== undefined) {
      this.#existing = undefined;
      const { file } = existing;
      const done = () => undefined;
      const finishing = { entry, path: this.#path, place: place.path, file, isExisting: true, done };
      await this.#folder.metadata.finish(finishing);
    }
    await this.close();
  }

  #takeName(place: EntryPlace, replaced: BigIntStats | undefined): void {
    const part = systemPath(place.part);
    const path = systemPath(place.path);
    try {
      if (replaced === undefined) nameNew(part, path);
      else {
        this.#folder.requireNotMade(this.entry, replaced);
        if (!nameOver(part, path, replaced)) throw appeared(this.#path);
      }
    } catch (error) {
      const typed = asEntryError(error, this.#path);
      // Another attempt would be refused as well.
      if (typed instanceof RefusedError) removePart(part);
      const code = systemErrorCode(error);
      // ENOENT: another restore of the same data set named the part, and so took the name.
      throw replaced === undefined && (code === "EEXIST" || code === "ENOENT") ? appeared(this.#path) : typed;
    }
  }

  #existingHas(bytes: Uint8Array): boolean {
    const found = new Uint8Array(bytes.length);
    const { file = -1 } = this.#existing ?? {};
    return (
      this.#onDisk(() => readFully(file, found, this.#offset)) === found.length && Buffer.compare(found, bytes) === 0
    );
  }

  /** The part file, holding everything before the current offset. */
  #startPart(): OpenFile {
    if (this.#diverged && this.#part !== undefined) return this.#part;
    if (this.#isInTheWay) throw this.#inTheWay();
    this.#diverged = true;
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const part = this.#part ?? openRegular(this.#begin().part, flags, NEW_FILE_MODE);
    if (!isOwn(part)) {
      closeSync(part.file);
      throw appeared(this.#folder.partPathOf(this.entry));
    }
    this.#part = part;
    if (this.#existing !== undefined) {
      const buffer = new Uint8Array(COPY_BYTES);
      for (let offset = 0; offset < this.#offset; ) {
        const wanted = buffer.subarray(0, Math.min(buffer.length, this.#offset - offset));
        const length = readFully(this.#existing.file, wanted, offset);
        // It was longer when these bytes were compared. What is there now is not what was put.
        if (length === 0) throw appeared(this.#path);
        for (const run of this.#runs(part, wanted.subarray(0, length), offset))
          writeFully(part.file, run.bytes, run.at);
        offset += length;
      }
    }
    return part;
  }

  async #writeToPart(part: OpenFile, bytes: Uint8Array): Promise<void> {
    for (const { bytes: run, at } of this.#runs(part, bytes, this.#offset)) {
      if (run.length < THREADED_BYTES) this.#onDisk(() => writeFully(part.file, run, at));
      else await this.#folder.asEntry(this.#path, () => writeOnThread(part.file, run, at));
    }
  }

  /** What is to be written: of a file with holes, what is not zero. Old bytes of a part are overwritten with zeros. */
  *#runs(part: OpenFile, bytes: Uint8Array, offset: number): Generator<{ bytes: Uint8Array; at: number }> {
    if (this.entry.metadata?.sparse !== true || BigInt(offset) < part.stat.size) {
      yield { bytes, at: offset };
      return;
    }
    let start = 0;
    // A block that two pieces share is looked at in two parts.
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(at + HOLE_BYTES - ((offset + at) % HOLE_BYTES), bytes.length);
      if (Buffer.compare(bytes.subarray(at, end), ZEROS.subarray(0, end - at)) === 0) {
        if (at > start) yield { bytes: bytes.subarray(start, at), at: offset + start };
        start = end;
      }
      at = end;
    }
    if (start < bytes.length) yield { bytes: bytes.subarray(start), at: offset + start };
  }

  #closeExisting(): void {
    if (this.#existing !== undefined) closeSync(this.#existing.file);
    this.#existing = undefined;
  }

  #closePart(): void {
    if (this.#part !== undefined) closeSync(this.#part.file);
    this.#part = undefined;
  }

  #onDisk<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      throw asEntryError(error, this.#path, `${this.#path} (in ${dirname(this.#path)})`);
    }
  }
}

function readWithoutFollowing(): number {
  return constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
}

function openRegular(path: string, flags: number, mode?: number): OpenFile {
  const file = openSync(systemPath(path), flags, mode);
  return { file, stat: fstatSync(file, { bigint: true }) };
}

/** @returns undefined for a file that this user may not read */
function openIfReadable(path: string): OpenFile | undefined {
  try {
    return openRegular(path, readWithoutFollowing());
  } catch (error) {
    if (["EACCES", "EPERM"].includes(systemErrorCode(error) ?? "")) return undefined;
    throw error;
  }
}

/** @returns undefined also for what is gone, or is out of reach by its path */
function openIfThere(path: string): OpenFile | undefined {
  try {
    return openRegular(path, readWithoutFollowing());
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT" || refusalOf(error) !== undefined) return undefined;
    throw error;
  }
}

/** Whether nobody else owns the file or has another name for it. */
function isOwn({ stat }: OpenFile): boolean {
  const isOwner = process.geteuid === undefined || stat.uid === BigInt(process.geteuid());
  return stat.isFile() && isOwner && stat.nlink === 1n;
}

/** Whether what is at a place, not followed, is the file. */
function isSame({ dev, ino }: BigIntStats, place: string): boolean {
  const found = lstatSync(systemPath(place), { bigint: true, throwIfNoEntry: false });
  return found !== undefined && found.dev === dev && found.ino === ino;
}
