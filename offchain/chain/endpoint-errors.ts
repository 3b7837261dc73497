/**
 * Classifies errors of RPC endpoints. Most have no common code, so the codes and texts of the endpoints in use are
 * listed here, and nowhere else.
 */

import { isError } from "ethers";

/** RATE_LIMITED and SERVER_ERROR pass with time; REFUSED is an HTTP answer that refuses the request. */
export type EndpointErrorCode = "RATE_LIMITED" | "SERVER_ERROR" | "REFUSED";

/** An HTTP answer that is no JSON-RPC answer. */
export class EndpointError extends Error {
  override readonly name = "EndpointError";
  readonly code: EndpointErrorCode;
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: EndpointErrorCode,
    message: string,
    facts: { status: number; retryAfterSeconds: number | undefined },
  ) {
    super(message);
    this.code = code;
    this.status = facts.status;
    this.retryAfterSeconds = facts.retryAfterSeconds;
  }
}

/**
 * Node and undici codes of a connection that failed, and names for an endpoint that answered with nonsense or not yet.
 */
const TEMPORARY_CODES: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "NETWORK_ERROR",
  "SERVER_ERROR",
  "RATE_LIMITED",
  "TIMEOUT",
]);

/** Alchemy and drpc 429, QuickNode -32007, OP -32016, several -32029, some proxies -32097. */
const RATE_LIMIT_CODES: ReadonlySet<number> = new Set([429, -32_007, -32_016, -32_029, -32_097]);
const RATE_LIMIT_WORDS =
  /rate.?limit|too many requests|requests? (rate|limit|count)|(requests|units) per (sec|min|day)|capacity|throttl/i;
/** "Limit exceeded" (EIP-1474): a rate for most requests, a number of results or blocks for logs. */
const LIMIT_EXCEEDED = -32_005;
/** Statuses that say the key, the path or the method is wrong: asking for less does not help. */
const NOT_A_RANGE: ReadonlySet<number> = new Set([401, 402, 403, 404, 405, 415]);
const METHOD_NOT_FOUND = -32_601;
const PENDING_WORDS =
  /pending|block ?(tag|number|param|id)|unknown block|header not found|invalid (param|argument)|too many arguments/i;
const PENDING_CODES: ReadonlySet<number> = new Set([-32_602, -32_004, -32_001]);

/** Whether a JSON-RPC error asks the client to slow down. */
export function isRateLimitAnswer(error: { code?: unknown; message?: unknown }, method: string): boolean {
  const code = Number(error.code);
  const said = String(error.message ?? "");
  // A contract's reason text is not the endpoint's.
  if (/revert/i.test(said)) return false;
  if (RATE_LIMIT_CODES.has(code) || RATE_LIMIT_WORDS.test(said)) return true;
  return code === LIMIT_EXCEEDED && method !== "eth_getLogs";
}

/** Whether an HTTP status is temporary. */
export function isTemporaryStatus(status: number): boolean {
  return status >= 500 || status === 408 || status === 425;
}

/** Whether the endpoint did not answer, so that the same request may succeed later. A refusal is an answer. */
export function isTemporaryFailure(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  // ethers gives up on a request while its provider is being destroyed; that is an end, not a failure to retry.
  if (isError(error, "UNSUPPORTED_OPERATION")) return false;
  const code: unknown = "code" in error ? error.code : undefined;
  if (typeof code === "string" && TEMPORARY_CODES.has(code)) return true;
  return "cause" in error && error.cause !== undefined && isTemporaryFailure(error.cause);
}

/** Whether the endpoint limits the rate, or the error was caused by that. */
export function isRateLimited(error: unknown): boolean {
  if (error instanceof EndpointError) return error.code === "RATE_LIMITED";
  return error instanceof Error && error.cause !== undefined && isRateLimited(error.cause);
}

