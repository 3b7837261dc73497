/**
 * Questions to policies that are under way. What one account may have of them is bounded, so that one whose policy is
 * slow keeps nobody else from being answered.
 */
import PQueue from "p-queue";
import { TallystickError } from "../../core/errors.ts";

export interface QuestionLimits {
  /** Asked at a time. */
  readonly concurrency: number;
  /** Waiting or asked, of one account and in all. */
  readonly perAccount: number;
  readonly inAll: number;
}

export class PolicyQuestions {
  readonly #limits: QuestionLimits;
  readonly #queue: PQueue;
  readonly #accounts = new Map<string, number>();

  constructor(limits: QuestionLimits) {
    this.#limits = limits;
    this.#queue = new PQueue({ concurrency: limits.concurrency });
  }

  /** @throws TallystickError RATE_LIMITED at once when too many wait; whatever the question throws */
  async run<T>(account: string, ask: () => Promise<T>): Promise<T> {
    const { perAccount, inAll } = this.#limits;
    const own = this.#accounts.get(account) ?? 0;
    if (own >= perAccount) throw tooMany("of the account", perAccount);
    if (this.#queue.size + this.#queue.pending >= inAll) throw tooMany("in all", inAll);
    this.#accounts.set(account, own + 1);
    try {
      return await this.#queue.add(ask);
    } finally {
      const left = (this.#accounts.get(account) ?? 1) - 1;
      if (left === 0) this.#accounts.delete(account);
      else this.#accounts.set(account, left);
    }
  }
}

function tooMany(whose: string, limit: number): TallystickError {
  return new TallystickError("too many release requests wait for their policies", {
    code: "RATE_LIMITED",
    party: "this node",
    check: `policies asked ${whose}`,
    expected: `at most ${limit}`,
    hint: "repeat the request in some seconds, or ask other members",
    retryable: true,
    retryAfterSeconds: 2,
  });
}
