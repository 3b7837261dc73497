/** Failures of the local file system in the project's terms: what could not be read, and what changed meanwhile. */
import { TallystickError } from "../../core/errors.ts";
import { systemErrorCode } from "../../store/disk/disk-errors.ts";

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

/** A local file or folder could not be opened, read or listed. */
export class FileUnreadableError extends TallystickError {
  constructor(path: string, cause: unknown) {
    const code = systemErrorCode(cause);
    const reason =
      (code === undefined ? undefined : REASONS[code]) ?? (cause instanceof Error ? cause.message : String(cause));
    super(`cannot read ${path}: ${reason}`, {
      code: "FILE_UNREADABLE",
      party: "you",
      check: "local file",
      ...(code === undefined ? {} : { received: code }),
      hint: "nothing has been recorded; make it readable or leave it out, then run the command again",
      details: { path },
      cause,
    });
  }
}

/** A local file was written to, replaced, cut or grew while it was being read. */
export class FileChangedError extends TallystickError {
  constructor(path: string, what: string, expected: string, received: string) {
    super(`${path} changed while it was being read`, {
      code: "FILE_CHANGED",
      party: "you",
      check: what,
      expected,
      received,
      hint: "nothing has been recorded; run the command again when nobody writes to it",
      retryable: true,
      details: { path },
    });
  }
}
