/**
 * Computes the amounts of an agreement under a provider's offer, and checks terms against the offer. Agent and provider
 * both use this code, so that they round alike.
 */
import { SLICE_BYTES } from "../audit/field.ts";
import { TallystickError } from "../errors.ts";
import type { Offer } from "../wire/csp.ts";

const GIB = 1n << 30n;

export interface OfferAmounts {
  feePerEpoch: bigint;
  compensationPerMiss: bigint;
  bountyPerMiss: bigint;
  collateral: bigint;
}

/** The fields of an on-chain agreement that an offer limits. */
export interface OfferedTerms extends OfferAmounts {
  token: string;
  startBlock: bigint;
  epochBlocks: number;
  windowBlocks: number;
  epochs: number;
  sampleCount: number;
  breachLimit: number;
  sliceCount: bigint;
  randomness: string;
}

/** Proposed terms violate the offer. `check` names the first term that does. */
export class BelowOfferError extends TallystickError {
  constructor(check: string, expected: string, received: string, hint?: string) {
    super(`the terms do not keep to the provider's offer: ${check}`, {
      code: "INVALID_INPUT",
      party: "you",
      check,
      expected,
      received,
      hint: hint ?? "read the provider's offer again and propose terms within it",
    });
  }
}

const sameAddress = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/**
 * The least amounts an offer asks for, and the most compensation and bounty it grants.
 * @param token - address of the token, zero address for the native coin
 * @param sliceCount - slices in the data set, at least 1
 * @throws BelowOfferError when the offer has no price in that token
 */
export function amountsFromOffer(offer: Offer, token: string, sliceCount: bigint): OfferAmounts {
  const price = offer.prices.find((p) => sameAddress(p.token, token));
  if (price === undefined) {
    throw new BelowOfferError("token", offer.prices.map((p) => p.token).join(" or "), token);
  }
  // The last slice of a data set is padded to its full size and paid in full.
  const priced = (BigInt(price.pricePerGibEpoch) * sliceCount * BigInt(SLICE_BYTES) + GIB - 1n) / GIB;
  const least = BigInt(price.minimumFeePerEpoch);
  const feePerEpoch = priced > least ? priced : least;
  return { feePerEpoch, ...grantedFor(offer, feePerEpoch) };
}

/** What the offer grants per miss for a fee, and the collateral that covers it until the breach limit. */
function grantedFor(offer: Offer, feePerEpoch: bigint): Omit<OfferAmounts, "feePerEpoch"> {
  const compensationPerMiss = (feePerEpoch * BigInt(offer.compensationPercent)) / 100n;
  const bountyPerMiss = (feePerEpoch * BigInt(offer.bountyPercent)) / 100n;
  const collateral = BigInt(offer.breachLimit) * (compensationPerMiss + bountyPerMiss);
  return { compensationPerMiss, bountyPerMiss, collateral };
}

/**
 * Checks terms against an offer.
 * @param headBlock - number of the latest block the provider knows
 * @throws BelowOfferError naming the first term that violates the offer
 */
export function requireTermsKeepOffer(offer: Offer, terms: OfferedTerms, headBlock: bigint): void {
  const least = amountsFromOffer(offer, terms.token, terms.sliceCount);
  if (terms.feePerEpoch === 0n) throw new BelowOfferError("fee per epoch", "above 0", "0");
  const granted = grantedFor(offer, terms.feePerEpoch);
  const atLeast = (check: string, value: bigint | number, bound: bigint | number): void => {
    if (value < bound) throw new BelowOfferError(check, `at least ${bound}`, String(value));
  };
  const atMost = (check: string, value: bigint | number, bound: bigint | number): void => {
    if (value > bound) throw new BelowOfferError(check, `at most ${bound}`, String(value));
  };
  const exactly = (check: string, value: number, bound: number): void => {
    if (value !== bound) throw new BelowOfferError(check, String(bound), String(value));
  };
  atLeast("fee per epoch", terms.feePerEpoch, least.feePerEpoch);
  atMost("compensation per miss", terms.compensationPerMiss, granted.compensationPerMiss);
  atMost("bounty per miss", terms.bountyPerMiss, granted.bountyPerMiss);
  atMost("collateral", terms.collateral, granted.collateral);
  exactly("breach limit", terms.breachLimit, offer.breachLimit);
  exactly("epoch length in blocks", terms.epochBlocks, offer.epochBlocks);
  atLeast("window in blocks", terms.windowBlocks, offer.windowBlocks);
  atLeast("epochs", terms.epochs, 1);
  atMost("epochs", terms.epochs, offer.maximumEpochs);
  atLeast("slice count", terms.sliceCount, 1);
  atMost("slice count", terms.sliceCount, offer.maximumSlices);
  atLeast("sample count", terms.sampleCount, 1);
  atMost("sample count", terms.sampleCount, offer.sampleCount);
  atLeast("start block", terms.startBlock, headBlock + BigInt(offer.minimumLeadBlocks));
  atMost("start block", terms.startBlock, headBlock + BigInt(offer.maximumLeadBlocks));
  if (!offer.randomness.some((source) => sameAddress(source, terms.randomness))) {
    throw new BelowOfferError("randomness source", offer.randomness.join(" or "), terms.randomness);
  }
}
