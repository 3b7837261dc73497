/** Whose stub files an agent reads and writes. */
import type { AgentContext } from "../context.ts";
import { accountSnapshotKeys } from "../snapshots/account-keys.ts";
import { stubIdentityKey } from "./owner-stubs.ts";
import type { StubOwner } from "./stub-owner.ts";

/** @throws NoDeploymentError when the agent was opened without a deployment */
export function accountStubs(context: AgentContext, dataId: string, fileKey: Uint8Array): StubOwner {
  const { scope } = accountSnapshotKeys(context);
  return { identityKey: stubIdentityKey(context.identity.snapshotKey, scope), fileKey, dataId };
}
