/** Failures of the local file system while it is read. */
import { systemErrorCode } from "../../store/disk/disk-errors.ts";
import { FileUnreadableError } from "../put/input-errors.ts";

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  ENOENT: "it does not exist (any more)",
  ENOTDIR: "a part of its path is not a folder (any more)",
  ELOOP: "it has been replaced by a symbolic link",
  EISDIR: "it is a folder",
  EIO: "the device failed",
  EMFILE: "too many open files",
  ENAMETOOLONG: "the name is too long",
};

/** The error of a call of `node:fs` that failed while reading. */
export function fileUnreadable(path: string, cause: unknown): FileUnreadableError {
  const code = systemErrorCode(cause);
  const reason =
    (code === undefined ? undefined : REASONS[code]) ?? (cause instanceof Error ? cause.message : String(cause));
  return new FileUnreadableError(path, reason, { ...(code === undefined ? {} : { code }), cause });
}
