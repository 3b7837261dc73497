/**
 * A recovery that is under way, in the home folder of the claimant: whose identity, on which network, and the fresh
 * identity of the claim, sealed with what opens the restored one: a passphrase or a wallet. It is there until the
 * identity is restored, so that the command goes on after days and after a restart.
 */

import { join } from "node:path";
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import type { Deployment } from "../../chain/deployment.ts";
import type { RecoveryPath } from "../../chain/recovery-policy.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import { freshIdentity, type Identity, takeIdentity } from "../../core/identity/identity.ts";
import {
  DEFAULT_SCRYPT_COST,
  type KeystoreKey,
  type KeystoreOpeners,
  keystoreOpeners,
  openKeystore,
  sealKeystore,
} from "../../core/identity/keystore.ts";
import { AddressText } from "../../core/wire/schema.ts";
import type { ScryptCost } from "../../kernels/primitives.ts";
import { AgentContext } from "../context.ts";
import type { AgentLogger } from "../progress.ts";
import { RecoveryClaim } from "../recovery/claim.ts";
import { createHomeFile, readHomeFile, removeHomeFile } from "./home-file.ts";
import { unkeptPlatform } from "./unkept-platform.ts";

const CLAIM_FILE = "recovery-claim.json";
const VERSION = 1;
const KIND = "claim";
/** A wallet may take so long to sign. */
const SIGNING_SECONDS = 30 * 86_400;

const ClaimSchema = Type.Object({
  version: Type.Literal(VERSION),
  account: AddressText,
  path: Type.Union([Type.Literal("wallet"), Type.Literal("guardians")]),
  chainId: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  recoveryPolicy: AddressText,
  /** Unix seconds up to which a signature of the wallet can be sent. */
  deadline: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  /** Checked when it is opened. */
  keystore: Type.Unknown(),
});

/** The file `recovery-claim.json` of a home folder, version 1. */
export type ClaimFile = Static<typeof ClaimSchema>;

export interface ClaimedAccount {
  readonly account: string;
  readonly path: RecoveryPath;
}

export function claimPath(homeDir: string): string {
  return join(homeDir, CLAIM_FILE);
}

/**
 * @returns undefined when no recovery is under way here
 * @throws TallystickError INVALID_INPUT for a damaged file; UnknownVersionError; DiskFailedError
 */
export function readClaim(homeDir: string): ClaimFile | undefined {
  const file = claimPath(homeDir);
  return readHomeFile(file, ClaimSchema, VERSION, (expected, received) => damaged(file, expected, received));
}

/** What opens a claim. @throws InvalidInputError, UnknownVersionError for a damaged one */
export function claimOpeners({ keystore }: ClaimFile): KeystoreOpeners {
  return keystoreOpeners(keystore);
}

/**
 * The claim of this home folder, made durable before anybody is asked to consent to it.
 * @param key of the keystore that the identity will be restored to
 * @throws TallystickError CONFLICT when another recovery is under way here; WRONG_PASSPHRASE, WRONG_WALLET; as
 *   `readClaim`
 */
export async function claimIn(
  homeDir: string,
  key: KeystoreKey,
  deployment: Deployment,
  claimed: ClaimedAccount,
  cost: ScryptCost = DEFAULT_SCRYPT_COST,
): Promise<{ readonly identity: Identity; readonly claim: ClaimFile }> {
  const found = readClaim(homeDir);
  if (found !== undefined) {
    requireSame(homeDir, found, deployment, claimed);
    return { identity: takeIdentity(await openKeystore(found.keystore, key, KIND)), claim: found };
  }
  const identity = freshIdentity();
  try {
    const claim: ClaimFile = {
      version: VERSION,
      ...claimed,
      chainId: deployment.chainId,
      recoveryPolicy: deployment.contracts.recoveryPolicy,
      deadline: Math.floor(Date.now() / 1000) + SIGNING_SECONDS,
      keystore: await sealKeystore(identity.phraseEntropy, key, KIND, cost),
    };
    if (!createHomeFile(claimPath(homeDir), claim)) throw begunMeanwhile();
    return { identity, claim };
  } catch (error) {
    identity.wipe();
    throw error;
  }
}

/** After the identity is durable. @throws DiskFailedError */
export function removeClaim(homeDir: string): void {
  removeHomeFile(claimPath(homeDir));
}

/** The claim with its connections; close it at the end. */
export function openClaim(
  identity: Identity,
  deployment: Deployment,
  { account, path }: ClaimedAccount,
  logger: AgentLogger,
): RecoveryClaim {
  const context = new AgentContext({
    identity,
    deployment,
    platform: unkeptPlatform(),
    logger,
    confirmations: 1,
  });
  return new RecoveryClaim(context, account, path);
}

function requireSame(homeDir: string, found: ClaimFile, deployment: Deployment, claimed: ClaimedAccount): void {
  const isSame =
    isAddressEqual(found.account, claimed.account) &&
    found.path === claimed.path &&
    found.chainId === deployment.chainId &&
    isAddressEqual(found.recoveryPolicy, deployment.contracts.recoveryPolicy);
  if (isSame) return;
  throw new TallystickError("another recovery is under way in this home folder", {
    code: "CONFLICT",
    party: "you",
    check: "recovery under way",
    expected: `account ${found.account} by its ${found.path} on chain ${found.chainId}`,
    received: `account ${claimed.account} by its ${claimed.path} on chain ${deployment.chainId}`,
    hint: `go on with that one, name another folder with --home, or give it up by removing ${claimPath(homeDir)}`,
  });
}

function begunMeanwhile(): TallystickError {
  return new TallystickError("another command has begun a recovery in this home folder meanwhile", {
    code: "CONFLICT",
    party: "you",
    check: "recovery under way",
    hint: "run the command again: it goes on with that one",
    retryable: true,
  });
}

function damaged(file: string, expected: string, received: string): TallystickError {
  return new TallystickError(`${file} is damaged`, {
    code: "INVALID_INPUT",
    party: "you",
    check: "recovery under way",
    expected,
    received,
    hint: "remove it and begin the recovery again: the wallet or the guardians have to consent once more",
  });
}
