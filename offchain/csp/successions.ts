/**
 * What a replaced account has at this provider is its successor's. The successor proves itself by the naming on chain,
 * when it opens a session: what its predecessors have here becomes its own before it gets a token. Until their sessions
 * end, predecessors may still add something; the next opening takes that as well. An account that opens sessions again
 * and again causes neither questions to the chain nor writes for predecessors that have nothing left.
 */

import { readPredecessor } from "../chain/account-directory.ts";
import type { ChainReader } from "../chain/deployment.ts";
import { LONGEST_LINE } from "../core/identity/handover.ts";
import type { Logger } from "../daemon/logger.ts";
import { RememberedAnswers } from "../daemon/remembered-answers.ts";
import type { SuccessionIndex } from "../store/index/succession-index.ts";
import type { PassedPlaces } from "./owner-groups/passed-places.ts";

export interface SuccessionOptions {
  readonly chain: ChainReader;
  readonly successions: SuccessionIndex;
  readonly places: Pick<PassedPlaces, "pass">;
  readonly logger: Logger;
  /** Unix seconds. */
  readonly now: () => number;
  /** Milliseconds that never go back; the process's clock unless told. */
  readonly monotonicNow?: () => number;
  /** The directory's answer unless told. @throws ChainUnavailableError */
  readonly predecessorOf?: (account: string) => Promise<string | undefined>;
}

export class Successions {
  readonly #options: SuccessionOptions;
  readonly #predecessors: RememberedAnswers<string | undefined>;

  constructor(options: SuccessionOptions) {
    this.#options = options;
    const { chain, monotonicNow } = options;
    const read = options.predecessorOf ?? ((account: string) => readPredecessor(chain, account));
    // Not for good: a reorganisation may replace a naming.
    this.#predecessors = new RememberedAnswers({ read, isForGood: () => false, monotonicNow });
  }

  /** @throws ChainUnavailableError, DiskFullError, DiskFailedError, DatabaseUnavailableError */
  async takeOver(account: string): Promise<void> {
    const { successions, places, logger, now } = this.#options;
    const line = [account];
    for (let steps = 0; steps < LONGEST_LINE; steps += 1) {
      // What those before the last one of them have was taken over by them, or is lost.
      const predecessor = await this.#predecessors.recentIf(line.at(-1) ?? account, (found) => found !== undefined);
      if (predecessor === undefined) break;
      line.push(predecessor);
    }
    // From the oldest on, so that everything arrives at the account.
    for (let place = line.length - 1; place > 0; place -= 1) {
      const [from = "", to = ""] = [line[place], line[place - 1]];
      // Before what is charged is counted anew.
      await places.pass(from, to);
      if (!(await successions.takeOver(from, to, now()))) continue;
      logger.info({ predecessor: from, successor: to }, "an account's objects are its successor's");
    }
  }
}
