/** What a user wants of data sets, held against a provider's offer and against a set that runs already. */

import { getAddress } from "ethers";
import { NATIVE_TOKEN } from "../../chain/data-set-words.ts";
import type { Deployment } from "../../chain/deployment.ts";
import { feeOf } from "../../core/data-set/fee.ts";
import { type AgreedTerms, BelowDataSetOfferError, termsFromOffer } from "../../core/data-set/offer.ts";
import { lastLevel } from "../../core/data-set/schedule.ts";
import type { DataSetMode } from "../../core/data-set/terms.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { DataSetOffer } from "../../core/wire/data-sets.ts";
import type { DataSetKeeper } from "../providers/storage-provider.ts";
import type { CompactionLimits } from "./compaction-plan.ts";
import type { DataSetOnChain } from "./following.ts";

/** Wishes for the data set of this device at a provider. Everything left out is what the provider offers. */
export interface LaneWishes {
  /** ERC-20 to pay in; default the chain's coin. */
  readonly token?: string;
  /** Of a set that is opened; default `every-epoch`. */
  readonly mode?: DataSetMode;
  /**
   * Refuse a set in mode `on-demand` whose disputes may cost their author more, in the token's smallest unit. A bond
   * that nobody can afford would let the provider earn without the data. Default for a set that is opened: 1000 times
   * the least fee of an epoch.
   */
  readonly maximumDisputeBond?: bigint;
  /** Highest fee of an epoch that updates may ever lead to, in the token's smallest unit. */
  readonly feeCap?: bigint;
  /** Draws per epoch. */
  readonly sampleCount?: number;
  /** Bytes that a new set is expected to grow to; decides the size of its slices. */
  readonly expectedBytes?: number;
  /** Epochs that the balance covers beyond the notice period after it was topped up; default 30. */
  readonly runwayEpochs?: number;
  /**
   * False: a state that the provider would keep until the end of the epoch is sent by this device, which costs gas.
   * Default true: either way it counts from the next epoch on.
   */
  readonly mayWait?: boolean;
  /** Refuse what would cost more in an epoch, in the token's smallest unit. */
  readonly maximumFeePerEpoch?: bigint;
  /** Take a source of block hashes, which the builder of a block can choose, also outside of development chains. */
  readonly allowBlockRandomness?: boolean;
  /**
   * Compact the set within these limits, whatever its list of ranges is. Default: a commit does so by itself once the
   * list is long.
   */
  readonly compaction?: CompactionLimits;
  /** Id of the set that a new one continues, for its terms. One that runs keeps its own. */
  readonly predecessor?: string;
}

const DEFAULT_RUNWAY_EPOCHS = 30;
const MOST_BOND_FEES = 1000n;

/** @throws InvalidInputError unless it is a whole number that is not negative */
export function runwayOf({ runwayEpochs = DEFAULT_RUNWAY_EPOCHS }: LaneWishes): number {
  if (Number.isSafeInteger(runwayEpochs) && runwayEpochs >= 0) return runwayEpochs;
  throw new InvalidInputError("the runway is no number of epochs", {
    party: "you",
    check: "runway in epochs",
    received: String(runwayEpochs),
  });
}

/** @throws InvalidInputError for a text that is no address */
export function tokenOf({ token }: Pick<LaneWishes, "token">): string {
  if (token === undefined) return NATIVE_TOKEN;
  try {
    return getAddress(token);
  } catch (cause) {
    throw new InvalidInputError("the token is no address", { party: "you", check: "token", received: token, cause });
  }
}

/**
 * An offer as far as it suits this deployment: with the verifier and the source of randomness that it names, because
 * others might accept anything.
 * @throws TallystickError BAD_RESPONSE when the offer is not by this provider, or for another deployment
 */
export function fittingOffer(deployment: Deployment, provider: DataSetKeeper, offer: DataSetOffer): DataSetOffer {
  const { storageEscrow, possessionVerifier, randomness } = deployment.contracts;
  const checks = [
    ["account of the provider", provider.account, [offer.account]],
    ["escrow contract", storageEscrow, [offer.escrow]],
    ["chain id", String(deployment.chainId), [String(offer.chainId)]],
    ["verifier", possessionVerifier, offer.verifiers],
    ["source of randomness", randomness, offer.randomness],
  ] as const;
  for (const [check, expected, received] of checks) {
    if (received.some((one) => isAddressEqual(one, expected))) continue;
    throw new TallystickError(`${provider.name} offers something else than the deployment says`, {
      code: "BAD_RESPONSE",
      party: provider.name,
      check,
      expected,
      received: received.join(" or "),
      hint: "compare the deployment file with the provider's",
    });
  }
  return {
    ...offer,
    account: getAddress(provider.account),
    verifiers: [getAddress(possessionVerifier)],
    randomness: [getAddress(randomness)],
  };
}

