/** What a lane makes sure of before it signs or sends: each refusal says what to do, mostly to run the put again. */

import { readFeeLimit } from "../../chain/delegates.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import type { DataSetKeeper } from "../providers/storage-provider.ts";
import type { AgreedDataSet, JournaledDataSet } from "./journal.ts";
import type { SegmentTagger } from "./segment-tagger.ts";

/** Refuses to vouch for objects that were taken out while this put relied on them, or whose tags were wrong. */
export async function requireRelied(
  { platform }: AgentContext,
  salt: string,
  tagger: SegmentTagger,
  released: ReadonlySet<string>,
): Promise<void> {
  const own = await tagger.finish();
  const segments = await platform.dataSets.segments(salt);
  if (own !== undefined && segments.every(({ id }) => id !== own.id)) throw tagsLost();
  const relied = [...tagger.relied].filter((id) => !released.has(id));
  const holders = await platform.dataSets.holders(salt, relied);
  const gone = relied.find((id) => !holders.has(id));
  if (gone === undefined) return;
  throw new TallystickError("objects of this put were taken out of the data set meanwhile", {
    code: "CONFLICT",
    party: "you",
    check: "objects in the data set",
    expected: gone,
    received: "retired",
    hint: "run the command again: it adds them anew",
    retryable: true,
  });
}

/**
 * Refuses to sign when the provider has signed a version that this journal does not know: it is a copy, or an older
 * one that was restored, and would sign the version a second time, for which the escrow takes the notice period. A
 * provider that lies about it keeps this device from signing, as it can by not answering.
 */
export async function requireNewest(
  provider: DataSetKeeper,
  { salt }: Pick<JournaledDataSet, "salt">,
  known: bigint,
): Promise<void> {
  const { version } = await provider.dataSet(salt);
  if (version === undefined || BigInt(version) <= known) return;
  throw new TallystickError("the provider has signed a newer state of this data set than this device knows of", {
    code: "CONFLICT",
    party: "you",
    check: "version of the data set",
    expected: `at most ${known}`,
    received: version,
    hint: "a copy of this home signed it, or this one was restored: run it again when its state is on chain",
    retryable: true,
  });
}

/**
 * Refuses to sign, as a delegate, what the owner has not allowed: neither provider nor contract would take it.
 * @throws TallystickError OUT_OF_SCOPE naming limit and fee
 */
export async function requireWithinLimit(
  context: AgentContext,
  { id, terms }: AgreedDataSet,
  fee: bigint,
): Promise<void> {
  const key = context.account.address;
  const limit = await readFeeLimit(await context.chain(), { key, account: terms.user }, id);
  if (fee <= limit) return;
  throw new TallystickError("the data set would cost more than the owner has allowed this device", {
    code: "OUT_OF_SCOPE",
    party: `delegate ${key}`,
    check: "fee per epoch",
    expected: `at most ${limit}`,
    received: String(fee),
    hint: `have the owner run \`tallystick delegate limit ${key} ${id} <fee>\` with a higher one`,
    details: { key, account: terms.user },
  });
}

export function tagsLost(): TallystickError {
  return new TallystickError("the tags of an earlier put are not on this device any more", {
    code: "CONFLICT",
    party: "you",
    check: "prepared tags",
    expected: "the tags of all segments that were begun",
    received: "none",
    hint: "run the command again: it makes them anew",
    retryable: true,
  });
}

export function endedMeanwhile(provider: string, state: string): TallystickError {
  return new TallystickError("the data set has ended since this put began", {
    code: "CONFLICT",
    party: provider,
    check: "state of the data set",
    expected: "running",
    received: state,
    hint: "run the command again: it begins another data set",
    retryable: true,
  });
}
