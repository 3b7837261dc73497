/**
 * What a walk leaves out because the user wishes it: patterns in gitignore syntax, from options and from files named
 * `.tallystickignore`, and the content of folders that programs have marked as caches (https://bford.info/cachedir/).
 */
import { closeSync, constants, openSync, readSync } from "node:fs";
import ignore, { type Ignore } from "ignore";
import { pathFromBytes } from "../../core/recipe/path-name.ts";
import { systemPath } from "./system-path.ts";

export const IGNORE_FILE = ".tallystickignore";
export const CACHE_TAG = "CACHEDIR.TAG";

const CACHE_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55";
/** Nobody writes a longer list by hand. */
const MAXIMUM_PATTERN_BYTES = 1024 * 1024;
/** The library keeps the result of every test: after so many, the patterns go into a new instance. */
const TESTS_PER_INSTANCE = 10_000;

/** Patterns of one place, relative to one folder. */
class Patterns {
  /** Length of the path of the folder with its slash, within the put. */
  readonly #prefixLength: number;
  readonly #patterns: string;
  readonly #folder: string;
  #ignore: Ignore;
  #tests = 0;

  constructor(patterns: string, folder: string) {
    this.#prefixLength = folder === "" ? 0 : folder.length + 1;
    this.#patterns = patterns;
    this.#folder = folder;
    this.#ignore = ignore({ ignoreCase: false }).add(patterns);
  }

  /**
   * The same patterns for what is below a folder that is walked. The library takes everything below a folder that it
   * excludes for excluded; where a nearer list has included the folder again, git asks about each entry of it anew.
   */
  below(folder: string): Patterns {
    if (this.excludes(folder, true) !== true) return this;
    const again = `!/${folder.slice(this.#prefixLength).replaceAll(/[\\*?[\]! #]/g, "\\$&")}/`;
    return new Patterns(`${this.#patterns}\n${again}`, this.#folder);
  }

  /** @returns undefined when no pattern speaks of the path */
  excludes(path: string, isFolder: boolean): boolean | undefined {
    this.#tests += 1;
    if (this.#tests % TESTS_PER_INSTANCE === 0) this.#ignore = ignore({ ignoreCase: false }).add(this.#ignore);
    const relative = path.slice(this.#prefixLength);
    const { ignored, unignored } = this.#ignore.test(isFolder ? `${relative}/` : relative);
    return ignored ? true : unignored ? false : undefined;
  }
}

/** The patterns that hold in one folder. As in git, those of options come first, then those of the nearest folder. */
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
    const options = this.#options?.below(folder);
    const folders = this.#folders.map((each) => each.below(folder));
    const isSame = options === this.#options && folders.every((each, k) => each === this.#folders[k]);
    if (patterns !== undefined) return new Exclusions(options, [new Patterns(patterns, folder), ...folders]);
    return isSame ? this : new Exclusions(options, folders);
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

/** Text of an ignore file. @throws Error of the system */
export function readPatterns(path: string): string {
  return pathFromBytes(readStart(path, MAXIMUM_PATTERN_BYTES));
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
