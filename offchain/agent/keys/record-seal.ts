/**
 * What a record is sealed to. The key comes with the whole key material of the committee, which has the hash that the
 * registry states, and the group key of the deployment file if that has one (chain/deployment.ts).
 */

import type { Deployment } from "../../chain/deployment.ts";
import { recordSealOf } from "../../chain/group-keys.ts";
import type { CommitteeWithKeys } from "../../chain/registry.ts";
import { ristretto255Group } from "../../core/oprf/group.ts";
import { verifyCommitteeKeys } from "../../core/oprf/threshold.ts";
import type { RecordSeal } from "../../core/record/sealed-record.ts";

/** @throws InvalidPointError when no k members could open what is sealed to this key */
export function recordSealTo(
  deployment: Deployment,
  committee: Pick<CommitteeWithKeys, "keys" | "threshold">,
): RecordSeal {
  const { groupPublicKey, verificationShares } = committee.keys.record;
  verifyCommitteeKeys(ristretto255Group, groupPublicKey, verificationShares, committee.threshold);
  return recordSealOf(deployment, committee);
}
