/**
 * Admission: which accounts may open sessions. `open` admits every account. `allow-list` admits the accounts named.
 * `deposit` admits an account while its balance on chain and its balance in the escrow together reach a minimum. That
 * money is not locked: it makes many accounts at the same time dear, but one amount can move from account to account
 * between openings.
 */

import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { NATIVE_TOKEN } from "../chain/data-set-words.ts";
import type { ChainReader } from "../chain/deployment.ts";
import { readUserAccount } from "../chain/escrow.ts";
import { readChain } from "../chain/revert.ts";
import { TallystickError } from "../core/errors.ts";
import { AddressText, Uint256Text } from "../core/wire/schema.ts";

const closed = { additionalProperties: false };

/** The field `admission` of a daemon's configuration. */
export const AdmissionSchema = Type.Union([
  Type.Object({ mode: Type.Literal("open") }, closed),
  Type.Object({ mode: Type.Literal("allow-list"), accounts: Type.Array(AddressText, { maxItems: 100_000 }) }, closed),
  Type.Object({ mode: Type.Literal("deposit"), minimumWei: Uint256Text }, closed),
]);
export type AdmissionRule = Static<typeof AdmissionSchema>;

/** How long the answer of the chain is used again. A refusal is short-lived, so that somebody who pays in gets in. */
const ADMITTED_MILLISECONDS = 60_000;
const REFUSED_MILLISECONDS = 5000;
const MAXIMUM_CACHED = 10_000;

/** Throws when the account may not open a session. */
export type AdmissionCheck = (account: string) => Promise<void>;

/**
 * @param now milliseconds that never go back.
 * @returns a check that throws NOT_ADMITTED, or CHAIN_UNAVAILABLE when the chain does not tell.
 */
export function admissionBy(
  rule: AdmissionRule | undefined,
  chain: ChainReader,
  now: () => number = () => performance.now(),
): AdmissionCheck {
  if (rule === undefined || rule.mode === "open") return async () => undefined;
  if (rule.mode === "allow-list") {
    const allowed = new Set(rule.accounts.map((account) => account.toLowerCase()));
    return async (account) => {
      if (!allowed.has(account.toLowerCase())) throw notOnList(account);
    };
  }
  const minimumWei = BigInt(rule.minimumWei);
  const cache = new Map<string, { wei: bigint; until: number }>();
  return async (account) => {
    let known = cache.get(account);
    if (known === undefined || known.until <= now()) {
      const wei = await fundsOf(chain, account);
      known = { wei, until: now() + (wei >= minimumWei ? ADMITTED_MILLISECONDS : REFUSED_MILLISECONDS) };
      cache.delete(account);
      cache.set(account, known);
      for (const oldest of cache.keys()) {
        if (cache.size <= MAXIMUM_CACHED) break;
        cache.delete(oldest);
      }
    }
    if (known.wei < minimumWei) throw tooLittle(account, minimumWei, known.wei);
  };
}

/** What an account has: its balance on chain and its balance in the escrow, in wei. @throws CHAIN_UNAVAILABLE */
export async function fundsOf(chain: ChainReader, account: string): Promise<bigint> {
  const [balance, escrow] = await Promise.all([
    readChain("reading an account's balance", () => chain.provider.getBalance(account)),
    readUserAccount(chain, NATIVE_TOKEN, account),
  ]);
  return balance + escrow.available;
}

function notOnList(account: string): TallystickError {
  return new TallystickError("this daemon serves listed accounts only", {
    code: "NOT_ADMITTED",
    party: `account ${account}`,
    check: "allow-list",
    hint: "ask its operator to list your account, or use another one",
  });
}

function tooLittle(account: string, minimumWei: bigint, wei: bigint): TallystickError {
  return new TallystickError("this daemon serves accounts with a minimum balance only", {
    code: "NOT_ADMITTED",
    party: `account ${account}`,
    check: "balance on chain and credit in the escrow",
    expected: `at least ${minimumWei} wei`,
    received: `${wei} wei`,
    hint: "send coins to your account, or use another provider or committee",
  });
}
