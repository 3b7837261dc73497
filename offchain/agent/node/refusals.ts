/**
 * What a file system refuses of one entry of a restore: its name, its kind, its mode, or a change of what is there.
 * That costs the entry. A disk that is full, fails or is read-only concerns them all.
 */
import { TallystickError } from "../../core/errors.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { RefusedError } from "../read/obstacles.ts";

const REASONS: Readonly<Record<string, string>> = {
  EPERM: "the file system or the owner of what is there does not permit it",
  EACCES: "permission denied",
  EINVAL: "the file system does not take such a name or value",
  ENAMETOOLONG: "the name is too long",
  ENOTSUP: "the file system does not support it",
  EOPNOTSUPP: "the file system does not support it",
  EILSEQ: "the file system does not take the characters of the name",
  ELOOP: "a symbolic link is in the way",
  EISDIR: "a folder is in the way",
  EFBIG: "the file is larger than the file system takes",
  ENOTDIR: "something else than a folder is in the way",
};

/** Why one entry is refused; undefined for errors that concern more, and for those that are not from the system. */
export function refusalOf(error: unknown): string | undefined {
  const code = systemErrorCode(error) ?? "";
  const reason = REASONS[code];
  return reason === undefined ? undefined : `${reason} (${code})`;
}

/** The typed error of a call about one entry. @param path of the entry, for people */
export function asEntryError(error: unknown, path: string, what = path): unknown {
  if (error instanceof TallystickError) return error;
  const reason = refusalOf(error);
  return reason === undefined ? asDiskError(error, what) : new RefusedError(path, reason, error);
}
