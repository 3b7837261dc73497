/** The key that secrets are sealed to, as the registry has it: the same through all generations of a committee. */

import { fromHex } from "../core/encoding/hex.ts";
import type { RecordSeal } from "../core/record/sealed-record.ts";
import type { ChainReader, Deployment } from "./deployment.ts";
import { ledgerScope } from "./ledger.ts";
import { type CommitteeWithKeys, readGroupKeys } from "./registry.ts";

/**
 * What the key records of a committee are sealed to.
 * @throws TallystickError NOT_FOUND when there is no such committee, CONFLICT while it has no keys
 */
export async function readRecordSeal(chain: ChainReader, committeeId: bigint): Promise<RecordSeal> {
  const { record } = await readGroupKeys(chain, committeeId);
  return sealOf(chain.deployment, fromHex(record));
}

/** The same, from key material that was read before. */
export function recordSealOf(deployment: Deployment, { keys }: Pick<CommitteeWithKeys, "keys">): RecordSeal {
  return sealOf(deployment, keys.record.groupPublicKey);
}

function sealOf(deployment: Deployment, groupKey: Uint8Array): RecordSeal {
  return { ledger: ledgerScope(deployment), ownersPolicy: deployment.contracts.ownersPolicy, groupKey };
}
