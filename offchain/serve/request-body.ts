/** Bodies of requests: read where one is wanted, and got rid of where none is. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { InvalidInputError } from "../core/errors.ts";

/** Most of an unwanted body that is read, so that its sender sees the answer instead of a broken connection. */
const DROPPED_BYTES = 1_048_576;
const LINGER_MILLISECONDS = 3000;

/** The check that fails for a body that is too long. */
export const LENGTH_CHECK = "length of the body";

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** @throws InvalidInputError when it is longer than allowed; the error of a connection that breaks */
export async function readBody(request: IncomingMessage, response: ServerResponse, maximumBytes: number) {
  if (!hasBody(request)) return new Uint8Array(0);
  if (Number(request.headers["content-length"] ?? 0) > maximumBytes) throw tooLong(maximumBytes);
  if (isAsking(request)) response.writeContinue();
  const pieces: Buffer[] = [];
  let length = 0;
  // The connection stays, so that the client can be told.
  for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > maximumBytes) throw tooLong(maximumBytes);
    pieces.push(piece);
  }
  return Uint8Array.from(Buffer.concat(pieces));
}

/**
 * Has the connection closed after the answer, unless the request has no body, and reads a part of the body.
 * @returns resolves when the answer may end: the body is over, its sender is gone, or it takes too long
 */
export async function dropBody(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (!hasBody(request) || request.complete) return;
  response.setHeader("connection", "close");
  if (isAsking(request)) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, LINGER_MILLISECONDS);
    for (const event of ["end", "close", "error"]) {
      request.once(event, () => {
        clearTimeout(timer);
        resolve();
      });
    }
    let dropped = 0;
    request.on("data", (piece: Buffer) => {
      dropped += piece.length;
      // The sender has the rest of the time to read the answer and to stop.
      if (dropped >= DROPPED_BYTES) request.pause();
    });
  });
}

/** Whether the client waits for a word before it sends the body. */
function isAsking({ headers }: IncomingMessage): boolean {
  return /^100-continue$/i.test(headers.expect ?? "");
}

function tooLong(maximumBytes: number): InvalidInputError {
  return new InvalidInputError("the body of the request is too long", {
    party: "client",
    check: LENGTH_CHECK,
    expected: `at most ${maximumBytes} bytes`,
  });
}
