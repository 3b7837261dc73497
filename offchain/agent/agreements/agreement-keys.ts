/** The secrets of one agreement's audits, derived from the identity and the agreement's salt. */

import {
  type AuditPublicKey,
  type AuditSecrets,
  auditKeyHash,
  auditPublicKey,
  deriveAgreementSecret,
  deriveAuditSecrets,
} from "../../core/audit/keys.ts";
import { auditReady } from "../../core/audit/ready.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";

/** What the owner keeps secret about an agreement, and what the provider and the chain get to know. */
export interface AgreementKeys {
  readonly secrets: AuditSecrets;
  readonly x: bigint;
  readonly publicKey: AuditPublicKey;
  /** keccak256(X ‖ XA ‖ XB), 0x hex. */
  readonly keyHash: string;
}

/**
 * Loads what audits compute with, if need be: those who only get files do without.
 * @param salt 32 bytes, 0x hex
 */
export async function agreementKeys(auditSeed: Uint8Array, salt: string): Promise<AgreementKeys> {
  await auditReady();
  const secrets = deriveAuditSecrets(auditSeed);
  const x = deriveAgreementSecret(auditSeed, fromHex(salt, 32, "salt"));
  const publicKey = auditPublicKey(secrets, x);
  return { secrets, x, publicKey, keyHash: toHex(auditKeyHash(publicKey)) };
}
