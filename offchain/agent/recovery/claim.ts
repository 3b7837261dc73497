/**
 * The claimant's side of a recovery: somebody who has lost the identity makes a fresh one for the time of the claim. It
 * is the requester that a wallet or guardians consent to, and its HPKE key is the session key that nodes seal their
 * shares to. Nothing but the consent comes from the wallet, so that one signature of a hardware or contract wallet is
 * enough.
 */

import type { ContractCall } from "../../chain/contract-call.ts";
import type { Deployment } from "../../chain/deployment.ts";
import { type FeeQuote, quoteFee } from "../../chain/fee-limit.ts";
import { openRecoveryCall, type RecoveryPath, type RecoveryRequest } from "../../chain/recovery-policy.ts";
import { TransactionSender } from "../../chain/sender.ts";
import { addressOfPrivateKey, isAddressEqual } from "../../core/encoding/address.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { Identity } from "../../core/identity/identity.ts";
import { identityOfSecret, recoveryWords } from "../../core/identity/identity-secret.ts";
import type { AgentContext } from "../context.ts";
import {
  type SendOptions,
  type SendWithLimit,
  type SentTransaction,
  sendWithin,
  sendWithinFee,
} from "../data-sets/sending.ts";
import { acrossGenerations } from "../keys/across-generations.ts";
import type { NodeReport } from "../keys/node-reports.ts";
import { releaseSecret } from "../keys/releases.ts";
import { restate } from "../restate-error.ts";
import { checkProtection, type Protection, requireProtection } from "./protection.ts";
import { requestMessage } from "./request-message.ts";
import { type DetailedRequest, isUnderWay, proposersOf, readRequests, withDetails } from "./requests.ts";

export interface ClaimState {
  readonly protection: Protection;
  /** The request for this claim that is furthest; absent when there is none. */
  readonly request?: DetailedRequest;
}

/** What a wallet signs or sends to open the request. */
export interface Opening {
  readonly request: RecoveryRequest;
  /** For a wallet that sends transactions. */
  readonly call: ContractCall;
  /** For a wallet that signs, whose signature anybody sends until the deadline: as `eth_signTypedData_v4` takes it. */
  readonly typedData: unknown;
}

export class RecoveryClaim {
  readonly #context: AgentContext;
  /** Whose identity is claimed. */
  readonly account: string;
  readonly path: RecoveryPath;

  /** @param context of the fresh identity */
  constructor(context: AgentContext, account: string, path: RecoveryPath) {
    this.#context = context;
    this.account = account;
    this.path = path;
  }

  get requester(): string {
    return this.#context.account.address;
  }

  get deployment(): Deployment {
    return this.#context.deployment;
  }

