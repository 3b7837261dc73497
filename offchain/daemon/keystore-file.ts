/**
 * A daemon's keystore on disk: a 32-byte secret sealed with the operator's passphrase, mode 0600. All keys of the
 * daemon derive from that secret with labels, so one file is enough for a backup of the keys.
 */

import { existsSync } from "node:fs";
import { computeAddress } from "ethers";
import { randomBytes } from "#primitives";
import { kdf } from "../core/crypto/kdf.ts";
import { toHex } from "../core/encoding/hex.ts";
import { PASSPHRASE_HINT, secretLine } from "../core/encoding/secret-text.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";
import { DEFAULT_SCRYPT_COST, type KeystoreKind, openKeystore, sealKeystore } from "../core/identity/keystore.ts";
import type { ScryptCost } from "../kernels/primitives.ts";
import { systemErrorCode } from "../store/disk/disk-errors.ts";
import { createDurably } from "../store/disk/durable-file.ts";
import { readPrivateFile } from "../store/disk/private-file.ts";
import { type DaemonConfig, readJsonFile } from "./config.ts";

/** Name of a daemon: the kind of its keystore, 3 to 16 lower-case letters. */
export type DaemonKind = KeystoreKind;

/**
 * The passphrase from the environment variable TALLYSTICK_PASSPHRASE (removed from the environment once read, so that
 * child processes and crash dumps of it do not carry it), else from `passphraseFile`, which has one line.
 *
 * @throws InvalidInputError when there is neither, when others can read the file, and for one that is not a line of
 *   text; TallystickError FILE_UNREADABLE
 */
export function readPassphrase(passphraseFile?: string): string {
  const fromEnvironment = process.env.TALLYSTICK_PASSPHRASE;
  if (fromEnvironment !== undefined && fromEnvironment !== "") {
    delete process.env.TALLYSTICK_PASSPHRASE;
    return fromEnvironment;
  }
  if (passphraseFile === undefined) {
    throw new InvalidInputError("no passphrase for the keystore", {
      hint: "set TALLYSTICK_PASSPHRASE, or name a file of mode 0600 as passphraseFile in the configuration",
    });
  }
  const file = { what: "passphrase file", path: passphraseFile, facts: { hint: PASSPHRASE_HINT } };
  return secretLine(readPrivateFile(file.path, { what: file.what, hint: PASSPHRASE_HINT }), file);
}

/** @throws TallystickError NO_IDENTITY when there is no keystore where the configuration says */
export function requireKeystore({ keystoreFile }: DaemonConfig, kind: DaemonKind): void {
  if (existsSync(keystoreFile)) return;
  throw new TallystickError(`there is no keystore at ${keystoreFile}`, {
    code: "NO_IDENTITY",
    hint: `make one with tallystick-${kind} init --data-dir <folder>`,
  });
}

/**
 * Opens the keystore named in a configuration.
 *
 * @returns the daemon's 32-byte secret.
 * @throws TallystickError WRONG_PASSPHRASE, NO_IDENTITY when there is no keystore, INVALID_INPUT when it is malformed.
 */
export async function openDaemonKeystore(config: DaemonConfig, kind: DaemonKind): Promise<Uint8Array> {
  requireKeystore(config, kind);
  const keystore = readJsonFile(config.keystoreFile, "keystore");
  const secret = await openKeystore(keystore, readPassphrase(config.passphraseFile), kind);
  if (secret.length !== 32) {
    throw new InvalidInputError(`keystore ${config.keystoreFile} does not hold a daemon's secret`, {
      check: "length of the secret",
      expected: "32 bytes",
      received: `${secret.length} bytes`,
    });
  }
  return secret;
}

/** The secp256k1 key (32 bytes) the daemon signs transactions and messages with. */
export function operatorKey(secret: Uint8Array, kind: DaemonKind): Uint8Array {
  return kdf(secret, `${kind}-operator`);
}

/**
 * Makes a new keystore file and never overwrites one. The file appears complete or not at all.
 *
 * @param cost of opening it; tests may lower it.
 * @returns the operator account.
 * @throws TallystickError CONFLICT when the file exists.
 */
export async function createDaemonKeystore(
  file: string,
  passphrase: string,
  kind: DaemonKind,
  cost: ScryptCost = DEFAULT_SCRYPT_COST,
): Promise<string> {
  const secret = randomBytes(32);
  const text = `${JSON.stringify(await sealKeystore(secret, passphrase, kind, cost), null, 2)}\n`;
  try {
    createDurably(file, text);
  } catch (cause) {
    throw new TallystickError(`keystore ${file} cannot be created`, {
      code: systemErrorCode(cause) === "EEXIST" ? "CONFLICT" : "DISK_FAILED",
      hint: "an existing keystore is never overwritten: its keys may hold funds and shares",
      cause,
    });
  }
  return computeAddress(toHex(operatorKey(secret, kind)));
}
