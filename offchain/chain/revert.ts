/**
 * Tells failures of the chain apart: a contract that reverted (with the name and arguments of its custom error), an
 * account without funds, an endpoint that does not answer. Everything in this folder throws these.
 */

import { AbiCoder, ErrorFragment, type Fragment, isError } from "ethers";
import { redactUrlsIn } from "../core/encoding/redact-url.ts";
import { TallystickError } from "../core/errors.ts";
import {
  directoryAbi,
  disputesAbi,
  drandAbi,
  escrowAbi,
  ledgerAbi,
  ownersPolicyAbi,
  randomnessAbi,
  recoveryAbi,
  registryAbi,
} from "./abis.ts";
import { answeredError, EndpointError, isRateLimited, isTemporaryFailure } from "./endpoint-errors.ts";
import { parsedOnce } from "./parsed-once.ts";

/** The decoded reason of a revert. */
export interface DecodedRevert {
  /**
   * Name of the custom error; `Error` for a reason string, `Panic` for a failed assertion, `Unknown` for anything else.
   */
  readonly name: string;
  /** Arguments by name (by position where unnamed): bigint, string, boolean, or lists of them. */
  readonly args: Readonly<Record<string, unknown>>;
  /** The bytes as they came, 0x hex. */
  readonly data: string;
}

/** A contract refused. `details.revert` is the name of its error, `details.arguments` its arguments as text. */
export class ChainRevertedError extends TallystickError {
  readonly revert: DecodedRevert;

  constructor(what: string, revert: DecodedRevert, facts: { transactionHash?: string; cause?: unknown } = {}) {
    const said = describeRevert(revert);
    super(`${what} was refused by the contract: ${said}`, {
      code: "CHAIN_REVERTED",
      party: "chain",
      check: revert.name,
      received: said,
      details: {
        revert: revert.name,
        arguments: textArguments(revert),
        ...(facts.transactionHash === undefined ? {} : { transactionHash: facts.transactionHash }),
      },
      cause: facts.cause,
    });
    this.revert = revert;
  }
}

/** The RPC endpoint failed or did not answer. Whether a transaction was accepted may be unknown: see `details`. */
export class ChainUnavailableError extends TallystickError {
  constructor(what: string, facts: { received?: string; transactionHash?: string; cause?: unknown } = {}) {
    const limited = isRateLimited(facts.cause);
    const retryAfterSeconds = facts.cause instanceof EndpointError ? facts.cause.retryAfterSeconds : undefined;
    super(`${what}: the chain's RPC endpoint ${limited ? "limits the rate of requests" : "failed"}`, {
      code: "CHAIN_UNAVAILABLE",
      party: "chain",
      check: limited ? "RPC rate limit" : "RPC answer",
      ...(facts.received === undefined ? {} : { received: facts.received }),
      hint: limited
        ? "repeat later, or use an endpoint with a higher limit"
        : "check that the chain node runs and that the deployment file has its address",
      retryable: true,
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
      ...(facts.transactionHash === undefined ? {} : { details: { transactionHash: facts.transactionHash } }),
      cause: facts.cause,
    });
  }
}

const customErrors = parsedOnce<ReadonlyMap<string, ErrorFragment>>(
  () =>
    new Map(
      [
        escrowAbi,
        registryAbi,
        disputesAbi,
        ledgerAbi,
        randomnessAbi,
        drandAbi,
        directoryAbi,
        ownersPolicyAbi,
        recoveryAbi,
      ]
        .flatMap((abi): readonly Fragment[] => abi().fragments)
        .filter((fragment) => fragment.type === "error")
        .map((fragment) => fragment as ErrorFragment)
        .map((fragment) => [fragment.selector, fragment] as const),
    ),
);

const foreignErrors = parsedOnce(() =>
  [
    // What the compiler makes by itself (Solidity documentation, "Panic via assert and Error via require").
    "error Error(string reason)",
    "error Panic(uint256 code)",
    // What tokens say when the escrow takes a deposit (ERC-6093).
    "error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed)",
    "error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed)",
    "error ERC20InvalidSender(address sender)",
    "error ERC20InvalidReceiver(address receiver)",
  ].map((text) => ErrorFragment.from(text)),
);

