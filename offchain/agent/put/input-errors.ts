/** Failures of what is to be stored: content that cannot be read, and content that changed while it was read. */
import { TallystickError } from "../../core/errors.ts";

/** A file, a folder or a stream could not be opened, read or listed. */
export class FileUnreadableError extends TallystickError {
  readonly reason: string;

  /** @param facts `code` of the system's error, for example `ENOENT`; `hint` where it is not about a put */
  constructor(
    path: string,
    reason: string,
    facts: { readonly code?: string; readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    super(`cannot read ${path}: ${reason}`, {
      code: "FILE_UNREADABLE",
      party: "you",
      check: "local file",
      ...(facts.code === undefined ? {} : { received: facts.code }),
      hint: facts.hint ?? "nothing has been recorded; make it readable or leave it out, then run the command again",
      details: { path },
      cause: facts.cause,
    });
    this.reason = reason;
  }
}

/** A file was written to, replaced, cut or grew while it was being read; a stream did not have its announced length. */
export class FileChangedError extends TallystickError {
  readonly reason = "it changed while it was being read";

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

/** What concerns one file: a put can go on without it. */
export type InputError = FileUnreadableError | FileChangedError;

export function isInputError(error: unknown): error is InputError {
  return error instanceof FileUnreadableError || error instanceof FileChangedError;
}
