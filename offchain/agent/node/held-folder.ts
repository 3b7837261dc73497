/**
 * A folder that is held open, so that what is done in it is done in it: another process that may write to the folder
 * above can put a link in its place, and a path would lead through that link from then on.
 *
 * Node has no calls relative to an open folder (`openat` and the like). On Linux, the path of the descriptor below
 * /proc takes their place: it leads to the folder itself, wherever it is by now. Elsewhere, and where /proc is not
 * mounted, the path has to do, and the folder is only known to have been one when it was opened.
 */
import { type BigIntStats, closeSync, constants, fstatSync, lstatSync, openSync, statSync } from "node:fs";
import { systemErrorCode } from "../../store/disk/disk-errors.ts";
import { systemPath } from "./system-path.ts";

/** Of Linux, on all architectures that Node runs on. Not in Node's list. It needs no right to read the folder. */
const O_PATH = 0o10_000_000;

/** Whether descriptors have paths here. Asked once per process. */
let hasPaths: boolean | undefined;

export class HeldFolder {
  readonly stat: BigIntStats;
  /** Path of the folder for calls of this process that follow links. */
  readonly path: string;
  #file: number | undefined;

  private constructor(path: string, stat: BigIntStats, file: number | undefined) {
    this.path = path;
    this.stat = stat;
    this.#file = file;
  }

  /**
   * @param path in the string form of core/recipe/path-name.ts; its last name is not followed
   * @returns undefined for something else than a folder
   * @throws Error of the system
   */
  static open(path: string): HeldFolder | undefined {
    if (process.platform !== "linux" || hasPaths === false) return HeldFolder.#byPath(path);
    let file: number;
    try {
      file = openSync(systemPath(path), O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    } catch (error) {
      if (["ENOTDIR", "ELOOP"].includes(systemErrorCode(error) ?? "")) return undefined;
      throw error;
    }
    const stat = fstatSync(file, { bigint: true });
    hasPaths ??= leadsTo(pathOfDescriptor(file), stat);
    if (hasPaths) return new HeldFolder(pathOfDescriptor(file), stat, file);
    closeSync(file);
    return HeldFolder.#byPath(path);
  }

  static #byPath(path: string): HeldFolder | undefined {
    const found = lstatSync(systemPath(path), { bigint: true });
    return found.isDirectory() ? new HeldFolder(path, found, undefined) : undefined;
  }

  /** Path of an entry of the folder. */
  at(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Whether a path, its last name not followed, leads to this folder. */
  isAt(path: string): boolean {
    const found = lstatSync(systemPath(path), { bigint: true, throwIfNoEntry: false });
    return found !== undefined && found.dev === this.stat.dev && found.ino === this.stat.ino;
  }

  /** May be called twice. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

/** By number of the process instead of `self`, because commands that this process runs are given such paths as well. */
function pathOfDescriptor(file: number): string {
  return `/proc/${process.pid}/fd/${file}`;
}

function leadsTo(path: string, { dev, ino }: BigIntStats): boolean {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found !== undefined && found.dev === dev && found.ino === ino;
}
