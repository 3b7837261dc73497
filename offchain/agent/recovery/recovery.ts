/**
 * `agent.recovery`: what the owner of an identity does about its recovery, and what it does as a guardian of others.
 * The claimant's side is in claim.ts.
 */

import type { ContractCall } from "../../chain/contract-call.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { type FeeQuote, quoteFee } from "../../chain/fee-limit.ts";
import {
  encodeRecoveryData,
  type RecoveryPlace,
  type RecoveryPlan,
  readFirstLiveVersion,
  retireVersionsCall,
  vetoRecoveryCall,
} from "../../chain/recovery-policy.ts";
import { publishSecretCall, type RecoveryNaming, scanNamings } from "../../chain/recovery-publications.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { holdsIdentity, recoveryWords, sealIdentity } from "../../core/identity/identity-secret.ts";
import type { AgentContext } from "../context.ts";
import { type SendOptions, type SentTransaction, sendWithin } from "../data-sets/sending.ts";
import { loadSuite } from "../pipeline/oprf-stage.ts";
import { type Approver, type AskedFor, type Consent, consentTo, isGuardian } from "./approving.ts";
import { newestAuthors } from "./find.ts";
import {
  checkProtection,
  identityPlace,
  identitySecretOf,
  type Protection,
  readProtection,
  requireProtection,
} from "./protection.ts";
import { nothingToVeto, notThisIdentity, tooLate } from "./refusals.ts";
import { replacedIn, requireNoneReplaced } from "./replaced.ts";
import { isUnderWay, type RequestView, readRequests, withDetails } from "./requests.ts";
import type { ReplacedNamed } from "./warnings.ts";

/** A protection that is sealed and not published yet. */
export interface PreparedProtection extends FeeQuote {
  readonly version: number;
  readonly plan: RecoveryPlan;
  readonly committeeId: bigint;
  readonly call: ContractCall;
  readonly sealed: Uint8Array;
}

/** What protects the identity now. */
export interface ProtectionView {
  readonly account: string;
  readonly version: number;
  readonly isLive: boolean;
  readonly plan: RecoveryPlan;
  readonly committeeId: bigint;
  /** Why the sealed bytes are of no use; absent when their proof is right and they hold the identity. */
  readonly problem?: TallystickError;
  /** Wallet and guardians that have successors: their old keys can still ask. */
  readonly replaced: readonly ReplacedNamed[];
  readonly requests: readonly RequestView[];
}

/** A request that concerns this account as a guardian. */
export interface GuardedRequest extends RequestView {
  /** Whose identity. */
  readonly account: string;
  /** Whom it would go to. */
  readonly requester: string;
  readonly sessionKey: string;
  /** What the requester reads out. */
  readonly words: string;
  /** Whether this account has approved it. */
  readonly isApproved: boolean;
}

/** An account whose owner has named this one. */
export interface Guarded {
  readonly account: string;
  readonly version: number;
  readonly plan: RecoveryPlan;
  readonly requests: readonly GuardedRequest[];
}

/** Accounts that name this one, the newest last. */
export interface GuardedAccounts {
  readonly guarded: readonly Guarded[];
  /** How many older ones were not looked at: they can be asked for by name. */
  readonly leftOut: number;
}

export type ApprovalOptions = SendOptions & Partial<Approver>;

export interface Approval extends SentTransaction {
  readonly account: string;
  readonly requestId: string;
  /** Whether this account has opened it, because there was none. */
  readonly isOpened: boolean;
  readonly approvals: number;
  readonly threshold: number;
  /** Unix seconds; present when enough have approved. */
  readonly releasableAt?: number;
}

export interface Vetoed extends SentTransaction, RecoveryPlace {
  readonly requestId: string;
}

/** A request that goes on, and why. */
export interface VetoFailure extends RecoveryPlace {
  readonly requestId: string;
  readonly error: TallystickError;
}

export interface VetoReport {
  readonly vetoed: readonly Vetoed[];
  readonly failed: readonly VetoFailure[];
}

export class Recovery {
  readonly #context: AgentContext;

  constructor(context: AgentContext) {
    this.#context = context;
  }

