/**
 * The shortest way to the record of a put that this device has made before: its catalogue names the record, and
 * contract state shows it. No archive is asked, and no node.
 */

import { hasRole } from "../../chain/ledger.ts";
import type { AgentContext } from "../context.ts";
import type { KeyOwnership } from "../keys/record-key.ts";

/** @returns undefined when this device has not recorded the put, or the ledger does not show it */
export async function knownOwnership(context: AgentContext, dataId: string): Promise<KeyOwnership | undefined> {
  const put = await context.catalogue.put(dataId);
  if (put === undefined) return undefined;
  const { recordId, role } = put;
  const isOwned = await hasRole(await context.chain(), recordId, context.account.address, role);
  return isOwned ? { recordId, role, isNew: false } : undefined;
}
