/** The identity in a page: the keystore, which a passphrase or wallets open, in the store of a name. */

import { TallystickError } from "../../core/errors.ts";
import { type Identity, identityFromPhrase, newRecoveryPhrase, takeIdentity } from "../../core/identity/identity.ts";
import {
  addKeystoreSlot,
  DEFAULT_SCRYPT_COST,
  type KeystoreJson,
  type KeystoreKey,
  type KeystoreOpeners,
  keystoreOpeners,
  openKeystore,
  removeKeystoreSlot,
  sealKeystore,
} from "../../core/identity/keystore.ts";
import type { ScryptCost } from "../../kernels/primitives.ts";
import { PageStore } from "./page-store.ts";

const USER = "user";

/** A new identity, or one from its recovery phrase, sealed in this browser. */
export interface CreatedIdentity {
  readonly identity: Identity;
  /** To be shown once; present for a new identity only. */
  readonly phrase?: string;
}

/**
 * Makes the keystore. An existing one is never overwritten: it may be the only copy of its secret.
 *
 * @param name of the store
 * @param key a passphrase, or that of a wallet: `setUpWallet(eip1193Signer(provider))`
 * @param phrase recovery phrase of an existing identity; a new identity is made without it
 * @throws TallystickError CONFLICT when there is a keystore already; InvalidInputError for a wrong phrase or an empty
 *   passphrase
 * @throws TallystickError DISK_FULL, DISK_FAILED
 */
export async function createIdentity(
  name: string,
  key: KeystoreKey,
  phrase?: string,
  cost: ScryptCost = DEFAULT_SCRYPT_COST,
): Promise<CreatedIdentity> {
  return await PageStore.during(name, async (store) => {
    if (await hasKeystore(store)) throw keystoreExists(name);
    const words = phrase ?? newRecoveryPhrase();
    const identity = identityFromPhrase(words);
    const keystore = await sealKeystore(identity.phraseEntropy, key, "user", cost);
    await store.write(["keystore"], async (transaction) => {
      // Another tab may have made one while this one derived the key.
      if ((await transaction.objectStore("keystore").count()) > 0) throw keystoreExists(name);
      await transaction.objectStore("keystore").add(keystore, USER);
    });
    return phrase === undefined ? { identity, phrase: words } : { identity };
  });
}

/**
 * Opens the identity of a store.
 *
 * @param key a passphrase, or that of a wallet: `openByWallet(wallets, eip1193Signer(provider))` with the wallets of
 *   `identityOpeners`
 * @throws TallystickError NO_IDENTITY when there is none, WRONG_PASSPHRASE, WRONG_WALLET, DISK_FAILED
 * @throws InvalidInputError, UnknownVersionError for what is no keystore of this build
 */
export async function loadIdentity(name: string, key: KeystoreKey): Promise<Identity> {
  return takeIdentity(
    await openKeystore(await PageStore.during(name, (store) => readKeystore(name, store)), key, "user"),
  );
}

/** What opens the identity of a store. @throws TallystickError NO_IDENTITY, DISK_FAILED; as `loadIdentity` */
export async function identityOpeners(name: string): Promise<KeystoreOpeners> {
  return keystoreOpeners(await PageStore.during(name, (store) => readKeystore(name, store)));
}

/**
 * Has the identity open with something else as well. A passphrase, or the slot of the same wallet, is replaced.
 *
 * @param key that opens it
 * @param added a new passphrase, or the key of a wallet that was set up
 * @returns what opens it from then on
 * @throws as `loadIdentity`; TallystickError CONFLICT when another tab changes it meanwhile
 */
export async function addIdentityOpener(
  name: string,
  key: KeystoreKey,
  added: KeystoreKey,
  cost: ScryptCost = DEFAULT_SCRYPT_COST,
): Promise<KeystoreOpeners> {
  return await change(name, async (keystore) => await addKeystoreSlot(keystore, key, added, cost));
}

/**
 * Has the identity no longer open with a wallet or the passphrase.
 *
 * @param key of a slot that is left
 * @param opener account of the wallet, or `passphrase`
 * @throws as `addIdentityOpener`; TallystickError NOT_FOUND
 */
export async function removeIdentityOpener(name: string, key: KeystoreKey, opener: string): Promise<KeystoreOpeners> {
  return await change(name, async (keystore) => await removeKeystoreSlot(keystore, key, opener));
}

async function change(name: string, work: (keystore: KeystoreJson) => Promise<KeystoreJson>): Promise<KeystoreOpeners> {
  return await PageStore.during(name, async (store) => {
    const before = await readKeystore(name, store);
    const changed = await work(before);
    await store.write(["keystore"], async (transaction) => {
      const rows = transaction.objectStore("keystore");
      // A transaction does not wait for the work above, which takes long or asks a person.
      if (JSON.stringify(await rows.get(USER)) !== JSON.stringify(before)) throw changedMeanwhile(name);
      await rows.put(changed, USER);
    });
    return keystoreOpeners(changed);
  });
}

async function readKeystore(name: string, store: PageStore): Promise<KeystoreJson> {
  const keystore = await store.read(["keystore"], (transaction) => transaction.objectStore("keystore").get(USER));
  if (keystore === undefined) {
    throw new TallystickError(`store ${name} has no identity`, {
      code: "NO_IDENTITY",
      party: "you",
      check: "keystore",
      hint: "make one with `createIdentity`, or give it your recovery phrase if the browser's storage was cleared",
    });
  }
  return keystore;
}

/** Whether the store has an identity. @throws TallystickError DISK_FAILED */
export async function hasIdentity(name: string): Promise<boolean> {
  return await PageStore.during(name, hasKeystore);
}

async function hasKeystore(store: PageStore): Promise<boolean> {
  return (await store.read(["keystore"], (transaction) => transaction.objectStore("keystore").count())) > 0;
}

function changedMeanwhile(name: string): TallystickError {
  return new TallystickError(`another tab has changed what opens the identity of store ${name}`, {
    code: "CONFLICT",
    party: "you",
    check: "keystore",
    hint: "look at what opens it, and repeat what is still missing",
  });
}

function keystoreExists(name: string): TallystickError {
  return new TallystickError(`store ${name} has an identity already`, {
    code: "CONFLICT",
    party: "you",
    check: "existing keystore",
    hint: "use another name; an identity is never overwritten",
  });
}
