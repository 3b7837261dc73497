/** Failures of this machine's disk as typed errors, for everything that keeps local state. */
import { TallystickError } from "../../core/errors.ts";

/**
 * A write failed because space, quota or permitted file size is used up. What was acknowledged before is not affected.
 */
export class DiskFullError extends TallystickError {
  constructor(what: string, cause: unknown) {
    super(`${what}: no space left`, {
      code: "DISK_FULL",
      party: "this machine",
      check: "free disk space",
      hint: "free some space or raise the quota, then repeat: nothing that was acknowledged is lost",
      retryable: true,
      cause,
    });
  }
}

/** Local state could not be read or written for another reason. */
export class DiskFailedError extends TallystickError {
  /** @param facts `received`: default the reason */
  constructor(
    what: string,
    facts: { reason: string; received?: string; hint?: string; retryable?: boolean; cause?: unknown },
  ) {
    super(`${what}: ${facts.reason}`, {
      code: "DISK_FAILED",
      party: "this machine",
      check: "local state",
      received: facts.received ?? facts.reason,
      hint: facts.hint ?? "check the file system and its permissions",
      ...(facts.retryable === undefined ? {} : { retryable: facts.retryable }),
      ...(facts.cause === undefined ? {} : { cause: facts.cause }),
    });
  }
}

/** ENOSPC: device full. EDQUOT: quota used up. EFBIG: file size limit of the process or the file system. */
const FULL_CODES: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** What codes of the system mean, for people. */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
  ENOENT: "it does not exist (any more)",
  EEXIST: "something else is there",
  ENOTDIR: "a part of its path is not a folder (any more)",
  ENOTEMPTY: "the folder is not empty",
  ELOOP: "it has been replaced by a symbolic link",
  EISDIR: "it is a folder",
  EBUSY: "it is in use",
  EIO: "the device failed",
  EMFILE: "too many open files",
  ENFILE: "too many open files",
  ENAMETOOLONG: "the name is too long",
  EXDEV: "it is on another file system",
};

/** What went wrong, in words where the code is known. */
export function systemReason(error: unknown): string {
  const code = systemErrorCode(error);
  return (code === undefined ? undefined : REASONS[code]) ?? (error instanceof Error ? error.message : String(error));
}

/** The code of a system error, for example `ENOENT`; undefined for other errors. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return undefined;
  return "syscall" in error ? error.code : undefined;
}

/**
 * Turns an error of a file-system call into a typed one. Errors that are not from the system pass through.
 * @param what the operation and its object, for example `writing object bafk…`
 */
export function asDiskError(error: unknown, what: string): unknown {
  const code = systemErrorCode(error);
  if (code === undefined) return error;
  if (FULL_CODES.has(code)) return new DiskFullError(what, error);
  return new DiskFailedError(what, { reason: REASONS[code] ?? code, received: code, cause: error });
}
