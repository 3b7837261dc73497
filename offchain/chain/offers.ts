/**
 * Signs transactions of one account and offers them to the chain's node. Every retry offers the same signed bytes
 * again, so a transaction is mined at most once however often its answer is lost.
 */

import { BaseWallet, isError, keccak256, SigningKey, type TransactionReceipt } from "ethers";
import pRetry from "p-retry";
import { toHex } from "../core/encoding/hex.ts";
import { TallystickError } from "../core/errors.ts";
import type { ContractCall } from "./contract-call.ts";
import type { ChainReader } from "./deployment.ts";
import { isTemporaryFailure } from "./endpoint-errors.ts";
import { currentFees, type FeeLimits, type Fees, fillerFees, replacementFees } from "./fees.ts";
import type { SignedCall } from "./nonces.ts";
import { ChainUnavailableError, chainError } from "./revert.ts";

const TRANSFER_GAS = 21_000n;

export type Submission = "accepted" | "nonce-used" | "underpriced";

export interface OfferOptions {
  readonly retries: number;
  readonly retryDelayMs: number;
}

export class Offers {
  readonly address: string;
  readonly #chain: ChainReader;
  readonly #wallet: BaseWallet;
  readonly #options: OfferOptions;

  /** @param signingKey secp256k1 private key, 32 bytes. */
  constructor(chain: ChainReader, signingKey: Uint8Array, options: OfferOptions) {
    this.#chain = chain;
    this.#wallet = new BaseWallet(new SigningKey(toHex(signingKey)));
    this.address = this.#wallet.address;
    this.#options = options;
  }

  /** True when the connection was closed: nothing will be answered any more. */
  get isClosed(): boolean {
    return this.#chain.provider.destroyed;
  }

