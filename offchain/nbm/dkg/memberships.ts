/**
 * This node's position in each committee, as the chain has it, whether or not this node's database knows the committee.
 * Positions in active committees are cached, since these never change.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { readCommittee } from "../../chain/registry.ts";

export class Memberships {
  readonly #chain: ChainReader;
  readonly #operator: string;
  readonly #known = new Map<bigint, number | undefined>();

  constructor(chain: ChainReader, operator: string) {
    this.#chain = chain;
    this.#operator = operator;
  }

  /**
   * The node's index in a committee, from 1; undefined when it is no member.
   * @throws TallystickError NOT_FOUND, CHAIN_UNAVAILABLE
   */
  async indexIn(committeeId: bigint): Promise<number | undefined> {
    if (this.#known.has(committeeId)) return this.#known.get(committeeId);
    const committee = await readCommittee(this.#chain, committeeId);
    const index = committee.members.find(({ operator }) => operator === this.#operator)?.index;
    if (committee.status === "active") this.#known.set(committeeId, index);
    return index;
  }
}
