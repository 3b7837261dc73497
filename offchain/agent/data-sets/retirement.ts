/** Takes slices out of a data set, without the provider. */

import type { SignedState } from "../../chain/data-set-words.ts";
import { retireCall } from "../../chain/escrow-calls.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { decodeLiveRanges, encodeLiveRanges, joinRanges, subtractRanges } from "../../core/data-set/ranges.ts";
import { InvalidInputError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { signedState } from "./co-signing.ts";
import { isPending } from "./following.ts";
import { type FoundSet, followFound, journaledSet, requireOwnSet } from "./found-set.ts";
import { sumOf } from "./next-state.ts";
import { type SendOptions, type SentTransaction, sendWithin } from "./sending.ts";
import { changeWaits, waitingChange } from "./waiting-change.ts";

export interface Retirement extends SentTransaction {
  readonly id: string;
  readonly retiredSlices: number;
  readonly remaining: readonly SliceRange[];
  /** Version of the co-signed state that was carried out with it. */
  readonly carriedVersion?: bigint;
}

/** @see DataSets.retire */
export async function retireSlices(
  context: AgentContext,
  id: string,
  ranges: readonly SliceRange[],
  options: SendOptions,
): Promise<Retirement> {
  return await context.exclusive(async () => {
    const found = await requireOwnSet(context, id);
    const { terms } = found.opened;
    const carried = await carriedState(context, found);
    await requireRetirable(context, found, carried);
    const live = decodeLiveRanges(carried?.ranges ?? found.onChain.scheduled.ranges);
    const remaining = subtractRanges(live, joinRanges(ranges, []));
    const retiredSlices = sumOf(live) - sumOf(remaining);
    requireSomeRetired(retiredSlices, remaining);
    const words = { terms, ...found.onChain.scheduled };
    const call = retireCall(context.deployment, words, carried, encodeLiveRanges(remaining));
    const sent = await sendWithin(context, call, options);
    await followFound(context, found);
    const version = carried === undefined ? {} : { carriedVersion: carried.version };
    return { ...sent, id, retiredSlices, remaining, ...version };
  }, undefined);
}

/** The newest state that both have signed and the chain does not have yet. */
async function carriedState(context: AgentContext, found: FoundSet): Promise<SignedState | undefined> {
  const { onChain } = found;
  const signed = (await journaledSet(context, found))?.signed;
  if (signed?.providerSignature === undefined || !isPending(signed, onChain, onChain.head)) return undefined;
  return signedState(signed, signed.providerSignature);
}

/**
 * While a change waits, no state is carried along, and without it the retirement would make its signatures void.
 * Without a state, only another retirement is in the way.
 */
async function requireRetirable(
  context: AgentContext,
  { opened, onChain }: FoundSet,
  carried: SignedState | undefined,
): Promise<void> {
  const waiting = await waitingChange(context, onChain);
  if (waiting === undefined || (carried === undefined && waiting.fromEpoch <= onChain.epoch + 1)) return;
  throw changeWaits(opened.id, waiting);
}

function requireSomeRetired(retiredSlices: number, remaining: readonly SliceRange[]): void {
  if (retiredSlices > 0 && remaining.length > 0) return;
  throw new InvalidInputError("a retirement takes out some slices of a data set, and leaves some", {
    party: "you",
    check: "slices to retire",
    expected: "some that are live, and not all of them",
    received: retiredSlices === 0 ? "none that is live" : "all of them",
    hint: "to end the data set, give notice to it",
  });
}
