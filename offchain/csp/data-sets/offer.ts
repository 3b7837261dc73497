/** The offer for data sets, from the configuration and the deployment. */
import type { ChainReader } from "../../chain/deployment.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidInputError } from "../../core/errors.ts";
import { DataSetOffer } from "../../core/wire/data-sets.ts";
import { firstMismatch } from "../../core/wire/schema.ts";
import { checksumAddress } from "../../daemon/account-signature.ts";
import type { OfferTerms } from "../config.ts";

/** What an answered dispute costs its author, unless configured: so many of the least fees. */
const BOND_FEES = 10n;

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
 * @throws InvalidInputError for an address with a wrong checksum, or a value that the escrow does not take
 */
export function makeDataSetOffer(terms: OfferTerms, chain: ChainReader, account: string): DataSetOffer {
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
    modes: ["every-epoch"],
    compensationPercent: terms.compensationPercent,
    bountyPercent: terms.bountyPercent,
    latePercent: dataSets.latePercent,
    breachLimit: terms.breachLimit,
    windowBlocks: terms.windowBlocks,
    graceBlocks: dataSets.graceBlocks ?? Math.floor(terms.windowBlocks / 2),
    sampleCount: terms.sampleCount,
    sliceElements: [...dataSets.sliceElements].sort((left, right) => left - right),
    maximumIndex: dataSets.maximumIndex,
  };
  const mismatch = firstMismatch(DataSetOffer, offer);
  if (mismatch === undefined) return offer;
  throw new InvalidInputError("the configured offer is none for data sets", {
    check: `offer${mismatch.path.replaceAll("/", ".")}`,
    expected: mismatch.reason,
  });
}

/**
 * Refuses windows with which every data set would be refused.
 * @throws InvalidInputError unless they fit into an epoch and randomness is known until they end
 */
export function requireWindowsFit(
  { windowBlocks, graceBlocks }: Pick<DataSetOffer, "windowBlocks" | "graceBlocks">,
  chain: { readonly epochBlocks: number; readonly horizonBlocks: number },
): void {
  const limit = Math.min(chain.epochBlocks - 1, chain.horizonBlocks);
  if (windowBlocks + graceBlocks <= limit) return;
  throw new InvalidInputError("the windows of a proof are longer than the contracts take", {
    check: "offer.windowBlocks and offer.dataSets.graceBlocks",
    expected: `together at most ${limit}: blocks of an epoch, and for which randomness is known`,
    received: `${windowBlocks} and ${graceBlocks}`,
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
