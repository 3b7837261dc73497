/**
 * The folder a put is restored into. Folders and links are made here; nothing is ever written through a link or outside
 * the folder: paths were checked when the listing was decoded, every folder on the way is an entry that this class has
 * made or found to be a real folder, and files are opened without following links.
 *
 * Folders are held open while something is restored into them (held-folder.ts), so that this is also true when somebody
 * replaces one by a link meanwhile, and paths are short, however deep the folder. What is read ahead of its turn is
 * found from the innermost of its folders that is open then; it is compared with what is in the folder before anything
 * is done to it.
 */

import {
  type BigIntStats,
  chmodSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  realpathSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { basename, join, resolve } from "node:path";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { isBelow, pathFromBytes, pathToBytes } from "../../core/recipe/path-name.ts";
import type { DirectoryEntry, FileEntry, SymlinkEntry } from "../../core/recipe/recipe.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import type { RestoreEntry, TargetOptions, TargetRemark } from "../platform.ts";
import { InTheWayError } from "../read/obstacles.ts";
import { HeldFolder } from "./held-folder.ts";
import { MetadataWriter } from "./metadata-writer.ts";
import { nameNew, nameOver, removePart } from "./naming.ts";
import { partNameOf } from "./part-name.ts";
import { asEntryError, refusalOf } from "./refusals.ts";
import { systemPath } from "./system-path.ts";

/**
 * Mode of a folder that is not complete: writable for its owner only. The sticky bit, which nobody gives such a folder,
 * tells a later attempt that this one was made by a restore, so that its mode may be changed.
 */
const UNFINISHED_MODE = 0o1700;
/** What is needed to work in a folder. */
const WORKING_BITS = 0o700;
const MODE_BITS = 0o7777n;

/** A folder around the current entry. */
interface OpenFolder {
  readonly entry: RestoreEntry<DirectoryEntry>;
  readonly held: HeldFolder;
  /** Mode that it is given back, if it existed and was changed. */
  readonly modeBefore?: number;
  /** Whether it was there before this restore, and before earlier attempts at it. */
  readonly isExisting: boolean;
  /** Whether it gets its metadata when it is left. A folder that existed keeps its own, unless it is overwritten. */
  readonly isFinished: boolean;
}

/** Where an entry is for calls of the system, in the folder that is held open. */
export interface EntryPlace {
  readonly path: string;
  /** Where it is put together. */
  readonly part: string;
}

/** The first name of a file that has several. */
interface GroupName {
  /** Of the entry. */
  readonly path: string;
  readonly stat: BigIntStats;
}

export class TargetFolder {
  readonly metadata: MetadataWriter;
  readonly #root: string;
  readonly #rootHeld: HeldFolder;
  /** All that are to be closed in the end. */
  readonly #held: Set<HeldFolder>;
  readonly #dataId: string;
  readonly #overwrite: boolean;
  readonly #remark: (remark: TargetRemark) => void;
  /** Folders around the current entry, outermost first; their modes and times are set when they are left. */
  readonly #open: OpenFolder[] = [];
  /** Identities of what was restored, by folder. Memory: about 60 bytes per entry of the folders on the way down. */
  readonly #made = new Map<string, Map<string, string>>();
  /** First name of each file that has several. */
  readonly #groups = new Map<number, GroupName>();

  private constructor(root: string, held: HeldFolder, options: TargetOptions) {
    const { dataId, overwrite, remark = () => undefined } = options;
    this.#root = root;
    this.#rootHeld = held;
    this.#held = new Set([held]);
    this.#dataId = dataId;
    this.#overwrite = overwrite;
    this.#remark = remark;
    this.metadata = new MetadataWriter(options);
  }

  /** Makes the folder if need be. Call `abandon` in the end. @throws DiskFailedError, DiskFullError */
  static open(folder: string, options: TargetOptions): TargetFolder {
    try {
      makeFolders(resolve(folder));
      const root = pathFromBytes(realpathSync.native(systemPath(folder), { encoding: "buffer" }));
      const held = HeldFolder.open(root);
      if (held === undefined) throw appeared(root);
      return new TargetFolder(root, held, options);
    } catch (error) {
      throw asDiskError(error, `folder ${folder}`);
    }
  }

  /** Whether what is in the way may be replaced. */
  get overwrite(): boolean {
    return this.#overwrite;
  }

  /** Absolute path of an entry, in the string form of paths, to name it. It may be too long for calls of the system. */
  pathOf(entry: Pick<FileEntry, "path">): string {
    return join(this.#root, entry.path);
  }

  /** Where an entry is put together before it takes its name, for messages. */
  partPathOf(entry: FileEntry): string {
    return join(this.pathOf(entry), "..", this.#partNameOf(entry));
  }

  /** Where an entry is now, for calls of the system, whether or not its turn has come. For use at once. */
  nowAt({ path }: Pick<FileEntry, "path">): string {
    const around = this.#open.findLast(({ entry }) => path.startsWith(`${entry.path}/`));
    return around === undefined ? this.#rootHeld.at(path) : around.held.at(path.slice(around.entry.path.length + 1));
  }

  /** As `nowAt`, with the part. */
  placeAhead(entry: FileEntry): EntryPlace {
    const path = this.nowAt(entry);
    return { path, part: `${path.slice(0, path.lastIndexOf("/"))}/${this.#partNameOf(entry)}` };
  }

  /** Where the entry whose turn it is, is written. The place is good until the folder around it is left. */
  placeOf(entry: FileEntry): EntryPlace {
    const around = this.#open.at(-1);
    if ((around?.entry.path ?? "") !== parentOf(entry.path)) throw new Error(`${entry.path} is out of turn`);
    const folder = around?.held ?? this.#rootHeld;
    return { path: folder.at(basename(entry.path)), part: folder.at(this.#partNameOf(entry)) };
  }

  /** The first file of a link group; undefined before it has its name. */
  groupName(group: number): GroupName | undefined {
    return this.#groups.get(group);
  }

  /** Finishes the folders that do not hold the next entry. Call before anything is done about it. */
  async leaveFoldersBefore(entry: FileEntry): Promise<void> {
    const path = pathToBytes(entry.path);
    for (
      let last = this.#open.at(-1);
      last !== undefined && !isBelow(path, pathToBytes(last.entry.path));
      last = this.#open.at(-1)
    ) {
      await this.#leave(last);
      this.#open.pop();
    }
  }

  /** Finishes all folders. Call after the last entry. */
  async leaveAll(): Promise<void> {
    for (let last = this.#open.at(-1); last !== undefined; last = this.#open.at(-1)) {
      await this.#leave(last);
      this.#open.pop();
    }
    await this.#asDisk(this.#root, async () => {
      await this.metadata.flush();
      if (!this.#rootHeld.isAt(this.#root)) throw appeared(this.#root);
    });
  }

  /**
   * Lets go of the folders; after a failure, gives those that existed the modes they had. What was put together stays
   * for another attempt.
   */
  abandon(): void {
    this.metadata.abandon();
    for (const { held, modeBefore } of this.#open.reverse()) {
      if (modeBefore === undefined) continue;
      try {
        chmodSync(systemPath(held.path), modeBefore);
      } catch (error) {
        // The failure that led here is the one to report.
        if (systemErrorCode(error) === undefined) throw error;
      }
    }
    this.#open.length = 0;
    for (const held of this.#held) held.close();
    this.#held.clear();
  }

  /** @throws InTheWayError when something else than a folder is there; RefusedError */
  async makeFolder(entry: RestoreEntry<DirectoryEntry>): Promise<void> {
    const path = this.pathOf(entry);
    await this.asEntry(path, async () => {
      const place = this.placeOf(entry).path;
      const isNew = makeFolder(place);
      const held = HeldFolder.open(place);
      if (held === undefined) throw new InTheWayError(path, "a folder", false);
      this.#held.add(held);
      this.made(entry, held.stat);
      const mode = Number(held.stat.mode & MODE_BITS);
      const isOurs = isNew || mode === UNFINISHED_MODE;
      const mayChange = isOurs || this.#overwrite;
      const isFinished = isOurs || (this.#overwrite && entry.metadata !== undefined);
      const isChanged = mayChange && (mode & WORKING_BITS) !== WORKING_BITS && makeWorkable(held, mode);
      this.#open.push({ entry, held, isExisting: !isOurs, isFinished, ...(isChanged ? { modeBefore: mode } : {}) });
    });
  }

  /** @throws InTheWayError when something else is there and may not be replaced; RefusedError */
  async makeLink(entry: RestoreEntry<SymlinkEntry>): Promise<void> {
    const path = this.pathOf(entry);
    await this.asEntry(path, async () => {
      const place = this.placeOf(entry);
      const found = this.found(place.path);
      if (found?.isSymbolicLink() === true && targetOf(place.path) === entry.target) {
        this.made(entry, found);
        if (this.#overwrite) await this.#setLinkMetadata(entry, place.path, () => undefined);
        return;
      }
      if (found !== undefined && (found.isDirectory() || !this.#overwrite))
        throw new InTheWayError(path, "a link", !found.isDirectory());
      removePart(systemPath(place.part));
      symlinkSync(systemPath(entry.target), systemPath(place.part));
      await this.#setLinkMetadata(entry, place.part, () => this.#nameLink(entry, place, found));
    });
  }

  /** What is at a path, links not followed; undefined for nothing. */
  found(path: string): BigIntStats | undefined {
    try {
      return lstatSync(systemPath(path), { bigint: true, throwIfNoEntry: false });
    } catch (error) {
      throw asDiskError(error, path);
    }
  }

  /**
   * Notes that an entry has its place. Two entries that the file system takes for one (names that differ in case or
   * normalization only) end the restore, because the second would take the place of the first.
   *
   * @throws TallystickError CONFLICT
   */
  made(entry: RestoreEntry, stat: BigIntStats): void {
    const group = entry.type === "directory" ? undefined : entry.metadata?.linkGroup;
    if (group === undefined) this.requireNotMade(entry, stat);
    else if (!this.#groups.has(group)) this.#groups.set(group, { path: entry.path, stat });
    const folder = parentOf(entry.path);
    const inFolder = this.#made.get(folder) ?? new Map<string, string>();
    this.#made.set(folder, inFolder);
    inFolder.set(identityOf(stat), entry.path.slice(entry.path.lastIndexOf("/") + 1));
  }

  /** @throws TallystickError CONFLICT when another entry of this restore is there */
  requireNotMade(entry: FileEntry, stat: BigIntStats): void {
    const other = this.#made.get(parentOf(entry.path))?.get(identityOf(stat));
    if (other === undefined) return;
    throw new TallystickError(`${this.pathOf(entry)} is the same to this file system as ${other} beside it`, {
      code: "CONFLICT",
      party: "you",
      check: "names that differ in case or normalization",
      expected: "a file system that tells the two names apart",
      hint: "restore into a folder of another file system; what is there is left as it is",
      details: { path: this.pathOf(entry), other },
    });
  }

  /** Runs work on one entry, its errors as typed ones. */
  async asEntry(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw asEntryError(error, path);
    }
  }

  /** Runs work that concerns more than the current entry: no error is taken for one of it. */
  async #asDisk(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw error instanceof TallystickError ? error : asDiskError(error, path);
    }
  }

  async #setLinkMetadata(entry: RestoreEntry<SymlinkEntry>, place: string, done: () => void): Promise<void> {
    await this.metadata.finish({ entry, path: this.pathOf(entry), place, done });
  }

  #nameLink(entry: RestoreEntry<SymlinkEntry>, { path, part }: EntryPlace, replaced: BigIntStats | undefined): void {
    const full = this.pathOf(entry);
    try {
      if (replaced === undefined) nameNew(systemPath(part), systemPath(path));
      else {
        this.requireNotMade(entry, replaced);
        if (!nameOver(systemPath(part), systemPath(path), replaced)) throw appeared(full);
      }
    } catch (error) {
      removePart(systemPath(part));
      throw systemErrorCode(error) === "EEXIST" ? appeared(full) : asEntryError(error, full);
    }
    this.made(entry, lstatSync(systemPath(path), { bigint: true }));
  }

  #partNameOf(entry: FileEntry): string {
    return partNameOf(this.#dataId, entry.path);
  }

  /** @throws TallystickError CONFLICT when the folder is no longer where it was: what is at its path is not restored */
  async #leave(folder: OpenFolder): Promise<void> {
    const { entry, held, isExisting, isFinished, modeBefore } = folder;
    const path = this.pathOf(entry);
    this.#made.delete(entry.path);
    await this.#asDisk(path, async () => {
      // Looked at from the folder around it, which is looked at in its turn: the whole path may be too long.
      const around = this.#open[this.#open.indexOf(folder) - 1]?.held ?? this.#rootHeld;
      if (!held.isAt(around.at(basename(entry.path)))) throw appeared(path);
      const done = () => {
        held.close();
        this.#held.delete(held);
      };
      if (isFinished) {
        await this.metadata.finish({ entry, path, place: held.path, isExisting, done });
        return;
      }
      if (modeBefore !== undefined) {
        await this.metadata.flush();
        this.#giveBack(held, path, modeBefore);
      }
      // Entries that wait for their metadata are named in it.
      await this.metadata.after(done);
    });
  }

  #giveBack(held: HeldFolder, path: string, mode: number): void {
    try {
      chmodSync(systemPath(held.path), mode);
    } catch (error) {
      const reason = refusalOf(error);
      if (reason === undefined) throw error;
      this.#remark({ kind: "mode", path, reason: `its mode cannot be set: ${reason}` });
    }
  }
}

/** Something took the place of an entry while the restore ran. */
export function appeared(path: string): TallystickError {
  return new TallystickError(`${path} appeared or was replaced while the restore was running`, {
    code: "CONFLICT",
    party: "you",
    check: "existing file",
    expected: "what was there when the restore came to it",
    hint: "another program writes there, or the file system does not tell two names apart; nothing was replaced",
    details: { path },
  });
}

/** @throws InvalidInputError for no folder */
export function requireFolder(folder: string): string {
  if (folder === "") throw new InvalidInputError("no folder to restore into", { party: "you", check: "output folder" });
  return folder;
}

/** @returns false when something is there */
function makeFolder(path: string): boolean {
  try {
    mkdirSync(systemPath(path), { mode: UNFINISHED_MODE });
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "EEXIST") return false;
    throw error;
  }
}

/** @returns whether the folder has got what is needed to work in it. Some may be possible without */
function makeWorkable(held: HeldFolder, mode: number): boolean {
  try {
    chmodSync(systemPath(held.path), mode | WORKING_BITS);
    return true;
  } catch (error) {
    if (refusalOf(error) === undefined) throw error;
    return false;
  }
}

/** Makes a folder and those above it. Not by Node's recursive `mkdir`; see store/disk/make-folders.ts. */
function makeFolders(folder: string): void {
  const isFolder = () => statSync(systemPath(folder), { throwIfNoEntry: false })?.isDirectory() === true;
  if (isFolder()) return;
  const above = join(folder, "..");
  if (above !== folder) makeFolders(above);
  try {
    mkdirSync(systemPath(folder));
  } catch (error) {
    if (systemErrorCode(error) !== "EEXIST" || !isFolder()) throw error;
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}

function targetOf(path: string): string {
  return pathFromBytes(readlinkSync(systemPath(path), { encoding: "buffer" }));
}

/** An inode number alone names two things where two file systems meet. */
function identityOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}
