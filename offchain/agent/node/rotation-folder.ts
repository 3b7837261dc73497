/**
 * A rotation on disk. The new identity has a home folder of its own below the old one, `rotation/`, with keystore,
 * catalogue and journal, until everything is the successor's. Then its files take the places of the old ones, which go
 * to `replaced/<account>/`. The keystore is last: until it is replaced, in one rename, the home folder is the old
 * account's. A file that was made durable before says that the exchange has begun, so that a later run finishes it.
 */

import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Identity } from "../../core/identity/identity.ts";
import type { KeystoreKey } from "../../core/identity/keystore.ts";
import type { ScryptCost } from "../../kernels/primitives.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { createDurably, syncFolder } from "../../store/disk/durable-file.ts";
import { agentDatabasePath } from "./agent-database.ts";
import { fileCachePath } from "./file-cache.ts";
import { FolderLock } from "./home-lock.ts";
import { hasIdentity, keystorePath, loadIdentity, stageIdentity } from "./identity-store.ts";

const EXCHANGING = "exchanging";

/** The home folder of the successor while a rotation is under way. */
export function rotationFolder(homeDir: string): string {
  return join(homeDir, "rotation");
}

/** Where the files of an account go that was replaced. */
export function replacedFolder(homeDir: string, account: string): string {
  return join(homeDir, "replaced", account.toLowerCase());
}

/** Whether a successor was made and has not taken the place of the identity yet. */
export function hasRotation(homeDir: string): boolean {
  return hasIdentity(rotationFolder(homeDir));
}

/** The account whose files are being exchanged, when all else is done; undefined otherwise. @throws DiskFailedError */
export function exchangedAccount(homeDir: string): string | undefined {
  const file = join(rotationFolder(homeDir), EXCHANGING);
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw asDiskError(error, file);
  }
}

/**
 * The successor: the one of an interrupted rotation, or a new one, whose keystore is durable when this resolves.
 * @param key that opens the identity: it opens the successor's keystore too, and nothing else does
 * @throws TallystickError WRONG_PASSPHRASE, WRONG_WALLET; DiskFullError, DiskFailedError
 */
export async function openRotation(homeDir: string, key: KeystoreKey, cost?: ScryptCost): Promise<Identity> {
  const folder = rotationFolder(homeDir);
  if (!hasIdentity(folder)) {
    await new FolderLock(homeDir).exclusive(async () => await makeSuccessor(homeDir, folder, key, cost));
  }
  return await loadIdentity(folder, key);
}

/** Nobody changes what opens the identity meanwhile (identity-openers.ts). */
async function makeSuccessor(homeDir: string, folder: string, key: KeystoreKey, cost?: ScryptCost): Promise<void> {
  if (hasIdentity(folder)) return;
  // It may have been changed since whoever asks has read it.
  (await loadIdentity(homeDir, key)).wipe();
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    syncFolder(homeDir);
  } catch (error) {
    throw asDiskError(error, `folder ${folder}`);
  }
  const staged = await stageIdentity(folder, key, undefined, cost);
  try {
    staged.keep();
  } finally {
    staged.release();
  }
}

/**
 * Puts the successor's files in place of the account's. Nobody has them open, and nobody changes what opens the
 * identity meanwhile, which would put the old keystore back. May be repeated after any interruption.
 * @param account that is replaced
 * @returns the folder that has the old files now
 * @throws DiskFullError, DiskFailedError
 */
export async function exchangeFiles(homeDir: string, account: string): Promise<string> {
  return await new FolderLock(homeDir).exclusive(async () => exchange(homeDir, account));
}

function exchange(homeDir: string, account: string): string {
  const [from, old] = [rotationFolder(homeDir), replacedFolder(homeDir, account)];
  try {
    if (exchangedAccount(homeDir) === undefined) createDurably(join(from, EXCHANGING), `${account}\n`);
    mkdirSync(old, { recursive: true, mode: 0o700 });
    syncFolder(join(homeDir, "replaced"));
    if (hasIdentity(from)) {
      linkOnce(keystorePath(homeDir), keystorePath(old));
      const [database, next] = [agentDatabasePath(homeDir), agentDatabasePath(from)];
      if (existsSync(next)) {
        const kept = agentDatabasePath(old);
        if (existsSync(database) && !existsSync(kept)) moveDatabase(database, kept);
        moveDatabase(next, database);
      }
      syncFolder(old);
      syncFolder(homeDir);
      // A cache of the old identity: what is in it does not open for another one.
      for (const suffix of DATABASE_FILES) rmSync(`${fileCachePath(homeDir)}${suffix}`, { force: true });
      renameSync(keystorePath(from), keystorePath(homeDir));
      syncFolder(homeDir);
    }
    rmSync(from, { recursive: true, force: true });
    syncFolder(homeDir);
  } catch (error) {
    throw asDiskError(error, `rotation in ${homeDir}`);
  }
  return old;
}

/** SQLite keeps a log beside a database that a killed process had open; it goes first, and is of no use alone. */
const DATABASE_FILES = ["-wal", "-shm", ""] as const;

function moveDatabase(from: string, to: string): void {
  for (const suffix of DATABASE_FILES)
    if (existsSync(`${from}${suffix}`)) renameSync(`${from}${suffix}`, `${to}${suffix}`);
}

function linkOnce(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (systemErrorCode(error) !== "EEXIST") throw error;
  }
}
