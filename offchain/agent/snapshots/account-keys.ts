/** The snapshot keys of the account in its deployment, and the names under which its lists are remembered. */

import { ledgerScope } from "../../chain/ledger.ts";
import { delegateSecrets } from "../../core/identity/delegate-secrets.ts";
import type { Identity } from "../../core/identity/identity.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import { type SnapshotKeys, snapshotKeys } from "../../core/snapshot/snapshot-keys.ts";
import type { AgentContext } from "../context.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { DevicesOfAccount } from "./devices-of-account.ts";
import { SnapshotList } from "./snapshot-list.ts";

/** @throws NoDeploymentError when the agent was opened without a deployment */
export function accountSnapshotKeys({ identity, deployment, account }: AgentContext): SnapshotKeys {
  return snapshotKeys(identity.snapshotKey, ledgerScope(deployment), account.address);
}

/**
 * Keys of the metadata of a device that only writes. Both have them: the device from its owner, and the owner from its
 * identity. @param snapshotKey of the device's secrets @throws NoDeploymentError as above
 */
export function deviceSnapshotKeys(
  { deployment }: AgentContext,
  snapshotKey: Uint8Array,
  device: string,
): SnapshotKeys {
  return snapshotKeys(snapshotKey, ledgerScope(deployment), device);
}

/**
 * Keys to read the metadata of a snapshot with, which a predecessor may have sealed.
 * @param snapshot one of the account itself unless it names a device
 * @throws as `AgentContext.predecessors`
 */
export async function readingSnapshotKeys(
  context: AgentContext,
  { device }: Pick<Snapshot, "device"> = {},
): Promise<SnapshotKeys> {
  const line = await context.predecessors();
  const keysOf = (identity: Identity) =>
    device === undefined
      ? snapshotKeys(identity.snapshotKey, ledgerScope(context.deployment), identity.account)
      : deviceSnapshotKeys(context, delegateSecrets(identity.auditSeed, device).snapshotKey, device);
  return { ...keysOf(context.identity), earlier: line.map(({ identity }) => keysOf(identity)) };
}

/** The account's list at one provider. */
export function snapshotListAt(context: AgentContext, provider: StorageProvider): SnapshotList {
  return new SnapshotList({
    provider,
    keys: accountSnapshotKeys(context),
    catalogue: context.catalogue,
    clock: context.platform.clock,
    listName: listNameOf(context, provider),
    devices: new DevicesOfAccount(context, provider, listNameOf(context, provider)),
  });
}

export function listNameOf({ deployment }: AgentContext, { account }: Pick<StorageProvider, "account">): string {
  const { chainId, contracts } = deployment;
  return `${chainId}/${contracts.keyLedger.toLowerCase()}/${account.toLowerCase()}`;
}