  /**
   * Seals the identity to the committee under a plan, and says what publishing it would cost.
   * @throws InvalidInputError for a plan that the contract refuses, or that names this account itself or one that was
   *   replaced
   * @throws TallystickError CONFLICT while the committee has no keys; FUNDS; ChainRevertedError
   */
  async prepare(plan: RecoveryPlan): Promise<PreparedProtection> {
    const { account, deployment, identity } = this.#context;
    encodeRecoveryData(plan);
    requireOthers(plan, account.address);
    await loadSuite();
    const chain = await this.#context.chain();
    const place = identitySecretOf(chain, account.address);
    const [link, before, first] = await Promise.all([
      this.#context.committee(),
      readProtection(chain, account.address),
      readFirstLiveVersion(chain, place),
      requireNoneReplaced(chain, plan),
    ]);
    const version = Math.max((before?.secret.version ?? 0) + 1, first);
    const secret = { ...place, version, plan };
    const sealed = sealIdentity(link.committee.keys.record.groupPublicKey, identityPlace(chain, secret), identity);
    const committeeId = link.committee.id;
    const call = publishSecretCall(deployment, { secret, committeeId, sealed });
    const quote = await quoteFee(chain, call, account.address);
    return { version, plan, committeeId, call, sealed, ...quote };
  }

