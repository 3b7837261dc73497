/**
 * From the committee's shares of a record back to the file key: k right shares, each re-sealed by its node to a key
 * made for this one request.
 */

import { randomBytes } from "#primitives";
import type { Committee } from "../../chain/registry.ts";
import { hpkeKeyPairFromSeed } from "../../core/crypto/hpke.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import { shareRequestTypedData } from "../../core/identity/typed-messages.ts";
import { type LedgerScope, openResealedShare, rebuildFileKey } from "../../core/record/key-record.ts";
import type { AgentAccount } from "../account.ts";
import { type AgentLogger, SILENT } from "../progress.ts";
import type { VerifiedRecord } from "./archives.ts";
import { clockError } from "./clock-offset.ts";
import type { NbmClient } from "./nbm-client.ts";
import { describeNodes, gather, type NodeReport, type QuorumMember, reportNodes, shuffled } from "./quorum.ts";

/** Lifetime of a signed request: the daemons' clocks may differ from ours by less than this. */
const REQUEST_SECONDS = 600;
/** A node that takes longer is waited for, but another one is asked as well. */
const PATIENCE_SECONDS = 5;

export interface ShareMember extends QuorumMember {
  readonly client: NbmClient;
}

export interface ShareCollectorContext {
  readonly account: AgentAccount;
  readonly ledger: LedgerScope;
  readonly logger?: AgentLogger;
}

export interface RebuiltKey {
  /** 32 bytes. */
  readonly fileKey: Uint8Array;
  /** What each node answered. */
  readonly nodes: NodeReport[];
}

/**
 * Rebuilds the key of a file from the shares of its record.
 *
 * @param members the committee of the record, each with a way to reach it.
 * @throws TallystickError SHARES_MISSING when fewer than k nodes give right shares; `details.nodes` says what each
 *   answered.
 * @throws IntegrityError when right shares rebuild no key of this file: the recorder made the record wrongly.
 */
export async function rebuildFromRecord(
  found: VerifiedRecord,
  dataId: string,
  committee: Pick<Committee, "id">,
  members: readonly ShareMember[],
  context: ShareCollectorContext,
): Promise<RebuiltKey> {
  const { threshold } = found.payload.policy;
  const reachable = shuffled(members.filter(({ url }) => url !== ""));
  const { answers, failures } = await gather(
    reachable,
    threshold,
    (member, signal) => requestShare(found, member, context, signal),
    PATIENCE_SECONDS,
  );
  const failed = new Map(failures.map(({ member, error }) => [member.index, error]));
  const nodes = reportNodes(members, new Set(answers.map(({ member }) => member.index)), failed);
  const logger = context.logger ?? SILENT;
  for (const { member, error } of failures) {
    logger.warn({ node: member.url, code: error.code }, `${error.message}; asking another node for its share`);
  }
  const nowSeconds = Math.floor(Date.now() / 1000);
  const clock = answers.length === 0 ? clockError([...failed.values()], nowSeconds) : undefined;
  if (clock !== undefined) throw clock;
  if (answers.length < threshold) throw sharesMissing(answers.length, threshold, committee.id, nodes);
  const shares = new Map(answers.map(({ member, answer }) => [member.index, answer]));
  return { fileKey: rebuildFileKey(found.payload, found.record, shares, dataId), nodes };
}

async function requestShare(
  found: VerifiedRecord,
  member: ShareMember,
  context: ShareCollectorContext,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { recordId, record, payload } = found;
  const session = hpkeKeyPairFromSeed(randomBytes(32));
  const account = context.account.address;
  const expiresAt = Math.floor(Date.now() / 1000) + REQUEST_SECONDS;
  const sessionKey = toHex(session.publicKey);
  const typed = shareRequestTypedData(context.ledger.chainId, context.ledger.keyLedger, {
    recordId,
    account,
    sessionKey,
    node: member.operator,
    expiresAt: BigInt(expiresAt),
  });
  const signature = await context.account.sign(typed);
  const answer = await member.client.share(recordId, { account, sessionKey, expiresAt, signature }, signal);
  const party = `node ${member.url}`;
  if (answer.index !== member.index) {
    throw new TallystickError(`${party} answered with the share of another member`, {
      code: "BAD_RESPONSE",
      party,
      check: "share index",
      expected: String(member.index),
      received: String(answer.index),
    });
  }
  try {
    return await openResealedShare(
      payload,
      context.ledger,
      record,
      { index: member.index, account },
      session.privateKey,
      answer.sealed,
    );
  } catch (cause) {
    if (!(cause instanceof TallystickError)) throw cause;
    throw new IntegrityError(`${party} sent a wrong share: ${cause.message}`, {
      party,
      check: cause.check ?? "share commitment",
      cause,
    });
  } finally {
    session.privateKey.fill(0);
  }
}

function sharesMissing(
  right: number,
  threshold: number,
  committeeId: bigint,
  nodes: readonly NodeReport[],
): TallystickError {
  return new TallystickError(`only ${right} of the ${threshold} required key shares were available`, {
    code: "SHARES_MISSING",
    party: `committee ${committeeId}`,
    check: "right shares",
    expected: `${threshold} right shares`,
    received: describeNodes(nodes),
    hint: "wait until more key nodes are up, then run the command again",
    retryable: true,
    details: { nodes },
  });
}
