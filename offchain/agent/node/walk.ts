/**
 * What is under the paths a user names: files, folders and symbolic links with their metadata, in path order, as a
 * stream. Links are entries of their own and never followed. Names are bytes to the file system and need not be
 * Unicode; see core/recipe/path-name.ts for their form as strings. What cannot be stored is left out with a remark,
 * so that a socket or an unreadable folder does not keep the rest from being stored.
 */
import { type BigIntStats, lstatSync, readdirSync, readlinkSync, type StatSyncOptions } from "node:fs";
import { InvalidInputError } from "../../core/errors.ts";
import { pathFromBytes } from "../../core/recipe/path-name.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import type { SourceRemark } from "../platform.ts";
import { CACHE_TAG, Exclusions, IGNORE_FILE, isCacheTag, readPatterns } from "./exclusions.ts";
import { fileUnreadable } from "./file-errors.ts";
import { storedTime } from "./file-times.ts";
import type { OwnerNames } from "./owner-names.ts";
import { isPartName } from "./part-name.ts";
import { nameFromLatin1, systemPath } from "./system-path.ts";
import type { WalkRoot } from "./walk-roots.ts";

/** Bits of `st_mode` that are kept: permissions, set-id and sticky. */
const MODE_BITS = 0o7777n;
/** Times are signed 64-bit nanoseconds: the years 1677 to 2262. */
const TIME_LIMIT_NANOS = 1n << 63n;
/** Unit of `st_blocks`. */
const BLOCK_BYTES = 512n;
const LSTAT: StatSyncOptions & { bigint: true } = { bigint: true, throwIfNoEntry: false };

export type EntryType = "file" | "directory" | "symlink";

/** What tells a file from one put in its place, and from itself at another time. */
export interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly mtimeNanos: bigint;
  readonly ctimeNanos: bigint;
}

export interface WalkedEntry {
  /** Below the named paths, `/` separated, starting with the name of the root. */
  readonly path: string;
  /** String form of core/recipe/path-name.ts: `systemPath` makes it what the file system takes. */
  readonly absolutePath: string;
  readonly type: EntryType;
  /** 0 for folders and links. */
  readonly sizeBytes: number;
  /** Where a link points. */
  readonly target?: string;
  readonly identity: FileIdentity;
  readonly metadata: EntryMetadata;
}

export interface WalkOptions {
  /** Patterns in gitignore syntax, relative to the top of the put. */
  readonly exclude?: readonly string[];
  /** Of folders with a valid CACHEDIR.TAG, keep the folder and the tag only. */
  readonly excludeCaches?: boolean;
  /** Of folders on another file system than the root, keep the folder only. */
  readonly oneFileSystem?: boolean;
  /** A folder that is left out wherever it is found, by device and inode. */
  readonly home?: { readonly device: bigint; readonly inode: bigint } | undefined;
  readonly names?: OwnerNames;
  readonly links?: LinkGroups;
  readonly remark?: (remark: SourceRemark) => void;
}

/** Numbers the files that have several names. Memory: one record per file whose other names have not been met. */
export class LinkGroups {
  readonly #open = new Map<string, { readonly group: number; names: bigint }>();
  #last = 0;

  /** The number of the file's group. */
  of(stat: BigIntStats): number {
    const key = `${stat.dev}:${stat.ino}`;
    const found = this.#open.get(key) ?? { group: ++this.#last, names: stat.nlink };
    found.names -= 1n;
    if (found.names > 0n) this.#open.set(key, found);
    else this.#open.delete(key);
    return found.group;
  }
}

/** A folder on the way down, with the names in it that are still to be visited. */
interface Level {
  readonly path: string;
  readonly absolutePath: string;
  /** One character per byte, in reverse order. */
  readonly names: string[];
  readonly exclusions: Exclusions;
}

/**
 * Yields a root and the entries below it, each folder before what is in it, names in byte order. Reads synchronously,
 * because a call on a thread costs several times what `lstat` itself does: take entries in batches. Memory: the names
 * of the folders on the way down, their length and about 40 bytes each: some 70 MB for a folder of a million names.
 *
 * @throws FileUnreadableError when the root is not there; InvalidInputError when it is no file, folder or link
 */
export function* walk(root: WalkRoot, options: WalkOptions = {}): Generator<WalkedEntry, void, undefined> {
  yield* new Walk(root, options).entries();
}

