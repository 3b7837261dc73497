/**
 * k right answers of a committee about one secret, with what every member answered. The nodes that are assigned to the
 * account are asked first (core/assignment), the others take the place of those that fail or are slow.
 */

import { type AssignableMember, assignedOrder, assignmentEpoch } from "../../core/assignment/assignment.ts";
import { type ErrorCode, TallystickError } from "../../core/errors.ts";
import { type AgentLogger, SILENT } from "../progress.ts";
import { clockError } from "./clock-offset.ts";
import type { NbmClient } from "./nbm-client.ts";
import { describeNodes, type NodeReport } from "./node-reports.ts";
import { gather, type QuorumMember, reportNodes } from "./quorum.ts";

/** Lifetime of a signed request: the daemons' clocks may differ from ours by less than this. */
export const REQUEST_SECONDS = 600;
/** A node that takes longer is waited for, but another one is asked as well. */
const PATIENCE_SECONDS = 5;
/** What a node refuses an account for. When so many do that no k are left, waiting does not help. */
const REFUSALS: readonly ErrorCode[] = [
  "NOT_RELEASED",
  "NOT_OWNER",
  "NOT_DELEGATED",
  "OUT_OF_SCOPE",
  "ACCOUNT_REPLACED",
];

export interface ShareMember extends QuorumMember, AssignableMember {
  readonly client: NbmClient;
}

/** Whose shares are needed, and who needs them. */
export interface ShareQuorum {
  readonly committeeId: bigint;
  readonly threshold: number;
  /** Address of the account that asks. */
  readonly account: string;
}

export interface Collected {
  /** Of as many members as are needed, by index. */
  readonly shares: ReadonlyMap<number, Uint8Array>;
  /** What each node answered. */
  readonly nodes: NodeReport[];
}

/**
 * @param members those of one generation, each with a way to reach it
 * @param ask resolves with a member's right share; throws when it fails or does not verify
 * @throws TallystickError SHARES_MISSING when fewer than k members give right shares; NOT_RELEASED, NOT_OWNER,
 *   NOT_DELEGATED, OUT_OF_SCOPE or ACCOUNT_REPLACED when so many refuse the account that no k are left;
 *   `details.nodes` says what each answered
 */
export async function collectShares<Member extends ShareMember>(
  { committeeId, threshold, account }: ShareQuorum,
  members: readonly Member[],
  ask: (member: Member, signal: AbortSignal) => Promise<Uint8Array>,
  logger: AgentLogger = SILENT,
): Promise<Collected> {
  const epoch = assignmentEpoch(Date.now() / 1000);
  const order = assignedOrder({ committeeId, user: account, epoch }, members).filter(({ url }) => url !== "");
  const { answers, failures } = await gather(order, threshold, ask, PATIENCE_SECONDS);
  const failed = new Map(failures.map(({ member, error }) => [member.index, error]));
  const nodes = reportNodes(members, new Set(answers.map(({ member }) => member.index)), failed);
  for (const { member, error } of failures) {
    logger.warn({ node: member.url, code: error.code }, `${error.message}; asking another node for its share`);
  }
  const nowSeconds = Math.floor(Date.now() / 1000);
  const clock = answers.length === 0 ? clockError([...failed.values()], nowSeconds) : undefined;
  if (clock !== undefined) throw clock;
  if (answers.length < threshold) {
    const refusals = [...failed.values()].filter(({ code }) => REFUSALS.includes(code));
    const [refusal] = refusals;
    if (refusal !== undefined && members.length - refusals.length < threshold)
      throw refused(refusal, committeeId, nodes);
    throw sharesMissing(answers.length, threshold, committeeId, nodes);
  }
  return { shares: new Map(answers.map(({ member, answer }) => [member.index, answer])), nodes };
}

function refused(refusal: TallystickError, committeeId: bigint, nodes: readonly NodeReport[]): TallystickError {
  const { code, message, check, expected, hint } = refusal;
  return new TallystickError(message, {
    code,
    party: code === "NOT_RELEASED" ? "policy of the secret" : `committee ${committeeId}`,
    ...(check === undefined ? {} : { check }),
    ...(expected === undefined ? {} : { expected }),
    received: describeNodes(nodes),
    ...(hint === undefined ? {} : { hint }),
    cause: refusal,
    details: { nodes },
  });
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