  /**
   * Publishes what was prepared. The earlier version is retired by the same transaction.
   * @throws TallystickError FUNDS; CONFLICT when the chain does not return what was published; ChainRevertedError
   */
  async publish(prepared: PreparedProtection, options: SendOptions = {}): Promise<SentTransaction> {
    const sent = await sendWithin(this.#context, prepared.call, options);
    const found = await readProtection(await this.#context.chain(), this.#context.account.address);
    if (found?.isLive === true && toHex(found.sealed) === toHex(prepared.sealed)) return sent;
    throw new TallystickError("the chain does not return the sealed identity that was published", {
      code: "CONFLICT",
      party: "chain",
      check: "published recovery",
      expected: `version ${prepared.version}`,
      received: found === undefined ? "none" : `version ${found.secret.version}`,
      hint: "look at it with `tallystick recovery show`, and run the command again",
    });
  }

  /** What protects the identity; undefined when nothing was ever published. */
  async show(): Promise<ProtectionView | undefined> {
    const chain = await this.#context.chain();
    const found = await readProtection(chain, this.#context.account.address);
    if (found === undefined) return undefined;
    const problem = await problemOf(this.#context, found);
    const { version, plan } = found.secret;
    return {
      account: found.account,
      version,
      isLive: found.isLive,
      plan,
      committeeId: found.committeeId,
      ...(problem === undefined ? {} : { problem }),
      replaced: found.isLive ? await replacedIn(chain, plan) : [],
      requests: found.isLive ? await readRequests(chain, found) : [],
    };
  }

  /** Requests that are under way against this account's live version. */
  async underWay(): Promise<RequestView[]> {
    const chain = await this.#context.chain();
    const found = await readProtection(chain, this.#context.account.address);
    if (found?.isLive !== true) return [];
    return (await readRequests(chain, found)).filter(isUnderWay);
  }

  /**
   * Vetoes the request of one proposer, or of all, the most urgent first: whoever opens others beside it must not use
   * up coins or time before. Each is barred from this version. One that cannot be vetoed keeps no other from it.
   *
   * @throws TallystickError NOT_FOUND when there is nothing to veto; for a single request also what kept it from being
   *   vetoed: CONFLICT naming the proposer whose delay is over, before anything is sent; FUNDS; ChainRevertedError
   */
  async veto(proposer?: string, options: SendOptions = {}): Promise<VetoReport> {
    const { account, deployment } = this.#context;
    const chain = await this.#context.chain();
    const protection = await requireProtection(chain, account.address);
    const requests = (await readRequests(chain, protection)).filter(
      (view) => isUnderWay(view) && (proposer === undefined || isAddressEqual(view.proposer, proposer)),
    );
    if (requests.length === 0) throw nothingToVeto(proposer);
    const vetoed: Vetoed[] = [];
    const failed: VetoFailure[] = [];
    for (const view of requests.toSorted(byUrgency)) {
      const { path, proposer: by, requestId } = view;
      try {
        if (view.phase === "releasable") throw tooLate(view);
        const call = vetoRecoveryCall(deployment, protection.secret, view);
        vetoed.push({ path, proposer: by, requestId, ...(await sendWithin(this.#context, call, options)) });
      } catch (error) {
        if (!(error instanceof TallystickError) || requests.length === 1) throw error;
        failed.push({ path, proposer: by, requestId, error });
      }
    }
    return { vetoed, failed };
  }

  /** Ends the recovery: no node releases this version from then on. @throws as `requireProtection`; FUNDS */
  async retire(options: SendOptions = {}): Promise<SentTransaction & { readonly version: number }> {
    const chain = await this.#context.chain();
    const { secret } = await requireProtection(chain, this.#context.account.address);
    const call = retireVersionsCall(this.#context.deployment, secret, secret.version + 1);
    return { version: secret.version, ...(await sendWithin(this.#context, call, options)) };
  }

  /**
   * Owners that name this account as a guardian now, with the requests that are under way.
   * @param account only this one, which needs no logs of the past
   */
  async guarded(account?: string): Promise<GuardedAccounts> {
    const chain = await this.#context.chain();
    const own = this.#context.account.address;
    const { authors, leftOut } =
      account === undefined ? await newestAuthors(guardianNamings(chain, own)) : { authors: [account], leftOut: 0 };
    const guarded: Guarded[] = [];
    for (const author of authors) {
      const found = await readProtection(chain, author);
      if (found?.isLive !== true || !isGuardian(found.secret.plan, own)) continue;
      const requests = (await readRequests(chain, found)).filter(
        (view) => view.path === "guardians" && isUnderWay(view),
      );
      const detailed = await withDetails(chain, found, requests);
      guarded.push({
        account: author,
        version: found.secret.version,
        plan: found.secret.plan,
        requests: detailed.map(({ request, ...view }) => ({
          ...view,
          account: author,
          requester: request.requester,
          sessionKey: request.sessionKey,
          words: recoveryWords(author, request.requester, fromHex(request.sessionKey)),
          isApproved: view.approvedBy.some((one) => isAddressEqual(one, own)),
        })),
      });
    }
    return { guarded, leftOut };
  }

  /**
   * What a guardian sends or signs to approve a recovery, by default this account. Sends nothing.
   * @throws as `consentTo`
   */
  async consent(account: string, asked: AskedFor, options: Partial<Approver> = {}): Promise<Consent> {
    const guardian = this.#context.account.address;
    return await consentTo(await this.#context.chain(), account, asked, { guardian, ...options });
  }

  /**
   * Approves a recovery as a guardian: the request that is open for exactly this requester and session key, or a new
   * one when there is none. Another guardian's signature is sent, and paid for, by this account.
   * @throws as `consentTo`; TallystickError FUNDS; ChainRevertedError
   */
  async approve(account: string, asked: AskedFor, options: ApprovalOptions = {}): Promise<Approval> {
    const { protection, request, isOpening, call } = await this.consent(account, asked, options);
    const sent = await sendWithin(this.#context, call, options);
    const after = (await readRequests(await this.#context.chain(), protection)).find(
      (view) => view.path === "guardians" && isAddressEqual(view.proposer, request.proposer),
    );
    return {
      ...sent,
      account,
      requestId: after?.requestId ?? "",
      isOpened: isOpening,
      approvals: after?.approvedBy.length ?? 0,
      threshold: protection.secret.plan.guardians?.threshold ?? 0,
      ...(after?.releasableAt === undefined ? {} : { releasableAt: after.releasableAt }),
    };
  }
}

/** The earliest release first, then what lacks the fewest approvals. */
function byUrgency(a: RequestView, b: RequestView): number {
  const [first, second] = [a, b].map(({ releasableAt }) => releasableAt ?? Number.MAX_SAFE_INTEGER);
  const [missing, others] = [a, b].map(({ approvalsNeeded, approvedBy }) => approvalsNeeded - approvedBy.length);
  return (first ?? 0) - (second ?? 0) || (missing ?? 0) - (others ?? 0);
}

async function problemOf(context: AgentContext, protection: Protection): Promise<TallystickError | undefined> {
  try {
    const { secret } = await checkProtection(context, protection);
    return holdsIdentity(secret, context.identity) ? undefined : notThisIdentity(protection.account);
  } catch (error) {
    if (error instanceof TallystickError && error.code !== "CHAIN_UNAVAILABLE") return error;
    throw error;
  }
}

async function* guardianNamings(chain: ChainReader, guardian: string): AsyncGenerator<RecoveryNaming, void, undefined> {
  for await (const naming of scanNamings(chain, guardian)) if (naming.path === "guardians") yield naming;
}

/** Whoever has lost the phrase has lost this account too. */
function requireOthers(plan: RecoveryPlan, own: string): void {
  const named = [...(plan.wallet === undefined ? [] : [plan.wallet.account]), ...(plan.guardians?.accounts ?? [])];
  if (!named.some((account) => isAddressEqual(account, own))) return;
  throw new InvalidInputError("an identity cannot be its own recovery wallet or guardian", {
    party: "you",
    check: "recovery plan",
    expected: "accounts whose keys are kept elsewhere",
    received: own,
  });
}
