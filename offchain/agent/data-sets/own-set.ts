/** This device's data set at a provider. */

import { randomBytes } from "#primitives";
import { FIRST_INDEX } from "../../core/audit/field.ts";
import { NO_CONTENT } from "../../core/data-set/content.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { DataSetOffer } from "../../core/wire/data-sets.ts";
import type { AgentContext } from "../context.ts";
import type { DataSetKeeper } from "../providers/storage-provider.ts";
import { ABANDONED_SECONDS, type FollowedDataSet, follow } from "./following.ts";
import { sliceElementsFor } from "./slice-size.ts";
import { type LaneWishes, tokenOf } from "./wishes.ts";

/** Attempts to find a set that can be appended to: each one that has ended is noted, and not found again. */
const ATTEMPTS = 4;

/** Removes tags that a crash has left behind. */
export async function removeAbandoned({ platform }: AgentContext): Promise<void> {
  const before = Math.floor(platform.clock.now() / 1000) - ABANDONED_SECONDS;
  const needed = new Set((await platform.dataSets.segments()).map(({ id }) => id));
  await platform.preparations.removeAbandoned(needed, before * 1000);
}

/**
 * This device's set at the provider that can be appended to; a new one is noted when there is none.
 * @param delegate for whom the set is prepared, unless it is for this device
 */
export async function ownSet(
  context: AgentContext,
  provider: DataSetKeeper,
  offer: DataSetOffer,
  wishes: LaneWishes,
  delegate?: string,
): Promise<FollowedDataSet> {
  const { dataSets, clock } = context.platform;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const begun = await dataSets.begin({
      salt: toHex(randomBytes(32)),
      provider: provider.account,
      escrow: context.deployment.contracts.storageEscrow,
      token: tokenOf(wishes),
      sliceElements: sliceElementsFor(offer, wishes.expectedBytes),
      state: "preparing",
      isOwn: true,
      createdAt: Math.floor(clock.now() / 1000),
      revision: 0,
      nextIndex: FIRST_INDEX,
      contentHash: NO_CONTENT,
      ...(delegate === undefined ? {} : { delegate }),
    });
    const followed = await follow(context, begun);
    if (followed.set.isOwn && followed.set.state !== "ended") return followed;
  }
  throw new TallystickError("no data set can be appended to", { code: "INTERNAL" });
}

/**
 * A set that the owner has prepared for this device.
 * @throws TallystickError CONFLICT when it has ended, or another home of the device has appended to it
 */
export async function givenSet(context: AgentContext, provider: DataSetKeeper, salt: string): Promise<FollowedDataSet> {
  const set = await context.platform.dataSets.set(salt);
  if (set === undefined) throw new TallystickError("the set is not in the journal", { code: "INTERNAL" });
  const followed = await follow(context, set);
  if (followed.set.isOwn && followed.set.state !== "ended") return followed;
  throw new TallystickError("the data set that the owner has prepared for this device cannot be appended to", {
    code: "CONFLICT",
    party: provider.name,
    check: "data set of the delegate",
    expected: "one that runs, and that only this home has appended to",
    received: followed.set.state === "ended" ? "ended" : "one that another home has appended to",
    hint:
      "have the owner prepare another one with `tallystick delegate prepare --new`; " +
      "`tallystick put --no-data-set` stores without one meanwhile",
  });
}
