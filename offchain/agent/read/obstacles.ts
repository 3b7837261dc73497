/**
 * Entries that are not restored, because something else is in their place, which is left as it is, or because the file
 * system refuses them. What is below such a folder is not restored either; everything else is.
 */

import { TallystickError } from "../../core/errors.ts";
import { isBelow, pathToBytes } from "../../core/recipe/path-name.ts";
import type { FileEntry } from "../../core/recipe/recipe.ts";

/** What a target throws about one entry that cannot be restored into it, while others can. */
export abstract class LeftError extends TallystickError {}

/** Something else is where an entry belongs, and may not be replaced. */
export class InTheWayError extends LeftError {
  /**
   * @param path of what is there
   * @param expected what belongs there
   * @param replaceable whether it would be replaced if overwriting were allowed
   */
  constructor(path: string, expected: string, replaceable: boolean) {
    super(`${path} exists and is something else than what is to be restored`, {
      code: "CONFLICT",
      party: "you",
      check: "existing file",
      expected: `${expected}, or nothing`,
      hint: replaceable ? "restore into an empty folder, or allow overwriting" : "restore into an empty folder",
      details: { path },
    });
  }
}

/** The file system refuses an entry: for its name or kind, or because this user may not change what is there. */
export class RefusedError extends LeftError {
  /**
   * @param path where the entry belongs
   * @param reason for people
   */
  constructor(path: string, reason: string, cause: unknown) {
    super(`${path} cannot be restored: ${reason}`, {
      code: "DISK_FAILED",
      party: "this machine",
      check: "restored entry",
      received: reason,
      hint: "restore what is missing into a folder that is yours, on a file system that takes its names and links",
      details: { path },
      cause,
    });
  }
}

/** An entry that is not restored, because of what is there instead of it or of a folder around it, or is refused. */
export interface LeftEntry {
  readonly path: string;
  readonly error: LeftError;
}

/** Entries come in listing order: those of a folder follow it. */
export class Obstacles {
  readonly #onLeft: ((left: LeftEntry) => void) | undefined;
  #first: LeftError | undefined;
  #folder: { readonly path: Uint8Array; readonly error: LeftError } | undefined;

  constructor(onLeft: ((left: LeftEntry) => void) | undefined) {
    this.#onLeft = onLeft;
  }

  /** What cost the first entry. */
  get first(): LeftError | undefined {
    return this.#first;
  }

  note(entry: FileEntry, error: LeftError): void {
    this.#first ??= error;
    if (entry.type === "directory" && this.above(entry) === undefined)
      this.#folder = { path: pathToBytes(entry.path), error };
    this.#onLeft?.({ path: entry.path, error });
  }

  /** What cost a folder that the entry is in. */
  above(entry: FileEntry): LeftError | undefined {
    const folder = this.#folder;
    return folder !== undefined && isBelow(pathToBytes(entry.path), folder.path) ? folder.error : undefined;
  }
}