class Walk {
  readonly #root: WalkRoot;
  readonly #options: WalkOptions;
  readonly #exclusions: Exclusions;

  constructor(root: WalkRoot, options: WalkOptions) {
    this.#root = root;
    this.#options = options;
    this.#exclusions = Exclusions.ofOptions(options.exclude ?? []);
  }

  *entries(): Generator<WalkedEntry, void, undefined> {
    const { path: absolutePath, name, given } = this.#root;
    const stat = lstatSync(systemPath(absolutePath), LSTAT);
    if (stat === undefined) throw fileUnreadable(given, noEntry());
    const type = typeOf(stat);
    if (type === undefined) throw notStorable(given);
    if (this.#isHome(stat)) throw isHome(given);
    if (this.#exclusions.excludes(name, type === "directory")) {
      this.#remark("excluded", absolutePath, "excluded by a pattern");
      return;
    }
    if (type === "symlink") this.#remark("link", absolutePath, "stored as a link; add a slash to store where it leads");
    const rootEntry = this.#entry(name, absolutePath, type, stat);
    if (rootEntry === undefined) return;
    yield rootEntry;
    if (type !== "directory") return;
    const levels: Level[] = [];
    this.#descend(levels, rootEntry, this.#exclusions);
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const next = level.names.pop();
      if (next === undefined) {
        levels.pop();
        continue;
      }
      const entry = this.#visit(level, nameFromLatin1(next), stat.dev);
      if (entry === undefined) continue;
      yield entry;
      if (entry.type === "directory" && !this.#isElsewhere(entry, stat.dev))
        this.#descend(levels, entry, level.exclusions);
    }
  }

  /** The entry of a name; undefined when it is left out. */
  #visit(level: Level, name: string, _device: bigint): WalkedEntry | undefined {
    const path = `${level.path}/${name}`;
    const absolutePath = `${level.absolutePath}/${name}`;
    let stat: BigIntStats | undefined;
    try {
      stat = lstatSync(systemPath(absolutePath), LSTAT);
    } catch (cause) {
      this.#unreadable(absolutePath, cause);
    }
    // Gone since the folder was listed: as if the walk had come a moment later.
    if (stat === undefined) return undefined;
    const type = typeOf(stat);
    if (level.exclusions.excludes(path, type === "directory")) {
      this.#remark("excluded", absolutePath, "excluded by a pattern");
    } else if (type === undefined) {
      this.#remark("special", absolutePath, "a device, a socket or a pipe, which cannot be stored");
    } else if (type !== "directory" && isPartName(name)) {
      this.#remark("part", absolutePath, "left behind by a restore that did not end; the same `get` goes on with it");
    } else if (this.#isHome(stat)) {
      this.#remark("home", absolutePath, "the home folder of this command, which changes with every put");
    } else {
      return this.#entry(path, absolutePath, type, stat);
    }
    return undefined;
  }

  #entry(path: string, absolutePath: string, type: EntryType, stat: BigIntStats): WalkedEntry | undefined {
    const identity = { device: stat.dev, inode: stat.ino, mtimeNanos: stat.mtimeNs, ctimeNanos: stat.ctimeNs };
    const common = { path, absolutePath, identity, metadata: this.#metadata(absolutePath, type, stat) };
    if (type === "file") return { ...common, type, sizeBytes: Number(stat.size) };
    if (type === "directory") return { ...common, type, sizeBytes: 0 };
    try {
      const target = pathFromBytes(readlinkSync(systemPath(absolutePath), { encoding: "buffer" }));
      return { ...common, type, sizeBytes: 0, target };
    } catch (cause) {
      this.#unreadable(absolutePath, cause);
      return undefined;
    }
  }

