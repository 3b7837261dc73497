/** Which members hold the shares of a record now, as the registry has it (core/record/share-holders.ts). */

import { type MemberHistory, readMemberHistory } from "../../chain/committee-generations.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { type ShareLine, shareLines } from "../../core/record/share-holders.ts";

/** How long a history is used again: records are looked at one after another. */
const KNOWN_MILLISECONDS = 5000;

export class ShareLines {
  readonly #chain: ChainReader;
  readonly #known = new Map<bigint, { readonly until: number; readonly history: Promise<MemberHistory> }>();

  constructor(chain: ChainReader) {
    this.#chain = chain;
  }

  /**
   * Ask only for committees that this node is or was a member of: others may have any number of generations.
   * @throws TallystickError NOT_FOUND; ChainUnavailableError
   */
  async historyOf(committeeId: bigint): Promise<MemberHistory> {
    const known = this.#known.get(committeeId);
    if (known !== undefined && performance.now() < known.until) return await known.history;
    const history = readMemberHistory(this.#chain, committeeId);
    this.#known.set(committeeId, { until: performance.now() + KNOWN_MILLISECONDS, history });
    history.catch(() => this.#known.delete(committeeId));
    return await history;
  }

  /** @throws as `historyOf` */
  async of(
    { committeeId, keyTime }: { readonly committeeId: bigint; readonly keyTime: bigint },
    shares: number,
  ): Promise<readonly ShareLine[]> {
    const { generations } = await this.historyOf(committeeId);
    return shareLines(generations, keyTime, shares);
  }
}
