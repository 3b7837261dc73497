/** Evidence in files: complete and durable under its name, or absent; read piece by piece. */

import { createReadStream } from "node:fs";
import { type FileHandle, link, lstat, open, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { InvalidInputError } from "../../core/errors.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { syncFolderAsync } from "../../store/disk/durable-file.ts";
import { fileUnreadable } from "./file-errors.ts";

/**
 * Runs work that writes a new file. The file gets its name when the work is done; what the work leaves unfinished is
 * removed. Others may not read it until its owner lets them: it has ciphertexts.
 * @throws InvalidInputError when there is such a file; DiskFullError, DiskFailedError; what the work throws
 */
export async function writeEvidence<Result>(
  file: string,
  work: (write: (piece: Uint8Array) => Promise<void>) => Promise<Result>,
): Promise<Result> {
  // Before the work, which may take long. Another may come meanwhile.
  const isThere = await lstat(file).then(
    () => true,
    () => false,
  );
  if (isThere) throw fileExists(file);
  const part = `${file}.${process.pid}.part`;
  let handle: FileHandle | undefined;
  try {
    const opened = await onDisk(file, () => open(part, "wx", 0o600));
    handle = opened;
    const result = await work((piece) => onDisk(file, () => opened.appendFile(piece)));
    await onDisk(file, () => opened.sync());
    await onDisk(file, async () => {
      // Unlike a renaming, this never replaces a file.
      await link(part, file);
      await syncFolderAsync(dirname(resolve(file)));
    });
    return result;
  } finally {
    await handle?.close();
    await rm(part, { force: true });
  }
}

async function onDisk<Result>(file: string, call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (cause) {
    if (systemErrorCode(cause) !== "EEXIST") throw asDiskError(cause, `evidence file ${file}`);
    throw fileExists(file, cause);
  }
}

function fileExists(file: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError(`${file} exists`, {
    party: "you",
    check: "evidence file",
    expected: "a name that is free",
    ...(cause === undefined ? {} : { cause }),
  });
}

const UNREADABLE_HINT = "name a file that `tallystick data-set verdict --export` has written, and that you may read";

/** @throws FileUnreadableError */
export async function* readEvidence(file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(file) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    throw systemErrorCode(cause) === undefined ? cause : fileUnreadable(file, cause, UNREADABLE_HINT);
  }
}
