/**
 * Requests to fellow members. Their URLs come from the registry, where anybody with a stake can write one, so requests
 * are limited: no redirects, a short time, a small answer, and the answer is used only after schema and signature
 * checks.
 */

import type { Static, TSchema } from "@sinclair/typebox";
import { TallystickError } from "../../core/errors.ts";
import { parseAnswer } from "../../core/wire/schema.ts";

const TIMEOUT_MILLISECONDS = 5000;
const MAXIMUM_ANSWER_BYTES = 64 * 1024;

async function readLimited(response: Response, party: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  // The web types lack the async iterator that Node's streams have.
  const body = (response.body ?? []) as unknown as AsyncIterable<Uint8Array>;
  for await (const part of body) {
    sizeBytes += part.length;
    if (sizeBytes > MAXIMUM_ANSWER_BYTES) {
      throw new TallystickError(`${party} sent too much`, {
        code: "BAD_RESPONSE",
        party,
        check: "size of the answer",
        expected: `at most ${MAXIMUM_ANSWER_BYTES} bytes`,
      });
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

/**
 * The answer of a peer to a GET request, or to a POST request when there is a body.
 *
 * @returns undefined when the peer has nothing there yet (404).
 * @throws TallystickError UNREACHABLE or BAD_RESPONSE naming the peer.
 */
export async function askPeer<Schema extends TSchema>(
  baseUrl: string,
  path: string,
  schema: Schema,
  party: string,
  body?: object,
): Promise<Static<Schema> | undefined> {
  let status: number;
  let text: string;
  try {
    const response = await fetch(`${baseUrl.replace(/\/+$/, "")}${path}`, {
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
      headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    });
    status = response.status;
    text = await readLimited(response, party);
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
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new TallystickError(`${party} did not answer in JSON`, { code: "BAD_RESPONSE", party, check: "JSON", cause });
  }
  return parseAnswer(schema, json, party);
}
