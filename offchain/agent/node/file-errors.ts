/** Failures of the local file system while it is read. */
import { systemErrorCode, systemReason } from "../../store/disk/disk-errors.ts";
import { FileUnreadableError } from "../put/input-errors.ts";

/** The error of a call of `node:fs` that failed while reading. @param hint where it is not about a put */
export function fileUnreadable(path: string, cause: unknown, hint?: string): FileUnreadableError {
  const code = systemErrorCode(cause);
  return new FileUnreadableError(path, systemReason(cause), {
    ...(code === undefined ? {} : { code }),
    ...(hint === undefined ? {} : { hint }),
    cause,
  });
}
