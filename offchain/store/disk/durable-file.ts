/** Small files that are complete and durable under their name, or do not exist. */
import { closeSync, fsyncSync, linkSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import * as fileSystem from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolders } from "./make-folders.ts";

/**
 * Makes the names in a folder durable.
 * @param files the calls of node:fs/promises, or others in their place
 * @throws Error of the system
 */
export async function syncFolderAsync(
  folder: string,
  files: Pick<typeof fileSystem, "open"> = fileSystem,
): Promise<void> {
  const handle = await files.open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** As `syncFolderAsync`, for callers that may block. @throws Error of the system */
export function syncFolder(folder: string): void {
  syncFile(folder);
}

/** Makes the bytes of a file, or the names in a folder, durable. @throws Error of the system */
export function syncFile(path: string): void {
  const handle = openSync(path, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/**
 * Creates a file of mode 0600, and its folder for its owner alone as needed.
 *
 * @throws Error of the system; EEXIST when the file is there: it is never replaced
 */
export function createDurably(file: string, text: string): void {
  makeFolders(dirname(file), 0o700);
  // A link, unlike a rename, does not replace what another process has put there meanwhile.
  throughPartial(file, text, (partial) => linkSync(partial, file));
}

/** Creates or replaces a file of mode 0600 in a folder that exists. @throws Error of the system */
export function replaceDurably(file: string, content: string | Uint8Array): void {
  throughPartial(file, content, (partial) => renameSync(partial, file));
}

function throughPartial(file: string, content: string | Uint8Array, name: (partial: string) => void): void {
  const partial = `${file}.${process.pid}.partial`;
  try {
    writeFileSync(partial, content, { mode: 0o600, flush: true });
    name(partial);
  } finally {
    rmSync(partial, { force: true });
  }
  syncFolder(dirname(file));
}
