/**
 * How many blocks an endpoint lets one `eth_getLogs` span. Endpoints limit the number of blocks, of results, or the
 * size of the answer, and most do not say the limit in a form that a program can read. So the span is learnt. A refused
 * span is halved. A larger one is tried after a number of successes; this number grows each time a larger span is
 * refused. An endpoint with a fixed limit refuses a handful of requests in all, and where logs become sparse again the
 * span grows again.
 */

/** Full spans that must succeed before a larger one is tried. */
const FIRST_PATIENCE = 8;
const PATIENCE_FACTOR = 4;
const LONGEST_PATIENCE = 8192;
/** A larger span is longer by this part. */
const GROWTH_DIVISOR = 4;

export class LogSpan {
  #blocks = Number.POSITIVE_INFINITY;
  /** The span that was answered before the present one was tried; undefined when the present one has been answered. */
  #proven: number | undefined;
  /** The smallest span that was refused; forgotten when a span of that length is answered. */
  #refused = Number.POSITIVE_INFINITY;
  #successes = 0;
  #patience = FIRST_PATIENCE;

  /** Blocks to ask for. */
  get blocks(): number {
    return this.#blocks;
  }

  /** Notes that a request was answered. */
  answered(blocks: number): void {
    if (blocks >= this.#refused) this.#refused = Number.POSITIVE_INFINITY;
    // What was shorter than the present span says nothing about it.
    if (blocks < this.#blocks) return;
    this.#proven = undefined;
    this.#successes += 1;
    if (this.#successes < this.#patience) return;
    this.#successes = 0;
    this.#proven = this.#blocks;
    const longer = this.#blocks + Math.max(1, Math.floor(this.#blocks / GROWTH_DIVISOR));
    // Between what is answered and what was refused there may be little; then the refused span itself is tried, rarely.
    const below = this.#refused - 1;
    this.#blocks = below > this.#blocks ? Math.min(longer, below) : longer;
  }

  /**
   * Notes that a request was refused.
   *
   * @returns false when it was for a single block: then the number of blocks is not the reason, and nothing is learnt.
   */
  refused(blocks: number): boolean {
    this.#successes = 0;
    if (blocks <= 1) {
      this.#blocks = Number.POSITIVE_INFINITY;
      this.#proven = undefined;
      return false;
    }
    this.#refused = Math.min(this.#refused, blocks);
    const proven = this.#proven;
    this.#proven = undefined;
    if (proven !== undefined && proven < blocks) {
      this.#blocks = proven;
      this.#patience = Math.min(LONGEST_PATIENCE, this.#patience * PATIENCE_FACTOR);
    } else {
      this.#blocks = Math.floor(blocks / 2);
    }
    return true;
  }
}

const SPANS = new WeakMap<object, LogSpan>();

/** The span learnt for an endpoint, for as long as its provider lives. */
export function logSpanOf(provider: object): LogSpan {
  let span = SPANS.get(provider);
  if (span === undefined) {
    span = new LogSpan();
    SPANS.set(provider, span);
  }
  return span;
}
