/**
 * What an agreement says: the user's wishes and the provider's offer turned into terms, and terms turned into a report.
 */

import { getAddress } from "ethers";
import type { Deployment } from "../../chain/deployment.ts";
import { type Agreement, type AgreementStatus, depositOf, NATIVE_TOKEN, type Terms } from "../../chain/escrow.ts";
import { amountsFromOffer, requireTermsKeepOffer } from "../../core/agreement/offer.ts";
import { DEFAULT_SLICE_ELEMENTS, FIRST_INDEX } from "../../core/audit/field.ts";
import { decodeManifest, sliceLayout } from "../../core/audit/manifest.ts";
import { drawsFor } from "../../core/audit/sampling.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { Offer } from "../../core/wire/csp.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import type { AgreementKeys } from "./agreement-keys.ts";
import type { PreparedDataSet } from "./data-set-tagger.ts";

const DEFAULT_EPOCHS = 30;
/** Blocks between proposal and first audit beyond what the provider asks for: time for it to accept. */
const ACCEPTANCE_BLOCKS = 10;

/** Wishes for an agreement. Everything left out is what the provider offers. */
export interface AgreementOptions {
  /** Default 30, or the most the provider takes. */
  readonly epochs?: number;
  /** ERC-20 to pay in; default the chain's coin. */
  readonly token?: string;
  /** Draws per epoch; default what finds 1 % damage with 99 %, if the provider grants so many. */
  readonly sampleCount?: number;
  /** Blocks until the first audit; default a little more than the provider asks for. */
  readonly startInBlocks?: number;
  /** Refuse a provider that asks for more, in the token's smallest unit. */
  readonly maximumFeePerEpoch?: bigint;
}

/** An agreement as it stands on chain. */
export interface AgreementReport {
  readonly agreementId: bigint;
  /** Absent when this device does not know which data it is about. */
  readonly dataId?: string;
  readonly provider: string;
  readonly status: AgreementStatus;
  readonly terms: Terms;
  readonly epochsProven: number;
  /** Reported misses. */
  readonly epochsMissed: number;
  /** True when this call made it. */
  readonly isNew: boolean;
}

export function reportOf(agreement: Agreement, dataId: string | undefined, isNew: boolean): AgreementReport {
  const { id, status, terms, epochsProven, epochsMissed } = agreement;
  const common = { agreementId: id, provider: terms.provider, status, terms, epochsProven, epochsMissed, isNew };
  return dataId === undefined ? common : { ...common, dataId };
}

/**
 * Terms that keep to the offer.
 *
 * @param headBlock number of the latest block.
 * @throws TallystickError BAD_RESPONSE when the offer is not by this provider or for this deployment
 * @throws InvalidInputError when the wishes do not keep to the offer, or the provider asks for more than the user
 *   allows
 */
export function makeTerms(
  deployment: Deployment,
  offer: Offer,
  provider: StorageProvider,
  prepared: Pick<PreparedDataSet, "manifest" | "manifestHash">,
  keys: AgreementKeys,
  headBlock: number,
  options: AgreementOptions,
): Terms {
  const { sliceCount } = sliceLayout(decodeManifest(prepared.manifest), DEFAULT_SLICE_ELEMENTS);
  const { manifestHash } = prepared;
  const hashes = { auditKeyHash: keys.keyHash, manifestHash };
  return termsFor(deployment, offer, provider, sliceCount, hashes, headBlock, options);
}

/**
 * Refuses wishes that no agreement with the provider could fulfil, whatever its size. Called before anything is stored
 * and recorded.
 *
 * @throws as `makeTerms`
 */
export function requireWishesFit(
  deployment: Deployment,
  offer: Offer,
  provider: StorageProvider,
  options: AgreementOptions,
): void {
  termsFor(deployment, offer, provider, 1, { auditKeyHash: "", manifestHash: "" }, 0, options);
}

