/** Which members hold the shares of a record now, as the registry has it (core/record/share-holders.ts). */

import { type MemberHistory, readMemberHistory, type SettledGenerations } from "../../chain/committee-generations.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { TallystickError } from "../../core/errors.ts";
import { type ShareLine, shareLines } from "../../core/record/share-holders.ts";

/** How long a history is used again: records are looked at one after another. */
const KNOWN_MILLISECONDS = 1000;

export interface ShareLinesOptions {
  readonly chain: ChainReader;
  /** Blocks from the activation of a generation until shares pass to its new members. */
  readonly finalAfterBlocks: number;
  /** What reads the registry; `readMemberHistory` unless told. */
  readonly read?: typeof readMemberHistory;
}

export class ShareLines {
  readonly #options: ShareLinesOptions;
  readonly #known = new Map<bigint, { readonly until: number; readonly history: Promise<MemberHistory> }>();
  /** Not read again: of committees that this node is or was a member of, which are few. */
  readonly #settled = new Map<bigint, SettledGenerations>();

  constructor(options: ShareLinesOptions) {
    this.#options = options;
  }

  /**
   * Ask only for committees that this node is or was a member of. Generations that came later need not name it.
   * @throws as `readMemberHistory`
   */
  async historyOf(committeeId: bigint): Promise<MemberHistory> {
    const known = this.#known.get(committeeId);
    if (known !== undefined && performance.now() < known.until) return await known.history;
    const { chain, read = readMemberHistory } = this.#options;
    const history = read(chain, committeeId, this.#settled.get(committeeId));
    this.#known.set(committeeId, { until: performance.now() + KNOWN_MILLISECONDS, history });
    history.then(
      ({ settled }) => this.#settled.set(committeeId, settled),
      () => this.#known.delete(committeeId),
    );
    return await history;
  }

  /** Whether no reorganisation takes back the activation that made the members of today. */
  isFinal({ blocksSince, generations }: MemberHistory): boolean {
    return generations.length === 1 || blocksSince >= this.#options.finalAfterBlocks;
  }

  /**
   * The same, for a share that passes to another member: a reorganisation could give it to a third one, and the second
   * another share, so it waits until there is none to be expected.
   *
   * @param generation the one for which the share is sealed
   * @throws TallystickError CONFLICT when another one is active, or its activation is not final; as `historyOf`
   */
  async finalHistoryOf(committeeId: bigint, generation: number): Promise<MemberHistory> {
    let history = await this.historyOf(committeeId);
    if (history.active !== generation || !this.isFinal(history)) {
      // What is known may be a little old.
      this.#known.delete(committeeId);
      history = await this.historyOf(committeeId);
    }
    const refuse = (message: string, expected: string, received: string): never => {
      throw new TallystickError(message, {
        code: "CONFLICT",
        party: `committee ${committeeId}`,
        check: "generation of the delivery",
        expected,
        received,
        hint: "read the registry, and deliver again later",
        retryable: true,
      });
    };
    const { active, blocksSince } = history;
    if (active !== generation) refuse("the share is sealed for another generation", `${active}`, `${generation}`);
    if (this.isFinal(history)) return history;
    const { finalAfterBlocks } = this.#options;
    return refuse(
      `the activation of generation ${active} is not final`,
      `${finalAfterBlocks} blocks on it`,
      `${blocksSince}`,
    );
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