/** What a new set is made of besides the wishes. */
export interface NewDataSet {
  readonly user: string;
  readonly salt: string;
  readonly sliceElements: number;
  readonly keyHash: string;
  readonly phase: number;
}

/**
 * Terms of a new set.
 * @throws BelowDataSetOfferError when the wishes do not keep to the offer; InvalidInputError
 */
export function newTerms(offer: DataSetOffer, wishes: LaneWishes, fresh: NewDataSet): AgreedTerms {
  // Never the mode that proves less, unless it is asked for.
  const { mode = "every-epoch", feeCap, sampleCount, predecessor } = wishes;
  if (!offer.modes.includes(mode)) {
    const hint = "name one that it offers (`--mode`), or use another provider";
    throw new BelowDataSetOfferError("mode", offer.modes.join(" or "), mode, hint);
  }
  const agreed = termsFromOffer(offer, {
    ...fresh,
    token: tokenOf(wishes),
    mode,
    ...(feeCap === undefined ? {} : { feeCap }),
    ...(sampleCount === undefined ? {} : { sampleCount }),
    ...(predecessor === undefined ? {} : { predecessor }),
  });
  const { feeFloor } = agreed.terms;
  requireBondAllowed(agreed, wishes.maximumDisputeBond ?? feeFloor * MOST_BOND_FEES);
  return agreed;
}

function requireBondAllowed({ terms, audit }: AgreedTerms, most: bigint | undefined): void {
  if (terms.mode !== "on-demand" || most === undefined || audit.disputeBond <= most) return;
  throw new InvalidInputError("the provider asks for a higher bond of disputes than allowed", {
    party: `provider ${terms.provider}`,
    check: "dispute bond",
    expected: `at most ${most}`,
    received: String(audit.disputeBond),
    hint: "allow a higher bond (`--max-bond`), have it prove in every epoch, or use another provider",
  });
}

/**
 * Refuses wishes that the terms of a set that was begun do not fulfil.
 * @throws InvalidInputError naming the first one
 */
export function requireWishesMatch({ terms, audit }: AgreedTerms, wishes: LaneWishes): void {
  requireBondAllowed({ terms, audit }, wishes.maximumDisputeBond);
  const checks = [
    ["token", wishes.token === undefined ? undefined : tokenOf(wishes), getAddress(terms.token)],
    ["mode", wishes.mode, terms.mode],
    ["fee cap", wishes.feeCap, terms.feeCap],
    ["sample count", wishes.sampleCount, audit.sampleCount],
  ] as const;
  for (const [check, wanted, agreed] of checks) {
    if (wanted === undefined || wanted === agreed) continue;
    throw new InvalidInputError("this device's data set at the provider was agreed on with other terms", {
      party: "you",
      check,
      expected: String(agreed),
      received: String(wanted),
      hint: "leave the wish out, or give notice to the data set: the next put begins another one",
    });
  }
}

/**
 * Refuses a set that costs more than the user allows as it is; a new one, if it costs more with a single slice.
 * @throws InvalidInputError
 */
export function requireAffordable(
  party: string,
  terms: AgreedTerms["terms"],
  onChain: DataSetOnChain | undefined,
  wishes: LaneWishes,
): void {
  const fee = onChain === undefined ? feeOf(terms, 1, 1) : lastLevel(onChain.schedule).fee;
  requireFeeAllowed(party, fee, wishes);
}

/** @throws InvalidInputError */
export function requireFeeAllowed(party: string, fee: bigint, { maximumFeePerEpoch }: LaneWishes): void {
  if (maximumFeePerEpoch === undefined || fee <= maximumFeePerEpoch) return;
  throw new InvalidInputError(`${party} asks for more than allowed`, {
    party,
    check: "fee per epoch",
    expected: `at most ${maximumFeePerEpoch}`,
    received: String(fee),
    hint: "allow a higher fee (`--max-fee`), or put without a data set (`--no-data-set`)",
  });
}

/**
 * @param hint of the error, where another set is not begun by the next put
 * @throws InvalidInputError when the provider takes no index so high
 */
export function requireIndexAllowed(
  party: string,
  highestIndex: number,
  { maximumIndex }: Pick<DataSetOffer, "maximumIndex">,
  hint = "`tallystick data-set compact --successor` moves what is live into a new data set there",
): void {
  if (highestIndex <= maximumIndex) return;
  throw new InvalidInputError(`${party} takes no data set of this size`, {
    party,
    check: "highest index",
    expected: `at most ${maximumIndex}`,
    received: String(highestIndex),
    hint,
  });
}
