/** The generations through which the shares of a record pass from member to member (core/record/share-holders.ts). */

import type { MemberGeneration } from "../core/record/share-holders.ts";
import { nodeRegistry } from "./contracts.ts";
import type { ChainReader } from "./deployment.ts";
import { readCommitteeState } from "./registry.ts";
import { readChain } from "./revert.ts";

/** Fetched side by side when a history is read. */
const PAGE = 32;

export interface MemberHistory {
  /** Number of the active generation; 0 while there is none. */
  readonly active: number;
  /** Blocks that have come upon its activation. */
  readonly blocksSince: number;
  /** Those that are or were active up to the active one, in the order of their numbers. */
  readonly generations: readonly MemberGeneration[];
}

/** Who was a member of a committee when. @throws TallystickError NOT_FOUND; ChainUnavailableError */
export async function readMemberHistory(chain: ChainReader, id: bigint): Promise<MemberHistory> {
  const head = await readChain("reading the number of the latest block", () => chain.provider.getBlockNumber());
  const { active } = await readCommitteeState(chain, id);
  const registry = nodeRegistry(chain);
  const generations: MemberGeneration[] = [];
  let activatedBlock = 0;
  for (let start = 1; start <= active; start += PAGE) {
    const numbers = Array.from({ length: Math.min(PAGE, active - start + 1) }, (_, offset) => start + offset);
    const found = await readChain(`reading the generations of committee ${id}`, () =>
      Promise.all(numbers.map((number) => registry.generationById(id, number))),
    );
    for (const { members, activatedAt, activatedBlock: block } of found) {
      if (activatedAt === 0n) continue;
      generations.push({ activatedAt: Number(activatedAt), members: [...members] });
      activatedBlock = Number(block);
    }
  }
  return { active, blocksSince: head - activatedBlock, generations };
}