  #metadata(absolutePath: string, type: EntryType, stat: BigIntStats): EntryMetadata {
    const { names, links } = this.#options;
    const mode = permissionsOf(stat);
    const mtimeNanos = this.#storableTime(absolutePath, stat.mtimeNs);
    if (names === undefined) return { mode, mtimeNanos };
    const uid = Number(stat.uid);
    const gid = Number(stat.gid);
    const user = names.user(uid);
    const group = names.group(gid);
    return {
      mode,
      mtimeNanos,
      uid,
      gid,
      ...(user === undefined ? {} : { user }),
      ...(group === undefined ? {} : { group }),
      ...(links !== undefined && type !== "directory" && stat.nlink > 1n ? { linkGroup: links.of(stat) } : {}),
      ...(type === "file" && stat.blocks * BLOCK_BYTES < stat.size ? { sparse: true } : {}),
    };
  }

  #storableTime(absolutePath: string, nanos: bigint): bigint {
    const time = storableTime(nanos);
    if (time !== undefined) return time;
    this.#remark("time", absolutePath, "modified in a year that cannot be stored (1678 to 2261 can): its time is lost");
    return 0n;
  }

  /** Lists a folder and makes it the innermost level. */
  #descend(levels: Level[], { path, absolutePath }: WalkedEntry, exclusions: Exclusions): void {
    let names: string[];
    try {
      names = readdirSync(systemPath(absolutePath), { encoding: "latin1" });
    } catch (cause) {
      this.#unreadable(absolutePath, cause);
      return;
    }
    if (this.#options.excludeCaches === true && names.includes(CACHE_TAG) && this.#isCache(absolutePath)) {
      this.#remark("cache", absolutePath, "marked as a cache by its CACHEDIR.TAG");
      names = [CACHE_TAG];
    }
    // Compares code units, and each is one byte.
    names.sort().reverse();
    const patterns = names.includes(IGNORE_FILE) ? this.#patternsIn(absolutePath) : undefined;
    levels.push({
      path,
      absolutePath,
      names,
      exclusions: exclusions.inFolder(path, patterns),
    });
  }

  #isCache(folder: string): boolean {
    try {
      return isCacheTag(`${folder}/${CACHE_TAG}`);
    } catch {
      // Not to be read as a tag; the walk will meet the file and report it.
      return false;
    }
  }

  #patternsIn(folder: string): string | undefined {
    const path = `${folder}/${IGNORE_FILE}`;
    try {
      return readPatterns(path);
    } catch (cause) {
      this.#unreadable(path, cause);
      return undefined;
    }
  }

  #isElsewhere({ absolutePath, identity }: WalkedEntry, device: bigint): boolean {
    if (this.#options.oneFileSystem !== true || identity.device === device) return false;
    this.#remark("other-file-system", absolutePath, "on another file system; the folder itself is stored");
    return true;
  }

  #isHome(stat: BigIntStats): boolean {
    const { home } = this.#options;
    return home !== undefined && stat.ino === home.inode && stat.dev === home.device;
  }

  #unreadable(absolutePath: string, cause: unknown): void {
    const error = fileUnreadable(absolutePath, cause);
    this.#options.remark?.({ kind: "unreadable", path: absolutePath, reason: error.reason, error });
  }

  #remark(kind: SourceRemark["kind"], path: string, reason: string): void {
    this.#options.remark?.({ kind, path, reason });
  }
}

/** @returns undefined for a time that entries cannot hold */
function storableTime(nanos: bigint): bigint | undefined {
  const time = storedTime(nanos);
  return time < TIME_LIMIT_NANOS && time >= -TIME_LIMIT_NANOS ? time : undefined;
}

function permissionsOf(stat: BigIntStats): number {
  return Number(stat.mode & MODE_BITS);
}

/** Whether a file has changed between the walk and its opening. */
export function isChangedSince({ identity }: WalkedEntry, opened: BigIntStats): boolean {
  return opened.mtimeNs !== identity.mtimeNanos || opened.ctimeNs !== identity.ctimeNanos;
}

/** The metadata that belongs to the content of the open file: its time and permissions are those of its opening. */
export function metadataAtOpening(metadata: EntryMetadata, opened: BigIntStats): EntryMetadata {
  return { ...metadata, mode: permissionsOf(opened), mtimeNanos: storableTime(opened.mtimeNs) ?? 0n };
}

function typeOf(stat: BigIntStats): EntryType | undefined {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "directory";
  return stat.isSymbolicLink() ? "symlink" : undefined;
}

function noEntry(): Error {
  return Object.assign(new Error("no such file or directory"), { code: "ENOENT", syscall: "lstat" });
}

function notStorable(path: string): InvalidInputError {
  return new InvalidInputError(`${path} is neither a file, a folder nor a symbolic link`, {
    party: "you",
    check: "file type",
    hint: "devices, sockets and pipes cannot be stored; leave it out",
    details: { path },
  });
}

function isHome(path: string): InvalidInputError {
  return new InvalidInputError(`${path} is the home folder of this command, which changes with every put`, {
    party: "you",
    check: "paths",
    hint: "keep the recovery phrase instead; `tallystick recover` makes a new home folder from it",
    details: { path },
  });
}
