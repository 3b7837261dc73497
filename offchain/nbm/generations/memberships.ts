/**
 * This node's positions in each committee, as the chain has them, whether or not this node's database knows the
 * committee. A committee's members change with its generations, and a record made in one of them is sealed to the
 * members of that one, so the positions in all generations count.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { readCommittee, readCommitteeState } from "../../chain/registry.ts";

/** How long a committee's generations are used again: records are judged one after another. */
const KNOWN_MILLISECONDS = 5000;

interface Known {
  /** The last generation that was looked at, with all before. */
  readonly upTo: number;
  readonly until: number;
  readonly indices: readonly number[];
}

export class Memberships {
  readonly #chain: ChainReader;
  readonly #operator: string;
  readonly #known = new Map<bigint, Known>();

  constructor(chain: ChainReader, operator: string) {
    this.#chain = chain;
    this.#operator = operator;
  }

  /**
   * The node's indices in the generations of a committee that are or were active, the latest first, each once; empty
   * when it has never been a member.
   * @throws TallystickError NOT_FOUND, CHAIN_UNAVAILABLE
   */
  async indicesIn(committeeId: bigint): Promise<readonly number[]> {
    const known = this.#known.get(committeeId) ?? { upTo: 0, until: 0, indices: [] };
    if (performance.now() < known.until) return known.indices;
    const { active } = await readCommitteeState(this.#chain, committeeId);
    let { indices } = known;
    for (let generation = known.upTo + 1; generation <= active; generation += 1) {
      const { status, members } = await readCommittee(this.#chain, committeeId, generation);
      const index = members.find(({ operator }) => operator === this.#operator)?.index;
      if (index === undefined || (status !== "active" && status !== "replaced")) continue;
      indices = [index, ...indices.filter((other) => other !== index)];
    }
    this.#known.set(committeeId, { upTo: active, until: performance.now() + KNOWN_MILLISECONDS, indices });
    return indices;
  }
}
