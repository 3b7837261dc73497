/**
 * What a replaced account has at this provider is its successor's. The successor proves itself by the naming on chain,
 * when it opens a session: what its predecessors have here becomes its own before it gets a token. Until their sessions
 * end, predecessors may still add something; the next opening takes that as well.
 */

import { LONGEST_LINE, readPredecessor } from "../chain/account-directory.ts";
import type { ChainReader } from "../chain/deployment.ts";
import type { Logger } from "../daemon/logger.ts";
import type { SuccessionIndex } from "../store/index/succession-index.ts";
import type { PassedPlaces } from "./owner-groups/passed-places.ts";

export interface SuccessionOptions {
  readonly chain: ChainReader;
  readonly successions: SuccessionIndex;
  readonly places: Pick<PassedPlaces, "pass">;
  readonly logger: Logger;
  /** Unix seconds. */
  readonly now: () => number;
}

export class Successions {
  readonly #options: SuccessionOptions;

  constructor(options: SuccessionOptions) {
    this.#options = options;
  }

  /** @throws ChainUnavailableError, DiskFullError, DiskFailedError, DatabaseUnavailableError */
  async takeOver(account: string): Promise<void> {
    const { chain, successions, places, logger, now } = this.#options;
    // What those before the longest line have was taken over by it, or is lost.
    const line = [account];
    for (let steps = 0; steps < LONGEST_LINE; steps += 1) {
      const predecessor = await readPredecessor(chain, line.at(-1) ?? account);
      if (predecessor === undefined) break;
      line.push(predecessor);
    }
    // From the oldest on, so that everything arrives at the account.
    for (let place = line.length - 1; place > 0; place -= 1) {
      const [from = "", to = ""] = [line[place], line[place - 1]];
      // Before what is charged is counted anew.
      await places.pass(from, to);
      await successions.takeOver(from, to, now());
      logger.info({ predecessor: from, successor: to }, "an account's objects are its successor's");
    }
  }
}
