/**
 * Sends transactions from one account. What to send is a plain `ContractCall`, made by the `…Call` builders of this folder;
 * this module gets it mined: one nonce after the other without gaps, however many callers there are, and despite endpoints that
 * drop connections, restart, or forget what they accepted.
 *
 * A transaction is estimated, signed and broadcast under a lock, and takes its nonce only when it is signed, so that a call
 * that would revert leaves no gap. Every retry offers the same signed bytes again: it can be mined at most once. Only
 * when another transaction is seen to have taken the nonce is it signed anew.
 */

import { isError, keccak256, type TransactionReceipt, Wallet } from "ethers";
import pRetry from "p-retry";
import { toHex } from "../core/encoding/hex.ts";
import { TallystickError } from "../core/errors.ts";
import type { ChainReader } from "./deployment.ts";
import { ChainRevertedError, ChainUnavailableError, chainError, decodeRevert, isTransportFailure } from "./revert.ts";

/** A transaction that nobody has signed yet. */
export interface ContractCall {
  readonly to: string;
  /** ABI-encoded, 0x hex. */
  readonly data: string;
  readonly value?: bigint;
  /** What it does, in words that fit after "while" and before "was refused", for example "recording a key". */
  readonly description: string;
}

export interface SenderOptions {
  /** Blocks that must hold the transaction, its own included; default 1. */
  readonly confirmations?: number;
  /** How long to wait for the receipt before giving up; default 300. */
  readonly receiptTimeoutSeconds?: number;
  /** How long the endpoint may stay silent while waiting; default 20. */
  readonly unreachableAfterSeconds?: number;
  /** A transaction still pending after this long is offered again, with a higher fee when it is known; default 30. */
  readonly nudgeAfterSeconds?: number;
  /** Retries of a request whose connection failed; default 4, the waits doubling from `retryDelayMs`, default 200. */
  readonly retries?: number;
  readonly retryDelayMs?: number;
}

/** A signed transaction on its way. Replacements by a higher fee share the nonce; at most one of `hashes` is ever mined. */
interface Pending {
  readonly nonce: number;
  readonly gasLimit: bigint;
  /** Of all that were offered, also of those whose answer was lost. */
  readonly hashes: string[];
  /** The one the node is believed to have. */
  raw: string;
  fees: Fees;
}

interface Fees {
  readonly maxFeePerGas: bigint;
  readonly maxPriorityFeePerGas: bigint;
}

type Submission = "accepted" | "nonce-used" | "underpriced";

const FIRST_POLL_MS = 50;
const SLOWEST_POLL_MS = 2000;
/** Attempts to find a free nonce before concluding that another process uses the account. */
const NONCE_ATTEMPTS = 10;
/** Room for state that changes between the estimate and the block. */
const GAS_MARGIN_PERCENT = 20n;
/** Nodes replace a pending transaction from 10 % (geth) or 12.5 % on; 25 % passes all of them. */
const FEE_BUMP_PERCENT = 25n;

/** One per key and process: two senders of one account would take each other's nonces (and recover, but slowly). */
export class TransactionSender {
  readonly address: string;
  readonly #chain: ChainReader;
  readonly #wallet: Wallet;
  readonly #options: Required<SenderOptions>;
  readonly #inFlight = new Set<Pending>();
  #lock: Promise<unknown> = Promise.resolve();

