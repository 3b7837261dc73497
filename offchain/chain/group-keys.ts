/**
 * The group keys of a committee, which are the same in all its generations: what a deployment file says of them, and
 * what key records are sealed to.
 */

import { fromHex, toHex } from "../core/encoding/hex.ts";
import type { RecordSeal } from "../core/record/sealed-record.ts";
import { nodeRegistry } from "./contracts.ts";
import { type ChainReader, type Deployment, type GroupKeysText, requireDeployedKeys } from "./deployment.ts";
import { ledgerScope } from "./ledger.ts";
import { type CommitteeWithKeys, notActive, readCommittee, readCommitteeState } from "./registry.ts";
import { readChain } from "./revert.ts";

/**
 * The group keys of a committee, for a deployment file: they stay the same in all generations.
 * @throws TallystickError NOT_FOUND when there is no such committee, CONFLICT while it has no keys
 */
export async function readGroupKeys(chain: ChainReader, id: bigint): Promise<GroupKeysText> {
  const { active } = await readCommitteeState(chain, id);
  if (active === 0) throw notActive(await readCommittee(chain, id));
  const read = () => nodeRegistry(chain).committeeById(id);
  const { oprfPublicKey, recordPublicKey } = await readChain("reading a committee's group keys", read);
  const stated = { oprf: fromHex(oprfPublicKey), record: fromHex(recordPublicKey) };
  requireDeployedKeys(chain.deployment, id, stated);
  return { oprf: toHex(stated.oprf), record: toHex(stated.record) };
}

/** The deployment with the keys of the committee that it names, so that its users need not believe an endpoint. */
export async function withCommitteeKeys(chain: ChainReader): Promise<Deployment> {
  const { deployment } = chain;
  const id = BigInt(deployment.committeeId);
  return id === 0n ? deployment : { ...deployment, committeeKeys: await readGroupKeys(chain, id) };
}

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
