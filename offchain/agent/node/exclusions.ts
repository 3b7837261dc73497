/**
 * What a walk leaves out because the user wishes it: patterns in gitignore syntax, from options and from files named
 * `.tallystickignore`, and the content of folders that programs have marked as caches (https://bford.info/cachedir/).
 */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { pathFromBytes } from "../../core/recipe/path-name.ts";
import { IgnorePatterns } from "./ignore-patterns.ts";
import { systemPath } from "./system-path.ts";

export const IGNORE_FILE = ".tallystickignore";
export const CACHE_TAG = "CACHEDIR.TAG";

const CACHE_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55";
/** Nobody writes a longer list by hand. */
const MAXIMUM_PATTERN_BYTES = 1024 * 1024;

/** Patterns of one place, relative to one folder. */
class Patterns {
  /** Length of the path of the folder with its slash, within the put. */
  readonly #prefixLength: number;
  readonly #patterns: IgnorePatterns;

  constructor(patterns: string, folder: string) {
    this.#prefixLength = folder === "" ? 0 : folder.length + 1;
    this.#patterns = new IgnorePatterns(patterns);
  }

  /** @returns undefined when no pattern speaks of the path */
  excludes(path: string, isFolder: boolean): boolean | undefined {
    return this.#patterns.excludes(path.slice(this.#prefixLength), isFolder);
  }
}

/**
 * The patterns that hold in one folder. As in git, those of options come first, then those of the nearest folder. What
 * is in an excluded folder is not asked about, since the walk stays outside; where a nearer list has included a folder
 * again, each entry of it is asked about anew.
 */
export class Exclusions {
  readonly #options: Patterns | undefined;
  readonly #folders: readonly Patterns[];

  private constructor(options: Patterns | undefined, folders: readonly Patterns[]) {
    this.#options = options;
    this.#folders = folders;
  }

  /** @param patterns relative to the top of the put */
  static ofOptions(patterns: readonly string[]): Exclusions {
    return new Exclusions(patterns.length === 0 ? undefined : new Patterns(patterns.join("\n"), ""), []);
  }

  /**
   * What holds in a folder that is not excluded.
   * @param folder its path within the put @param patterns text of its ignore file, if it has one
   */
  inFolder(folder: string, patterns: string | undefined): Exclusions {
    if (patterns === undefined) return this;
    return new Exclusions(this.#options, [new Patterns(patterns, folder), ...this.#folders]);
  }

  /** @param path within the put */
  excludes(path: string, isFolder: boolean): boolean {
    const said = this.#options?.excludes(path, isFolder);
    if (said !== undefined) return said;
    for (const patterns of this.#folders) {
      const found = patterns.excludes(path, isFolder);
      if (found !== undefined) return found;
    }
    return false;
  }
}

/** Text of an ignore file. @throws Error of the system, or for one that is longer than any list of patterns */
export function readPatterns(path: string): string {
  const bytes = readStart(path, MAXIMUM_PATTERN_BYTES + 1);
  // Of a part of it, the last pattern could be one that excludes what nobody meant, and what is missing may be needed.
  if (bytes.length > MAXIMUM_PATTERN_BYTES) {
    throw new Error(`it is longer than ${MAXIMUM_PATTERN_BYTES} bytes, so none of its patterns is applied`);
  }
  return pathFromBytes(bytes);
}

/** Whether a file is the tag of a cache folder. @throws Error of the system */
export function isCacheTag(path: string): boolean {
  return readStart(path, CACHE_SIGNATURE.length).toString("latin1") === CACHE_SIGNATURE;
}

function readStart(path: string, length: number): Buffer {
  const file = openSync(systemPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const bytes = Buffer.alloc(length);
    let end = 0;
    for (let read = -1; read !== 0 && end < length; end += read) read = readSync(file, bytes, end, length - end, end);
    return bytes.subarray(0, end);
  } finally {
    closeSync(file);
  }
}
