/**
 * Delegates: keys of devices that act for an account within a scope and until an expiry (session keys). The directory
 * of accounts keeps who they are; the bits of the scopes are those of `contracts/AccountDirectory.sol`.
 */

import { InvalidInputError } from "../errors.ts";

/** What a delegate may do: fetch and have keys released, or store and add. */
export type Scope = "read" | "write";

const BITS: Readonly<Record<Scope, number>> = { read: 1, write: 2 };
const ALL = Object.entries(BITS) as [Scope, number][];

/** Longest life that the contract takes. */
export const MAXIMUM_DELEGATION_SECONDS = 366 * 86_400;

/** @throws InvalidInputError when there is none */
export function scopeBits(scopes: readonly Scope[]): number {
  if (scopes.length === 0) {
    throw new InvalidInputError("a delegate without a scope could do nothing", {
      check: "scopes",
      expected: "read, write, or both",
      received: "none",
    });
  }
  return [...new Set(scopes)].reduce((sum, scope) => sum + BITS[scope], 0);
}

/** Bits that are no scope are left out: the contract has none of them. */
export function scopesOf(bits: number): Scope[] {
  return ALL.filter(([, bit]) => (bits & bit) !== 0).map(([scope]) => scope);
}

/** What a key may do for an account, and until when. */
export interface Delegation {
  readonly account: string;
  readonly key: string;
  readonly scopes: readonly Scope[];
  /** Unix seconds of the first moment at which it may do nothing any more. */
  readonly expiresAt: number;
}
