/**
 * The node's background work: each part goes round by itself at a steady pace, so that one that waits (for a block, for a peer) does
 * not hold up the others. A round that fails is logged when its reason changes and is tried again; the node goes on serving
 * from what it has.
 */

import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../daemon/logger.ts";

export interface BackgroundPart {
  readonly name: string;
  readonly run: () => Promise<void>;
}

export interface BackgroundOptions {
  readonly pollMilliseconds: number;
  readonly logger: Logger;
  readonly onFailure: (part: string) => void;
}

/** How long an end waits for the steps under way. */
const GRACE_MILLISECONDS = 3000;

export class Background {
  readonly #stop = new AbortController();
  readonly #options: BackgroundOptions;
  readonly #done: Promise<unknown>;

  constructor(parts: readonly BackgroundPart[], options: BackgroundOptions) {
    this.#options = options;
    this.#done = Promise.all(parts.map((part) => this.#loop(part)));
  }

  /** Ends after the steps under way, or soon without them: every step may be cut off at any point and taken again. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.race([this.#done, delay(GRACE_MILLISECONDS)]);
  }

  async #loop({ name, run }: BackgroundPart): Promise<void> {
    const { logger, onFailure, pollMilliseconds } = this.#options;
    let lastReason: string | undefined;
    while (!this.#stop.signal.aborted) {
      try {
        await run();
        if (lastReason !== undefined) logger.info({ part: name }, "background work goes on");
        lastReason = undefined;
      } catch (cause) {
        onFailure(name);
        const reason = cause instanceof Error ? cause.message : String(cause);
        if (reason !== lastReason) logger.error({ part: name, err: cause }, "background work failed");
        lastReason = reason;
      }
      // Aborting the wait is how it ends early.
      await delay(pollMilliseconds, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }
}
