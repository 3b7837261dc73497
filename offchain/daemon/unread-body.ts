/**
 * What happens to the rest of a body that an answer comes before. If the connection were closed while the sender still
 * writes, the sender would see a broken connection instead of the answer. If the rest were read in full, a refusal
 * would cost as much as the request. So the answer goes out at once, a part of the rest is read, and the connection is
 * closed a little later.
 */
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { onSendHookHandler } from "fastify";

/** Most of a rest that is read. */
const MOST_BYTES = 1024 * 1024;
/** Time that the sender has to read the answer. */
const LINGER_MILLISECONDS = 3000;

/** A hook for all routes of a server. */
export const dropUnreadBody: onSendHookHandler<unknown> = async (request, reply, payload) => {
  const { raw: body } = request;
  // The answer may come while Node still parses what has arrived.
  if (mayArrive(body)) await nextTurn();
  if (!mayArrive(body)) {
    // It is in memory already.
    body.resume();
    return payload;
  }
  if (payload !== null && typeof payload !== "string" && !(payload instanceof Uint8Array)) return payload;
  const answer = Buffer.from(payload ?? "");
  reply.header("connection", "close");
  // With its length known, the answer is complete for the client before the server ends it.
  reply.header("content-length", String(answer.length));
  return Readable.from(answerAndLinger(answer, body), { objectMode: false });
};

function mayArrive({ complete, readableEnded, destroyed, headers }: IncomingMessage): boolean {
  if (complete || readableEnded || destroyed) return false;
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** The server closes the connection when this ends. */
async function* answerAndLinger(answer: Buffer, body: IncomingMessage): AsyncGenerator<Buffer> {
  yield answer;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, LINGER_MILLISECONDS);
    for (const event of ["end", "close", "error"]) {
      body.once(event, () => {
        clearTimeout(timer);
        resolve();
      });
    }
    let dropped = 0;
    body.on("data", (piece: Buffer) => {
      dropped += piece.length;
      if (dropped >= MOST_BYTES) body.pause();
    });
    body.resume();
  });
}
