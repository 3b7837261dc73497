/**
 * Octet-stream bodies as streams. Fastify would collect a body in memory; here a route reads it piece by piece, with
 * the back-pressure of the socket, and a refusal does not close the connection before the client has read the reason.
 */
import { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { InvalidInputError } from "../../core/errors.ts";
import { OCTET_STREAM } from "../../core/wire/csp.ts";
import type { DaemonServer } from "../../daemon/server.ts";

/** Makes a server pass octet-stream bodies to its routes unread, for `withBody`. */
export function acceptStreams(server: DaemonServer): void {
  server.addContentTypeParser(OCTET_STREAM, (_request, payload, done) => done(null, payload));
  server.addHook("preValidation", async ({ body, routeOptions }) => {
    if (!(body instanceof Readable) || routeOptions.schema?.body === undefined) return;
    body.resume();
    throw wrongType("application/json");
  });
}

/**
 * Runs work on the body of a request.
 * @throws InvalidInputError for a body of another type, or a connection that breaks inside the body
 */
export async function withBody<T>(
  request: FastifyRequest,
  work: (body: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const { body } = request;
  if (!(body instanceof Readable)) {
    throw wrongType(OCTET_STREAM);
  }
  const source = pieces(body);
  try {
    return await work(source);
  } finally {
    // What the work did not read is read and dropped, or the client would still be writing when the answer arrives.
    // The iterator must end first, because a stream does not flow while an iterator is attached.
    await source.return(undefined);
    body.resume();
  }
}

function wrongType(expected: string): InvalidInputError {
  return new InvalidInputError("the body has another content type", {
    party: "client",
    check: "content type",
    expected,
  });
}

async function* pieces(body: Readable): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of body.iterator({ destroyOnReturn: false })) yield piece;
  } catch (cause) {
    throw new InvalidInputError("the connection broke inside the body", { party: "client", check: "body", cause });
  }
}

/** A body that may not be longer than a limit. @throws InvalidInputError when it is */
export async function* limited(body: AsyncIterable<Uint8Array>, limitBytes: number): AsyncGenerator<Uint8Array> {
  let passedBytes = 0;
  for await (const piece of body) {
    passedBytes += piece.length;
    if (passedBytes > limitBytes) {
      throw new InvalidInputError("the body is larger than a provider accepts in one request", {
        party: "client",
        check: "body size",
        expected: `at most ${limitBytes} bytes`,
        received: `more than ${limitBytes} bytes`,
      });
    }
    yield piece;
  }
}
