/** The terms on which a data set is opened. */

import { readEscrowClock } from "../../chain/escrow.ts";
import { BelowDataSetOfferError, requireTermsKeepDataSetOffer } from "../../core/data-set/offer.ts";
import { dataSetId } from "../../core/data-set/terms.ts";
import { TallystickError } from "../../core/errors.ts";
import type { DataSetOffer } from "../../core/wire/data-sets.ts";
import type { AgentContext } from "../context.ts";
import type { FollowedDataSet } from "./following.ts";
import type { AgreedDataSet, JournaledDataSet } from "./journal.ts";
import type { DataSetKeys } from "./keys.ts";
import { type LaneWishes, newTerms } from "./wishes.ts";

export interface AgreeingParts {
  readonly providerName: string;
  readonly offer: DataSetOffer;
  readonly wishes: LaneWishes;
  readonly keys: DataSetKeys;
  /** Challenge block that the provider has assigned, once it was asked. */
  readonly assignedPhase: number | undefined;
}

/** What a new set's terms are made of, beside offer and wishes. */
export function freshFacts(
  { account }: AgentContext,
  { salt, sliceElements }: JournaledDataSet,
  { keyHash }: DataSetKeys,
) {
  return { user: account.address, salt, sliceElements, keyHash };
}

/**
 * The terms of the set: those that were agreed on, unless it was never opened and the offer has changed since.
 * @throws TallystickError BAD_RESPONSE for a phase that no set may have
 */
export async function agreeTerms(
  context: AgentContext,
  { set, onChain }: FollowedDataSet,
  { providerName, offer, wishes, keys, assignedPhase }: AgreeingParts,
): Promise<AgreedDataSet> {
  const { deployment } = context;
  const { agreed } = set;
  const phase = assignedPhase ?? agreed?.audit.phase;
  if (agreed !== undefined && (onChain !== undefined || keepsOffer(offer, agreed, phase))) return agreed;
  if (phase === undefined) throw new TallystickError("no phase was assigned", { code: "INTERNAL" });
  const terms = newTerms(offer, wishes, { ...freshFacts(context, set, keys), phase });
  const { windowBlocks, graceBlocks } = terms.audit;
  const { epochBlocks } = await readEscrowClock(await context.chain());
  if (phase + windowBlocks + graceBlocks >= epochBlocks) {
    throw new TallystickError(`${providerName} assigns a phase that no data set may have`, {
      code: "BAD_RESPONSE",
      party: providerName,
      check: "phase",
      expected: `below ${epochBlocks - windowBlocks - graceBlocks}`,
      received: String(phase),
    });
  }
  const id = dataSetId(BigInt(deployment.chainId), deployment.contracts.storageEscrow, terms.terms);
  return { id, ...terms };
}

function keepsOffer(offer: DataSetOffer, agreed: AgreedDataSet, phase = agreed.audit.phase): boolean {
  try {
    requireTermsKeepDataSetOffer(offer, agreed, phase);
    return true;
  } catch (error) {
    if (error instanceof BelowDataSetOfferError) return false;
    throw error;
  }
}
