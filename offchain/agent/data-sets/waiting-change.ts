/**
 * A change of a data set that is on chain and has not begun. Every change makes a proof revert that is on its way, so
 * the escrow takes another one only from the provider until then: what a user may send, at most once per epoch.
 */

import { readEscrowClock } from "../../chain/escrow.ts";
import { lastLevel } from "../../core/data-set/schedule.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import type { DataSetOnChain } from "./following.ts";

export interface WaitingChange {
  /** Epoch in which it begins. */
  readonly fromEpoch: number;
  /** First block of that epoch: from then on this account may send another change. */
  readonly fromBlock: number;
}

/** @returns undefined when the user may send a state that both have signed */
export async function waitingChange(
  context: AgentContext,
  onChain: DataSetOnChain | undefined,
): Promise<WaitingChange | undefined> {
  if (onChain === undefined) return undefined;
  const { fromEpoch } = lastLevel(onChain.schedule);
  if (fromEpoch <= onChain.epoch) return undefined;
  const { epochBlocks } = await readEscrowClock(await context.chain());
  return { fromEpoch, fromBlock: fromEpoch * epochBlocks };
}

export function changeWaits(id: string, { fromEpoch, fromBlock }: WaitingChange): TallystickError {
  return new TallystickError(
    `a change of data set ${id} waits for epoch ${fromEpoch}; until then only the provider may send another`,
    {
      code: "CONFLICT",
      party: "chain",
      check: "changes that wait",
      expected: "none that has not begun",
      received: `one from block ${fromBlock} on`,
      hint: `run the command again from block ${fromBlock} on, unless the provider has sent the state by then`,
      retryable: true,
      details: { fromEpoch, fromBlock },
    },
  );
}
