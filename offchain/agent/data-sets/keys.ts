/** The secrets of one data set, derived from the identity and the set's salt. */

import {
  type AuditPublicKey,
  auditKeyHash,
  auditPublicKey,
  type DataSetSecrets,
  deriveCommitmentSeed,
  deriveDataSetSecrets,
} from "../../core/audit/keys.ts";
import { auditReady } from "../../core/audit/ready.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";

/** What the owner keeps secret about a data set, and what the provider and the chain get to know. */
export interface DataSetKeys {
  readonly secrets: DataSetSecrets;
  readonly publicKey: AuditPublicKey;
  /** keccak256(X ‖ XA ‖ XB), 0x hex. */
  readonly keyHash: string;
  /** Seed of the commitments of a segment. @param segment its id, 0x hex @returns 32 bytes */
  commitmentSeed(segment: string): Uint8Array;
}

/**
 * Loads what audits compute with, if need be.
 * @param salt 32 bytes, 0x hex
 */
export async function dataSetKeys(auditSeed: Uint8Array, salt: string): Promise<DataSetKeys> {
  await auditReady();
  const saltBytes = fromHex(salt, 32, "salt");
  const secrets = deriveDataSetSecrets(auditSeed, saltBytes);
  const publicKey = auditPublicKey(secrets, secrets.x);
  const commitmentSeed = (segment: string) =>
    deriveCommitmentSeed(auditSeed, saltBytes, fromHex(segment, 32, "segment"));
  return { secrets, publicKey, keyHash: toHex(auditKeyHash(publicKey)), commitmentSeed };
}
