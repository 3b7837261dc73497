/** The identity in a page: the keystore, sealed with the passphrase, in the store of a name. */

import { TallystickError } from "../../core/errors.ts";
import {
  type Identity,
  identityFromEntropy,
  identityFromPhrase,
  newRecoveryPhrase,
} from "../../core/identity/identity.ts";
import { DEFAULT_SCRYPT_COST, openKeystore, sealKeystore } from "../../core/identity/keystore.ts";
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
 * @param phrase recovery phrase of an existing identity; a new identity is made without it
 * @throws TallystickError CONFLICT when there is a keystore already; InvalidInputError for a wrong phrase or an empty
 *   passphrase
 * @throws TallystickError DISK_FULL, DISK_FAILED
 */
export async function createIdentity(
  name: string,
  passphrase: string,
  phrase?: string,
  cost: ScryptCost = DEFAULT_SCRYPT_COST,
): Promise<CreatedIdentity> {
  return await withStore(name, async (store) => {
    if (await hasKeystore(store)) throw keystoreExists(name);
    const words = phrase ?? newRecoveryPhrase();
    const identity = identityFromPhrase(words);
    const keystore = await sealKeystore(identity.phraseEntropy, passphrase, "user", cost);
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
 * @throws TallystickError NO_IDENTITY when there is none, WRONG_PASSPHRASE, DISK_FAILED
 * @throws InvalidInputError, UnknownVersionError for what is no keystore of this build
 */
export async function loadIdentity(name: string, passphrase: string): Promise<Identity> {
  const keystore = await withStore(name, (store) =>
    store.read(["keystore"], (transaction) => transaction.objectStore("keystore").get(USER)),
  );
  if (keystore === undefined) {
    throw new TallystickError(`store ${name} has no identity`, {
      code: "NO_IDENTITY",
      party: "you",
      check: "keystore",
      hint: "make one with `createIdentity`, or give it your recovery phrase if the browser's storage was cleared",
    });
  }
  const entropy = await openKeystore(keystore, passphrase, "user");
  try {
    return identityFromEntropy(entropy);
  } finally {
    entropy.fill(0);
  }
}

/** Whether the store has an identity. @throws TallystickError DISK_FAILED */
export async function hasIdentity(name: string): Promise<boolean> {
  return await withStore(name, hasKeystore);
}

async function hasKeystore(store: PageStore): Promise<boolean> {
  return (await store.read(["keystore"], (transaction) => transaction.objectStore("keystore").count())) > 0;
}

async function withStore<Result>(name: string, work: (store: PageStore) => Promise<Result>): Promise<Result> {
  const store = await PageStore.open(name);
  try {
    return await work(store);
  } finally {
    store.close();
  }
}

function keystoreExists(name: string): TallystickError {
  return new TallystickError(`store ${name} has an identity already`, {
    code: "CONFLICT",
    party: "you",
    check: "existing keystore",
    hint: "use another name; an identity is never overwritten",
  });
}
