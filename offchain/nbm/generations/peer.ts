/**
 * Requests to fellow members. Their URLs come from the registry, where anybody with a stake can write one, so requests
 * are limited: no redirects, a short time, a small answer, and the answer is used only after schema and signature
 * checks.
 */

import type { Static, TSchema } from "@sinclair/typebox";
import { TallystickError } from "../../core/errors.ts";
import { parseAnswer } from "../../core/wire/schema.ts";
import { parseJson, readBounded } from "../../http/bounded-body.ts";

const TIMEOUT_MILLISECONDS = 5000;
const MAXIMUM_ANSWER_BYTES = 1024 * 1024;

/**
 * The answer of a peer to a GET request, or to a POST request when there is something to send.
 *
 * @returns undefined when the peer has nothing there yet (404).
 * @throws TallystickError UNREACHABLE or BAD_RESPONSE naming the peer.
 */
export async function askPeer<Schema extends TSchema>(
  baseUrl: string,
  path: string,
  schema: Schema,
  party: string,
  request?: object,
): Promise<Static<Schema> | undefined> {
  let status: number;
  let body: Uint8Array;
  try {
    const response = await fetch(`${baseUrl.replace(/\/+$/, "")}${path}`, {
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
      headers: { accept: "application/json", ...(request === undefined ? {} : { "content-type": "application/json" }) },
      ...(request === undefined ? {} : { method: "POST", body: JSON.stringify(request) }),
    });
    status = response.status;
    body = await readBounded(response, MAXIMUM_ANSWER_BYTES, party);
  } catch (cause) {
    if (cause instanceof TallystickError) throw cause;
    throw new TallystickError(`${party} cannot be reached`, { code: "UNREACHABLE", party, retryable: true, cause });
  }
  if (status === 404) return undefined;
  if (status !== 200) {
    throw new TallystickError(`${party} answered with status ${status}`, {
      code: "BAD_RESPONSE",
      party,
      check: "status",
      expected: "200",
      received: String(status),
      retryable: true,
    });
  }
  return parseAnswer(schema, parseJson(body, party), party);
}
