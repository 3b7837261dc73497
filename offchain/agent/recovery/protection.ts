/**
 * The sealed identity of an account, as the recovery policy keeps it: what protects it, and whether the bytes are what
 * they should be.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { ledgerScope } from "../../chain/ledger.ts";
import {
  encodeRecoveryData,
  type RecoverableSecret,
  readFirstLiveVersion,
  recoveryDataHash,
} from "../../chain/recovery-policy.ts";
import { type RecoveryPublication, readPublication } from "../../chain/recovery-publications.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { IDENTITY_RECORD_ID, type IdentityPlace, identityLabel } from "../../core/identity/identity-secret.ts";
import { type CheckedSecret, checkSealed } from "../../core/sealed-secrets/sealed-secret.ts";
import type { AgentContext, CommitteeLink } from "../context.ts";
import { loadSuite } from "../pipeline/oprf-stage.ts";

export interface Protection extends RecoveryPublication {
  /** Whose identity it is. */
  readonly account: string;
  /** False when the owner has retired it and published nothing since. */
  readonly isLive: boolean;
}

/** The secret id's part that is the same for every version of an account's identity. */
export function identitySecretOf(chain: Pick<ChainReader, "deployment">, account: string) {
  const { keyLedger } = chain.deployment.contracts;
  return { ledger: keyLedger, recordId: toHex(IDENTITY_RECORD_ID), author: account };
}

/** What protects an account; undefined when its owner never published anything. */
export async function readProtection(chain: ChainReader, account: string): Promise<Protection | undefined> {
  const secret = identitySecretOf(chain, account);
  const [publication, first] = await Promise.all([readPublication(chain, secret), readFirstLiveVersion(chain, secret)]);
  if (publication === undefined) return undefined;
  return { ...publication, account, isLive: publication.secret.version >= first };
}

/**
 * @throws TallystickError NOT_FOUND naming the account when nothing was published; CONFLICT when it was retired
 */
export async function requireProtection(chain: ChainReader, account: string): Promise<Protection> {
  const found = await readProtection(chain, account);
  if (found === undefined) {
    throw new TallystickError(`the identity of ${account} has no recovery: its owner never published one`, {
      code: "NOT_FOUND",
      party: `account ${account}`,
      check: "published recovery",
      hint: "check the account; without a recovery, only the recovery phrase restores the identity",
    });
  }
  if (!found.isLive) {
    throw new TallystickError(`the owner of ${account} has retired its recovery`, {
      code: "CONFLICT",
      party: `account ${account}`,
      check: "live version",
      received: `version ${found.secret.version}, which is retired`,
      hint: "only the recovery phrase restores the identity",
    });
  }
  return found;
}

export function identityPlace(chain: Pick<ChainReader, "deployment">, secret: RecoverableSecret): IdentityPlace {
  return {
    ledger: ledgerScope(chain.deployment),
    recoveryPolicy: chain.deployment.contracts.recoveryPolicy,
    account: secret.author,
    version: secret.version,
    planHash: fromHex(recoveryDataHash(secret.plan)),
  };
}

/** Sealed bytes that were checked, with the committee that can open them. */
export interface CheckedProtection {
  readonly link: CommitteeLink;
  readonly secret: CheckedSecret;
  readonly policyData: Uint8Array;
}

/**
 * Checks the proof in the sealed bytes against the committee's key and the plan. That they hold the identity shows only
 * when they are opened.
 *
 * @throws TallystickError INTEGRITY, INVALID_PROOF and others naming the author; NOT_FOUND when there is no such
 *   committee
 */
export async function checkProtection(context: AgentContext, protection: Protection): Promise<CheckedProtection> {
  await loadSuite();
  const link = await context.committeeById(protection.committeeId);
  const label = identityLabel(identityPlace(await context.chain(), protection.secret));
  const secret = checkSealed(link.committee.keys.record.groupPublicKey, label, protection.sealed);
  return { link, secret, policyData: encodeRecoveryData(protection.secret.plan) };
}
