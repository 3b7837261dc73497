/**
 * Ties the folder of objects to this provider's database. What has no row is removed at start (`reconcile.ts`), so a start with
 * another provider's folder, with a second process on the same one, or with an empty database in place of one that was lost,
 * would remove what owners rely on.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { randomBytes } from "#primitives";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { replaceDurably } from "../../store/disk/durable-file.ts";
import { lockFolder } from "../../store/disk/folder-lock.ts";
import type { Database } from "../../store/index/sqlite.ts";

const MARKER = "belongs-to";

/**
 * Takes the folder for this process and this database, for good.
 * @returns what lets go of it
 * @throws TallystickError CONFLICT when it belongs to another database; DiskFailedError when another process uses it
 */
export function claimStoreFolder(folder: string, database: Database): { close(): void } {
  const lock = lockFolder(folder);
  try {
    const recorded = database.prepare("SELECT value FROM meta WHERE name = 'store'").get()?.value;
    const found = readMarker(folder);
    if (found === undefined) {
      const id = typeof recorded === "string" ? recorded : toHex(randomBytes(16));
      // The row comes first: after a crash in between, a folder without marker is still to be had.
      database.prepare("INSERT OR IGNORE INTO meta (name, value) VALUES ('store', ?)").run(id);
      writeMarker(folder, id);
    } else if (found !== recorded) {
      throw new TallystickError(`the objects in ${folder} belong to another database`, {
        code: "CONFLICT",
        party: "this daemon",
        check: "database of the objects",
        expected: found,
        received: typeof recorded === "string" ? recorded : `none: ${database.path} is new`,
        hint: "nothing was removed. Restore the database from a copy, since without it no object has an owner; or name another storeDir",
      });
    }
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}

function readMarker(folder: string): string | undefined {
  try {
    return readFileSync(join(folder, MARKER), "utf8").trim();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw asDiskError(error, `object store ${folder}`);
  }
}

function writeMarker(folder: string, id: string): void {
  try {
    replaceDurably(join(folder, MARKER), `${id}\n`);
  } catch (error) {
    throw asDiskError(error, `object store ${folder}`);
  }
}
