/**
 * Prepares new ownership challenges for objects that have few left. This reads the objects, so it happens in the
 * background: a claim reads nothing.
 */
import PQueue from "p-queue";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { ChunkService } from "./chunk-service.ts";

/** Objects that wait for new challenges. A further one is left out: the next claim on it asks again. */
const MOST_WAITING = 1024;

export class ChallengeRefill {
  readonly #chunks: Pick<ChunkService, "inspect">;
  readonly #logger: Logger;
  readonly #waiting = new Set<string>();
  readonly #queue = new PQueue({ concurrency: 1 });
  #isClosed = false;

  constructor(chunks: Pick<ChunkService, "inspect">, logger: Logger) {
    this.#chunks = chunks;
    this.#logger = logger;
  }

  /** Has an object read and its challenges prepared anew, soon. */
  request(digest: Uint8Array): void {
    const key = toHex(digest);
    if (this.#waiting.has(key) || this.#waiting.size >= MOST_WAITING) return;
    this.#waiting.add(key);
    this.#queue
      .add(async () => {
        this.#waiting.delete(key);
        await this.#chunks.inspect(fromHex(key));
      })
      .catch((error: unknown) => {
        // What was dropped at the end is no failure: the next claim on the object asks again.
        if (!this.#isClosed) this.#logger.warn({ err: error }, "new ownership challenges could not be prepared");
      });
  }

  /** Resolves when nothing waits. */
  async settled(): Promise<void> {
    await this.#queue.onIdle();
  }

  /** Drops what waits and resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#queue.clear();
    await this.#queue.onIdle();
  }
}
