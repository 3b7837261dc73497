/**
 * Accounts that were replaced open no sessions, and those that they have end. The chain is asked at every opening, and
 * once in `KNOWN_SECONDS` of an account's requests. While it does not answer, no session is opened, and sessions that
 * are open go on until their own end: an endpoint that is down must not stop every upload and download.
 */

import { type Replacement, readReplacement } from "../chain/account-directory.ts";
import type { ChainReader } from "../chain/deployment.ts";
import { TallystickError } from "../core/errors.ts";

/** How long an answer of the chain is used: the longest that a session outlives the naming of a successor. */
export const KNOWN_SECONDS = 30;
const MAXIMUM_KNOWN = 10_000;
/** Of a successor: one answer is enough. */
const FOR_GOOD = Number.POSITIVE_INFINITY;

interface Known {
  readonly replacement: Promise<Replacement | undefined>;
  readonly until: number;
}

export interface ReplacedAccountsOptions {
  /** @throws ChainUnavailableError */
  readonly read: (account: string) => Promise<Replacement | undefined>;
  /** Milliseconds that never go back; the process's clock unless told. */
  readonly monotonicNow?: () => number;
}

export class ReplacedAccounts {
  readonly #read: ReplacedAccountsOptions["read"];
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();

  constructor({ read, monotonicNow = () => performance.now() }: ReplacedAccountsOptions) {
    this.#read = read;
    this.#now = monotonicNow;
  }

  static on(chain: ChainReader): ReplacedAccounts {
    return new ReplacedAccounts({ read: (account) => readReplacement(chain, account) });
  }

  /** For who asks for a session. @throws TallystickError ACCOUNT_REPLACED, CHAIN_UNAVAILABLE */
  async requireCurrent(account: string): Promise<void> {
    const before = this.#known.get(account);
    const replacement = await (before?.until === FOR_GOOD ? before.replacement : this.#ask(account));
    if (replacement !== undefined) throw replaced(account, replacement);
  }

  /** For who has one. @throws TallystickError ACCOUNT_REPLACED */
  async requireStillCurrent(account: string): Promise<void> {
    const before = this.#known.get(account);
    let replacement: Replacement | undefined;
    try {
      const isKnown = before !== undefined && before.until > this.#now();
      replacement = await (isKnown ? before.replacement : this.#ask(account));
    } catch (error) {
      if (!(error instanceof TallystickError) || error.code !== "CHAIN_UNAVAILABLE") throw error;
    }
    if (replacement !== undefined) throw replaced(account, replacement);
  }

  #ask(account: string): Promise<Replacement | undefined> {
    const replacement = this.#read(account);
    const known: Known = { replacement, until: this.#now() + KNOWN_SECONDS * 1000 };
    this.#known.delete(account);
    this.#known.set(account, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAXIMUM_KNOWN) break;
      this.#known.delete(oldest);
    }
    replacement.then(
      (found) => {
        if (found !== undefined && this.#known.get(account) === known) {
          this.#known.set(account, { replacement, until: FOR_GOOD });
        }
      },
      () => {
        // Who comes next asks again.
        if (this.#known.get(account) === known) this.#known.delete(account);
      },
    );
    return replacement;
  }
}

function replaced(account: string, { successor, at }: Replacement): TallystickError {
  return new TallystickError("the account was replaced, and opens no session", {
    code: "ACCOUNT_REPLACED",
    party: `account ${account}`,
    check: "successor in the directory of accounts",
    expected: "none",
    received: `${successor}, named at ${new Date(at * 1000).toISOString()}`,
    hint: "act as the successor: its recovery phrase opens what this account has stored",
    details: { account, successor },
  });
}
