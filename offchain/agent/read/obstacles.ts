/** What is in the way of a restore: it is left as it is, and so are the entries that belong there. */

import { TallystickError } from "../../core/errors.ts";
import { isBelow, pathToBytes } from "../../core/recipe/path-name.ts";
import type { FileEntry } from "../../core/recipe/recipe.ts";

/** What a target throws when something else is where an entry belongs, and may not be replaced. */
export class InTheWayError extends TallystickError {
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

/** An entry that is not restored, because of what is there instead of it or of a folder around it. */
export interface LeftEntry {
  readonly path: string;
  readonly error: InTheWayError;
}

/** Entries come in listing order: those of a folder follow it. */
export class Obstacles {
  readonly #onLeft: ((left: LeftEntry) => void) | undefined;
  #first: InTheWayError | undefined;
  #folder: { readonly path: Uint8Array; readonly error: InTheWayError } | undefined;

  constructor(onLeft: ((left: LeftEntry) => void) | undefined) {
    this.#onLeft = onLeft;
  }

  /** What was in the way first. */
  get first(): InTheWayError | undefined {
    return this.#first;
  }

  note(entry: FileEntry, error: InTheWayError): void {
    this.#first ??= error;
    if (entry.type === "directory" && this.above(entry) === undefined)
      this.#folder = { path: pathToBytes(entry.path), error };
    this.#onLeft?.({ path: entry.path, error });
  }

  /** What is in the way of a folder that the entry is in. */
  above(entry: FileEntry): InTheWayError | undefined {
    const folder = this.#folder;
    return folder !== undefined && isBelow(pathToBytes(entry.path), folder.path) ? folder.error : undefined;
  }
}
