/**
 * What is under the paths a user names: files, folders and symbolic links with mode and modification time, in path
 * order, as a stream. Links are entries of their own and never followed. Names are bytes to the file system and need
 * not be Unicode; see core/recipe/path-name.ts for their form as strings. Whatever cannot be stored faithfully (a
 * device, a socket) is an error: a backup that silently leaves things out is none.
 */
import { lstat, readdir, readlink } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { InvalidInputError } from "../../core/errors.ts";
import { pathFromBytes, pathToBytes } from "../../core/recipe/path-name.ts";
import { fileUnreadable } from "./file-errors.ts";

/** Bits of `st_mode` that are kept: permissions, set-id and sticky. */
const MODE_BITS = 0o7777n;
/** Recipes hold times as signed 64-bit nanoseconds: the years 1677 to 2262. */
const TIME_LIMIT_NANOS = 1n << 63n;

export type EntryType = "file" | "directory" | "symlink";

export interface WalkedEntry {
  /** Below the named paths, `/` separated, starting with the base name of the named path. */
  readonly path: string;
  /** String form of core/recipe/path-name.ts: `systemPath` makes it what the file system takes. */
  readonly absolutePath: string;
  readonly type: EntryType;
  readonly mode: number;
  readonly mtimeNanos: bigint;
  /** 0 for folders and links. */
  readonly sizeBytes: number;
  /** Where a link points. */
  readonly target?: string;
  /** What tells this very file from one put in its place. */
  readonly device: bigint;
  readonly inode: bigint;
}

/** A named path and the name it is stored under. */
export interface WalkRoot {
  /** Absolute. */
  readonly path: string;
  readonly name: string;
}

/**
 * @param paths files, folders or links, in any order.
 * @throws InvalidInputError for an empty path, or one without a base name
 */
export function walkRoots(paths: readonly string[]): WalkRoot[] {
  // It would resolve to the working directory: an unset variable of a script, not a wish to store everything here.
  if (paths.includes("")) throw new InvalidInputError("a path is empty", { party: "you", check: "paths" });
  return paths.map((given) => {
    const path = resolve(given);
    const name = basename(path);
    if (name !== "") return { path, name };
    throw new InvalidInputError("the root folder has no name to store it under", {
      party: "you",
      check: "paths",
      hint: "name the folders in it",
    });
  });
}

/**
 * Streams a root and the entries below it, each folder before what is in it, names in byte order. Memory: the
 * names of the folders on the way down.
 *
 * @throws InvalidInputError for a file of another kind.
 * @throws FileUnreadableError for what cannot be listed or read.
 */
export function walk(root: WalkRoot): AsyncGenerator<WalkedEntry, void, undefined> {
  return walkEntry(root.path, root.name);
}

/** A path as the file system takes it: the very bytes of the names. */
export function systemPath(path: string): Buffer {
  return Buffer.from(pathToBytes(path));
}

async function* walkEntry(absolutePath: string, path: string): AsyncGenerator<WalkedEntry, void, undefined> {
  const onDisk = systemPath(absolutePath);
  const stat = await reading(absolutePath, () => lstat(onDisk, { bigint: true }));
  if (stat.mtimeNs >= TIME_LIMIT_NANOS || stat.mtimeNs < -TIME_LIMIT_NANOS) throw timeOutOfRange(absolutePath);
  const common = {
    path,
    absolutePath,
    mode: Number(stat.mode & MODE_BITS),
    mtimeNanos: stat.mtimeNs,
    device: stat.dev,
    inode: stat.ino,
  };
  if (stat.isFile()) {
    yield { ...common, type: "file", sizeBytes: Number(stat.size) };
  } else if (stat.isSymbolicLink()) {
    const target = await reading(absolutePath, () => readlink(onDisk, { encoding: "buffer" }));
    yield { ...common, type: "symlink", sizeBytes: 0, target: pathFromBytes(target) };
  } else if (stat.isDirectory()) {
    yield { ...common, type: "directory", sizeBytes: 0 };
    const names = await reading(absolutePath, () => readdir(onDisk, { encoding: "buffer" }));
    names.sort(Buffer.compare);
    for (const bytes of names) {
      const name = pathFromBytes(bytes);
      yield* walkEntry(join(absolutePath, name), `${path}/${name}`);
    }
  } else {
    throw new InvalidInputError(`${absolutePath} is neither a file, a folder nor a symbolic link`, {
      party: "you",
      check: "file type",
      hint: "devices, sockets and pipes cannot be stored; leave it out",
      details: { path: absolutePath },
    });
  }
}

function timeOutOfRange(path: string): InvalidInputError {
  return new InvalidInputError(`${path} was modified in a year that cannot be stored`, {
    party: "you",
    check: "modification time",
    expected: "1678 to 2261",
    hint: "its time is probably wrong: `touch` it",
    details: { path },
  });
}

async function reading<Value>(path: string, read: () => Promise<Value>): Promise<Value> {
  try {
    return await read();
  } catch (cause) {
    throw fileUnreadable(path, cause);
  }
}