/**
 * Whether a refused `eth_getLogs` may succeed for fewer blocks. "Too many results" has no common form (-32005, -32602,
 * -32000, HTTP 400 or 413 with or without JSON), so every refusal counts unless it clearly means something else.
 */
export function mayBeRangeLimit(error: unknown): boolean {
  if (isTemporaryFailure(error) || isError(error, "UNSUPPORTED_OPERATION")) return false;
  if (error instanceof EndpointError) return !NOT_A_RANGE.has(error.status);
  return answeredError(error)?.code !== METHOD_NOT_FOUND;
}

/** Whether an endpoint refused a request because it has no pending state. A contract's refusal is none. */
export function refusesPendingTag(error: unknown): boolean {
  if (error instanceof EndpointError) return error.code === "REFUSED" && !NOT_A_RANGE.has(error.status);
  const answered = answeredError(error);
  if (answered === undefined || /revert/i.test(answered.message)) return false;
  if (isError(error, "INSUFFICIENT_FUNDS") || isError(error, "NONCE_EXPIRED")) return false;
  return PENDING_CODES.has(answered.code) || PENDING_WORDS.test(answered.message);
}

/** Geth "hash is not currently canonical", "header for hash not found"; others "unknown block", "block not found". */
const LACKS_BLOCK_WORDS =
  /not (currently )?canonical|(header|block|resource)\b.*\bnot (found|available)|unknown block/i;
const BLOCK_HASH_WORDS = /unmarshal|deseriali[sz]|invalid (param|argument|type|block)|expected|wrong (type|number)/i;
const INVALID_PARAMETERS = -32_602;

/** Whether the endpoint says that it does not have the block that a request names. A contract's refusal is none. */
export function lacksBlock(error: unknown): boolean {
  const answered = answeredError(error);
  return answered !== undefined && !/revert/i.test(answered.message) && LACKS_BLOCK_WORDS.test(answered.message);
}

/** Whether an endpoint refused a request because it does not take a block by its hash (EIP-1898). */
export function refusesBlockHash(error: unknown): boolean {
  if (error instanceof EndpointError) return error.code === "REFUSED" && !NOT_A_RANGE.has(error.status);
  const answered = answeredError(error);
  if (answered === undefined || /revert/i.test(answered.message) || lacksBlock(error)) return false;
  return answered.code === INVALID_PARAMETERS || BLOCK_HASH_WORDS.test(answered.message);
}

/** Geth "out of gas", anvil "EVM error OutOfGas", Hardhat "Transaction ran out of gas", Erigon and Nethermind alike. */
const OUT_OF_GAS_WORDS = /out ?of ?gas|gas uint64 overflow/i;

/** Whether a call used up the gas that it was given. */
export function isOutOfGas(error: unknown): boolean {
  return OUT_OF_GAS_WORDS.test(answeredError(error)?.message ?? "");
}

const MACHINE_FAULT_WORDS =
  /invalid ?(fe)?opcode|invalid ?jump|stack ?(over|under)flow|opcode ?not ?found|badinstruction/i;

/**
 * Whether code did what the virtual machine does not do, such as an opcode that does not exist. There is no revert data
 * then, and most endpoints report it in a text of their own.
 */
export function isMachineFault(error: unknown): boolean {
  return !isTemporaryFailure(error) && MACHINE_FAULT_WORDS.test(answeredError(error)?.message ?? "");
}

/** The JSON-RPC error that ethers wrapped; undefined when there was none. */
export function answeredError(error: unknown): { code: number; message: string } | undefined {
  const answered: unknown = isError(error, "UNKNOWN_ERROR")
    ? error.error
    : error instanceof Error && "info" in error && typeof error.info === "object" && error.info !== null
      ? (error.info as Record<string, unknown>).error
      : undefined;
  if (typeof answered !== "object" || answered === null) return undefined;
  const { code, message } = answered as Record<string, unknown>;
  return { code: Number(code), message: String(message ?? "") };
}
