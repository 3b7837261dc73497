/**
 * Rotates the identity of a page's store: a new one takes its place, as `tallystick rotate` has it. An entry point of
 * its own (`tallystick/browser/rotation`), because pages that do not rotate need not load it:
 *
 *   import { openRotation, planPageRotation, rotatePage } from "tallystick/browser/rotation";
 *   const next = await openRotation("main", key);
 *   // Show phraseOf(next) and the plan, have both confirmed, then:
 *   await rotatePage({ name: "main", deployment, old: identity, next });
 *
 * The successor's keystore lies beside that of the old identity until all is done, so a page that is reloaded, at any
 * moment, calls the same functions again and goes on. What the successor keeps meanwhile is in a store of its own; one
 * transaction puts it in the place of the old one.
 */

import { deleteDB, type StoreNames } from "idb";
import { TallystickError } from "../../core/errors.ts";
import { freshIdentity, type Identity, phraseOfEntropy, takeIdentity } from "../../core/identity/identity.ts";
import { DEFAULT_SCRYPT_COST, type KeystoreKey, openKeystore, sealKeystore } from "../../core/identity/keystore.ts";
import type { ScryptCost } from "../../kernels/primitives.ts";
import { type RotationParties, withBothIdentities } from "../rotation/both-identities.ts";
import {
  planRotation,
  type RotateOptions,
  type Rotation,
  type RotationPlan,
  type RotationReport,
  rotate,
} from "../rotation/rotate.ts";
import { loadIdentity } from "./identity-store.ts";
import { databaseName, type PageSchema, PageStore } from "./page-store.ts";
import { browserPlatform } from "./platform.ts";
import { WebLock } from "./web-lock.ts";

export type { RotateOptions, RotationPlan, RotationReport };

const USER = "user";
const SUCCESSOR = "successor";
/** What belongs to an account, apart from its keystore. */
const ACCOUNT_STORES = [
  "account",
  "puts",
  "listHeads",
  "preparations",
  "tags",
  "dataSets",
  "segments",
  "segmentObjects",
] as const satisfies StoreNames<PageSchema>[];

export interface PageRotation extends RotationParties {
  /** Of the store whose identity is replaced. */
  readonly name: string;
}

/** Store of the successor until it takes the place of the old identity. */
function rotationStore(name: string): string {
  return `${name}/rotation`;
}

/** Whether a successor was made and has not taken the place of the identity yet. @throws TallystickError DISK_FAILED */
export async function hasRotation(name: string): Promise<boolean> {
  return await PageStore.during(name, async (store) => (await successorOf(store)) !== undefined);
}

/** The recovery phrase of an identity: to be written down before it takes another one's place. */
export function phraseOf({ phraseEntropy }: Pick<Identity, "phraseEntropy">): string {
  return phraseOfEntropy(phraseEntropy);
}

/**
 * The successor: the one of an interrupted rotation, or a new one, whose keystore is durable when this resolves.
 * @param key that opens the identity of the store: it opens the successor's keystore too, and nothing else does
 * @throws TallystickError NO_IDENTITY, WRONG_PASSPHRASE, WRONG_WALLET; DISK_FULL, DISK_FAILED
 */
export async function openRotation(
  name: string,
  key: KeystoreKey,
  cost: ScryptCost = DEFAULT_SCRYPT_COST,
): Promise<Identity> {
  // A key that does not open the old one must not be the only one of the new one.
  (await loadIdentity(name, key)).wipe();
  const found = await PageStore.during(name, successorOf);
  if (found !== undefined) return takeIdentity(await openKeystore(found, key, "user"));
  const next = freshIdentity();
  try {
    // Of an earlier rotation, whose page went away at the very end.
    await deleteDB(databaseName(rotationStore(name)));
    const keystore = await sealKeystore(next.phraseEntropy, key, "user", cost);
    const isMine = await PageStore.during(name, (store) =>
      store.write(["keystore"], async (transaction) => {
        const keystores = transaction.objectStore("keystore");
        if ((await keystores.get(SUCCESSOR)) !== undefined) return false;
        await keystores.add(keystore, SUCCESSOR);
        return true;
      }),
    );
    if (isMine) return next;
  } catch (error) {
    next.wipe();
    throw error;
  }
  // Another tab was faster: its phrase may have been shown already.
  next.wipe();
  return await openRotation(name, key, cost);
}

