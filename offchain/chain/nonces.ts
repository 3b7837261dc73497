/**
 * The transactions of one account that this process has signed, by nonce. A transaction stays known for some blocks
 * after it was mined: a reorganisation can drop it, and then nothing with a higher nonce is mined until its nonce is
 * used again.
 */

import type { ContractCall } from "./contract-call.ts";
import type { FeeLimits, Fees } from "./fees.ts";

/** A signed transaction. Replacements by a higher fee share the nonce; at most one of `hashes` is ever mined. */
export interface SignedCall {
  readonly call: ContractCall;
  readonly nonce: number;
  readonly gasLimit: bigint;
  /** The most that its replacements pay, too. */
  readonly limits: FeeLimits;
  /** When it was offered first, in milliseconds of `Date.now()`. */
  readonly since: number;
  /** Of all that were offered, also of those whose answer was lost. */
  readonly hashes: string[];
  /** The one that the node probably has. */
  raw: string;
  fees: Fees;
}

/** Reorganisations of more blocks do not happen on chains with finality. */
const KEPT_BLOCKS = 128;
const KEPT_TRANSACTIONS = 256;
/** Gaps that are told of, and filled, at a time. */
const MAXIMUM_GAPS = 8;

export class NonceBook {
  readonly #waiting = new Map<number, SignedCall>();
  readonly #mined = new Map<number, { readonly signed: SignedCall; readonly blockNumber: number }>();

  /** Transactions whose sender still waits, lowest nonce first. */
  get waiting(): SignedCall[] {
    return [...this.#waiting.values()].sort((a, b) => a.nonce - b.nonce);
  }

  add(signed: SignedCall): void {
    this.#waiting.set(signed.nonce, signed);
  }

  /** No caller waits for it any more; it may still be mined. */
  abandon(signed: SignedCall): void {
    if (this.#waiting.get(signed.nonce) === signed) this.#waiting.delete(signed.nonce);
  }

  /** It was mined, which a reorganisation may undo. */
  mined(signed: SignedCall, blockNumber: number): void {
    this.abandon(signed);
    this.#mined.set(signed.nonce, { signed, blockNumber });
    for (const [nonce, { blockNumber: earlier }] of this.#mined) {
      if (earlier <= blockNumber - KEPT_BLOCKS || this.#mined.size > KEPT_TRANSACTIONS) this.#mined.delete(nonce);
    }
  }

  /** Forgets a mined transaction that cannot be offered again: its nonce is free. */
  forget(signed: SignedCall): void {
    if (this.#mined.get(signed.nonce)?.signed === signed) this.#mined.delete(signed.nonce);
  }

  /** Those that were mined although the chain now counts fewer: dropped by a reorganisation. Lowest nonce first. */
  dropped(counted: number): SignedCall[] {
    return [...this.#mined.values()]
      .map(({ signed }) => signed)
      .filter(({ nonce }) => nonce >= counted)
      .sort((a, b) => a.nonce - b.nonce);
  }

  /** The first nonce from `first` on that no known transaction has. */
  nextFree(first: number): number {
    let nonce = first;
    while (this.#waiting.has(nonce) || this.#mined.has(nonce)) nonce += 1;
    return nonce;
  }

  /**
   * The lowest nonces that nobody uses and that keep known transactions from being mined, at most `MAXIMUM_GAPS`.
   *
   * @param counted transactions of the account that are mined.
   * @param isFree whether nobody else has a transaction with the nonce, as far as the endpoint tells.
   */
  gaps(counted: number, isFree: (nonce: number) => boolean = () => true): number[] {
    const known = this.#known();
    const highest = Math.max(-1, ...known);
    const gaps: number[] = [];
    for (let nonce = counted; nonce < highest && gaps.length < MAXIMUM_GAPS; nonce += 1) {
      if (!known.has(nonce) && isFree(nonce)) gaps.push(nonce);
    }
    return gaps;
  }

  /** How far the highest known nonce is above the first that is not mined; 0 or less when all are mined. */
  span(counted: number): number {
    return Math.max(-1, ...this.#known()) - counted;
  }

  #known(): Set<number> {
    return new Set([...this.#waiting.keys(), ...this.#mined.keys()]);
  }
}
