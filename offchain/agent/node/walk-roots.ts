/**
 * The paths a user names, resolved as the kernel does it: a last component that is a name is looked up in the real
 * folder before it and not followed, `link/`, `link/.` and `link/..` lead through the link, and `file/` is an error.
 */
import { lstatSync, realpathSync } from "node:fs";
import { posix } from "node:path";
import { InvalidInputError } from "../../core/errors.ts";
import { pathFromBytes } from "../../core/recipe/path-name.ts";
import { fileUnreadable } from "./file-errors.ts";
import { systemPath } from "./system-path.ts";

const { basename, dirname } = posix;

/** A named path and the name it is stored under. */
export interface WalkRoot {
  /** Absolute, with no link before its last component. */
  readonly path: string;
  readonly name: string;
  /** As the user wrote it. */
  readonly given: string;
}

/**
 * @param paths files, folders or links, in any order.
 * @throws InvalidInputError for an empty path, or one without a base name
 * @throws FileUnreadableError for a path that leads nowhere
 */
export function walkRoots(paths: readonly string[]): WalkRoot[] {
  // It would resolve to the working directory: an unset variable of a script, not a wish to store everything here.
  if (paths.includes("")) throw new InvalidInputError("a path is empty", { party: "you", check: "paths" });
  return paths.map((given) => {
    const path = resolved(given);
    const named = basename(given);
    const name = named === "." || named === ".." ? basename(path) : named;
    if (name !== "") return { path, name, given };
    throw new InvalidInputError("the root folder has no name to store it under", {
      party: "you",
      check: "paths",
      hint: "name the folders in it",
    });
  });
}

function resolved(given: string): string {
  try {
    const last = given.slice(given.lastIndexOf("/") + 1);
    if (last === "" || last === "." || last === "..") return realPath(given);
    const folder = realPath(dirname(given));
    const path = folder === "/" ? `/${last}` : `${folder}/${last}`;
    lstatSync(systemPath(path));
    return path;
  } catch (cause) {
    throw fileUnreadable(given, cause);
  }
}

function realPath(path: string): string {
  return pathFromBytes(realpathSync.native(systemPath(path), { encoding: "buffer" }));
}
