/**
 * What becomes of an account's place in the ownership group of a put that it no longer keeps at the group's provider. A
 * member leaves: it is charged for its place, and each change of the group costs a message more for it. A founder whose
 * group has other members stays, because the group cannot go on without it and they would lose the stub file: a group's
 * id names its provider, so that no group moves to another one.
 */
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import type { StubFileKeeper } from "../providers/storage-provider.ts";

/** What became of the account's place in a group. */
export interface LeftGroup {
  /** Account of the provider. */
  readonly provider: string;
  readonly dataId: string;
  /** Absent when the provider could not be asked. */
  readonly groupId?: string;
  /**
   * `closed`: the account had founded it, and nobody else was in it. `founder`: it still administers the group, for the
   * others. `failed`: it may still be in it.
   */
  readonly outcome: "left" | "closed" | "founder" | "failed";
  readonly error?: TallystickError;
}

/** @returns undefined when the account is in no group of the put there */
export async function leaveGroupOf(
  provider: Pick<StubFileKeeper, "ownerGroups"> & { readonly account: string },
  dataId: string,
  { account, signal }: { readonly account: string; readonly signal?: AbortSignal | undefined },
): Promise<LeftGroup | undefined> {
  const groups = provider.ownerGroups;
  const ended = { provider: provider.account, dataId };
  let groupId: string | undefined;
  try {
    const group = await groups?.ofPut(dataId, signal);
    if (groups === undefined || group === undefined) return undefined;
    ({ groupId } = group);
    if (!isAddressEqual(group.founder, account)) {
      await groups.leave(groupId, signal);
      return { ...ended, groupId, outcome: "left" };
    }
    if (group.members > 1) return { ...ended, groupId, outcome: "founder" };
    await groups.close(groupId, signal);
    return { ...ended, groupId, outcome: "closed" };
  } catch (error) {
    if (signal?.aborted === true || !(error instanceof TallystickError)) throw error;
    return { ...ended, ...(groupId === undefined ? {} : { groupId }), outcome: "failed", error };
  }
}
