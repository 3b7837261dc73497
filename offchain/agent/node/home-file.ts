/** Small JSON files of a home folder, each with the version of its form, written once and for its owner alone. */

import { readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Static, TSchema } from "@sinclair/typebox";
import { type TallystickError, UnknownVersionError } from "../../core/errors.ts";
import { firstMismatch } from "../../core/wire/schema.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { createDurably, syncFolder } from "../../store/disk/durable-file.ts";

/**
 * @param damaged makes the error for what does not fit the schema
 * @returns undefined when there is no such file
 * @throws TallystickError as `damaged` makes it; UnknownVersionError; DiskFailedError
 */
export function readHomeFile<Schema extends TSchema>(
  file: string,
  schema: Schema,
  version: number,
  damaged: (expected: string, received: string) => TallystickError,
): Static<Schema> | undefined {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    if (systemErrorCode(error) !== undefined) throw asDiskError(error, `reading ${file}`);
    throw damaged("a JSON document", "something else");
  }
  if (typeof json === "object" && json !== null && "version" in json && json.version !== version) {
    throw new UnknownVersionError(file, String(json.version), [version]);
  }
  const mismatch = firstMismatch(schema, json);
  if (mismatch !== undefined) throw damaged(mismatch.reason, `other content at ${mismatch.path}`);
  return json as Static<Schema>;
}

/** @returns false when the file is there: it is never replaced @throws DiskFullError, DiskFailedError */
export function createHomeFile(file: string, document: object): boolean {
  try {
    createDurably(file, `${JSON.stringify(document, null, 2)}\n`);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "EEXIST") return false;
    throw asDiskError(error, `writing ${file}`);
  }
}

/** Durably, if it is there. @throws DiskFailedError */
export function removeHomeFile(file: string): void {
  try {
    rmSync(file, { force: true });
    syncFolder(dirname(file));
  } catch (error) {
    throw asDiskError(error, `removing ${file}`);
  }
}
