/**
 * Answers of the chain about accounts, used again for `KNOWN_SECONDS`, so that not every request of an account costs a
 * question. Answers that never change are kept for as long as there is room.
 */

/** How long an answer of the chain is used: the longest that daemons go on after a change. */
export const KNOWN_SECONDS = 30;
const MAXIMUM_KNOWN = 10_000;
const FOR_GOOD = Number.POSITIVE_INFINITY;

interface Known<Answer> {
  readonly answer: Promise<Answer>;
  readonly until: number;
}

export interface RememberedAnswersOptions<Answer> {
  /** @throws ChainUnavailableError */
  readonly read: (account: string) => Promise<Answer>;
  /** Whether an answer never changes. */
  readonly isForGood: (answer: Answer) => boolean;
  /** Milliseconds that never go back; the process's clock unless told. */
  readonly monotonicNow?: (() => number) | undefined;
}

export class RememberedAnswers<Answer> {
  readonly #options: RememberedAnswersOptions<Answer>;
  readonly #now: () => number;
  readonly #known = new Map<string, Known<Answer>>();

  constructor(options: RememberedAnswersOptions<Answer>) {
    this.#options = options;
    this.#now = options.monotonicNow ?? (() => performance.now());
  }

  /** Asks, unless the answer is one for good. @throws what `read` throws */
  async latest(account: string): Promise<Answer> {
    const before = this.#known.get(account);
    return await (before?.until === FOR_GOOD ? before.answer : this.#ask(account));
  }

  /** Asks once in `KNOWN_SECONDS`. @throws what `read` throws */
  async recent(account: string): Promise<Answer> {
    const before = this.#known.get(account);
    return await (before !== undefined && before.until > this.#now() ? before.answer : this.#ask(account));
  }

  /** As `recent`, of an answer that fits; asks again after another one. @throws what `read` throws */
  async recentIf(account: string, fits: (answer: Answer) => boolean): Promise<Answer> {
    const before = this.#known.get(account);
    if (before !== undefined && before.until > this.#now()) {
      const answer = await before.answer;
      if (fits(answer)) return answer;
    }
    return await this.#ask(account);
  }

  #ask(account: string): Promise<Answer> {
    const answer = this.#options.read(account);
    const known: Known<Answer> = { answer, until: this.#now() + KNOWN_SECONDS * 1000 };
    this.#known.delete(account);
    this.#known.set(account, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAXIMUM_KNOWN) break;
      this.#known.delete(oldest);
    }
    answer.then(
      (found) => {
        if (this.#options.isForGood(found) && this.#known.get(account) === known) {
          this.#known.set(account, { answer, until: FOR_GOOD });
        }
      },
      () => {
        // Who comes next asks again.
        if (this.#known.get(account) === known) this.#known.delete(account);
      },
    );
    return answer;
  }
}
