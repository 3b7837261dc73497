/**
 * Ends the ownership of accounts that pay for nothing: an account without a running data set is noted, told by
 * `GET /v1/usage`, and released when the notice is over. A data set in the meantime takes the notice back.
 */
import type { Logger } from "../../daemon/logger.ts";
import type { ChunkIndex } from "../../store/index/chunk-index.ts";
import type { DataSetIndex } from "../../store/index/data-set-index.ts";

const DAY_SECONDS = 86_400;
/** Objects that one transaction releases. */
const RELEASED_AT_ONCE = 500;

export interface UnpaidParts {
  readonly chunks: Pick<ChunkIndex, "owners" | "ownedBy" | "release" | "setUnpaidSince" | "usageOf">;
  readonly dataSets: Pick<DataSetIndex, "coveredOf">;
  readonly logger: Logger;
}

export class UnpaidAccounts {
  readonly #parts: UnpaidParts;
  readonly #noticeSeconds: number;
  readonly #now: () => number;

  /** @param unpaidDays days from the notice to the release; 0 for never */
  constructor(parts: UnpaidParts, unpaidDays: number, now: () => number) {
    this.#parts = parts;
    this.#noticeSeconds = unpaidDays * DAY_SECONDS;
    this.#now = now;
  }

  /** When what the account owns is released unless it pays; undefined when it is not. */
  async expiryOf(account: string): Promise<number | undefined> {
    if (this.#noticeSeconds === 0) return undefined;
    const { unpaidSince } = await this.#parts.chunks.usageOf(account);
    return unpaidSince === undefined ? undefined : unpaidSince + this.#noticeSeconds;
  }

  /** Looks at all accounts. @param signal ends the walk after the account under way */
  async expire(signal?: AbortSignal): Promise<void> {
    if (this.#noticeSeconds === 0) return;
    const { chunks, dataSets } = this.#parts;
    for await (const page of chunks.owners()) {
      for (const { account, unpaidSince } of page) {
        if (signal?.aborted) return;
        const pays = (await dataSets.coveredOf(account)).chunks > 0;
        if (pays) {
          if (unpaidSince !== undefined) await chunks.setUnpaidSince(account, undefined);
        } else if (unpaidSince === undefined) await chunks.setUnpaidSince(account, this.#now());
        else if (unpaidSince + this.#noticeSeconds <= this.#now()) await this.#release(account);
      }
    }
  }

  async #release(account: string): Promise<void> {
    const { chunks, logger } = this.#parts;
    let released = 0;
    for (;;) {
      const digests = await chunks.ownedBy(account, RELEASED_AT_ONCE);
      if (digests.length === 0) break;
      released += await chunks.release(account, digests, this.#now());
    }
    await chunks.setUnpaidSince(account, undefined);
    logger.info({ account, objects: released }, "objects that the account does not pay for were released");
  }
}
