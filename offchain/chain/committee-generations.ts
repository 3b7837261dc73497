/** The generations through which the shares of a record pass from member to member (core/record/share-holders.ts). */

import { TallystickError } from "../core/errors.ts";
import type { MemberGeneration } from "../core/record/share-holders.ts";
import { nodeRegistry } from "./contracts.ts";
import type { ChainReader } from "./deployment.ts";
import { REORGANISED_BLOCKS } from "./logs.ts";
import { readCommitteeState } from "./registry.ts";
import { readChain } from "./revert.ts";

/** Fetched side by side when a history is read. */
const PAGE = 32;
/**
 * Most generations of a committee that is read: 11 years of daily ones. Strangers may open any number in committees of
 * their own, and name nodes in them.
 */
export const MOST_GENERATIONS = 4096;

/** The first generations of a committee, which no reorganisation changes any more: a history is read on from there. */
export interface SettledGenerations {
  /** Number of the last of them; 0 for none. */
  readonly upTo: number;
  /** Those of them that were active, in the order of their numbers. */
  readonly generations: readonly MemberGeneration[];
  /** In which the last of them became active. */
  readonly activatedBlock: number;
}

const NONE_SETTLED: SettledGenerations = { upTo: 0, generations: [], activatedBlock: 0 };

export interface MemberHistory {
  /** Number of the active generation; 0 while there is none. */
  readonly active: number;
  /** Blocks that have come upon its activation. */
  readonly blocksSince: number;
  /** Those that are or were active up to the active one, in the order of their numbers. */
  readonly generations: readonly MemberGeneration[];
  readonly settled: SettledGenerations;
}

/**
 * Who was a member of a committee when.
 *
 * @param known what an earlier history of the committee has settled; the rest is read
 * @throws TallystickError NOT_FOUND; INVALID_INPUT for more than `MOST_GENERATIONS`; ChainUnavailableError
 */
export async function readMemberHistory(
  chain: ChainReader,
  id: bigint,
  known: SettledGenerations = NONE_SETTLED,
): Promise<MemberHistory> {
  const head = await readChain("reading the number of the latest block", () => chain.provider.getBlockNumber());
  const { active } = await readCommitteeState(chain, id);
  if (active > MOST_GENERATIONS) throw tooMany(id, active);
  // An endpoint may be behind the one that was asked before.
  let settled = known.upTo <= active ? known : NONE_SETTLED;
  let { activatedBlock } = settled;
  const generations = [...settled.generations];
  let last: { readonly upTo: number; readonly count: number; readonly activatedBlock: number } | undefined;
  const registry = nodeRegistry(chain);
  for (let start = settled.upTo + 1; start <= active; start += PAGE) {
    const numbers = Array.from({ length: Math.min(PAGE, active - start + 1) }, (_, offset) => start + offset);
    const found = await readChain(`reading the generations of committee ${id}`, () =>
      Promise.all(numbers.map((number) => registry.generationById(id, number))),
    );
    for (const [at, { members, activatedAt, activatedBlock: block }] of found.entries()) {
      if (activatedAt === 0n) continue;
      generations.push({ activatedAt: Number(activatedAt), members: [...members] });
      activatedBlock = Number(block);
      if (head < activatedBlock + REORGANISED_BLOCKS) continue;
      last = { upTo: start + at, count: generations.length, activatedBlock };
    }
  }
  if (last !== undefined) {
    const { count, ...place } = last;
    settled = { ...place, generations: generations.slice(0, count) };
  }
  return { active, blocksSince: head - activatedBlock, generations, settled };
}

function tooMany(id: bigint, active: number): TallystickError {
  return new TallystickError(`committee ${id} has had too many generations`, {
    code: "INVALID_INPUT",
    party: `committee ${id}`,
    check: "generations of the committee",
    expected: `at most ${MOST_GENERATIONS}`,
    received: String(active),
    hint: "use another committee: this one changes more often than any that is of use",
  });
}