  /** One request, repeated while the connection fails. */
  async request<T>(call: ContractCall, signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
    try {
      return await pRetry(request, {
        retries: this.#options.retries,
        minTimeout: this.#options.retryDelayMs,
        factor: 2,
        shouldRetry: ({ error }) => isTemporaryFailure(error),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      throw signal?.aborted === true ? error : chainError(error, call.description);
    }
  }

  /** Transactions of the account that are mined, or mined and pending. */
  async count(call: ContractCall, tag: "latest" | "pending", signal?: AbortSignal): Promise<number> {
    return await this.request(call, signal, () => this.#chain.provider.getTransactionCount(this.address, tag));
  }

  /**
   * Signs a call under a nonce, at the fees of the moment. @throws TallystickError FUNDS when those are above the cap
   */
  async sign(
    call: ContractCall,
    nonce: number,
    gasLimit: bigint,
    limits: FeeLimits,
    signal: AbortSignal | undefined,
  ): Promise<SignedCall> {
    const fees = await this.#fees(call, limits, signal);
    const { raw, hash } = await this.#signed(call, nonce, gasLimit, fees);
    return { call, nonce, gasLimit, limits, since: Date.now(), hashes: [hash], raw, fees };
  }

  /** Signs an empty transaction that uses up a nonce. @throws TallystickError FUNDS when fees are above the limit */
  async signFiller(nonce: number, limits: FeeLimits): Promise<SignedCall> {
    const call = fillerOf(this.address);
    const fees = fillerFees(await this.#fees(call, limits, undefined));
    const { raw, hash } = await this.#signed(call, nonce, TRANSFER_GAS, fees);
    return { call, nonce, gasLimit: TRANSFER_GAS, limits, since: Date.now(), hashes: [hash], raw, fees };
  }

  /** Offers the signed bytes. Offering them twice is harmless, so a request whose connection broke is repeated. */
  async submit(signed: SignedCall, signal: AbortSignal | undefined): Promise<Submission> {
    const { call } = signed;
    let offers = 0;
    try {
      await this.request(call, signal, () => {
        offers += 1;
        return this.#chain.provider.send("eth_sendRawTransaction", [signed.raw]);
      });
      return "accepted";
    } catch (error) {
      const cause: unknown = error instanceof TallystickError ? error.cause : error;
      if (isAlreadyKnown(cause)) return "accepted";
      if (isError(cause, "REPLACEMENT_UNDERPRICED")) return "underpriced";
      if (isError(cause, "NONCE_EXPIRED")) {
        // It may be this very transaction that was mined, if the first answer got lost. The receipt can be late, and a
        // second transaction for a call that was mined would do it twice: where there was a first answer to lose, it is
        // waited for.
        const mined = await this.request(call, signal, () => this.receiptOf(signed));
        return mined === null && offers === 1 ? "nonce-used" : "accepted";
      }
      // Where an earlier answer was lost, a later refusal does not say that the first offer was refused.
      if (isTemporaryFailure(error) || offers > 1) throw unavailable(signed, error);
      throw error;
    }
  }

  /** The receipt of whichever of the replacements was mined. */
  async receiptOf(signed: SignedCall): Promise<TransactionReceipt | null> {
    for (const hash of signed.hashes.toReversed()) {
      const receipt = await this.#chain.provider.getTransactionReceipt(hash);
      if (receipt !== null) return receipt;
    }
    return null;
  }

  /**
   * Offers a pending transaction again when the node has forgotten it, and with a higher fee when it is the next in
   * line.
   */
  async nudge(signed: SignedCall, signal: AbortSignal | undefined): Promise<Submission> {
    const { call } = signed;
    const known = await this.#chain.provider.getTransaction(keccak256(signed.raw));
    if (known === null) return await this.submit(signed, signal);
    // One that waits for a lower nonce is not mined sooner at a higher fee.
    if ((await this.count(call, "latest", signal)) !== signed.nonce) return "accepted";
    const earlier = { raw: signed.raw, fees: signed.fees };
    let outcome: Submission;
    try {
      const fees = replacementFees(earlier.fees, await this.#fees(call, signed.limits, signal), signed.limits);
      if (fees === undefined) return "underpriced";
      const { raw, hash } = await this.#signed(call, signed.nonce, signed.gasLimit, fees);
      // Before it is offered: should the answer get lost, the node may have it all the same.
      signed.hashes.push(hash);
      Object.assign(signed, { raw, fees });
      outcome = await this.submit(signed, signal);
    } catch (error) {
      if (signal?.aborted === true || isTemporaryFailure(error)) throw error;
      // No coins for the higher fee, or more than the cap or the node lets through: the earlier one is still on its
      // way.
      outcome = "underpriced";
    }
    if (outcome !== "accepted") Object.assign(signed, earlier);
    return outcome;
  }

  #fees(call: ContractCall, limits: FeeLimits, signal: AbortSignal | undefined): Promise<Fees> {
    return this.request(call, signal, () => currentFees(this.#chain, limits, call.description));
  }

  async #signed(call: ContractCall, nonce: number, gasLimit: bigint, fees: Fees) {
    const raw = await this.#wallet.signTransaction({
      type: 2,
      chainId: BigInt(this.#chain.deployment.chainId),
      to: call.to,
      data: call.data,
      value: call.value ?? 0n,
      nonce,
      gasLimit,
      ...fees,
    });
    return { raw, hash: keccak256(raw) };
  }
}

/** Sends an empty transaction that uses up a nonce. */
export function fillerOf(address: string): ContractCall {
  return { to: address, data: "0x", description: "filling a gap in the account's nonces" };
}

/** The error of a sent transaction that cannot be looked up: it may be mined. */
export function unavailable(signed: SignedCall, cause: unknown): ChainUnavailableError {
  const said = cause instanceof TallystickError ? (cause.received ?? cause.message) : "no answer";
  return new ChainUnavailableError(signed.call.description, {
    received: `${said}; the transaction may have been accepted`,
    transactionHash: keccak256(signed.raw),
    cause,
  });
}

/**
 * geth "already known", Nethermind "AlreadyKnown", anvil "transaction already imported", Hardhat "Known transaction".
 */
function isAlreadyKnown(error: unknown): boolean {
  return error instanceof Error && /already ?(known|imported|exists)|known ?transaction/i.test(error.message);
}