  /** 0x hex. */
  get sessionKey(): string {
    return toHex(this.#context.identity.hpkePublicKey);
  }

  /** What the claimant reads out to guardians. */
  get words(): string {
    return recoveryWords(this.account, this.requester, this.#context.identity.hpkePublicKey);
  }

  /**
   * How the claim stands.
   * @throws TallystickError as `requireProtection`; NOT_FOUND when the plan has no such way; CONFLICT naming the
   *   account when its owner has vetoed every proposer
   */
  async look(): Promise<ClaimState> {
    const chain = await this.#context.chain();
    const protection = await requireProtection(chain, this.account);
    const places = proposersOf(protection.secret.plan).filter(({ path }) => path === this.path);
    if (places.length === 0) throw noSuchWay(this.account, this.path);
    const requests = (await readRequests(chain, protection)).filter(({ path }) => path === this.path);
    if (requests.filter(({ phase }) => phase === "barred").length === places.length)
      throw vetoed(this.account, this.path);
    const mine = (await withDetails(chain, protection, requests.filter(isUnderWay))).filter(
      ({ request }) => isAddressEqual(request.requester, this.requester) && request.sessionKey === this.sessionKey,
    );
    const [request] = mine.toSorted((a, b) => rankOf(b) - rankOf(a));
    return { protection, ...(request === undefined ? {} : { request }) };
  }

  /** The wallet's request for this claim. @param deadline unix seconds up to which a signature can be sent */
  async opening(protection: Protection, deadline: bigint, signature?: string): Promise<Opening> {
    const { secret } = protection;
    const wallet = secret.plan.wallet?.account;
    if (wallet === undefined) throw noSuchWay(this.account, "wallet");
    const chain = await this.#context.chain();
    const before = (await readRequests(chain, protection)).find(({ path }) => path === "wallet");
    const request: RecoveryRequest = {
      path: "wallet",
      proposer: wallet,
      requester: this.requester,
      sessionKey: this.sessionKey,
      number: (before?.number ?? 0n) + 1n,
    };
    const { deployment } = chain;
    const relayed = signature === undefined ? undefined : { signature, deadline };
    const typedData = requestMessage(deployment, secret, request, { deadline });
    return { request, call: openRecoveryCall(deployment, secret, request, relayed), typedData };
  }

  /** What relaying a signature would cost. @throws TallystickError FUNDS; ChainRevertedError */
  async quote({ call }: Opening): Promise<FeeQuote> {
    return await quoteFee(await this.#context.chain(), call, this.requester);
  }

  /** What the wallet would pay. @throws as `openBy` */
  async quoteBy(walletKey: Uint8Array, { call, request }: Opening): Promise<FeeQuote> {
    return await quoteFee(await this.#context.chain(), call, requireWallet(walletKey, request.proposer));
  }

  /**
   * Opens the request with the key of the wallet, which pays for it.
   * @throws InvalidInputError when the key is not the wallet's; TallystickError FUNDS; ChainRevertedError
   */
  async openBy(walletKey: Uint8Array, { call, request }: Opening, options: SendOptions = {}): Promise<SentTransaction> {
    const from = requireWallet(walletKey, request.proposer);
    const chain = await this.#context.chain();
    const sender = new TransactionSender(chain, walletKey, { confirmations: this.#context.confirmations });
    const send: SendWithLimit = async (sent, limits) => await sender.send(sent, undefined, limits);
    return await sendWithinFee({ chain, from, send }, call, options);
  }

  /** Sends the wallet's signature from the fresh account, which pays for it. @throws TallystickError FUNDS */
  async relay({ call }: Opening, options: SendOptions = {}): Promise<SentTransaction> {
    return await sendWithin(this.#context, call, options);
  }

  async close(): Promise<void> {
    await this.#context.close();
  }

  /**
   * Has the identity released, once a request is releasable.
   * @throws TallystickError NOT_RELEASED, SHARES_MISSING with what every node answered; INTEGRITY naming the author
   *   when what was sealed is not the identity of the account
   */
  async release({ protection }: ClaimState): Promise<{ readonly identity: Identity; readonly nodes: NodeReport[] }> {
    const { account, identity, logger } = this.#context;
    const session = { publicKey: identity.hpkePublicKey, privateKey: identity.hpkePrivateKey };
    const collect = async () => {
      const { link, secret, policyData } = await checkProtection(this.#context, protection);
      const { committee, members } = link;
      const chain = await this.#context.chain();
      const wanted = { secret, sealed: protection.sealed, policyData, evidence: "0x" };
      return await releaseSecret(wanted, { chain, account, committee, members, logger, session });
    };
    const { payload, nodes } = await acrossGenerations(collect).catch((error: unknown) => {
      throw withHint(error);
    });
    try {
      return { identity: identityOfSecret(payload, this.account), nodes };
    } finally {
      payload.fill(0);
    }
  }
}

function rankOf({ phase, approvedBy }: DetailedRequest): number {
  return { releasable: 200, scheduled: 100, collecting: 0, closed: 0, barred: 0 }[phase] + approvedBy.length;
}

/** What the newest block allows, nodes allow when some blocks are upon it. */
function withHint(error: unknown): unknown {
  if (!(error instanceof TallystickError) || error.code !== "NOT_RELEASED") return error;
  const hint = "key nodes wait until some blocks confirm that the delay is over: run the command again in some minutes";
  return restate(error, error.message, { hint, retryable: true });
}

function noSuchWay(account: string, path: RecoveryPath): TallystickError {
  const what = path === "wallet" ? "a wallet" : "guardians";
  return new TallystickError(`the owner of ${account} has not named ${what} for its recovery`, {
    code: "NOT_FOUND",
    party: `account ${account}`,
    check: "recovery plan",
    expected: what,
    hint: `use \`tallystick recover --account ${account} ${path === "wallet" ? "--guardians" : "--wallet"}\``,
  });
}

function requireWallet(walletKey: Uint8Array, expected: string): string {
  const received = addressOfPrivateKey(walletKey);
  if (isAddressEqual(received, expected)) return received;
  throw new InvalidInputError("the key is not that of the recovery wallet", {
    party: "you",
    check: "recovery wallet",
    expected,
    received,
  });
}

function vetoed(account: string, path: RecoveryPath): TallystickError {
  return new TallystickError(`the owner of ${account} has vetoed this recovery`, {
    code: "CONFLICT",
    party: `account ${account}`,
    check: "veto of the owner",
    received: path === "wallet" ? "the wallet is barred" : "every guardian is barred",
    hint: "whoever holds the identity has refused it; only the recovery phrase, or another way, restores it",
  });
}
