/** Who takes part in a run, as the chain has it: the members of the generation that is made, and those who deal. */

import type { ChainReader, Deployment } from "../../chain/deployment.ts";
import { type Committee, type CommitteeMember, generationOf, readCommitteeKeys } from "../../chain/registry.ts";
import {
  type CommitteeGeneration,
  CommitteeRun,
  type CommitteeScope,
  type RunParameters,
} from "../../core/committee/run.ts";
import type { RunMessageName } from "./signed-messages.ts";

export function scopeOf({ chainId, contracts }: Deployment, committeeId: bigint): CommitteeScope {
  return { chainId: BigInt(chainId), registry: contracts.nodeRegistry, committeeId };
}

export interface RunParties {
  readonly run: CommitteeRun;
  readonly members: readonly CommitteeMember[];
  readonly dealers: readonly CommitteeMember[];
}

/** @throws TallystickError as readCommitteeKeys, for the generation that deals */
export async function readParties(chain: ChainReader, committee: Committee): Promise<RunParties> {
  const { id, generation, size, threshold, members, from } = committee;
  const parameters = { ...scopeOf(chain.deployment, id), generation, size, threshold };
  if (from === 0) return partiesOf(parameters, members, members);
  const previous = await readCommitteeKeys(chain, id, from);
  return partiesOf(parameters, members, previous.members, generationOf(previous));
}

function partiesOf(
  parameters: RunParameters,
  members: readonly CommitteeMember[],
  dealers: readonly CommitteeMember[],
  previous?: CommitteeGeneration,
): RunParties {
  return { run: new CommitteeRun(previous === undefined ? parameters : { ...parameters, previous }), members, dealers };
}

/** The operator that has to have signed a message; undefined when the run has no such sender. */
export function senderOf({ members, dealers }: RunParties, { kind, sender }: RunMessageName): string | undefined {
  return (kind === "dealing" ? dealers : members)[sender - 1]?.operator;
}
