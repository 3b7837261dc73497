/** The key that secrets are sealed to, as the registry has it: the same through all generations of a committee. */

import { fromHex } from "../core/encoding/hex.ts";
import type { RecordSeal } from "../core/record/sealed-record.ts";
import { nodeRegistry } from "./contracts.ts";
import type { ChainReader } from "./deployment.ts";
import { ledgerScope } from "./ledger.ts";
import { notActive, readCommittee, readCommitteeState } from "./registry.ts";
import { readChain } from "./revert.ts";

/**
 * What the key records of a committee are sealed to.
 * @throws TallystickError NOT_FOUND when there is no such committee, CONFLICT while it has no keys
 */
export async function readRecordSeal(chain: ChainReader, committeeId: bigint): Promise<RecordSeal> {
  const { active } = await readCommitteeState(chain, committeeId);
  if (active === 0) throw notActive(await readCommittee(chain, committeeId));
  const read = () => nodeRegistry(chain).committeeById(committeeId);
  const { recordPublicKey } = await readChain("reading a committee's record key", read);
  return {
    ledger: ledgerScope(chain.deployment),
    ownersPolicy: chain.deployment.contracts.ownersPolicy,
    groupKey: fromHex(recordPublicKey),
  };
}
