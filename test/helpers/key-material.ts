/** Key material of a generation, for tests of the registry, which does not look into it. */

import type { PerKey, PublicKeys } from "../../offchain/core/committee/run.ts";

/** Both keys alike. */
export function keyMaterial(groupPublicKey: Uint8Array, verificationShares: Uint8Array[]): PerKey<PublicKeys> {
  const keys = { groupPublicKey, verificationShares };
  return { oprf: keys, record: keys };
}
