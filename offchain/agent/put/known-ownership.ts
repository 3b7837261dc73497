/**
 * The shortest way to the record of a put that this device has made before: its catalogue names the record, and
 * contract state shows it. No archive is asked, and no node.
 */

import { readRecordState } from "../../chain/ledger.ts";
import type { AgentContext } from "../context.ts";
import type { KeyOwnership } from "../keys/record-key.ts";

/** @returns undefined when this device has not recorded the put, or the ledger does not show it */
export async function knownOwnership(context: AgentContext, dataId: string): Promise<KeyOwnership | undefined> {
  const put = await context.catalogue.put(dataId);
  // Who owns a record of somebody else, the ledger tells by the record alone: its archive has to be asked.
  if (put === undefined || put.role !== "recorder") return undefined;
  const state = await readRecordState(await context.chain(), put.recordId);
  return state === undefined ? undefined : { recordId: put.recordId, role: put.role, isNew: false };
}
