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
import type { NodeReport } from "./node-reports.ts";
import { collectShares, REQUEST_SECONDS, type ShareMember } from "./share-collection.ts";

export interface ShareCollectorContext {
  readonly account: AgentAccount;
  readonly ledger: LedgerScope;
  readonly logger?: AgentLogger;
  /** A predecessor of the account that owns the record; the account itself unless given. */
  readonly owner?: string;
}

/** A share, with the member that has it. */
export interface SharePlace extends ShareMember {
  /** Who held it before, the latest first; nobody unless given. */
  readonly former?: readonly ShareMember[];
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
 * @param members who has the shares, one for each share, each with a way to reach it.
 * @throws TallystickError SHARES_MISSING when fewer than k nodes give right shares, or the refusal of so many that no k
 *   are left; `details.nodes` says what each answered.
 * @throws IntegrityError when right shares rebuild no key of this file: the recorder made the record wrongly.
 */
export async function rebuildFromRecord(
  found: VerifiedRecord,
  dataId: string,
  committee: Pick<Committee, "id">,
  members: readonly SharePlace[],
  context: ShareCollectorContext,
): Promise<RebuiltKey> {
  const { threshold } = found.payload.policy;
  const ask = (member: SharePlace, signal: AbortSignal) => askFor(found, member, context, signal);
  const quorum = { committeeId: committee.id, threshold, account: context.account.address };
  const { shares, nodes } = await collectShares(quorum, members, ask, context.logger);
  return { fileKey: rebuildFileKey(found.payload, found.record, shares, dataId), nodes };
}

/**
 * Tries several sets of members, which may have the shares of a record, one after the other. Whom the nodes of one set
 * refuse as no owner, another set may still serve: those of a set that is out of date follow no chain any more.
 * @throws the refusal of a set, or else the first failure; at once what is neither that nor SHARES_MISSING
 */
export async function fromAnySet<Rebuilt>(
  sets: AsyncIterable<readonly SharePlace[]>,
  rebuild: (members: readonly SharePlace[]) => Promise<Rebuilt>,
): Promise<Rebuilt> {
  let missing: unknown;
  let refusal: unknown;
  for await (const members of sets) {
    try {
      return await rebuild(members);
    } catch (error) {
      const code = error instanceof TallystickError ? error.code : undefined;
      if (code === "NOT_OWNER") refusal ??= error;
      else if (code === "SHARES_MISSING") missing ??= error;
      else throw error;
    }
  }
  throw refusal ?? missing;
}

/** Asks the member, then those that held its share before it and may have it still. */
async function askFor(
  found: VerifiedRecord,
  { former = [], ...member }: SharePlace,
  context: ShareCollectorContext,
  signal: AbortSignal,
): Promise<Uint8Array> {
  try {
    return await requestShare(found, member, context, signal);
  } catch (error) {
    for (const before of former) {
      signal.throwIfAborted();
      try {
        return await requestShare(found, before, context, signal);
      } catch (cause) {
        if (!(cause instanceof TallystickError)) throw cause;
        (context.logger ?? SILENT).debug({ node: before.url, code: cause.code }, cause.message);
      }
    }
    throw error;
  }
}

/**
 * One node's share of a record, checked against its commitment.
 *
 * @param member the index is that of the share
 * @throws TallystickError what the node answers, or UNREACHABLE; IntegrityError naming the node for a wrong share
 */
export async function requestShare(
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
  const owner = context.owner === undefined || context.owner === account ? {} : { owner: context.owner };
  const request = { account, ...owner, sessionKey, expiresAt, signature };
  const answer = await member.client.share(recordId, request, signal);
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
