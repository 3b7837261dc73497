/**
 * Changes what opens the identity of a home folder. The keystore is replaced whole, in one rename, and one process at a
 * time changes it: no change of another one gets lost.
 *
 * A rotation that is under way keeps the successor's keystore beside it, which opens with what the rotation was begun
 * with, and nothing else. That opener stays until the rotation is finished: removed here alone, it would go on opening
 * the identity that is to come, and the rotation could not go on.
 */
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import {
  addKeystoreSlot,
  type KeystoreJson,
  type KeystoreKey,
  type KeystoreOpeners,
  keystoreOpeners,
  removeKeystoreSlot,
} from "../../core/identity/keystore.ts";
import type { ScryptCost } from "../../kernels/primitives.ts";
import { asDiskError } from "../../store/disk/disk-errors.ts";
import { replaceDurably } from "../../store/disk/durable-file.ts";
import { FolderLock } from "./home-lock.ts";
import { identityOpeners, keystorePath, readKeystore } from "./identity-store.ts";
import { exchangedAccount, hasRotation, rotationFolder } from "./rotation-folder.ts";

const PASSPHRASE = "passphrase";

/**
 * Has the identity open with something else as well. A passphrase, or the slot of the same wallet, is replaced.
 *
 * @param key that opens it
 * @param added a new passphrase, or the key of a wallet that was set up
 * @returns what opens it from then on
 * @throws as `addKeystoreSlot`; TallystickError NO_IDENTITY, CONFLICT when a rotation was begun with what is replaced;
 *   DiskFullError, DiskFailedError
 */
export async function addIdentityOpener(
  homeDir: string,
  key: KeystoreKey,
  added: KeystoreKey,
  cost?: ScryptCost,
): Promise<KeystoreOpeners> {
  const opener = typeof added === "string" ? PASSPHRASE : added.wallet;
  return await change(homeDir, opener, async (keystore) => await addKeystoreSlot(keystore, key, added, cost));
}

/**
 * Has the identity no longer open with a wallet or the passphrase.
 *
 * @param key of a slot that is left
 * @param opener account of the wallet, or `passphrase`
 * @throws as `removeKeystoreSlot`; TallystickError NO_IDENTITY, CONFLICT when a rotation was begun with it;
 *   DiskFullError, DiskFailedError
 */
export async function removeIdentityOpener(
  homeDir: string,
  key: KeystoreKey,
  opener: string,
): Promise<KeystoreOpeners> {
  return await change(homeDir, opener, async (keystore) => await removeKeystoreSlot(keystore, key, opener));
}

async function change(
  homeDir: string,
  opener: string,
  work: (keystore: unknown) => Promise<KeystoreJson>,
): Promise<KeystoreOpeners> {
  return await new FolderLock(homeDir).exclusive(async () => {
    requireNoRotation(homeDir, opener);
    const changed = await work(readKeystore(homeDir));
    const file = keystorePath(homeDir);
    try {
      replaceDurably(file, `${JSON.stringify(changed, null, 2)}\n`);
    } catch (error) {
      throw asDiskError(error, `keystore ${file}`);
    }
    return keystoreOpeners(changed);
  });
}

/** @throws TallystickError CONFLICT when the successor's keystore opens with this, or is about to take the place */
function requireNoRotation(homeDir: string, opener: string): void {
  const folder = rotationFolder(homeDir);
  const isExchanged = exchangedAccount(homeDir) !== undefined;
  if (!isExchanged && !(hasRotation(homeDir) && isOpener(identityOpeners(folder), opener))) return;
  throw new TallystickError("a rotation is under way, and the keystore of the successor is not changed with this one", {
    code: "CONFLICT",
    party: "you",
    check: "rotation in the home folder",
    expected: "no rotation that was begun with what is to be changed",
    received: opener,
    hint:
      "finish it with `tallystick rotate`, then change what opens the identity; if its recovery phrase was never " +
      `confirmed and nothing was sent, remove ${folder} instead`,
  });
}

function isOpener({ passphrase, wallets }: KeystoreOpeners, opener: string): boolean {
  return opener === PASSPHRASE ? passphrase : wallets.some(({ wallet }) => isAddressEqual(wallet, opener));
}
