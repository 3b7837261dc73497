/**
 * `agent.delegates`: keys of devices that act for an account within a scope and until an expiry (session keys).
 *
 * A device makes a request and signs it; the owner of the account looks at it, signs the same message and sends it. No
 * secret leaves either: the delegate's key is that of the device's own identity. The owner revokes at any time.
 */

import {
  delegateCall,
  limitFeeCall,
  type RecordedDelegation,
  readDelegates,
  readDelegation,
  readFeeLimit,
  revokeDelegateCall,
} from "../../chain/delegates.ts";
import { readChain } from "../../chain/revert.ts";
import { checksumAddress, isAddressEqual } from "../../core/encoding/address.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, InvalidSignatureError, TallystickError } from "../../core/errors.ts";
import type { Delegation, Scope } from "../../core/identity/delegation.ts";
import { scopeBits } from "../../core/identity/delegation.ts";
import { delegationTypedData } from "../../core/identity/typed-messages.ts";
import { type DelegationRequest, requireLifetime } from "../../core/wire/delegation.ts";
import type { AgentContext } from "../context.ts";
import { isKeySignature } from "../data-sets/account-signatures.ts";
import { type SendOptions, type SentTransaction, sendWithin } from "../data-sets/sending.ts";
import { type DelegateBudget, readBudgets } from "./budgets.ts";
import { encryptionKeyTypedData } from "./encryption-key.ts";
import type { PreparedDevice, PrepareOptions } from "./prepare.ts";

/** How long the owner may take to answer a request. */
const REQUEST_SECONDS = 7 * 86_400;

export type DelegateState = "live" | "expired" | "revoked" | "replaced";

/** A key that is or was a delegate, and whether it may still act. */
export interface DelegateView extends Delegation {
  readonly state: DelegateState;
}

/** With the data sets that it adds to. */
export interface DelegateAccount extends DelegateView {
  readonly budgets: readonly DelegateBudget[];
}

export interface DelegateOptions {
  readonly scopes: readonly Scope[];
  /** How long the delegate is to act, from now on. */
  readonly seconds: number;
}

export class Delegates {
  readonly #context: AgentContext;

  constructor(context: AgentContext) {
    this.#context = context;
  }

