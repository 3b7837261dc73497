/**
 * Copies stub files from one provider to another. They are sealed for the account whatever the provider; without them,
 * revocable puts could not be read once the old provider is left. Each is opened before it is copied, so that no file
 * counts as moved which the old provider has damaged or dropped; another provider's copy is taken then.
 *
 * A put whose stub file the account reads in an ownership group gets one of the account's own, at both providers, and
 * the account leaves the group: see `leave-groups.ts` for the founder.
 */

import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { openFileKey } from "../keys/file-key.ts";
import type { StubFileKeeper } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";
import { accountStubs } from "../stubs/account-stubs.ts";
import { type LeftGroup, leaveGroupOf } from "../stubs/leave-groups.ts";
import { findStubs, keepStubs, storeStubs } from "../stubs/owner-stubs.ts";
import type { OpenedStubs, StubOwner } from "../stubs/stub-owner.ts";
import type { Damaged } from "./inventory.ts";

type AccountKeeper = StubFileKeeper & { readonly account: string };

interface MovedBetween {
  readonly from: AccountKeeper;
  readonly to: AccountKeeper;
}

export interface CopiedStubFiles {
  /** Puts whose stub file no provider returns whole, each with the error that names the provider. */
  readonly damaged: readonly Damaged[];
  readonly groups: readonly LeftGroup[];
}

/**
 * @param dataIds of all revocable puts that are moved
 * @throws TallystickError CONFLICT (retryable) when other devices keep changing one; what the providers throw
 */
export async function copyStubFiles(
  context: AgentContext,
  { from, to }: MovedBetween,
  dataIds: Iterable<string>,
  signal?: AbortSignal,
): Promise<CopiedStubFiles> {
  const others = [...context.providers()].filter((one) => one !== from);
  const damaged: Damaged[] = [];
  const groups: LeftGroup[] = [];
  const as = { account: context.account.address, signal };
  for (const dataId of dataIds) {
    const { fileKey } = await openFileKey(context, dataId);
    try {
      const owner = accountStubs(context, dataId, fileKey);
      const copied = await copyStubFile(owner, [from, ...others], to, as);
      if (copied instanceof TallystickError) {
        damaged.push({ id: dataId, error: copied });
        continue;
      }
      const group = await leaveGroupOf(from, dataId, as);
      if (group === undefined) continue;
      groups.push(group);
      // Until the old set ends, the put is read there as well.
      if (group.outcome === "left" || group.outcome === "closed") {
        await storeStubs(from, owner, copied.stubs, copied.epoch, signal);
      }
    } finally {
      fileKey.fill(0);
    }
  }
  return { damaged, groups };
}

/**
 * @param keepers the one that is left first: its failure is told
 * @returns what was copied, or why nothing could be
 */
export async function copyStubFile(
  owner: StubOwner,
  keepers: Iterable<StubFileKeeper>,
  to: AccountKeeper,
  as: { readonly account: string; readonly signal?: AbortSignal | undefined },
): Promise<OpenedStubs | TallystickError> {
  try {
    const found = await findStubs(keepers, owner, as.signal);
    if (found === undefined) return missing(owner.dataId);
    // Of the same epoch at least: keys of earlier ones may have been given away.
    await keepStubs(to, owner, found.stubs, found.epoch, as);
    return found;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return error;
  }
}

function missing(dataId: string): TallystickError {
  return new TallystickError(`no provider has the stub file of ${dataId}`, {
    code: "NOT_FOUND",
    party: "providers",
    check: "stub file",
    hint: "put the same files again with --revocable, which makes it again",
  });
}
