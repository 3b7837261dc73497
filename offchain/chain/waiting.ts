/** Waits until a transaction is mined, and offers it again when it seems forgotten or too cheap. */

import { keccak256, type TransactionReceipt } from "ethers";
import { TallystickError } from "../core/errors.ts";
import { isRateLimited, isTemporaryFailure } from "./endpoint-errors.ts";
import type { SignedCall } from "./nonces.ts";
import { type Offers, unavailable } from "./offers.ts";
import { pause } from "./pause.ts";

/** What is known of a transaction that is not mined yet. */
export interface WaitingTransaction {
  /** What it does, for example "recording a key". */
  readonly description: string;
  readonly transactionHash: string;
  readonly nonce: number;
  readonly waitedSeconds: number;
  /** Why it could not be offered again or looked up, if the endpoint gave a reason. */
  readonly problem?: string;
}

export interface WaitOptions {
  /** Blocks that must hold the transaction, its own included. */
  readonly confirmations: number;
  readonly receiptTimeoutSeconds: number;
  /** How long the endpoint may stay silent. */
  readonly unreachableAfterSeconds: number;
  readonly nudgeAfterSeconds: number;
  /** Called each time the transaction has waited for another `nudgeAfterSeconds`. */
  readonly onWaiting: (transaction: WaitingTransaction) => void;
}

/** The wait before the next look, as a part of the time waited so far: so late is a receipt seen at most. */
const POLL_SHARE = 0.15;
const FIRST_POLL_MS = 50;
const SLOWEST_POLL_MS = 2000;
/** Endpoints behind a load balancer may know the nonce before they know the receipt. */
const NONCE_USED_LIMIT = 3;

/**
 * @param repair fills gaps below the transaction; called before it is offered again.
 * @returns undefined when another transaction took its nonce.
 * @throws ChainUnavailableError when the endpoint stays silent; TallystickError TIMED_OUT; the signal's reason. Never
 * an error that says that the transaction was refused, because it was sent.
 */
export async function waitForReceipt(
  offers: Offers,
  signed: SignedCall,
  options: WaitOptions,
  repair: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<TransactionReceipt | undefined> {
  const started = Date.now();
  let answered = started;
  let nudged = started;
  let nonceUsed = 0;
  let problem: unknown;
  for (;;) {
    signal?.throwIfAborted();
    const isNudgeDue = Date.now() - nudged >= options.nudgeAfterSeconds * 1000;
    if (isNudgeDue) {
      nudged = Date.now();
      options.onWaiting(waitingTransaction(signed, started, problem));
    }
    try {
      const receipt = await offers.receiptOf(signed);
      answered = Date.now();
      if (
        receipt !== null &&
        (options.confirmations === 1 || (await receipt.confirmations()) >= options.confirmations)
      ) {
        return receipt;
      }
      if (isNudgeDue) {
        await repair();
        if (receipt === null) nonceUsed = (await offers.nudge(signed, signal)) === "nonce-used" ? nonceUsed + 1 : 0;
        problem = undefined;
      }
    } catch (error) {
      if (signal?.aborted === true) throw error;
      problem = error;
      // A rate limit or a refusal shows that the endpoint works. A refusal changes nothing: the transaction has been
      // sent.
      if (isRateLimited(error) || !isTemporaryFailure(error)) answered = Date.now();
      const isSilent = Date.now() - answered > options.unreachableAfterSeconds * 1000;
      if (isSilent || offers.isClosed) throw unavailable(signed, error);
    }
    if (nonceUsed === NONCE_USED_LIMIT) return undefined;
    if (Date.now() - started > options.receiptTimeoutSeconds * 1000) {
      throw notMined(signed, options.receiptTimeoutSeconds, problem);
    }
    const waitedMs = Date.now() - started;
    await pause(Math.min(SLOWEST_POLL_MS, Math.max(FIRST_POLL_MS, waitedMs * POLL_SHARE)), signal);
  }
}

function waitingTransaction(signed: SignedCall, started: number, problem: unknown): WaitingTransaction {
  return {
    description: signed.call.description,
    transactionHash: keccak256(signed.raw),
    nonce: signed.nonce,
    waitedSeconds: Math.round((Date.now() - started) / 1000),
    ...(problem instanceof Error ? { problem: problem.message } : {}),
  };
}

function notMined(signed: SignedCall, seconds: number, cause: unknown): TallystickError {
  return new TallystickError(`${signed.call.description}: not mined within ${seconds} s`, {
    code: "TIMED_OUT",
    party: "chain",
    check: "receipt",
    hint: "it may still be mined: look the transaction up before sending again",
    details: { transactionHash: keccak256(signed.raw), nonce: signed.nonce },
    ...(cause === undefined ? {} : { cause }),
  });
}