  /**
   * On the device: asks to act for an account with the key of this identity, for good: a delegate never becomes an
   * account of its own again.
   * @throws InvalidInputError for no scope, another lifetime than the contract takes, or the account itself;
   *   TallystickError CONFLICT when this identity is a delegate already; ChainUnavailableError
   */
  async request(account: string, { scopes, seconds }: DelegateOptions): Promise<DelegationRequest> {
    const key = this.#context.account.address;
    if (isAddressEqual(account, key)) {
      throw new InvalidInputError("an account is no delegate of itself", {
        party: "you",
        check: "account",
        expected: "the account of the owner",
        received: account,
      });
    }
    const before = await readDelegation(await this.#context.chain(), key);
    if (before !== undefined) throw isDelegate(before);
    const now = await this.#chainTime();
    const expiresAt = now + seconds;
    requireLifetime(expiresAt, now);
    const asked = { account: checksumAddress(fromHex(account)), key, scopes: [...scopes], expiresAt };
    const deadline = Math.min(now + REQUEST_SECONDS, expiresAt);
    const { account: signer, identity, deployment } = this.#context;
    const encryptionKey = toHex(identity.hpkePublicKey);
    const keySignature = await signer.sign(this.#typed(asked, deadline));
    const encryptionKeySignature = await signer.sign(encryptionKeyTypedData(deployment, { ...asked, encryptionKey }));
    return { ...asked, deadline, keySignature, encryptionKey, encryptionKeySignature };
  }

  /**
   * As the owner: makes the device that asked a delegate of this account.
   * @throws InvalidInputError for a request to another account or of another lifetime; InvalidSignatureError when the
   *   key did not sign it; TallystickError CONFLICT when it is a delegate already; as `sendWithin`
   */
  async grant(request: DelegationRequest, options: SendOptions = {}): Promise<DelegateView & SentTransaction> {
    const { deadline, keySignature } = request;
    const { account } = this.#context;
    if (!isAddressEqual(request.account, account.address)) {
      throw new InvalidInputError("the device asks to act for another account", {
        party: `device ${request.key}`,
        check: "account of the request",
        expected: account.address,
        received: request.account,
        hint: "make the request for this account",
      });
    }
    const { scopes, expiresAt } = request;
    const delegation = { account: account.address, key: checksumAddress(fromHex(request.key)), scopes, expiresAt };
    const now = await this.#chainTime();
    requireLifetime(expiresAt, now);
    if (deadline < now) {
      throw new InvalidInputError("the request is too old", {
        party: `device ${delegation.key}`,
        check: "deadline of the request",
        expected: `before ${new Date(deadline * 1000).toISOString()}`,
        received: new Date(now * 1000).toISOString(),
        hint: "make a new one on the device",
      });
    }
    const typed = this.#typed(delegation, deadline);
    if (!isKeySignature(delegation.key, typed, keySignature)) {
      throw new InvalidSignatureError("the device has not signed this request", {
        party: `device ${delegation.key}`,
        check: "signature of the device",
        expected: `by ${delegation.key}`,
        hint: "make the request again on the device, and change nothing of it",
      });
    }
    const before = await readDelegation(await this.#context.chain(), delegation.key);
    if (before !== undefined) throw isDelegate(before);
    const accountSignature = await account.sign(typed);
    const { deployment } = this.#context;
    const signed = { ...delegation, deadline, accountSignature, keySignature };
    const sent = await sendWithin(this.#context, delegateCall(deployment, signed), options);
    return { ...delegation, state: "live", ...sent };
  }

  /** Whose delegate the key of this identity is or was; undefined for one of its own. @throws ChainUnavailableError */
  async own(): Promise<DelegateAccount | undefined> {
    const found = await readDelegation(await this.#context.chain(), this.#context.account.address);
    if (found === undefined) return undefined;
    const [budgets = []] = await readBudgets(this.#context, found.account, [found]);
    return { ...viewOf(found, await this.#chainTime()), budgets };
  }

  /**
   * As the owner: makes a data set for a device that only writes, and leaves there what the device needs to add to it.
   * May be repeated.
   * @param request of the device, which was granted
   * @see prepareDevice
   */
  async prepare(request: DelegationRequest, options: PrepareOptions): Promise<PreparedDevice> {
    const { prepareDevice } = await import("./prepare.ts");
    return await prepareDevice(this.#context, request, options);
  }

  /** Keys that are or were delegates of this account, the first one first. @throws ChainUnavailableError */
  async list(): Promise<DelegateAccount[]> {
    const now = await this.#chainTime();
    const { address } = this.#context.account;
    const delegations = await readDelegates(await this.#context.chain(), address);
    const budgets = await readBudgets(this.#context, address, delegations);
    return delegations.map((delegation, place) => ({ ...viewOf(delegation, now), budgets: budgets[place] ?? [] }));
  }

  /**
   * Ends what a delegate may do, for good: as its owner, or as the delegate itself.
   * @throws TallystickError NOT_FOUND for a key that is no delegate of this account, CONFLICT for one that was revoked;
   *   as `sendWithin`
   */
  async revoke(key: string, options: SendOptions = {}): Promise<DelegateView & SentTransaction> {
    const { deployment, account } = this.#context;
    const before = await this.#require(key);
    if (before.isRevoked) {
      throw new TallystickError("the delegate was revoked already", {
        code: "CONFLICT",
        party: `delegate ${key}`,
        check: "revocation",
        received: "revoked",
      });
    }
    const sent = await sendWithin(this.#context, revokeDelegateCall(deployment, account.address, key), options);
    return { ...viewOf({ ...before, isRevoked: true }, 0), ...sent };
  }

  /**
   * Lets a delegate sign states of a data set of this account up to a fee per epoch, in the smallest unit of the set's
   * token; 0 for none.
   * @throws TallystickError NOT_FOUND for a key that is no delegate of this account, CONFLICT for one that acts no
   *   more, OUT_OF_SCOPE for one that does not write; as `sendWithin`
   */
  async limit(key: string, dataSet: string, feeLimit: bigint, options: SendOptions = {}): Promise<SentTransaction> {
    const { scopes, state } = viewOf(await this.#require(key), await this.#chainTime());
    // Of one whose account was replaced, the contract knows who may change it.
    const isWriter = scopes.includes("write");
    if (!isWriter || state === "revoked" || state === "expired") {
      throw new TallystickError("the delegate adds to no data set", {
        code: isWriter ? "CONFLICT" : "OUT_OF_SCOPE",
        party: `delegate ${key}`,
        check: "delegation",
        expected: "live, to write",
        received: isWriter ? state : scopes.join(),
        hint: "grant another key of the device",
      });
    }
    const { deployment } = this.#context;
    return await sendWithin(this.#context, limitFeeCall(deployment, key, dataSet, feeLimit), options);
  }

  /** What `limit` has set, as long as the delegate may write; 0 for none. @throws ChainUnavailableError */
  async limitOf(key: string, dataSet: string): Promise<bigint> {
    const delegate = { key, account: this.#context.account.address };
    return await readFeeLimit(await this.#context.chain(), delegate, dataSet);
  }

  async #require(key: string): Promise<RecordedDelegation> {
    const found = await readDelegation(await this.#context.chain(), key);
    const { address } = this.#context.account;
    // One whose account was replaced may be this account's: the contract follows the line of accounts.
    const isOwn = found !== undefined && [found.account, found.key].some((one) => isAddressEqual(one, address));
    if (found !== undefined && (isOwn || found.successor !== undefined)) return found;
    throw new TallystickError(`${key} is no delegate of this account`, {
      code: "NOT_FOUND",
      party: "directory of accounts",
      check: "delegation",
      received: key,
      hint: "`tallystick delegate ls` shows the delegates of this account",
    });
  }

  async #chainTime(): Promise<number> {
    const { provider } = await this.#context.chain();
    const block = await readChain("reading the latest block", () => provider.getBlock("latest"));
    return block?.timestamp ?? 0;
  }

  #typed({ account, key, scopes, expiresAt }: Delegation, deadline: number) {
    const { chainId, contracts } = this.#context.deployment;
    return delegationTypedData(BigInt(chainId), contracts.accountDirectory, {
      account,
      key,
      scopes: BigInt(scopeBits(scopes)),
      expiresAt: BigInt(expiresAt),
      deadline: BigInt(deadline),
    });
  }
}

/** @param now unix seconds of the chain */
function viewOf({ isRevoked, successor, ...delegation }: RecordedDelegation, now: number): DelegateView {
  if (isRevoked) return { ...delegation, state: "revoked" };
  if (successor !== undefined) return { ...delegation, state: "replaced" };
  return { ...delegation, state: delegation.expiresAt <= now ? "expired" : "live" };
}

function isDelegate({ key, account }: Delegation): TallystickError {
  return new TallystickError("the key is a delegate already, and becomes no other one", {
    code: "CONFLICT",
    party: `delegate ${key}`,
    check: "delegation",
    expected: "none",
    received: `of account ${account}`,
    hint: "make another identity on the device with `tallystick init --home <new folder>`",
  });
}
