/** A stub file as a request brings it, and what is refused of one, whether an account or a group has it. */
import { concatBytes } from "@noble/hashes/utils.js";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { epochOf } from "../../core/revocable/stub-file.ts";
import type { StoredStubFile } from "../../store/index/stub-file-index.ts";

/**
 * @param body at most `MAX_STUB_FILE_BYTES`
 * @throws UnknownVersionError, IntegrityError for what is no stub file
 */
export async function readStubFile(body: AsyncIterable<Uint8Array>): Promise<StoredStubFile> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  const sealed = concatBytes(...pieces);
  return { epoch: epochOf(sealed, "client"), sealed };
}

/** @throws InvalidInputError for a file of no later epoch than the one that it is to replace */
export function requireLater(file: StoredStubFile, expected: number): StoredStubFile {
  if (file.epoch > expected) return file;
  throw new InvalidInputError("the stub file is not of a later epoch", {
    party: "client",
    check: "epoch of the stub file",
    expected: `more than ${expected}`,
    received: String(file.epoch),
  });
}

/** @param epoch in place, 0 for none */
export function stubFileConflict(epoch: number, expected: number): TallystickError {
  return new TallystickError("another device has changed the stub file", {
    code: "CONFLICT",
    party: "client",
    check: "epoch of the stub file",
    expected: String(epoch),
    received: String(expected),
    hint: "read the stub file, make the change again, and repeat",
    details: { epoch },
  });
}
