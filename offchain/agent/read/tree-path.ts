/** Paths in a tree: an entry and what is below it. */

import { TallystickError } from "../../core/errors.ts";
import { isBelow, pathToBytes, showPath } from "../../core/recipe/path-name.ts";

/** Whether a path is this one, or below it. */
export function belowOrAt(path: string): (other: string) => boolean {
  const bytes = pathToBytes(path);
  return (other) => other === path || (other.startsWith(path) && isBelow(pathToBytes(other), bytes));
}

export function noSuchPath(path: string): TallystickError {
  return new TallystickError(`the snapshot has no entry ${showPath(path)}`, {
    code: "NOT_FOUND",
    party: "you",
    check: "path in the snapshot",
    received: showPath(path),
    hint: "list what it has with `tallystick ls <snapshot>`",
  });
}
