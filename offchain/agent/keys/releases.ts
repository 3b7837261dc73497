/**
 * Has a sealed secret released: k members of the committee check its policy and give their decryption shares, each
 * sealed to a key made for this one request. A share with a wrong proof names its node, and another node is asked.
 */

import { randomBytes } from "#primitives";
import type { ChainReader } from "../../chain/deployment.ts";
import type { CommitteeWithKeys } from "../../chain/registry.ts";
import { type HpkeKeyPair, hpkeKeyPairFromSeed } from "../../core/crypto/hpke.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { releaseRequestTypedData } from "../../core/identity/typed-messages.ts";
import { ristretto255Group } from "../../core/oprf/group.ts";
import { verifyCommitteeKeys } from "../../core/oprf/threshold.ts";
import { openSecret, type RecordKeys, verifyDecryptionShare } from "../../core/sealed-secrets/decryption-share.ts";
import type { CheckedSecret } from "../../core/sealed-secrets/sealed-secret.ts";
import { openShareReply } from "../../core/sealed-secrets/share-reply.ts";
import type { AgentAccount } from "../account.ts";
import type { AgentLogger } from "../progress.ts";
import type { NodeReport } from "./node-reports.ts";
import { requireReceipt } from "./release-receipts.ts";
import { collectShares, REQUEST_SECONDS, type ShareMember } from "./share-collection.ts";

/** A secret that is to be released. */
export interface WantedSecret {
  readonly secret: CheckedSecret;
  /** The bytes that were checked. */
  readonly sealed: Uint8Array;
  /** What the policy is asked with; its hash is in the label. */
  readonly policyData: Uint8Array;
  /** What the policy wants to see of the requester, 0x hex. */
  readonly evidence: string;
}

export interface ReleaseContext {
  /** By this computer's own endpoint: the blocks that nodes name are looked up there. */
  readonly chain: ChainReader;
  readonly account: AgentAccount;
  /** The committee that it was sealed to, in its active generation. */
  readonly committee: CommitteeWithKeys;
  /** Of that generation, each with a way to reach it. */
  readonly members: readonly ShareMember[];
  readonly logger?: AgentLogger;
  /** That the policy allows the release to, where it allows one session key only; else each request has its own. */
  readonly session?: HpkeKeyPair;
}

export interface Released {
  readonly payload: Uint8Array;
  /** What each node answered. */
  readonly nodes: NodeReport[];
}

/**
 * @throws TallystickError NOT_RELEASED, SHARES_MISSING as `collectShares`; INTEGRITY naming the author when the secret
 *   does not open; InvalidPointError when the committee's keys do not belong together
 */
export async function releaseSecret(wanted: WantedSecret, context: ReleaseContext): Promise<Released> {
  const { committee, members, logger } = context;
  const keys = recordKeysOf(committee);
  const ask = (member: ShareMember, signal: AbortSignal) => requestShare(wanted, keys, member, context, signal);
  const quorum = { committeeId: committee.id, threshold: committee.threshold, account: context.account.address };
  const { shares, nodes } = await collectShares(quorum, members, ask, logger);
  return { payload: openSecret(wanted.secret, keys, shares).payload, nodes };
}

function recordKeysOf({ id, generation, threshold, keys }: CommitteeWithKeys): RecordKeys {
  const { groupPublicKey, verificationShares } = keys.record;
  verifyCommitteeKeys(ristretto255Group, groupPublicKey, verificationShares, threshold);
  return { committeeId: id, generation, threshold, groupPublicKey, verificationShares };
}

async function requestShare(
  wanted: WantedSecret,
  keys: RecordKeys,
  member: ShareMember,
  context: ReleaseContext,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { secret, sealed, policyData, evidence } = wanted;
  const { ledger, recordId, version, author, policy } = secret.label;
  const account = context.account.address;
  const session = context.session ?? hpkeKeyPairFromSeed(randomBytes(32));
  try {
    const expiresAt = Math.floor(Date.now() / 1000) + REQUEST_SECONDS;
    const sessionKey = toHex(session.publicKey);
    const message = {
      secret: toHex(secret.name),
      account,
      sessionKey,
      node: member.operator,
      expiresAt: BigInt(expiresAt),
    };
    const signature = await context.account.sign(releaseRequestTypedData(ledger.chainId, ledger.keyLedger, message));
    const request = {
      committeeId: keys.committeeId.toString(),
      generation: keys.generation,
      recordId: toHex(recordId),
      version,
      author,
      policy,
      policyData: toHex(policyData),
      evidence,
      secret: toHex(sealed),
      account,
      sessionKey,
      expiresAt,
      signature,
    };
    const grant = await member.client.release(request, signal);
    const party = `node ${member.url}`;
    requireIndex(grant.index, member.index, party);
    const asked = { secret, evidence, account, sessionKey, operator: member.operator, party };
    await requireReceipt(context.chain, asked, grant.receipt);
    const share = await openAs(party, () => openShareReply(secret, account, session.privateKey, grant.sealed));
    await openAs(party, async () => verifyDecryptionShare(secret, keys, member.index, share));
    return share;
  } finally {
    if (context.session === undefined) session.privateKey.fill(0);
  }
}

function requireIndex(received: number, expected: number, party: string): void {
  if (received === expected) return;
  throw new TallystickError(`${party} answered with the share of another member`, {
    code: "BAD_RESPONSE",
    party,
    check: "share index",
    expected: String(expected),
    received: String(received),
  });
}

/** Says in whose name a check of a node's answer failed. */
async function openAs<Value>(party: string, check: () => Promise<Value>): Promise<Value> {
  try {
    return await check();
  } catch (cause) {
    if (!(cause instanceof TallystickError)) throw cause;
    throw new TallystickError(`${party} sent a wrong share: ${cause.message}`, {
      code: cause.code,
      party,
      check: cause.check ?? "decryption share",
      cause,
    });
  }
}
