/** The secrets of a set of this account, whichever of its devices appends to it. */

import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { readDelegates } from "../../chain/delegates.ts";
import { delegateSecrets } from "../../core/identity/delegate-secrets.ts";
import type { AgentContext } from "../context.ts";
import { type DataSetKeys, dataSetKeys } from "./keys.ts";

/**
 * @returns undefined when the audit key of the set derives neither from this account's secrets nor from those that one
 *   of its delegates was given
 * @throws TallystickError CHAIN_UNAVAILABLE
 */
export async function keysOfSet(
  context: AgentContext,
  { audit }: Pick<OpenedDataSet, "audit">,
): Promise<DataSetKeys | undefined> {
  const { auditSeed } = context.identity;
  const own = await dataSetKeys(auditSeed, audit.salt);
  if (own.keyHash === audit.keyHash) return own;
  for (const { key } of await readDelegates(await context.chain(), context.account.address)) {
    const keys = await dataSetKeys(delegateSecrets(auditSeed, key).auditSeed, audit.salt);
    if (keys.keyHash === audit.keyHash) return keys;
  }
  return undefined;
}
