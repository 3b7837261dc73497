/** From a data id to its root recipe: the key from the account's record, the sealed root from a provider. */

import type { RootRecipe } from "../../core/recipe/recipe.ts";
import { openRoot } from "../../core/recipe/tree.ts";
import type { AgentContext } from "../context.ts";
import { type KeySource, type OpenedKey, openFileKey } from "../keys/file-key.ts";
import { type Healing, healBeside } from "../keys/share-healing.ts";
import type { StubFileKeeper } from "../providers/storage-provider.ts";
import { accountStubs } from "../stubs/account-stubs.ts";
import { findStubs } from "../stubs/owner-stubs.ts";

/** A root, and how the account owns it. */
export interface OpenedRoot extends Omit<OpenedKey, "fileKey" | "found" | "owner"> {
  readonly dataId: string;
  readonly root: RootRecipe;
  /** Length of the sealed root. */
  readonly sealedBytes: number;
  /** Of a revocable put, if this account has a stub file of it. */
  readonly stubs?: Uint8Array;
}

export interface OpenRootOptions {
  readonly keepers?: Iterable<StubFileKeeper>;
  /** Told when the record of the key is healed beside this read. */
  readonly onHealing?: (healing: Healing) => void;
}

/**
 * @param keySource where the key comes from; see keys/file-key.ts.
 * @param options.keepers of the stub file of a revocable put; none where only its recipe is read. Default: all
 *   providers
 * @throws TallystickError NOT_FOUND, NOT_OWNER, SHARES_MISSING for the key; what providers answer for the root
 * @throws IntegrityError when the root, or the stub file of a revocable put, does not open
 */
export async function openStoredRoot(
  context: AgentContext,
  dataId: string,
  signal: AbortSignal | undefined,
  keySource?: KeySource,
  { keepers = context.providers(), onHealing }: OpenRootOptions = {},
): Promise<OpenedRoot> {
  const opened = await openFileKey(context, dataId, keySource);
  const { fileKey, recordId, role, source, nodes } = opened;
  const ownership = { recordId, role, source, nodes };
  try {
    const healing = healBeside(context, opened, dataId);
    if (healing !== undefined) onHealing?.(healing);
    const sealed = await context.providers().fetch(dataId, signal);
    const root = openRoot(fileKey, dataId, sealed);
    const owner = root.keyMode === "revocable" ? accountStubs(context, dataId, fileKey) : undefined;
    const found = owner && (await findStubs(keepers, owner, signal));
    const stubs = found === undefined ? {} : { stubs: found.stubs };
    return { ...ownership, ...stubs, dataId, root, sealedBytes: sealed.length };
  } finally {
    fileKey.fill(0);
  }
}
