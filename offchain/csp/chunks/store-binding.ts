/**
 * Ties the object store to this provider's index. Objects without a row are removed at start (`reconcile.ts`), so a
 * start with another provider's objects, or with an empty database in place of one that was lost, would remove what
 * owners rely on.
 */
import { randomBytes } from "#primitives";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import type { ObjectStore } from "../../store/object/object-store.ts";

const META_NAME = "store";

/**
 * Takes the object store for this index, for good.
 * @throws TallystickError CONFLICT when it belongs to another index
 */
export async function bindObjectStore(store: ObjectStore, index: ProviderIndex): Promise<void> {
  let owner = await store.owner();
  if (owner === undefined) {
    // The row comes first: after a crash in between, the store has no owner yet and is claimed by the next start.
    owner = await store.claim(await index.meta.setOnce(META_NAME, toHex(randomBytes(16))));
  }
  const recorded = await index.meta.get(META_NAME);
  if (owner === recorded) return;
  throw new TallystickError("the stored objects belong to another database", {
    code: "CONFLICT",
    party: "this daemon",
    check: "database of the objects",
    expected: owner,
    received: recorded ?? `none: ${index.location} is new`,
    hint:
      "nothing was removed. Restore the database from a copy, since without it no object has an owner; " +
      "or configure another object store",
  });
}
