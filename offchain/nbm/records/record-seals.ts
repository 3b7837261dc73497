/** What key records of this node's committees are sealed to, for the judgement of one record after the other. */

import type { ChainReader } from "../../chain/deployment.ts";
import { readRecordSeal } from "../../chain/group-keys.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { REORGANISED_BLOCKS } from "../../chain/logs.ts";
import { readCommittee } from "../../chain/registry.ts";
import type { RecordSeal } from "../../core/record/sealed-record.ts";

export class RecordSeals {
  readonly #chain: ChainReader;
  readonly #final = new Map<bigint, RecordSeal>();

  constructor(chain: ChainReader) {
    this.#chain = chain;
  }

  /**
   * It never changes, but by a reorganisation: so it is kept when the active generation is final. Ask only for
   * committees that this node is a member of.
   * @throws as `readRecordSeal`
   */
  async of(committeeId: bigint): Promise<RecordSeal> {
    const known = this.#final.get(committeeId);
    if (known !== undefined) return known;
    const chain = this.#chain;
    const seal = await readRecordSeal(chain, committeeId);
    const { activatedBlock } = await readCommittee(chain, committeeId);
    const head = await readHeadNumber(chain);
    if (activatedBlock > 0 && head >= activatedBlock + REORGANISED_BLOCKS) this.#final.set(committeeId, seal);
    return seal;
  }
}
