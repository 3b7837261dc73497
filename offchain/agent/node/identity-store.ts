/**
 * The identity on this device: a home folder for its owner alone, and in it the keystore, which a passphrase or wallets
 * open.
 */
import { existsSync, linkSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import {
  type Identity,
  identityFromEntropy,
  identityFromPhrase,
  newRecoveryPhrase,
  takeIdentity,
} from "../../core/identity/identity.ts";
import {
  DEFAULT_SCRYPT_COST,
  type KeystoreKey,
  type KeystoreOpeners,
  keystoreOpeners,
  openKeystore,
  sealKeystore,
} from "../../core/identity/keystore.ts";
import type { ScryptCost } from "../../kernels/primitives.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { createDurably, syncFolder } from "../../store/disk/durable-file.ts";

const KEYSTORE_FILE = "keystore.json";

/**
 * Where the identity and the catalogue live: what is named, else TALLYSTICK_HOME, else `.tallystick` in the user's
 * home.
 */
export function homeDirectory(named?: string): string {
  const fromEnvironment = process.env.TALLYSTICK_HOME;
  if (named !== undefined && named !== "") return resolve(named);
  if (fromEnvironment !== undefined && fromEnvironment !== "") return resolve(fromEnvironment);
  return join(userHome(), ".tallystick");
}

function userHome(): string {
  let home = "";
  try {
    home = homedir();
  } catch {
    // No HOME, and no entry in the user database.
  }
  // A keystore in whatever folder the command runs in would be left behind there.
  if (isAbsolute(home)) return home;
  throw new InvalidInputError("this user has no home folder", {
    party: "you",
    check: "home folder",
    expected: "an absolute path in HOME",
    received: JSON.stringify(home),
    hint: "set HOME or TALLYSTICK_HOME, or name a folder with --home",
  });
}

export function keystorePath(homeDir: string): string {
  return join(homeDir, KEYSTORE_FILE);
}

/** A new identity, or one from its recovery phrase, sealed on this device. */
export interface CreatedIdentity {
  readonly identity: Identity;
  /** Present for a new identity only; its owner has to write it down. */
  readonly phrase?: string;
  readonly keystoreFile: string;
}

/** An identity whose keystore is durable but does not count yet. */
export interface StagedIdentity extends CreatedIdentity {
  /** Puts the keystore in its place. @throws TallystickError CONFLICT when there is one already; DiskFailedError */
  keep(): void;
  /** Wipes the identity, and removes the keystore unless it was kept. */
  release(): void;
}

/**
 * Seals a keystore beside its place, so that nothing but a link is left to do once the owner has seen the recovery
 * phrase.
 *
 * @param phrase recovery phrase of an existing identity; a new identity is made without it.
 * @throws TallystickError CONFLICT when there is a keystore already; InvalidInputError for a wrong phrase or an empty
 *   passphrase
 * @throws DiskFullError, DiskFailedError
 */
export async function stageIdentity(
  homeDir: string,
  key: KeystoreKey,
  phrase?: string,
  cost: ScryptCost = DEFAULT_SCRYPT_COST,
): Promise<StagedIdentity> {
  const file = keystorePath(homeDir);
  if (existsSync(file)) throw keystoreExists(file);
  const words = phrase ?? newRecoveryPhrase();
  const identity = identityFromPhrase(words);
  const keystore = await sealKeystore(identity.phraseEntropy, key, "user", cost);
  const staged = `${file}.${process.pid}.staged`;
  // Left behind by a process of the same number that was killed: its phrase was never confirmed.
  rmSync(staged, { force: true });
  writeOnce(staged, `${JSON.stringify(keystore, null, 2)}\n`);
  return {
    identity,
    ...(phrase === undefined ? { phrase: words } : {}),
    keystoreFile: file,
    keep: () => linkOnce(staged, file),
    release: () => {
      identity.wipe();
      rmSync(staged, { force: true });
    },
  };
}

/**
 * Makes the keystore. An existing one is never overwritten: it may be the only copy of its secret.
 *
 * @param phrase recovery phrase of an existing identity; a new identity is made without it.
 * @throws TallystickError CONFLICT when there is a keystore already; InvalidInputError for a wrong phrase or an empty
 *   passphrase
 * @throws DiskFullError, DiskFailedError
 */
export async function createIdentity(
  homeDir: string,
  key: KeystoreKey,
  phrase?: string,
  cost: ScryptCost = DEFAULT_SCRYPT_COST,
): Promise<CreatedIdentity> {
  const staged = await stageIdentity(homeDir, key, phrase, cost);
  const { keystoreFile } = staged;
  try {
    staged.keep();
    // The caller gets keys of its own: those of the staged identity are wiped.
    const identity = identityFromEntropy(staged.identity.phraseEntropy);
    return { identity, ...(staged.phrase === undefined ? {} : { phrase: staged.phrase }), keystoreFile };
  } finally {
    staged.release();
  }
}

/**
 * Opens the identity of a home folder.
 *
 * @throws TallystickError NO_IDENTITY when there is none, WRONG_PASSPHRASE, WRONG_WALLET
 * @throws InvalidInputError, UnknownVersionError for a file that is no keystore of this build
 */
export async function loadIdentity(homeDir: string, key: KeystoreKey): Promise<Identity> {
  return takeIdentity(await openKeystore(readKeystore(homeDir), key, "user"));
}

/**
 * What opens the identity of a home folder.
 * @throws TallystickError NO_IDENTITY; InvalidInputError, UnknownVersionError for a file that is no keystore
 */
export function identityOpeners(homeDir: string): KeystoreOpeners {
  return keystoreOpeners(readKeystore(homeDir));
}

/** Whether the home folder has an identity. */
export function hasIdentity(homeDir: string): boolean {
  return existsSync(keystorePath(homeDir));
}

/**
 * Before anybody is asked for a passphrase.
 * @throws TallystickError NO_IDENTITY when the home folder has no identity
 */
export function requireIdentity(homeDir: string): void {
  if (!hasIdentity(homeDir)) throw noIdentity(homeDir);
}

function noIdentity(homeDir: string): TallystickError {
  return new TallystickError(`there is no identity in ${homeDir}`, {
    code: "NO_IDENTITY",
    party: "you",
    check: "keystore",
    expected: keystorePath(homeDir),
    hint: "make one with `tallystick init`, or set TALLYSTICK_HOME to the folder that has it",
  });
}

/** The keystore, not checked. @throws TallystickError NO_IDENTITY, INVALID_INPUT if it is no JSON; DiskFailedError */
export function readKeystore(homeDir: string): unknown {
  const file = keystorePath(homeDir);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if (systemErrorCode(cause) !== "ENOENT") throw asDiskError(cause, `keystore ${file}`);
    throw noIdentity(homeDir);
  }
  try {
    return JSON.parse(text);
  } catch {
    // Whatever is in the file stays there: it may be a secret in the wrong place.
    throw new TallystickError(`keystore ${file} is not JSON`, {
      code: "INVALID_INPUT",
      party: "you",
      check: "keystore",
    });
  }
}

/** Writes a file that was not there, whole or not at all, readable for its owner only. */
function writeOnce(file: string, text: string): void {
  try {
    createDurably(file, text);
  } catch (error) {
    throw systemErrorCode(error) === "EEXIST" ? keystoreExists(file) : asDiskError(error, `keystore ${file}`);
  }
}

/** A link, unlike a rename, does not replace what another process has put there meanwhile. */
function linkOnce(from: string, to: string): void {
  try {
    linkSync(from, to);
    syncFolder(dirname(to));
  } catch (error) {
    throw systemErrorCode(error) === "EEXIST" ? keystoreExists(to) : asDiskError(error, `keystore ${to}`);
  }
}

function keystoreExists(file: string): TallystickError {
  return new TallystickError(`there is an identity already: ${file}`, {
    code: "CONFLICT",
    party: "you",
    check: "existing keystore",
    hint: "name another folder with --home or TALLYSTICK_HOME; an identity is never overwritten",
  });
}
