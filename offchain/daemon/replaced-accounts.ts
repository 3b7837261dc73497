/**
 * Accounts that were replaced open no sessions, and those that they have end. The chain is asked at every opening, and
 * once in `KNOWN_SECONDS` of an account's requests. While it does not answer, no session is opened, and sessions that
 * are open go on until their own end: an endpoint that is down must not stop every upload and download.
 */

import { type Replacement, readReplacement } from "../chain/account-directory.ts";
import type { ChainReader } from "../chain/deployment.ts";
import { TallystickError } from "../core/errors.ts";
import { RememberedAnswers } from "./remembered-answers.ts";

export interface ReplacedAccountsOptions {
  /** @throws ChainUnavailableError */
  readonly read: (account: string) => Promise<Replacement | undefined>;
  /** Milliseconds that never go back; the process's clock unless told. */
  readonly monotonicNow?: () => number;
}

export class ReplacedAccounts {
  readonly #replacements: RememberedAnswers<Replacement | undefined>;

  constructor({ read, monotonicNow }: ReplacedAccountsOptions) {
    this.#replacements = new RememberedAnswers({ read, isForGood: (found) => found !== undefined, monotonicNow });
  }

  static on(chain: ChainReader): ReplacedAccounts {
    return new ReplacedAccounts({ read: (account) => readReplacement(chain, account) });
  }

  /** For who asks for a session. @throws TallystickError ACCOUNT_REPLACED, CHAIN_UNAVAILABLE */
  async requireCurrent(account: string): Promise<void> {
    const replacement = await this.#replacements.latest(account);
    if (replacement !== undefined) throw replaced(account, replacement);
  }

  /** For who has one. @throws TallystickError ACCOUNT_REPLACED */
  async requireStillCurrent(account: string): Promise<void> {
    let replacement: Replacement | undefined;
    try {
      replacement = await this.#replacements.recent(account);
    } catch (error) {
      if (!(error instanceof TallystickError) || error.code !== "CHAIN_UNAVAILABLE") throw error;
    }
    if (replacement !== undefined) throw replaced(account, replacement);
  }
}

function replaced(account: string, { successor, at }: Replacement): TallystickError {
  return new TallystickError("the account was replaced, and opens no session", {
    code: "ACCOUNT_REPLACED",
    party: `account ${account}`,
    check: "successor in the directory of accounts",
    expected: "none",
    received: `${successor}, named at ${new Date(at * 1000).toISOString()}`,
    hint:
      "act as the successor: its recovery phrase opens what this account has stored; where a rotation was " +
      "interrupted, `tallystick rotate --yes` on that device goes on with it",
    details: { account, successor },
  });
}
