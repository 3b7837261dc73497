/**
 * Sends an answer with back-pressure. A body that fails before its first byte becomes an answer that says so; one that
 * fails later, or that has another length than announced, ends with the connection, so that no client takes a part for
 * the whole.
 */

import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { type Answer, type Body, failureAnswer } from "./answer.ts";

/** Told of failures after which an answer could not be completed. */
export type FailureListener = (error: unknown) => void;

export interface SendOptions {
  /** The answer has no body. */
  readonly isHead: boolean;
  readonly onFailure: FailureListener;
  /** Ended only then, which closes the connection when the request has a body that nobody reads. */
  readonly beforeEnd?: Promise<void> | undefined;
}

/** @returns when the answer is sent, or its connection is gone */
export async function sendAnswer(response: ServerResponse, answer: Answer, options: SendOptions): Promise<void> {
  const { isHead, onFailure } = options;
  const { status, headers, body } = answer;
  if (typeof body !== "object") {
    // With its length known, the answer is complete for the client before it is ended.
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    response.writeHead(status, { ...headers, ...length }).flushHeaders();
    if (body !== undefined && !isHead) response.write(body);
    await options.beforeEnd;
    response.end();
    return;
  }
  if (isHead) {
    response.writeHead(status, headers).end();
    return;
  }
  const pieces = body[Symbol.asyncIterator]();
  let first: IteratorResult<Uint8Array | string>;
  try {
    first = await pieces.next();
  } catch (error) {
    onFailure(error);
    await sendAnswer(response, failureAnswer(error), options);
    return;
  }
  try {
    response.writeHead(status, headers);
    await writeAll(response, first, pieces, headers["content-length"]);
  } catch (error) {
    response.destroy();
    onFailure(error);
  } finally {
    await pieces.return?.();
  }
}

async function writeAll(
  response: ServerResponse,
  first: IteratorResult<Uint8Array | string>,
  pieces: AsyncIterator<Uint8Array | string>,
  announced: string | undefined,
): Promise<void> {
  let sent = 0;
  for (let next = first; next.done !== true; next = await pieces.next()) {
    if (response.destroyed) return;
    sent += Buffer.byteLength(next.value);
    if (announced !== undefined && sent > Number(announced)) break;
    if (!response.write(next.value)) await drained(response);
  }
  if (announced !== undefined && sent !== Number(announced)) {
    throw new Error(`a body of ${announced} bytes had ${sent}`);
  }
  response.end();
}

/** Waits until the client has taken what was written, or is gone. */
async function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return;
  const stop = new AbortController();
  try {
    await Promise.race(["drain", "close"].map((event) => once(response, event, { signal: stop.signal })));
  } finally {
    stop.abort();
  }
}

/** Joins small pieces of text, so that a long listing is not sent line by line. */
export async function* inBlocks(lines: AsyncIterable<string> | Iterable<string>): Body {
  let block = "";
  for await (const line of lines) {
    block += line;
    if (block.length < BLOCK_CHARACTERS) continue;
    yield block;
    block = "";
  }
  if (block !== "") yield block;
}

const BLOCK_CHARACTERS = 16_384;
