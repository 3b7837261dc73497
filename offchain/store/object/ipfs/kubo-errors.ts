/** What errors of kubo-rpc-client mean. Kubo answers every failure with status 500 and a message. */
import { redactUrlsIn } from "../../../core/encoding/redact-url.ts";
import { isPassingStatus, retryAfterOf, type ServiceFailure } from "../store-service.ts";

const LONGEST_MESSAGE = 256;

interface HttpError extends Error {
  readonly response: Response;
}

function isHttpError(error: unknown): error is HttpError {
  return error instanceof Error && "response" in error && error.response instanceof Response;
}

/** The message of a failure that Kubo itself reports, undefined for any other error. */
function kuboMessage(error: unknown): string | undefined {
  return isHttpError(error) && error.response.status === 500 ? error.message : undefined;
}

/** The node has no such block, as it says when it may not ask other peers. */
export function isBlockAbsent(error: unknown): boolean {
  return /could not find|not found locally|block was not found/i.test(kuboMessage(error) ?? "");
}

export function isNotPinned(error: unknown): boolean {
  return /not pinned/i.test(kuboMessage(error) ?? "");
}

/** No such path in the node's mutable file system. */
export function isPathAbsent(error: unknown): boolean {
  return /file does not exist/i.test(kuboMessage(error) ?? "");
}

export function isPathTaken(error: unknown): boolean {
  return /already has entry|already exists/i.test(kuboMessage(error) ?? "");
}

/** @returns undefined for a failure of the network */
export function explainKubo(error: unknown): ServiceFailure | undefined {
  // The client reports a deadline of Kubo's own under this name, whatever the status.
  if (error instanceof Error && error.name === "TimeoutError") return { reason: "it timed out", passing: true };
  if (error instanceof SyntaxError) return { reason: "its answer is not of Kubo's RPC", passing: false, again: true };
  if (!isHttpError(error)) return undefined;
  const { status, headers } = error.response;
  const message = redactUrlsIn(error.message.trim()).slice(0, LONGEST_MESSAGE);
  if (status === 401 || status === 403) {
    return {
      reason: `it refuses access (status ${status})`,
      passing: false,
      hint: "check API.Authorizations of the IPFS node, and authorizationFile of the store",
    };
  }
  if (/no space left|quota exceeded/i.test(message)) {
    return { reason: message, passing: true, hint: "free space on the machine of the IPFS node" };
  }
  const reason = `it answered ${status}${message === "" ? "" : `: ${message}`}`;
  return { reason, passing: status !== 500 && isPassingStatus(status), ...retryAfterOf(headers) };
}
