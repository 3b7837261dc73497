/** Between whom, and where, a parcel passes. */

import type { Deployment } from "../../chain/deployment.ts";
import type { ParcelScope } from "../../core/identity/delegate-secrets.ts";
import type { Delegation } from "../../core/identity/delegation.ts";

export function parcelScope(
  { chainId, contracts }: Deployment,
  { account, key }: Pick<Delegation, "account" | "key">,
  provider: { readonly account: string },
): ParcelScope {
  return {
    chainId: BigInt(chainId),
    directory: contracts.accountDirectory,
    account,
    key,
    provider: provider.account,
  };
}
