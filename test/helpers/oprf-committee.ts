/** A committee's key, dealt by one who knows it: what a key generation makes without anybody who does. */
import type { PrimeOrderGroup } from "../../offchain/core/oprf/prime-order-group.ts";
import { evaluatePolynomial } from "../../offchain/core/oprf/threshold.ts";

export interface DealtMember {
  /** From 1. */
  readonly index: number;
  readonly keyShare: Uint8Array;
  readonly verificationShare: Uint8Array;
}

/** Shamir shares of a key for members 1 … n. */
export function dealKey<Element>(
  group: PrimeOrderGroup<Element>,
  key: Uint8Array,
  threshold: number,
  size: number,
): DealtMember[] {
  const coefficients = [key, ...Array.from({ length: threshold - 1 }, () => group.randomScalar())];
  return Array.from({ length: size }, (_, position) => {
    const keyShare = evaluatePolynomial(group, coefficients, position + 1);
    return { index: position + 1, keyShare, verificationShare: group.encodeElement(group.multiplyBase(keyShare)) };
  });
}
