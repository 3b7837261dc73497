/** Who takes part in a run, as the chain has it: the members of the generation that is made, and those who deal. */

import { keccak_256 } from "@noble/hashes/sha3.js";
import type { ChainReader, Deployment } from "../../chain/deployment.ts";
import { type Committee, type CommitteeMember, generationOf, readCommitteeKeys } from "../../chain/registry.ts";
import {
  type CommitteeGeneration,
  CommitteeRun,
  type CommitteeScope,
  type RunParameters,
} from "../../core/committee/run.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";

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

/**
 * What distinguishes a run from every other one of its number: keccak-256 of the ABI encoding of (uint32 from, uint16
 * threshold, address[] members, address[] dealers), 0x hex. In key generation the members deal, and are listed again.
 */
export function partiesHash({
  run: { from, threshold },
  members,
  dealers,
}: {
  readonly run: Pick<CommitteeRun, "from" | "threshold">;
  readonly members: readonly Pick<CommitteeMember, "operator">[];
  readonly dealers: readonly Pick<CommitteeMember, "operator">[];
}): string {
  // By hand: messages are checked one after another, and the encoder of ethers takes milliseconds for many addresses.
  const lists = [members, dealers].map((list) => [
    BigInt(list.length),
    ...list.map(({ operator }) => BigInt(operator)),
  ]);
  const [made = [], dealing = []] = lists;
  const offsets = [128n, 128n + 32n * BigInt(made.length)];
  const words = [BigInt(from), BigInt(threshold), ...offsets, ...made, ...dealing];
  const encoded = words.map((word) => word.toString(16).padStart(64, "0")).join("");
  return toHex(keccak_256(fromHex(`0x${encoded}`)));
}
