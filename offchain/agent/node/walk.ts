/**
 * What is under the paths a user names: files, folders and symbolic links with mode and modification time, in path order, as a
 * stream. Links are entries of their own and never followed. Names are bytes to the file system and need not be Unicode; see
 * core/recipe/path-name.ts for their form as strings. Whatever cannot be stored faithfully (a device, a socket) is an error: a
 * backup that silently leaves things out is none.
 */
import { lstat, readdir, readlink } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { InvalidInputError } from "../../core/errors.ts";
import { comparePaths, pathFromBytes, pathToBytes } from "../../core/recipe/path-name.ts";
import { FileUnreadableError } from "./file-errors.ts";

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

export interface InputTotals {
  readonly entries: number;
  readonly bytes: number;
}

/**
 * Streams the entries under the paths, each folder before what is in it, names in byte order. Memory: the
 * names of the folders on the way down.
 *
 * @param paths files, folders or links; their base names must differ.
 * @throws InvalidInputError for no path, an empty one, equal base names, a file of another kind.
 * @throws FileUnreadableError for what cannot be listed or read.
 */
export async function* walk(paths: readonly string[]): AsyncGenerator<WalkedEntry, void, undefined> {
  // It would resolve to the working directory: an unset variable of a script, not a wish to store everything here.
  if (paths.includes("")) throw new InvalidInputError("a path is empty", { party: "you", check: "paths" });
  const roots = paths.map((path) => resolve(path)).map((path) => ({ path, name: basename(path) }));
  if (roots.length === 0) throw new InvalidInputError("no path given", { party: "you", check: "paths" });
  roots.sort((a, b) => comparePaths(pathToBytes(a.name), pathToBytes(b.name)));
  for (const [index, root] of roots.entries()) {
    if (root.name === "") {
      throw new InvalidInputError("the root folder has no name to store it under", {
        party: "you",
        check: "paths",
        hint: "name the folders in it",
      });
    }
    const previous = roots[index - 1];
    if (previous?.name === root.name) {
      throw new InvalidInputError(`two of the paths are named ${root.name}`, {
        party: "you",
        check: "paths",
        received: `${previous.path} and ${root.path}`,
        hint: "put them separately, or put the folder that holds both",
      });
    }
  }
  for (const root of roots) yield* walkEntry(root.path, root.name);
}

/** A first look: how much there is. @throws as `walk` */
export async function measure(paths: readonly string[], signal?: AbortSignal): Promise<InputTotals> {
  let entries = 0;
  let bytes = 0;
  for await (const entry of walk(paths)) {
    signal?.throwIfAborted();
    entries += 1;
    bytes += entry.sizeBytes;
  }
  return { entries, bytes };
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
    throw new FileUnreadableError(path, cause);
  }
}