/** What the rotation would come to. Sends nothing. @throws as `planRotation` */
export async function planPageRotation(page: PageRotation, signal?: AbortSignal): Promise<RotationPlan> {
  return await withRotation(page, async (rotation) => await planRotation(rotation, signal));
}

/**
 * Carries the rotation out, or goes on with it, and puts the successor in the place of the identity. An agent that is
 * open on the store is closed before; the next `loadIdentity` opens the successor, by the same key.
 * @throws as `rotate`; TallystickError CONFLICT when the store has another successor; DISK_FULL, DISK_FAILED
 */
export async function rotatePage(page: PageRotation, options: RotateOptions = {}): Promise<RotationReport> {
  const report = await withRotation(page, async (rotation) => await rotate(rotation, options));
  await new WebLock(databaseName(page.name)).exclusive(async () => await exchangeStores(page.name));
  return report;
}

/**
 * Puts the successor's rows in place of the account's, all or none. The old keystore goes with them: the successor has
 * the old phrase from the chain, where it was handed over, and a page has nothing that would open the keystore.
 * @throws TallystickError CONFLICT when there is no successor; DISK_FULL, DISK_FAILED
 * @internal for tests
 */
export async function exchangeStores(name: string): Promise<void> {
  const rows = await PageStore.during(rotationStore(name), readRows);
  await PageStore.during(name, (store) =>
    store.write(["keystore", ...ACCOUNT_STORES], async (transaction) => {
      const keystores = transaction.objectStore("keystore");
      const successor = await keystores.get(SUCCESSOR);
      if (successor === undefined) throw noRotation(name);
      await keystores.put(successor, USER);
      await keystores.delete(SUCCESSOR);
      for (const { store: storeName, keys, values } of rows) {
        const target = transaction.objectStore(storeName);
        await target.clear();
        for (const [place, value] of values.entries()) {
          // A store with a key path takes the key from the value.
          if (target.keyPath === null) await target.put(value as never, keys[place] as never);
          else await target.put(value as never);
        }
      }
    }),
  );
  // What is left of it otherwise goes with the next rotation.
  await deleteDB(databaseName(rotationStore(name)));
}

interface Rows {
  readonly store: (typeof ACCOUNT_STORES)[number];
  readonly keys: readonly unknown[];
  readonly values: readonly unknown[];
}

async function readRows(store: PageStore): Promise<Rows[]> {
  return await store.read([...ACCOUNT_STORES], (transaction) =>
    Promise.all(
      ACCOUNT_STORES.map(async (one) => {
        const rows = transaction.objectStore(one);
        const [keys, values] = await Promise.all([rows.getAllKeys(), rows.getAll()]);
        return { store: one, keys, values };
      }),
    ),
  );
}

async function withRotation<Result>(
  page: PageRotation,
  work: (rotation: Rotation) => Promise<Result>,
): Promise<Result> {
  const { name } = page;
  if (!(await hasRotation(name))) throw noRotation(name);
  const places = { old: () => browserPlatform(name), next: () => browserPlatform(rotationStore(name)) };
  return await withBothIdentities(page, places, work);
}

async function successorOf(store: PageStore) {
  return await store.read(["keystore"], (transaction) => transaction.objectStore("keystore").get(SUCCESSOR));
}

function noRotation(name: string): TallystickError {
  return new TallystickError(`store ${name} has no successor: another tab may have finished the rotation`, {
    code: "CONFLICT",
    party: "you",
    check: "rotation of the store",
    hint: "reload the page, and open the identity again",
  });
}
