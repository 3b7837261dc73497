/**
 * Delegates at a daemon: a session that a delegate opens is one of its account, and reaches as far as its scopes. The
 * chain is asked at every opening, and once in `KNOWN_SECONDS` of a delegate's requests. Unlike sessions of accounts,
 * those of delegates stop while the chain does not answer: whoever holds a stolen device must not gain by that.
 */

import { type RecordedDelegation, readDelegation } from "../chain/delegates.ts";
import type { ChainReader } from "../chain/deployment.ts";
import { TallystickError } from "../core/errors.ts";
import type { Delegation, Scope } from "../core/identity/delegation.ts";
import { RememberedAnswers } from "./remembered-answers.ts";

export interface DelegatesOptions {
  /** @returns undefined for a key that is no delegate @throws ChainUnavailableError */
  readonly read: (key: string) => Promise<RecordedDelegation | undefined>;
  /** Unix seconds; the system's clock unless told. */
  readonly now?: () => number;
  /** Milliseconds that never go back; the process's clock unless told. */
  readonly monotonicNow?: () => number;
}

export class Delegates {
  readonly #delegations: RememberedAnswers<RecordedDelegation | undefined>;
  readonly #now: () => number;

  constructor({ read, now, monotonicNow }: DelegatesOptions) {
    this.#delegations = new RememberedAnswers({ read, isForGood: (found) => found?.isRevoked === true, monotonicNow });
    this.#now = now ?? (() => Math.floor(Date.now() / 1000));
  }

  static on(chain: ChainReader): Delegates {
    return new Delegates({ read: (key) => readDelegation(chain, key) });
  }

  /**
   * For a key that asks for a session.
   * @returns undefined when it is no delegate
   * @throws TallystickError NOT_DELEGATED, CHAIN_UNAVAILABLE
   */
  async find(key: string): Promise<Delegation | undefined> {
    const found = await this.#delegations.latest(key);
    if (found !== undefined) this.#requireLive(found);
    return found;
  }

  /** For a delegate that has one. @throws TallystickError NOT_DELEGATED, CHAIN_UNAVAILABLE */
  async requireStill(key: string): Promise<Delegation> {
    const found = await this.#delegations.recent(key);
    // A delegate is one for good; an endpoint that is behind does not know it yet.
    if (found === undefined)
      throw notDelegated(key, undefined, "delegation", "one in the directory of accounts", "none");
    this.#requireLive(found);
    return found;
  }

  #requireLive({ key, account, isRevoked, successor, expiresAt }: RecordedDelegation): void {
    if (isRevoked) throw notDelegated(key, account, "revocation", "none", "revoked");
    if (successor !== undefined) throw notDelegated(key, account, "successor of its account", "none", successor);
    if (expiresAt <= this.#now()) {
      throw notDelegated(key, account, "expiry", "a time to come", new Date(expiresAt * 1000).toISOString());
    }
  }
}

function notDelegated(
  key: string,
  account: string | undefined,
  check: string,
  expected: string,
  received: string,
): TallystickError {
  const whose = account === undefined ? "no account" : `account ${account} no more`;
  return new TallystickError(`the delegate ${key} acts for ${whose}`, {
    code: "NOT_DELEGATED",
    party: `delegate ${key}`,
    check,
    expected,
    received,
    hint: "make a new key on the device (`tallystick init --home <new folder>`), and have the owner grant it",
    details: { key, ...(account === undefined ? {} : { account }) },
  });
}

/** @throws TallystickError OUT_OF_SCOPE, unless the delegate has one of the scopes */
export function requireScope({ key, account, scopes }: Delegation, wanted: readonly Scope[]): void {
  if (wanted.some((scope) => scopes.includes(scope))) return;
  throw outOfScope(
    { key, account },
    "scope",
    wanted.length === 0 ? "the owner" : wanted.join(" or "),
    scopes.join(" and "),
  );
}

export function outOfScope(
  { key, account }: Pick<Delegation, "key" | "account">,
  check: string,
  expected: string,
  received: string,
): TallystickError {
  return new TallystickError(`the delegate ${key} may not do this for account ${account}`, {
    code: "OUT_OF_SCOPE",
    party: `delegate ${key}`,
    check,
    expected,
    received,
    hint: "do it with the owner's identity, or have the owner grant another key",
    details: { key, account },
  });
}