  /** @param signingKey secp256k1 private key, 32 bytes. */
  constructor(chain: ChainReader, signingKey: Uint8Array, options: SenderOptions = {}) {
    this.#chain = chain;
    this.#wallet = new Wallet(toHex(signingKey));
    this.address = this.#wallet.address;
    this.#options = {
      confirmations: options.confirmations ?? 1,
      receiptTimeoutSeconds: options.receiptTimeoutSeconds ?? 300,
      unreachableAfterSeconds: options.unreachableAfterSeconds ?? 20,
      nudgeAfterSeconds: options.nudgeAfterSeconds ?? 30,
      retries: options.retries ?? 4,
      retryDelayMs: options.retryDelayMs ?? 200,
    };
  }

  /**
   * Sends a call and waits until it is mined. Calls are broadcast in the order in which this is called, and waited for
   * side by side.
   *
   * @param signal stops the waiting; a transaction that was already broadcast may still be mined.
   * @throws ChainRevertedError when the contract refuses, before or after it was sent.
   * @throws ChainUnavailableError when the endpoint fails for good; `details.transactionHash` is present once it may have the transaction.
   * @throws TallystickError FUNDS, TIMED_OUT (mined later, perhaps), CONFLICT (another transaction took the nonce).
   */
  async send(call: ContractCall, signal?: AbortSignal): Promise<TransactionReceipt> {
    const pending = await this.#exclusively(() => this.#broadcast(call, signal));
    try {
      const receipt = await this.#mined(call, pending, signal);
      if (receipt.status === 0) throw await this.#whyReverted(call, receipt);
      return receipt;
    } finally {
      this.#inFlight.delete(pending);
    }
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#lock.then(work);
    // The next in line waits for this one, whichever way it ends; its own caller sees the failure.
    this.#lock = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  async #broadcast(call: ContractCall, signal: AbortSignal | undefined): Promise<Pending> {
    signal?.throwIfAborted();
    const estimated = await this.#rpc(call, signal, () => estimateGas(this.#chain, call, this.address));
    const gasLimit = estimated + (estimated * GAS_MARGIN_PERCENT) / 100n;
    for (let attempt = 0; attempt < NONCE_ATTEMPTS; attempt++) {
      const nonce = await this.#nextNonce(call, signal);
      const fees = await this.#currentFees(call, signal);
      const { raw, hash } = await this.#sign(call, nonce, gasLimit, fees);
      const pending: Pending = { nonce, gasLimit, hashes: [hash], raw, fees };
      if ((await this.#submit(call, pending, signal)) === "accepted") {
        this.#inFlight.add(pending);
        return pending;
      }
    }
    throw nonceConflict(call, this.address);
  }

  async #nextNonce(call: ContractCall, signal: AbortSignal | undefined): Promise<number> {
    const provider = this.#chain.provider;
    const counted = await this.#rpc(call, signal, () => provider.getTransactionCount(this.address, "pending"));
    // A node that restarted has forgotten what is in flight; whoever waits for that offers it again.
    return Math.max(counted, ...[...this.#inFlight].map((pending) => pending.nonce + 1));
  }

  async #currentFees(call: ContractCall, signal: AbortSignal | undefined): Promise<Fees> {
    const { maxFeePerGas, maxPriorityFeePerGas } = await this.#rpc(call, signal, () =>
      this.#chain.provider.getFeeData(),
    );
    if (maxFeePerGas === null || maxPriorityFeePerGas === null) {
      throw new ChainUnavailableError(call.description, { received: "no base fee: not an EIP-1559 chain" });
    }
    return { maxFeePerGas, maxPriorityFeePerGas };
  }

  async #sign(call: ContractCall, nonce: number, gasLimit: bigint, fees: Fees): Promise<{ raw: string; hash: string }> {
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

  /** Offers the signed bytes. Offering them twice is harmless, so a broken connection is simply tried again. */
  async #submit(call: ContractCall, pending: Pending, signal: AbortSignal | undefined): Promise<Submission> {
    const provider = this.#chain.provider;
    let offers = 0;
    try {
      await this.#rpc(call, signal, () => {
        offers++;
        return provider.send("eth_sendRawTransaction", [pending.raw]);
      });
      return "accepted";
    } catch (error) {
      const cause: unknown = error instanceof TallystickError ? error.cause : error;
      if (isAlreadyKnown(cause)) return "accepted";
      if (isError(cause, "REPLACEMENT_UNDERPRICED")) return "underpriced";
      if (isError(cause, "NONCE_EXPIRED")) {
        // It may be this very transaction that was mined, if the first answer got lost. The receipt can be late, and a second
        // transaction for a call that was mined would do it twice: where there was a first answer to lose, it is waited for.
        const mined = await this.#rpc(call, signal, () => this.#receiptOf(pending));
        return mined === null && offers === 1 ? "nonce-used" : "accepted";
      }
      if (isTransportFailure(error)) throw unavailable(call, pending, error);
      throw error;
    }
  }

  /** Waits for the receipt and its confirmations, offering the transaction again when it seems forgotten or too cheap. */
  async #mined(call: ContractCall, pending: Pending, signal: AbortSignal | undefined): Promise<TransactionReceipt> {
    const { confirmations, receiptTimeoutSeconds, unreachableAfterSeconds, nudgeAfterSeconds } = this.#options;
    const started = Date.now();
    let answered = started;
    let nudged = started;
    let nonceUsed = 0;
    for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(SLOWEST_POLL_MS, pollMs * 1.5)) {
      signal?.throwIfAborted();
      try {
        const receipt = await this.#receiptOf(pending);
        if (receipt !== null && (confirmations === 1 || (await receipt.confirmations()) >= confirmations))
          return receipt;
        if (receipt === null && Date.now() - nudged >= nudgeAfterSeconds * 1000) {
          nonceUsed = (await this.#nudge(call, pending, signal)) === "nonce-used" ? nonceUsed + 1 : 0;
          // Endpoints behind a load balancer may know the nonce before they know the receipt.
          if (nonceUsed === 3) throw nonceConflict(call, this.address);
          nudged = Date.now();
        }
        answered = Date.now();
      } catch (error) {
        if (!isTransportFailure(error)) throw chainError(error, call.description);
        if (Date.now() - answered > unreachableAfterSeconds * 1000) throw unavailable(call, pending, error);
      }
      if (Date.now() - started > receiptTimeoutSeconds * 1000) {
        throw new TallystickError(`${call.description}: not mined within ${receiptTimeoutSeconds} s`, {
          code: "TIMED_OUT",
          party: "chain",
          check: "receipt",
          hint: "it may still be mined: look the transaction up before sending again",
          details: { transactionHash: keccak256(pending.raw), nonce: pending.nonce },
        });
      }
      await sleep(pollMs, signal);
    }
  }

  async #receiptOf(pending: Pending): Promise<TransactionReceipt | null> {
    for (const hash of pending.hashes.toReversed()) {
      const receipt = await this.#chain.provider.getTransactionReceipt(hash);
      if (receipt !== null) return receipt;
    }
    return null;
  }

  async #nudge(call: ContractCall, pending: Pending, signal: AbortSignal | undefined): Promise<Submission> {
    const known = await this.#chain.provider.getTransaction(keccak256(pending.raw));
    if (known === null) return this.#submit(call, pending, signal);
    const earlier = { raw: pending.raw, fees: pending.fees };
    const now = await this.#currentFees(call, signal);
    const fees = {
      maxFeePerGas: larger(raised(earlier.fees.maxFeePerGas), now.maxFeePerGas),
      maxPriorityFeePerGas: larger(raised(earlier.fees.maxPriorityFeePerGas), now.maxPriorityFeePerGas),
    };
    const { raw, hash } = await this.#sign(call, pending.nonce, pending.gasLimit, fees);
    // Before it is offered: should the answer get lost, the node may have it all the same.
    pending.hashes.push(hash);
    Object.assign(pending, { raw, fees });
    let outcome: Submission;
    try {
      outcome = await this.#submit(call, pending, signal);
    } catch (error) {
      if (signal?.aborted === true || isTransportFailure(error)) throw error;
      // No coins for the higher fee, or more than the node lets through: the earlier one is still on its way.
      outcome = "underpriced";
    }
    if (outcome !== "accepted") Object.assign(pending, earlier);
    return outcome;
  }

  /**
   * A receipt says that it reverted, not why: the call is made again on the state before its block, then on that after it. Where
   * the endpoint cannot do that (it keeps no old state, it is gone), the reason stays unknown, but not that it reverted.
   */
  async #whyReverted(call: ContractCall, receipt: TransactionReceipt): Promise<TallystickError> {
    const transactionHash = receipt.hash;
    let cause: unknown;
    for (const blockTag of [receipt.blockNumber - 1, receipt.blockNumber]) {
      try {
        await simulateCall(this.#chain, call, this.address, blockTag);
      } catch (error) {
        if (error instanceof ChainRevertedError) {
          return new ChainRevertedError(call.description, error.revert, { transactionHash, cause: error });
        }
        cause = error;
      }
    }
    return new ChainRevertedError(call.description, decodeRevert("0x"), { transactionHash, cause });
  }

  /** One request, repeated while the connection fails. */
  #rpc<T>(call: ContractCall, signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
    return retrying(request, this.#options, signal).catch((error: unknown) => {
      throw signal?.aborted === true ? error : chainError(error, call.description);
    });
  }
}

