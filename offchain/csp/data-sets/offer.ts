/** The offer for data sets, from the configuration and the deployment. */
import type { ChainReader } from "../../chain/deployment.ts";
import { canBeDisputed } from "../../core/data-set/epochs.ts";
import type { DataSetMode } from "../../core/data-set/terms.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidInputError } from "../../core/errors.ts";
import { DataSetOffer, type DataSetPrice } from "../../core/wire/data-sets.ts";
import { firstMismatch } from "../../core/wire/schema.ts";
import { checksumAddress } from "../../daemon/account-signature.ts";
import type { OfferTerms } from "../config.ts";

/** What an answered dispute costs its author, unless configured: so many of the least fees. */
const BOND_FEES = 10n;
/** `AuditTerms.disputeBond` has 80 bits. */
const MOST_BOND = 2n ** 80n - 1n;

/** Amounts of one token that the provider keeps to by itself, in the token's smallest unit. */
export interface TokenLimits {
  /** The most that its pool of collateral may come to by its own deposits. */
  readonly collateralCap: bigint;
  /** What stays in the pool above what is locked; the rest is paid out. */
  readonly reserve: bigint;
}

/** One coin of 18 decimals. */
const DEFAULT_CAP = 10n ** 18n;

/**
 * @param account - the provider's own account
 * @param key - what challenges are sealed to
 * @throws InvalidInputError for an address with a wrong checksum, or a value that the escrow does not take
 */
export function makeDataSetOffer(
  terms: OfferTerms,
  chain: ChainReader,
  account: string,
  key: Pick<DataSetOffer, "challengeKey" | "challengeKeySignature">,
): DataSetOffer {
  const { chainId, contracts } = chain.deployment;
  const { dataSets } = terms;
  const offer: DataSetOffer = {
    version: 1,
    account,
    chainId,
    escrow: checksumAddress(contracts.storageEscrow, "storageEscrow"),
    verifiers: [checksumAddress(contracts.possessionVerifier, "possessionVerifier")],
    randomness: [checksumAddress(contracts.randomness, "randomness")],
    prices: terms.prices.map((price) => {
      const own = dataSets.tokens.find(({ token }) => isAddressEqual(token, price.token));
      return {
        token: checksumAddress(price.token, "token"),
        pricePerGibEpoch: price.pricePerGibEpoch,
        minimumFeePerEpoch: price.minimumFeePerEpoch,
        pricePerIndexEpoch: own?.pricePerIndexEpoch ?? "0",
        disputeBond: own?.disputeBond ?? String(BigInt(price.minimumFeePerEpoch) * BOND_FEES),
      };
    }),
    modes: dataSets.modes,
    compensationPercent: terms.compensationPercent,
    bountyPercent: terms.bountyPercent,
    latePercent: dataSets.latePercent,
    breachLimit: terms.breachLimit,
    windowBlocks: terms.windowBlocks,
    graceBlocks: dataSets.graceBlocks ?? Math.floor(terms.windowBlocks / 2),
    sampleCount: terms.sampleCount,
    sliceElements: [...dataSets.sliceElements].sort((left, right) => left - right),
    maximumIndex: dataSets.maximumIndex,
    ...key,
  };
  for (const price of offer.prices) requireCompensation(price, offer.compensationPercent);
  const mismatch = firstMismatch(DataSetOffer, offer);
  if (mismatch !== undefined) {
    throw new InvalidInputError("the configured offer is none for data sets", {
      check: `offer${mismatch.path.replaceAll("/", ".")}`,
      expected: mismatch.reason,
    });
  }
  for (const price of offer.prices) requireBond(price, offer.modes);
  return offer;
}

/** A dispute that costs nothing would let strangers make the provider prove as often as they like. */
function requireBond({ token, disputeBond }: DataSetPrice, modes: readonly DataSetMode[]): void {
  const least = modes.includes("on-demand") ? 1n : 0n;
  const bond = BigInt(disputeBond);
  if (bond >= least && bond <= MOST_BOND) return;
  throw new InvalidInputError("the configured offer asks for a bond that no dispute may have", {
    check: `offer.dataSets.tokens: disputeBond of ${token}`,
    expected: `${least} to ${MOST_BOND}`,
    received: disputeBond,
    hint: "set disputeBond, or minimumFeePerEpoch, of which it is ten times as much by default",
  });
}

/** The escrow takes no terms whose compensation may round to zero. @throws InvalidInputError */
function requireCompensation({ token, minimumFeePerEpoch }: DataSetPrice, compensationPercent: number): void {
  const least = Math.ceil(100 / compensationPercent);
  if (BigInt(minimumFeePerEpoch) >= BigInt(least)) return;
  throw new InvalidInputError("the configured offer compensates nothing for the least fee", {
    check: `offer.prices: minimumFeePerEpoch of ${token}`,
    expected: `at least ${least}, of which ${compensationPercent} % are one unit of the token`,
    received: minimumFeePerEpoch,
    hint: "raise minimumFeePerEpoch or offer.compensationPercent",
  });
}

/**
 * For the start of the provider: it would be paid for sets that nobody can dispute, and users' agents refuse them.
 * @throws InvalidInputError
 */
export function requireDisputable(
  { modes }: Pick<DataSetOffer, "modes">,
  { epochBlocks, gridBlocks }: { readonly epochBlocks: number; readonly gridBlocks: number },
): void {
  if (!modes.includes("on-demand") || canBeDisputed(epochBlocks, gridBlocks)) return;
  throw new InvalidInputError("the source of randomness leaves too few blocks for disputes of sets on demand", {
    party: "this daemon",
    check: "offer.dataSets.modes and the grid of the source of randomness",
    expected: `a grid of at most ${Math.floor(epochBlocks / 2)} blocks, half of an epoch`,
    received: `${gridBlocks} blocks`,
    hint: "take on-demand out of the modes, or use a deployment whose source has a finer grid",
  });
}

/** @param token - address in any case of letters */
export function tokenLimits({ dataSets }: OfferTerms, token: string): TokenLimits {
  const own = dataSets.tokens.find((one) => isAddressEqual(one.token, token));
  return {
    collateralCap: own?.collateralCap === undefined ? DEFAULT_CAP : BigInt(own.collateralCap),
    reserve: BigInt(own?.reserve ?? "0"),
  };
}
