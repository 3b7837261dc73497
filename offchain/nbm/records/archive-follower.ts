/**
 * Keeps the archive at the head of the chain. One scan runs at a time; a caller that needs fresh data waits for the
 * next one.
 */

import { followArchived } from "../../chain/archived-events.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import type { LedgerEvent } from "../../chain/ledger.ts";
import { pause } from "../../chain/pause.ts";
import { TallystickError } from "../../core/errors.ts";
import type { ShareState } from "../../core/wire/nbm.ts";
import type { Archive } from "./archive.ts";

export interface ArchiveFollowerOptions {
  readonly chain: ChainReader;
  readonly archive: Archive;
  /** This node's verdict on its share in a record. */
  readonly judgeShare: (event: LedgerEvent & { kind: "KeyRecorded" }) => Promise<ShareState>;
  readonly overlapBlocks: number;
  /** `refresh` lets so much time pass after a scan before it starts the next one. */
  readonly spacingMilliseconds: number;
}

export class ArchiveFollower {
  readonly #options: ArchiveFollowerOptions;
  #running: Promise<void> | undefined;
  #caughtUpAt = 0;
  /** When the last scan ended, failed or not, by a clock that never goes back. */
  #scannedAt = Number.NEGATIVE_INFINITY;
  /** A scan that starts soon. */
  #next: Promise<void> | undefined;

  constructor(options: ArchiveFollowerOptions) {
    this.#options = options;
  }

  /** Seconds since the archive was last known to be at the head; Infinity before the first time. */
  lagSeconds(): number {
    return this.#caughtUpAt === 0 ? Number.POSITIVE_INFINITY : (Date.now() - this.#caughtUpAt) / 1000;
  }

  /** Reads up to the head as it is now or later. @throws ChainUnavailableError */
  async catchUp(): Promise<void> {
    // A running scan may have read the head before the caller's event was mined, so this waits for one that starts
    // later. A failure of the running scan is reported to the callers that started it.
    const before = this.#running;
    if (before !== undefined) await before.catch(() => undefined);
    this.#running ??= this.#scan().finally(() => {
      this.#running = undefined;
      this.#scannedAt = performance.now();
    });
    return this.#running;
  }

  /**
   * Reads up to the head if the chain answers, together with other requests of the same moment. If not, the caller uses
   * what is archived: that is what an archive is for.
   *
   * @returns whether the archive is at the head.
   */
  async refresh(): Promise<boolean> {
    try {
      this.#next ??= this.#catchUpLater();
      await this.#next;
      return true;
    } catch (cause) {
      if (cause instanceof TallystickError && cause.code === "CHAIN_UNAVAILABLE") return false;
      throw cause;
    }
  }

  async #catchUpLater(): Promise<void> {
    const wait = this.#scannedAt + this.#options.spacingMilliseconds - performance.now();
    await pause(Math.max(0, wait));
    // Whoever comes from now on may need what the scan has no longer seen.
    this.#next = undefined;
    await this.catchUp();
  }

  async #scan(): Promise<void> {
    const { chain, archive, judgeShare, overlapBlocks } = this.#options;
    for await (const page of followArchived(chain, archive.cursor(), { overlapBlocks })) {
      const shares = new Map<LedgerEvent, ShareState>();
      for (const event of page.events) {
        if (event.kind === "KeyRecorded" && !archive.has(event)) shares.set(event, await judgeShare(event));
      }
      archive.apply(page, shares);
    }
    this.#caughtUpAt = Date.now();
  }
}
