/**
 * Data sets that another device of this account has made. The salt is on chain, so the provider is not asked: if the
 * key that derives from it is the one in the terms, nobody but this account can have made the set. Those of delegates
 * are among them. They are adopted for
 * audits only: which indices the other device has given away, only that device knows.
 */

import { type OpenedDataSet, requireTermsOfId } from "../../chain/data-set-words.ts";
import { dataSetsOpened } from "../../chain/escrow-events.ts";
import { FIRST_INDEX } from "../../core/audit/field.ts";
import { NO_CONTENT } from "../../core/data-set/content.ts";
import { NO_PREDECESSOR } from "../../core/data-set/terms.ts";
import type { AgentContext } from "../context.ts";
import { follow } from "./following.ts";
import { keysOfSet } from "./set-keys.ts";

/**
 * Adds the sets of this account to the journal that are not in it.
 * @returns how many were added
 * @throws TallystickError CHAIN_UNAVAILABLE; INTEGRITY when the chain's endpoint answers terms that are not those of
 *   their id
 */
export async function recoverDataSets(context: AgentContext): Promise<number> {
  const chain = await context.chain();
  const journal = context.platform.dataSets;
  let recovered = 0;
  const moves: OpenedDataSet[] = [];
  for await (const opened of dataSetsOpened(chain, { user: context.account.address })) {
    requireTermsOfId(chain.deployment, opened);
    if (opened.audit.predecessor !== NO_PREDECESSOR) moves.push(opened);
    if ((await journal.set(opened.audit.salt)) !== undefined) continue;
    if ((await keysOfSet(context, opened)) === undefined) {
      context.logger.warn({ id: opened.id }, "the audit key of this data set is not one of this account: no audits");
      continue;
    }
    await adopt(context, opened);
    recovered += 1;
  }
  for (const move of moves) await noteMove(context, move);
  return recovered;
}

/** Notes that a set took over from another one, unless this device knows where that went, or that it was moved back. */
async function noteMove({ platform }: AgentContext, { id, terms, audit, blockNumber }: OpenedDataSet): Promise<void> {
  const sets = await platform.dataSets.sets();
  const before = sets.find(({ agreed }) => agreed?.id === audit.predecessor);
  if (before === undefined || before.movedTo !== undefined) return;
  if (sets.some(({ agreed, movedTo }) => agreed?.id === id && movedTo?.id === audit.predecessor)) return;
  await platform.dataSets.save({ ...before, movedTo: { id, provider: terms.provider, blockNumber } });
}

async function adopt(context: AgentContext, { id, terms, audit }: OpenedDataSet): Promise<void> {
  const set = await context.platform.dataSets.save({
    salt: audit.salt,
    provider: terms.provider,
    escrow: context.deployment.contracts.storageEscrow,
    token: terms.token,
    sliceElements: audit.sliceElements,
    state: "running",
    isOwn: false,
    createdAt: Math.floor(context.platform.clock.now() / 1000),
    revision: 0,
    nextIndex: FIRST_INDEX,
    agreed: { id, terms, audit },
    contentHash: NO_CONTENT,
  });
  await follow(context, set);
}
