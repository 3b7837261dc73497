/**
 * The folder a put is restored into. Folders and links are made here; nothing is ever written through a link or outside
 * the folder: paths were checked when the listing was decoded, every folder on the way is an entry that this class has
 * made or found to be a real folder, and files are opened without following links.
 */

import { chmod, lstat, lutimes, mkdir, readlink, realpath, rename, rm, symlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { sha256 } from "#primitives";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { isBelow, pathFromBytes, pathToBytes } from "../../core/recipe/path-name.ts";
import type { DirectoryEntry, FileEntry, SymlinkEntry } from "../../core/recipe/recipe.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { makeFolders } from "../../store/disk/make-folders.ts";
import type { RestoreEntry } from "../platform.ts";
import { timeArgument } from "./file-times.ts";
import { systemPath } from "./system-path.ts";

/** Mode of a folder without metadata. */
const FOLDER_MODE = 0o755;
/** Folders are writable for their owner until everything in them is there. */
const WORKING_MODE = 0o700;

export class TargetFolder {
  readonly #root: string;
  readonly #dataId: string;
  readonly #overwrite: boolean;
  /** Folders around the current entry, outermost first; their modes and times are set when they are left. */
  readonly #open: RestoreEntry<DirectoryEntry>[] = [];

  private constructor(root: string, dataId: string, overwrite: boolean) {
    this.#root = root;
    this.#dataId = dataId;
    this.#overwrite = overwrite;
  }

  /** Makes the folder if need be. @throws DiskFailedError, DiskFullError */
  static async open(folder: string, dataId: string, overwrite: boolean): Promise<TargetFolder> {
    try {
      makeFolders(folder);
      return new TargetFolder(await realpath(folder), dataId, overwrite);
    } catch (error) {
      throw asDiskError(error, `folder ${folder}`);
    }
  }

  /** Whether what is in the way may be replaced. */
  get overwrite(): boolean {
    return this.#overwrite;
  }

  /** Absolute path of an entry, in the string form of paths. */
  pathOf(entry: FileEntry): string {
    return join(this.#root, entry.path);
  }

  /**
   * Where a file is put together before it takes its name: the same place at every attempt, so that a run can go on.
   */
  partPathOf(entry: FileEntry): string {
    const name = toHex(sha256(Buffer.concat([pathToBytes(this.#dataId), pathToBytes(entry.path)]))).slice(2, 26);
    return join(this.pathOf(entry), "..", `.tallystick-${name}.part`);
  }

  /** Finishes the folders that do not hold the next entry. Call before anything is done about it. */
  async leaveFoldersBefore(entry: FileEntry): Promise<void> {
    const path = pathToBytes(entry.path);
    for (
      let last = this.#open.at(-1);
      last !== undefined && !isBelow(path, pathToBytes(last.path));
      last = this.#open.at(-1)
    ) {
      await this.#leave(last);
      this.#open.pop();
    }
  }

  /** Finishes all folders. Call after the last entry. */
  async leaveAll(): Promise<void> {
    for (let last = this.#open.pop(); last !== undefined; last = this.#open.pop()) await this.#leave(last);
  }

  /** @throws TallystickError CONFLICT when something else than a folder is in the way */
  async makeFolder(entry: RestoreEntry<DirectoryEntry>): Promise<void> {
    const path = this.pathOf(entry);
    await this.#onDisk(path, async () => {
      try {
        await mkdir(systemPath(path), { mode: WORKING_MODE });
      } catch (error) {
        if (systemErrorCode(error) !== "EEXIST") throw error;
        if (!(await lstat(systemPath(path))).isDirectory()) throw inTheWay(path, "a folder", false);
        await chmod(systemPath(path), WORKING_MODE);
      }
    });
    this.#open.push(entry);
  }

  /** @throws TallystickError CONFLICT when something else is in the way and may not be replaced */
  async makeLink(entry: RestoreEntry<SymlinkEntry>): Promise<void> {
    const path = this.pathOf(entry);
    const part = systemPath(this.partPathOf(entry));
    await this.#onDisk(path, async () => {
      const found = await this.kindAt(path);
      if (
        found === "link" &&
        entry.target === pathFromBytes(await readlink(systemPath(path), { encoding: "buffer" }))
      ) {
        await setLinkTime(systemPath(path), entry.metadata);
        return;
      }
      if (found !== "nothing" && (found === "folder" || !this.#overwrite))
        throw inTheWay(path, "a link", found !== "folder");
      await rm(part, { force: true });
      await symlink(systemPath(entry.target), part);
      await setLinkTime(part, entry.metadata);
      await rename(part, systemPath(path));
    });
  }

  /** What is at a path, links not followed. */
  async kindAt(path: string): Promise<"nothing" | "file" | "folder" | "link" | "other"> {
    try {
      const stat = await lstat(systemPath(path));
      return stat.isFile() ? "file" : stat.isDirectory() ? "folder" : stat.isSymbolicLink() ? "link" : "other";
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") return "nothing";
      throw asDiskError(error, path);
    }
  }

  async #leave({ path: name, metadata }: RestoreEntry<DirectoryEntry>): Promise<void> {
    const path = join(this.#root, name);
    await this.#onDisk(path, async () => {
      if (metadata !== undefined) {
        const time = timeArgument(metadata.mtimeNanos);
        await utimes(systemPath(path), time, time);
      }
      await chmod(systemPath(path), metadata?.mode ?? FOLDER_MODE);
    });
  }

  async #onDisk(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw error instanceof TallystickError ? error : asDiskError(error, path);
    }
  }
}

async function setLinkTime(path: Buffer, metadata: EntryMetadata | undefined): Promise<void> {
  if (metadata === undefined) return;
  const time = timeArgument(metadata.mtimeNanos);
  await lutimes(path, time, time);
}

/** Something is where an entry belongs, and may not be replaced. */
export function inTheWay(path: string, wanted: string, replaceable: boolean): TallystickError {
  return new TallystickError(`${path} exists and is something else than what is to be restored`, {
    code: "CONFLICT",
    party: "you",
    check: "existing file",
    expected: `${wanted}, or nothing`,
    hint: replaceable ? "restore into an empty folder, or allow overwriting" : "restore into an empty folder",
    details: { path },
  });
}

/** @throws InvalidInputError for no folder */
export function requireFolder(folder: string): string {
  if (folder === "") throw new InvalidInputError("no folder to restore into", { party: "you", check: "output folder" });
  return folder;
}
