/**
 * Turns a provider's offer and a user's wishes into the terms of a data set, and holds terms against an offer. Agent
 * and provider both use this code, so that they round alike.
 */

import { sliceBytes } from "../audit/field.ts";
import { isAddressEqual } from "../encoding/address.ts";
import { TallystickError } from "../errors.ts";
import type { DataSetOffer, DataSetPrice } from "../wire/data-sets.ts";
import {
  auditTermsHash,
  type DataSetAuditTerms,
  type DataSetMode,
  type DataSetTerms,
  NO_PREDECESSOR,
} from "./terms.ts";

const GIB = 1n << 30n;
/** The most that the contract counts. */
const MAXIMUM_FEE = (1n << 80n) - 1n;

/** What a user decides about a data set. Everything left out is what the provider offers. */
export interface DataSetWishes {
  readonly user: string;
  /** Zero address: the chain's coin. */
  readonly token: string;
  readonly mode?: DataSetMode;
  /** Highest fee of an epoch that updates may lead to; default what the highest index of the offer costs. */
  readonly feeCap?: bigint;
  readonly sampleCount?: number;
  readonly sliceElements: number;
  /** Of the audit key, 0x hex. */
  readonly keyHash: string;
  /** Assigned by the provider. */
  readonly phase: number;
  readonly salt: string;
  /** The set that this one continues. */
  readonly predecessor?: string;
}

export interface AgreedTerms {
  readonly terms: DataSetTerms;
  readonly audit: DataSetAuditTerms;
}

/** Terms violate the offer. `check` names the first one that does. */
export class BelowDataSetOfferError extends TallystickError {
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

/**
 * Terms that keep to the offer.
 * @throws BelowDataSetOfferError when the offer has no price in the token, or the wishes do not keep to it
 */
export function termsFromOffer(offer: DataSetOffer, wishes: DataSetWishes): AgreedTerms {
  const price = priceIn(offer, wishes.token);
  const { sliceElements } = wishes;
  const feePerSlice = perSlice(price, sliceElements);
  const feePerIndex = BigInt(price.pricePerIndexEpoch);
  const feeFloor = BigInt(price.minimumFeePerEpoch);
  const highest = (feePerSlice + feePerIndex) * BigInt(offer.maximumIndex);
  const feeCap = wishes.feeCap ?? least(MAXIMUM_FEE, highest > feeFloor ? highest : feeFloor);
  const audit: DataSetAuditTerms = {
    randomness: first(offer.randomness, "randomness source"),
    verifier: first(offer.verifiers, "verifier"),
    keyHash: wishes.keyHash,
    sliceElements,
    sampleCount: wishes.sampleCount ?? offer.sampleCount,
    phase: wishes.phase,
    windowBlocks: offer.windowBlocks,
    graceBlocks: offer.graceBlocks,
    disputeBond: BigInt(price.disputeBond),
    predecessor: wishes.predecessor ?? NO_PREDECESSOR,
    salt: wishes.salt,
  };
  const terms: DataSetTerms = {
    user: wishes.user,
    provider: offer.account,
    token: wishes.token,
    mode: wishes.mode ?? first(offer.modes, "mode"),
    feeFloor,
    feePerSlice,
    feePerIndex,
    feeCap,
    collateralPercent: offer.breachLimit * (offer.compensationPercent + offer.bountyPercent),
    compensationPercent: offer.compensationPercent,
    bountyPercent: offer.bountyPercent,
    latePercent: offer.latePercent,
    breachLimit: offer.breachLimit,
    auditHash: auditTermsHash(audit),
  };
  requireTermsKeepDataSetOffer(offer, { terms, audit }, wishes.phase);
  return { terms, audit };
}

/**
 * Checks terms against an offer.
 * @param phase that the provider assigned
 * @throws BelowDataSetOfferError naming the first term that violates the offer
 */
export function requireTermsKeepDataSetOffer(offer: DataSetOffer, { terms, audit }: AgreedTerms, phase: number): void {
  const price = priceIn(offer, terms.token);
  const atLeast = (check: string, value: bigint | number, bound: bigint | number): void => {
    if (value < bound) throw new BelowDataSetOfferError(check, `at least ${bound}`, String(value));
  };
  const atMost = (check: string, value: bigint | number, bound: bigint | number): void => {
    if (value > bound) throw new BelowDataSetOfferError(check, `at most ${bound}`, String(value));
  };
  const exactly = (check: string, value: number | string, bound: number | string): void => {
    if (value !== bound) throw new BelowDataSetOfferError(check, String(bound), String(value));
  };
  const oneOf = (check: string, value: string, allowed: readonly string[]): void => {
    if (!allowed.some((one) => isAddressEqual(one, value))) {
      throw new BelowDataSetOfferError(check, allowed.join(" or "), value);
    }
  };
  if (!isAddressEqual(terms.provider, offer.account)) {
    throw new BelowDataSetOfferError("provider", offer.account, terms.provider);
  }
  if (!offer.modes.includes(terms.mode)) throw new BelowDataSetOfferError("mode", offer.modes.join(" or "), terms.mode);
  if (!offer.sliceElements.includes(audit.sliceElements)) {
    throw new BelowDataSetOfferError("slice size", offer.sliceElements.join(" or "), String(audit.sliceElements));
  }
  exactly("hash of the audit terms", terms.auditHash, auditTermsHash(audit));
  atLeast("fee floor", terms.feeFloor, BigInt(price.minimumFeePerEpoch));
  atLeast("fee floor", terms.feeFloor, 1n);
  atLeast("fee per slice", terms.feePerSlice, perSlice(price, audit.sliceElements));
  atLeast("fee per index", terms.feePerIndex, BigInt(price.pricePerIndexEpoch));
  atLeast("fee cap", terms.feeCap, terms.feeFloor);
  atMost("compensation", terms.compensationPercent, offer.compensationPercent);
  atMost("bounty", terms.bountyPercent, offer.bountyPercent);
  atMost("collateral", terms.collateralPercent, offer.breachLimit * (offer.compensationPercent + offer.bountyPercent));
  atLeast("pay of a late proof", terms.latePercent, offer.latePercent);
  exactly("breach limit", terms.breachLimit, offer.breachLimit);
  atLeast("window in blocks", audit.windowBlocks, offer.windowBlocks);
  atLeast("grace window in blocks", audit.graceBlocks, offer.graceBlocks);
  atLeast("sample count", audit.sampleCount, 1);
  atMost("sample count", audit.sampleCount, offer.sampleCount);
  atLeast("dispute bond", audit.disputeBond, BigInt(price.disputeBond));
  exactly("phase", audit.phase, phase);
  oneOf("randomness source", audit.randomness, offer.randomness);
  oneOf("verifier", audit.verifier, offer.verifiers);
}

function priceIn(offer: DataSetOffer, token: string): DataSetPrice {
  const price = offer.prices.find((one) => isAddressEqual(one.token, token));
  if (price !== undefined) return price;
  throw new BelowDataSetOfferError("token", offer.prices.map((one) => one.token).join(" or "), token);
}

/** Rounded up: a GiB never costs less than offered. */
function perSlice({ pricePerGibEpoch }: DataSetPrice, sliceElements: number): bigint {
  return (BigInt(pricePerGibEpoch) * BigInt(sliceBytes(sliceElements)) + GIB - 1n) / GIB;
}

function least(left: bigint, right: bigint): bigint {
  return left < right ? left : right;
}

function first<Value>(values: readonly Value[], name: string): Value {
  const value = values[0];
  if (value !== undefined) return value;
  throw new BelowDataSetOfferError(name, "at least one in the offer", "none");
}