/**
 * Reads the bytes a contract reverted with, against the errors of all contracts of this project.
 *
 * @param data 0x hex, as in the `data` of a JSON-RPC error.
 */
export function decodeRevert(data: string): DecodedRevert {
  const selector = data.slice(0, 10);
  const fragment = customErrors().get(selector) ?? foreignErrors().find((error) => error.selector === selector);
  if (fragment === undefined) return { name: "Unknown", args: {}, data };
  try {
    const values = AbiCoder.defaultAbiCoder().decode(fragment.inputs, `0x${data.slice(10)}`);
    const args: Record<string, unknown> = {};
    for (const [position, input] of fragment.inputs.entries()) {
      const value: unknown = values[position];
      args[input.name === "" ? String(position) : input.name] = value;
    }
    return { name: fragment.name, args, data };
  } catch (error) {
    // A contract that is not ours may use the same selector for other arguments.
    if (isError(error, "BUFFER_OVERRUN") || isError(error, "INVALID_ARGUMENT"))
      return { name: "Unknown", args: {}, data };
    throw error;
  }
}

/** `Name(argument: value, …)`, for messages. */
export function describeRevert(revert: DecodedRevert): string {
  if (revert.name === "Unknown") return revert.data === "0x" ? "no reason given" : `unknown error ${revert.data}`;
  const args = Object.entries(textArguments(revert)).map(([name, value]) => `${name}: ${value}`);
  return `${revert.name}(${args.join(", ")})`;
}

/**
 * The error of this project for whatever a call into ethers threw.
 *
 * @param what the operation, at the start of the message, for example "recording a key".
 */
export function chainError(error: unknown, what: string): TallystickError {
  if (error instanceof TallystickError) return error;
  if (isError(error, "CALL_EXCEPTION") && (error.data !== null || saysReverted(error.info))) {
    return new ChainRevertedError(what, decodeRevert(error.data ?? "0x"), { cause: error });
  }
  if (isError(error, "INSUFFICIENT_FUNDS")) {
    return new TallystickError(`${what}: the account cannot pay for it`, {
      code: "FUNDS",
      party: "you",
      check: "balance",
      hint: "send ether to the account that sends the transaction",
      cause: error,
    });
  }
  const received = briefly(error);
  if (isTemporaryFailure(error)) return new ChainUnavailableError(what, { received, cause: error });
  if (isError(error, "BAD_DATA")) {
    return new TallystickError(`${what}: the chain answered something that does not decode`, {
      code: "BAD_RESPONSE",
      party: "chain",
      check: "ABI decoding",
      received,
      hint: "the deployment file may name contracts of another version",
      cause: error,
    });
  }
  return new TallystickError(`${what}: the chain's RPC endpoint refused`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "RPC answer",
    received,
    cause: error,
  });
}

/** Runs a read and turns whatever it throws into this project's errors. */
export async function readChain<T>(what: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw chainError(error, what);
  }
}

/**
 * ethers takes every error of an estimate for a revert. Without data, only the node's text shows whether it is one.
 */
function saysReverted(info: Record<string, unknown> | undefined): boolean {
  const said = messageIn(info?.error);
  return said === undefined || /revert/i.test(said);
}

function messageIn(answered: unknown): string | undefined {
  if (typeof answered !== "object" || answered === null || !("message" in answered)) return undefined;
  return String(answered.message);
}

function textArguments(revert: DecodedRevert): Record<string, string> {
  return Object.fromEntries(Object.entries(revert.args).map(([name, value]) => [name, String(value)]));
}

/** RPC errors can quote whole transactions; the first line's beginning says enough, the rest is in the cause. */
function briefly(error: unknown): string {
  const said = error instanceof Error ? error.message || String(("code" in error && error.code) || error.name) : error;
  const text = String(answeredError(error)?.message || said);
  return redactUrlsIn((text.split("\n")[0] ?? "").slice(0, 200));
}
