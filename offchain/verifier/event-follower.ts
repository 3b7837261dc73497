/** Keeps the records at the head of the chain. */

import { requireTermsOfId } from "../chain/data-set-words.ts";
import type { ChainReader } from "../chain/deployment.ts";
import { followDataSets } from "../chain/escrow-events.ts";
import type { SetRecords } from "./set-records.ts";

export interface EventFollowerOptions {
  readonly chain: ChainReader;
  readonly records: SetRecords;
  readonly overlapBlocks: number;
}

export class EventFollower {
  readonly #options: EventFollowerOptions;
  #caughtUpAt: number | undefined;

  constructor(options: EventFollowerOptions) {
    this.#options = options;
  }

  /** Seconds since the records were last known to be at the head; Infinity before the first time. */
  lagSeconds(): number {
    return this.#caughtUpAt === undefined ? Number.POSITIVE_INFINITY : (performance.now() - this.#caughtUpAt) / 1000;
  }

  /** Reads up to the head. @throws ChainUnavailableError; IntegrityError for terms that are not those of their id */
  async catchUp(): Promise<void> {
    const { chain, records, overlapBlocks } = this.#options;
    for await (const page of followDataSets(chain, records.cursor(), { overlapBlocks })) {
      for (const event of page.events) if (event.kind === "DataSetOpened") requireTermsOfId(chain.deployment, event);
      records.apply(page);
    }
    this.#caughtUpAt = performance.now();
  }
}
