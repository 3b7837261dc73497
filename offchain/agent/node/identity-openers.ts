/**
 * Changes what opens the identity of a home folder. The keystore is replaced whole, in one rename, and one process at a
 * time changes it: no change of another one gets lost.
 */
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
import { keystorePath, readKeystore } from "./identity-store.ts";

/**
 * Has the identity open with something else as well. A passphrase, or the slot of the same wallet, is replaced.
 *
 * @param key that opens it
 * @param added a new passphrase, or the key of a wallet that was set up
 * @returns what opens it from then on
 * @throws as `addKeystoreSlot`; TallystickError NO_IDENTITY; DiskFullError, DiskFailedError
 */
export async function addIdentityOpener(
  homeDir: string,
  key: KeystoreKey,
  added: KeystoreKey,
  cost?: ScryptCost,
): Promise<KeystoreOpeners> {
  return await change(homeDir, async (keystore) => await addKeystoreSlot(keystore, key, added, cost));
}

/**
 * Has the identity no longer open with a wallet or the passphrase.
 *
 * @param key of a slot that is left
 * @param opener account of the wallet, or `passphrase`
 * @throws as `removeKeystoreSlot`; TallystickError NO_IDENTITY; DiskFullError, DiskFailedError
 */
export async function removeIdentityOpener(
  homeDir: string,
  key: KeystoreKey,
  opener: string,
): Promise<KeystoreOpeners> {
  return await change(homeDir, async (keystore) => await removeKeystoreSlot(keystore, key, opener));
}

async function change(homeDir: string, work: (keystore: unknown) => Promise<KeystoreJson>): Promise<KeystoreOpeners> {
  return await new FolderLock(homeDir).exclusive(async () => {
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
