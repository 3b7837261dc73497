/** Which nodes of a network a user asks first: an assignment that is drawn from the account decides. */

import { readCommittee } from "../../offchain/chain/registry.ts";
import { assignedOrder, assignmentEpoch } from "../../offchain/core/assignment/assignment.ts";
import type { LocalNet } from "./local-net.ts";

/** Positions of the nodes of committee 1 in the order in which an account asks them today. */
export async function assignedPositions(net: LocalNet, user: string): Promise<number[]> {
  const chain = { provider: net.chain.provider, deployment: net.deployment, close: () => undefined };
  const { id, members } = await readCommittee(chain, 1n);
  const epoch = assignmentEpoch(Math.floor(Date.now() / 1000));
  return assignedOrder({ committeeId: id, user, epoch }, members).map(({ index }) => index - 1);
}
