/** Gives something that was put together under a temporary name its own name, without replacing what is there. */
import { closeSync, linkSync, lstatSync, openSync, renameSync, unlinkSync } from "node:fs";
import { systemErrorCode } from "../../store/disk/disk-errors.ts";

/** What a file system answers that has no hard links. */
const NO_LINKS: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

type SystemPath = string | Buffer;

/** Removes a part that may be there. @throws Error of the system; EISDIR or EPERM when a folder is at its name */
export function removePart(part: SystemPath): void {
  try {
    unlinkSync(part);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
  }
}

/** Whether a link failed because the file system has none. */
export function isWithoutLinks(error: unknown): boolean {
  return NO_LINKS.has(systemErrorCode(error) ?? "");
}

/**
 * Names a file that takes a name at which nothing was.
 *
 * @throws Error of the system; EEXIST when something is there by now, ENOENT when the part is gone
 */
export function nameNew(part: SystemPath, path: SystemPath): void {
  // A link, unlike a rename, replaces nothing.
  try {
    linkSync(part, path);
  } catch (error) {
    if (!isWithoutLinks(error)) throw error;
    // The name is taken first, by a file that only the rename replaces.
    closeSync(openSync(path, "wx"));
    try {
      renameSync(part, path);
    } catch (refused) {
      unlinkSync(path);
      throw refused;
    }
    return;
  }
  unlinkSync(part);
}

/**
 * Names a file that replaces the one that was found there.
 *
 * @returns false when by now something else is there
 */
export function nameOver(
  part: SystemPath,
  path: SystemPath,
  found: { readonly dev: bigint; readonly ino: bigint },
): boolean {
  const now = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (now === undefined || now.ino !== found.ino || now.dev !== found.dev) return false;
  renameSync(part, path);
  return true;
}
