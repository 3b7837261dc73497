/** Requests for a recovery, as the chain has them: one of each account that the plan names. */

import { zeroPadValue } from "ethers";
import { recoveryAbi } from "../../chain/abis.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { readHeadNumber, readHeadTime } from "../../chain/head.ts";
import { chainLogs } from "../../chain/logs.ts";
import { parseRecoveryLog } from "../../chain/recovery-events.ts";
import {
  type RecoveryPlace,
  type RecoveryPlan,
  type RecoveryRequest,
  type RecoveryState,
  readRecovery,
  recoveryRequestId,
  recoverySecretId,
} from "../../chain/recovery-policy.ts";
import type { Protection } from "./protection.ts";

/**
 * `collecting`: approvals are missing. `scheduled`: the delay runs. `releasable`: nodes may release now. `closed`: its
 * time is over. `barred`: the owner has vetoed the proposer.
 */
export type RequestPhase = "collecting" | "scheduled" | "releasable" | "closed" | "barred";

export interface RequestView extends RecoveryPlace {
  /** 0x hex. */
  readonly requestId: string;
  readonly number: bigint;
  readonly phase: RequestPhase;
  /** Guardians who have approved. */
  readonly approvedBy: readonly string[];
  /** How many must; 0 for a wallet's request. */
  readonly approvalsNeeded: number;
  /** Unix seconds; until then it can be vetoed. Absent while approvals are missing. */
  readonly releasableAt?: number;
  readonly closesAt: number;
}

/** A request with what its event says: whom the secret would go to. */
export interface DetailedRequest extends RequestView {
  readonly request: RecoveryRequest;
}

/** Who can open a request. */
export function proposersOf({ wallet, guardians }: RecoveryPlan): RecoveryPlace[] {
  return [
    ...(wallet === undefined ? [] : [{ path: "wallet" as const, proposer: wallet.account }]),
    ...(guardians?.accounts ?? []).map((proposer) => ({ path: "guardians" as const, proposer })),
  ];
}

/** Whether something happens with it that the owner should know of. */
export function isUnderWay({ phase }: Pick<RequestView, "phase">): boolean {
  return phase === "collecting" || phase === "scheduled" || phase === "releasable";
}

/** The latest request of everybody whom the plan names, as of the newest block. */
export async function readRequests(chain: ChainReader, protection: Protection): Promise<RequestView[]> {
  const now = Number(await readHeadTime(chain));
  const { plan } = protection.secret;
  const states = await Promise.all(
    proposersOf(plan).map(async (place) => ({ place, state: await readRecovery(chain, protection.secret, place) })),
  );
  return states.flatMap(({ place, state }) =>
    state.requestId === undefined ? [] : [viewOf(plan, place, { ...state, requestId: state.requestId }, now)],
  );
}

/**
 * Adds what the events of the requests say. The chain's state names each request by a hash of its content, so an
 * endpoint cannot make up another content; a request whose event it does not return is left out.
 */
export async function withDetails(
  chain: ChainReader,
  protection: Protection,
  requests: readonly RequestView[],
): Promise<DetailedRequest[]> {
  if (requests.length === 0) return [];
  const { deployment } = chain;
  const secretId = recoverySecretId(protection.secret);
  const head = await readHeadNumber(chain);
  const [signature = null] = recoveryAbi().encodeFilterTopics("RecoveryRequested", []);
  const ids = requests.map(({ requestId }) => requestId);
  const topics = [signature, zeroPadValue(protection.account, 32), secretId, ids];
  const contents = new Map<string, RecoveryRequest>();
  const filter = { address: deployment.contracts.recoveryPolicy, topics };
  for await (const log of chainLogs(chain, filter, deployment.deployedAtBlock, head)) {
    const event = parseRecoveryLog(log);
    if (event?.kind !== "RecoveryRequested") continue;
    if (recoveryRequestId(secretId, event.request) === event.requestId) contents.set(event.requestId, event.request);
  }
  return requests.flatMap((view) => {
    const request = contents.get(view.requestId);
    return request === undefined ? [] : [{ ...view, request }];
  });
}

function viewOf(
  { guardians }: RecoveryPlan,
  { path, proposer }: RecoveryPlace,
  state: RecoveryState & { readonly requestId: string },
  now: number,
): RequestView {
  const { requestId, number, releasableAt, closesAt, approvers } = state;
  const ascending = [...(guardians?.accounts ?? [])].sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1));
  return {
    path,
    proposer,
    requestId,
    number,
    phase: phaseOf(state, now),
    approvedBy: ascending.filter((_, place) => (approvers & (1 << place)) !== 0),
    approvalsNeeded: path === "wallet" ? 0 : (guardians?.threshold ?? 0),
    ...(releasableAt === undefined ? {} : { releasableAt }),
    closesAt,
  };
}

function phaseOf({ isBarred, releasableAt, closesAt }: RecoveryState, now: number): RequestPhase {
  if (isBarred) return "barred";
  if (now > closesAt) return "closed";
  if (releasableAt === undefined) return "collecting";
  return now < releasableAt ? "scheduled" : "releasable";
}