/**
 * Runs a call without sending it, as `eth_call`.
 *
 * @param from the account it would be sent from.
 * @param blockTag a block number, or "pending" for the state the next block starts from.
 * @returns what the function returns, ABI-encoded 0x hex.
 * @throws ChainRevertedError when the contract would refuse.
 */
export async function simulateCall(
  chain: ChainReader,
  call: ContractCall,
  from: string,
  blockTag: number | "latest" | "pending" = "pending",
): Promise<string> {
  try {
    return await chain.provider.call({ from, to: call.to, data: call.data, value: call.value ?? 0n, blockTag });
  } catch (error) {
    throw chainError(error, call.description);
  }
}

/** On the pending state, so that a call may build on one that was sent just before it. */
async function estimateGas(chain: ChainReader, call: ContractCall, from: string): Promise<bigint> {
  const value = `0x${(call.value ?? 0n).toString(16)}`;
  return BigInt(
    await chain.provider.send("eth_estimateGas", [{ from, to: call.to, data: call.data, value }, "pending"]),
  );
}

function retrying<T>(
  request: () => Promise<T>,
  options: Required<SenderOptions>,
  signal: AbortSignal | undefined,
): Promise<T> {
  return pRetry(request, {
    retries: options.retries,
    minTimeout: options.retryDelayMs,
    factor: 2,
    shouldRetry: ({ error }) => isTransportFailure(error),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Nodes word it differently: geth "already known", anvil "transaction already imported", Hardhat "Known transaction". */
function isAlreadyKnown(error: unknown): boolean {
  return error instanceof Error && /already known|already imported|known transaction/i.test(error.message);
}

function unavailable(call: ContractCall, pending: Pending, cause: unknown): ChainUnavailableError {
  return new ChainUnavailableError(call.description, {
    received: "no answer; the transaction may have been accepted",
    transactionHash: keccak256(pending.raw),
    cause,
  });
}

function nonceConflict(call: ContractCall, address: string): TallystickError {
  return new TallystickError(`${call.description}: other transactions keep taking the nonces of ${address}`, {
    code: "CONFLICT",
    party: "you",
    check: "account nonce",
    hint: "let only one process send from this account",
    retryable: true,
  });
}

function raised(fee: bigint): bigint {
  // Rounded up, because a bump of a few wei would otherwise be none.
  return (fee * (100n + FEE_BUMP_PERCENT) + 99n) / 100n;
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** @throws the signal's reason when it is aborted. */
function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
