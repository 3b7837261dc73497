/** Delivers the segments that the next state of a set adds, and forgets those that cannot be delivered any more. */

import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import type { DataSetOffer } from "../../core/wire/data-sets.ts";
import type { AgentContext } from "../context.ts";
import type { DataSetProgress } from "../progress.ts";
import type { DataSetKeeper } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";
import { type Delivered, deliverSegments } from "./delivery.ts";
import { type FollowedDataSet, isPendingNow } from "./following.ts";
import type { JournaledSegment } from "./journal.ts";
import type { DataSetKeys } from "./keys.ts";
import { tagsLost } from "./lane-checks.ts";
import type { DataSetListener } from "./lane-report.ts";
import { dropSegments, findSegment, type PreparedSegment } from "./segment-tagger.ts";
import { requireIndexAllowed } from "./wishes.ts";

export interface DeliveryParts {
  readonly context: AgentContext;
  readonly provider: DataSetKeeper;
  readonly offer: DataSetOffer;
  readonly keys: DataSetKeys;
  readonly onProgress: DataSetListener;
  readonly signal: AbortSignal | undefined;
}

/**
 * @returns undefined when nothing is wanted
 * @throws TallystickError CONFLICT (retryable) when nobody has the tags of a segment any more; as `deliverSegments`
 */
export async function deliverWanted(
  followed: FollowedDataSet,
  wanted: readonly JournaledSegment[],
  to: DeliveryParts,
): Promise<Delivered | undefined> {
  const { context, provider, offer, keys, onProgress, signal } = to;
  const { platform } = context;
  if (wanted.length === 0) return undefined;
  const last = wanted.at(-1);
  if (last !== undefined) {
    requireIndexAllowed(provider.name, last.firstIndex + last.sliceCount - 1, offer);
  }
  const prepared: PreparedSegment[] = [];
  const lost: string[] = [];
  for (const segment of wanted) {
    const found = await findSegment(platform, followed.set, segment, keys);
    if (found !== undefined) prepared.push(found);
    else if (await isLost(context, provider, followed, segment)) lost.push(segment.id);
  }
  if (lost.length > 0) {
    await dropSegments(platform, followed.set, lost);
    throw tagsLost();
  }
  const { agreed, ...unopened } = followed.set;
  const isFixed = followed.onChain !== undefined || (await isBeingOpened(context, followed));
  const delivery = {
    provider,
    // A set that was never opened is forgotten by its provider, which may assign another phase to it then.
    set: agreed !== undefined && isFixed ? followed.set : unopened,
    isGiven: agreed !== undefined && !isAddressEqual(agreed.terms.user, context.account.address),
    keys,
    clock: platform.clock,
    onProgress: (told: Pick<DataSetProgress, "phase" | "doneBytes" | "totalBytes">) =>
      onProgress?.({ operation: "data-set", ...told }),
    signal,
  };
  try {
    return await deliverSegments(delivery, prepared);
  } catch (error) {
    const signed = new Set(followed.set.signed?.segments);
    // Tags that the provider finds wrong are not offered again: the next put makes others. Nor is a compaction of
    // objects that it does not have: they stay where they are.
    const isWrong = error instanceof TallystickError && error.code === "INVALID_PROOF";
    const dropped = prepared.filter(
      ({ id, isCompaction }) => !signed.has(id) && (isWrong || (isCompaction === true && isDamage(error))),
    );
    const ids = dropped.map(({ id }) => id);
    await dropSegments(platform, followed.set, ids);
    throw error;
  }
}

/** Whether nobody has the tags of a segment any more, which are not on this device. */
async function isLost(
  context: AgentContext,
  provider: DataSetKeeper,
  followed: FollowedDataSet,
  { id, state }: JournaledSegment,
): Promise<boolean> {
  const { signed } = followed.set;
  const isSigned = signed?.segments.includes(id) === true;
  // What was signed has been verified: the provider has its tags, and keeps them while the state may be sent.
  if (isSigned && (await isPendingNow(context, followed, signed))) return false;
  if (state === "reserved") return !isSigned;
  // A reorganisation has removed the state, and its signatures have expired.
  try {
    await provider.verifySegment(followed.set.salt, id);
    return false;
  } catch (error) {
    if (error instanceof TallystickError && error.code === "NOT_FOUND") return true;
    throw error;
  }
}

async function isBeingOpened(context: AgentContext, followed: FollowedDataSet): Promise<boolean> {
  const { signed } = followed.set;
  return signed !== undefined && (await isPendingNow(context, followed, signed));
}
