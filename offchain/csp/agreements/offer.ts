/** The offer this provider makes, from its configuration and the deployment. */
import type { ChainReader } from "../../chain/deployment.ts";
import type { Offer } from "../../core/wire/csp.ts";
import { checksumAddress } from "../../daemon/account-signature.ts";
import type { OfferTerms } from "../config.ts";

/** @param account - the provider's own account @throws InvalidInputError for an address with a wrong checksum */
export function makeOffer(terms: OfferTerms, chain: ChainReader, account: string): Offer {
  const { chainId, contracts } = chain.deployment;
  const { prices, randomness, dataSets: _, ...limits } = terms;
  return {
    version: 1,
    account,
    chainId,
    escrow: checksumAddress(contracts.storageEscrow, "storageEscrow"),
    randomness: [contracts.randomness, ...randomness].map((source) => checksumAddress(source, "randomness")),
    prices: prices.map((price) => ({ ...price, token: checksumAddress(price.token, "token") })),
    ...limits,
  };
}