function termsFor(
  deployment: Deployment,
  offer: Offer,
  provider: StorageProvider,
  sliceCount: number,
  hashes: Pick<Terms, "auditKeyHash" | "manifestHash">,
  headBlock: number,
  options: AgreementOptions,
): Terms {
  requireOfferFits(deployment, offer, provider);
  const token = options.token === undefined ? NATIVE_TOKEN : getAddress(options.token);
  if (sliceCount > offer.maximumSlices) throw tooLarge(provider.name, sliceCount, offer.maximumSlices);
  const amounts = amountsFromOffer(offer, token, BigInt(sliceCount));
  const limit = options.maximumFeePerEpoch;
  if (limit !== undefined && amounts.feePerEpoch > limit) throw tooExpensive(provider.name, amounts.feePerEpoch, limit);
  const lead = options.startInBlocks ?? Math.min(offer.minimumLeadBlocks + ACCEPTANCE_BLOCKS, offer.maximumLeadBlocks);
  const terms: Terms = {
    provider: getAddress(provider.account),
    token,
    ...amounts,
    startBlock: BigInt(headBlock + lead),
    epochBlocks: offer.epochBlocks,
    windowBlocks: offer.windowBlocks,
    epochs: options.epochs ?? Math.min(DEFAULT_EPOCHS, offer.maximumEpochs),
    sampleCount: options.sampleCount ?? Math.min(offer.sampleCount, drawsFor(sliceCount)),
    breachLimit: offer.breachLimit,
    firstIndex: BigInt(FIRST_INDEX),
    sliceCount: BigInt(sliceCount),
    ...hashes,
    randomness: getAddress(deployment.contracts.randomness),
  };
  requireTermsKeepOffer(offer, terms, BigInt(headBlock));
  return terms;
}

/**
 * Refuses terms that are worse for the user than those of the offer that was read first: the data has been stored since
 * then because of that offer.
 *
 * @param termsOf terms for the same data and wishes under an offer.
 * @throws TallystickError CONFLICT naming the first term that is worse
 */
export function requireNotWorse(provider: string, terms: Terms, first: Offer, termsOf: (offer: Offer) => Terms): void {
  const { token, feePerEpoch } = terms;
  const promised = termsOf(first);
  // A lower fee goes with less collateral: the first offer's percentages of the fee that is asked now.
  const price = { token, pricePerGibEpoch: "0", minimumFeePerEpoch: String(feePerEpoch) };
  const secured = feePerEpoch < promised.feePerEpoch ? termsOf({ ...first, prices: [price] }) : promised;
  const checks = [
    ["fee per epoch", feePerEpoch, promised.feePerEpoch, "at most"],
    ["deposit", depositOf(terms), depositOf(promised), "at most"],
    ["collateral", terms.collateral, secured.collateral, "at least"],
    ["compensation per miss", terms.compensationPerMiss, secured.compensationPerMiss, "at least"],
  ] as const;
  for (const [check, received, bound, side] of checks) {
    if (side === "at most" ? received <= bound : received >= bound) continue;
    throw new TallystickError(`${provider} has made its offer worse since it was first read`, {
      code: "CONFLICT",
      party: provider,
      check,
      expected: `${side} ${bound}`,
      received: String(received),
      hint: "nothing was deposited; run the command again to take the new offer, or choose another provider",
    });
  }
}

/** The provider did not accept before the start block, in several attempts. */
export function startTooNear(provider: string): TallystickError {
  return new TallystickError(`${provider} did not accept in time`, {
    code: "TIMED_OUT",
    party: provider,
    check: "start block",
    hint: "ask for a later start, for example with startInBlocks; the deposit is credited and can be withdrawn",
    retryable: true,
  });
}

function requireOfferFits(deployment: Deployment, offer: Offer, provider: StorageProvider): void {
  const checks = [
    ["account of the provider", provider.account, offer.account],
    ["escrow contract", deployment.contracts.storageEscrow, offer.escrow],
    ["chain id", String(deployment.chainId), String(offer.chainId)],
  ] as const;
  for (const [check, expected, received] of checks) {
    if (expected.toLowerCase() === received.toLowerCase()) continue;
    throw new TallystickError(`${provider.name} offers something else than the deployment says`, {
      code: "BAD_RESPONSE",
      party: provider.name,
      check,
      expected,
      received,
      hint: "compare the deployment file with the provider's",
    });
  }
}

function tooExpensive(party: string, fee: bigint, limit: bigint): InvalidInputError {
  return new InvalidInputError(`${party} asks for more than allowed`, {
    party,
    check: "fee per epoch",
    expected: `at most ${limit}`,
    received: String(fee),
    hint: "allow a higher fee, or put without an agreement",
  });
}

function tooLarge(party: string, slices: number, maximum: number): InvalidInputError {
  return new InvalidInputError(`${party} takes no agreement about so much data`, {
    party,
    check: "slices in one agreement",
    expected: `at most ${maximum}`,
    received: String(slices),
    hint: "put the folders one by one, each with its own agreement",
  });
}
