/**
 * A guardian's consent: which request it approves, and what the guardian sends or signs. A guardian that is a contract
 * wallet has no key that could send; its signature (EIP-1271) is sent by anybody.
 */

import type { ContractCall } from "../../chain/contract-call.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { readHeadTime } from "../../chain/head.ts";
import {
  approveRecoveryCall,
  openRecoveryCall,
  type RecoveryPlan,
  type RecoveryRequest,
} from "../../chain/recovery-policy.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { type Protection, requireProtection } from "./protection.ts";
import { approvedBefore, barred, enoughApproved, noGuardian, noRequestOf } from "./refusals.ts";
import { isUnderWay, readRequests, withDetails } from "./requests.ts";

/** What the requester gives to guardians. */
export interface AskedFor {
  readonly requester: string;
  /** X25519 public key, 32 bytes, 0x hex. */
  readonly sessionKey: string;
}

export interface Approver {
  /** Who approves. */
  readonly guardian: string;
  /**
   * The guardian whose request is approved; the approver's own address opens one. Default: the request that most have
   * approved. A dishonest guardian can replace its own request, with its approvals, again and again, so others must be
   * able to pass it over.
   */
  readonly proposer?: string | undefined;
  /** Of the guardian, over the message of request-message.ts; absent when the guardian sends the call itself. */
  readonly signature?: string | undefined;
  /** Unix seconds up to which a signature that opens a request can be sent. Default: 30 days from now. */
  readonly deadline?: bigint | undefined;
}

/** One guardian's consent to one request. */
export interface Consent {
  readonly protection: Protection;
  readonly request: RecoveryRequest;
  /** Whether there is no request yet, so that the consent opens it. */
  readonly isOpening: boolean;
  /** Unix seconds; of an opening only. */
  readonly deadline?: bigint;
  readonly call: ContractCall;
}

/** A wallet of several owners may take so long to sign. */
const SIGNING_SECONDS = 30n * 86_400n;

export function isGuardian({ guardians }: RecoveryPlan, account: string): boolean {
  return guardians?.accounts.some((one) => isAddressEqual(one, account)) === true;
}

/**
 * The consent to the request that is open for exactly this requester and session key, or to a new one.
 *
 * @throws TallystickError NOT_OWNER when the account does not name the guardian; NOT_FOUND when the proposer has no
 *   such request; CONFLICT when this guardian has approved it before, is barred, or enough have approved
 */
export async function consentTo(
  chain: ChainReader,
  account: string,
  asked: AskedFor,
  approver: Approver,
): Promise<Consent> {
  const { guardian, signature } = approver;
  const protection = await requireProtection(chain, account);
  const { secret } = protection;
  if (!isGuardian(secret.plan, guardian)) throw noGuardian(account, guardian, secret.plan);
  const { request, isOpening } = await chooseRequest(chain, protection, asked, approver);
  const { deployment } = chain;
  if (!isOpening) {
    const relayed = signature === undefined ? undefined : { signature };
    return {
      protection,
      request,
      isOpening,
      call: approveRecoveryCall(deployment, secret, request, guardian, relayed),
    };
  }
  const deadline = approver.deadline ?? (await readHeadTime(chain)) + SIGNING_SECONDS;
  const relayed = signature === undefined ? undefined : { signature, deadline };
  return { protection, request, isOpening, deadline, call: openRecoveryCall(deployment, secret, request, relayed) };
}

async function chooseRequest(
  chain: ChainReader,
  protection: Protection,
  asked: AskedFor,
  { guardian, proposer }: Approver,
): Promise<Pick<Consent, "request" | "isOpening">> {
  const requests = await readRequests(chain, protection);
  const candidates = await withDetails(
    chain,
    protection,
    requests.filter((view) => view.path === "guardians" && isUnderWay(view)),
  );
  const same = candidates.filter(
    ({ request }) =>
      isAddressEqual(request.requester, asked.requester) &&
      request.sessionKey === asked.sessionKey.toLowerCase() &&
      (proposer === undefined || isAddressEqual(request.proposer, proposer)),
  );
  const mine = same.find(({ approvedBy }) => approvedBy.some((one) => isAddressEqual(one, guardian)));
  const done = same.find(({ phase }) => phase !== "collecting");
  if (mine !== undefined) throw approvedBefore(guardian, mine);
  if (done !== undefined) throw enoughApproved(guardian, done);
  // Of several, the one of whoever has replaced its request the fewest times.
  const [best] = same.toSorted((a, b) => b.approvedBy.length - a.approvedBy.length || Number(a.number - b.number));
  if (best !== undefined) return { request: best.request, isOpening: false };
  if (proposer !== undefined && !isAddressEqual(proposer, guardian)) throw noRequestOf(proposer);
  const place = requests.find((view) => view.path === "guardians" && isAddressEqual(view.proposer, guardian));
  if (place?.phase === "barred") throw barred(guardian, protection.account);
  const number = (place?.number ?? 0n) + 1n;
  return { request: { path: "guardians", proposer: guardian, ...asked, number }, isOpening: true };
}
