/** The snapshot keys of the account in its deployment, and the names under which its lists are remembered. */

import { ledgerScope } from "../../chain/ledger.ts";
import { type SnapshotKeys, snapshotKeys } from "../../core/snapshot/snapshot-keys.ts";
import type { AgentContext } from "../context.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { SnapshotList } from "./snapshot-list.ts";

/** @throws NoDeploymentError when the agent was opened without a deployment */
export function accountSnapshotKeys({ identity, deployment, account }: AgentContext): SnapshotKeys {
  return snapshotKeys(identity.snapshotKey, ledgerScope(deployment), account.address);
}

/** The same, to read metadata with that a predecessor may have sealed. @throws as `AgentContext.predecessors` */
export async function readingSnapshotKeys(context: AgentContext): Promise<SnapshotKeys> {
  const ledger = ledgerScope(context.deployment);
  const line = await context.predecessors();
  const earlier = line.map(({ identity }) => snapshotKeys(identity.snapshotKey, ledger, identity.account));
  return { ...accountSnapshotKeys(context), earlier };
}

/** The account's list at one provider. */
export function snapshotListAt(context: AgentContext, provider: StorageProvider): SnapshotList {
  return new SnapshotList({
    provider,
    keys: accountSnapshotKeys(context),
    catalogue: context.catalogue,
    clock: context.platform.clock,
    listName: listNameOf(context, provider),
  });
}

export function listNameOf({ deployment }: AgentContext, { account }: Pick<StorageProvider, "account">): string {
  const { chainId, contracts } = deployment;
  return `${chainId}/${contracts.keyLedger.toLowerCase()}/${account.toLowerCase()}`;
}
