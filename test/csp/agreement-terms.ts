/** The terms of an agreement about a data set, as a client proposes them from the provider's offer. */
import { NATIVE_TOKEN, type Terms } from "../../offchain/chain/escrow.ts";
import { amountsFromOffer } from "../../offchain/core/agreement/offer.ts";
import { auditKeyHash } from "../../offchain/core/audit/keys.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import type { Offer } from "../../offchain/core/wire/csp.ts";
import type { AuditedData } from "./audited-data.ts";

/** @param provider account of the provider. @param over - replaces terms */
export function termsFor(
  data: AuditedData,
  { provider, offer, startBlock }: { provider: string; offer: Offer; startBlock: number },
  over: Partial<Terms> = {},
): Terms {
  const sliceCount = BigInt(data.sliceCount);
  return {
    provider,
    token: NATIVE_TOKEN,
    ...amountsFromOffer(offer, offer.prices[0]?.token ?? "", sliceCount),
    startBlock: BigInt(startBlock),
    epochBlocks: offer.epochBlocks,
    windowBlocks: offer.windowBlocks,
    epochs: 3,
    sampleCount: offer.sampleCount,
    breachLimit: offer.breachLimit,
    firstIndex: 1n,
    sliceCount,
    auditKeyHash: toHex(auditKeyHash(data.key)),
    manifestHash: data.manifestHash,
    randomness: offer.randomness[0] ?? "",
    ...over,
  };
}
