/**
 * Bodies as streams: of bytes, or of chunk frames, as the content type says. Fastify would collect a body in memory;
 * here a route reads it piece by piece, with the back-pressure of the socket. A body that arrives too slowly is given
 * up, since it holds memory and one of the few places for bodies (`body-places.ts`).
 */
import type { Readable } from "node:stream";
import { concatBytes } from "@noble/hashes/utils.js";
import type { FastifyRequest } from "fastify";
import { InvalidInputError } from "../../core/errors.ts";
import { CHUNK_FRAMES, OCTET_STREAM } from "../../core/wire/csp.ts";
import type { DaemonServer } from "../../daemon/server.ts";
import { readChunkFrames } from "../../http/chunk-frames.ts";
import type { ReadFrames } from "../chunks/chunk-service.ts";

/**
 * A body that is waited for must bring so many bytes in so much time; what the provider itself takes does not count.
 */
export interface SlowestBody {
  readonly bytes: number;
  readonly seconds: number;
}

/** An upload of 32 MiB has to arrive much faster, in ten minutes; this ends one that stalls. */
const SLOWEST_BODY: SlowestBody = { bytes: 64 * 1024, seconds: 30 };

/** A body of one of these types, and how it is decoded. Nothing of it has been read. */
class StreamedBody<Decode> {
  readonly stream: Readable;
  readonly decode: Decode;

  constructor(stream: Readable, decode: Decode) {
    this.stream = stream;
    this.decode = decode;
  }
}

class ByteBody extends StreamedBody<undefined> {}
class FrameBody extends StreamedBody<typeof readChunkFrames> {}

/** Makes a server pass streamed bodies to its routes unread, for `withBody` and `withFrames`. */
export function acceptStreams(server: DaemonServer): void {
  server.addContentTypeParser(OCTET_STREAM, (_request, payload, done) => done(null, new ByteBody(payload, undefined)));
  server.addContentTypeParser(CHUNK_FRAMES, (_request, payload, done) =>
    done(null, new FrameBody(payload, readChunkFrames)),
  );
  server.addHook("preValidation", async ({ body, routeOptions }) => {
    if (!(body instanceof StreamedBody) || routeOptions.schema?.body === undefined) return;
    throw wrongType("application/json");
  });
}

/**
 * Runs work on the bytes of a body.
 * @throws InvalidInputError for a body of another type, one that arrives too slowly, or a connection that breaks inside
 *   the body
 */
export async function withBody<T>(
  { body }: FastifyRequest,
  work: (bytes: AsyncIterable<Uint8Array>) => Promise<T>,
  slowest: SlowestBody = SLOWEST_BODY,
): Promise<T> {
  if (!(body instanceof ByteBody)) throw wrongType(OCTET_STREAM);
  return await withPieces(body.stream, slowest, work);
}

/**
 * Runs work on the chunk frames of a body.
 * @throws InvalidInputError as `withBody`; reading the frames also for what is malformed
 */
export async function withFrames<T>({ body }: FastifyRequest, work: (read: ReadFrames) => Promise<T>): Promise<T> {
  if (!(body instanceof FrameBody)) throw wrongType(CHUNK_FRAMES);
  return await withPieces(body.stream, SLOWEST_BODY, (source) => work((allocate) => body.decode(source, allocate)));
}

async function withPieces<T>(
  stream: Readable,
  slowest: SlowestBody,
  work: (source: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const source = pieces(stream, slowest);
  try {
    return await work(source);
  } finally {
    // What the work did not read is dropped when the answer is sent. The iterator must end first, because a stream does
    // not flow while an iterator is attached.
    await source.return(undefined);
  }
}

function wrongType(expected: string): InvalidInputError {
  return new InvalidInputError("the body has another content type", {
    party: "client",
    check: "content type",
    expected,
  });
}

async function* pieces(body: Readable, slowest: SlowestBody): AsyncGenerator<Uint8Array> {
  const source = body.iterator({ destroyOnReturn: false });
  let leftMilliseconds = slowest.seconds * 1000;
  let arrivedBytes = 0;
  let isStalled = false;
  try {
    for (;;) {
      const askedAt = performance.now();
      const next = await within(leftMilliseconds, source.next());
      isStalled = next === undefined;
      if (next === undefined) throw tooSlow(slowest);
      if (next.done === true) return;
      leftMilliseconds -= performance.now() - askedAt;
      arrivedBytes += next.value.length;
      if (arrivedBytes >= slowest.bytes) {
        leftMilliseconds = slowest.seconds * 1000;
        arrivedBytes = 0;
      }
      yield next.value;
    }
  } catch (cause) {
    if (isStalled) throw cause;
    throw new InvalidInputError("the connection broke inside the body", { party: "client", check: "body", cause });
  } finally {
    // The iterator of a stalled body ends with the connection.
    if (!isStalled) await source.return?.(undefined);
  }
}

/** What a promise resolves to, or undefined when that takes longer. */
async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), milliseconds);
  });
  promise.catch(() => undefined); // It may reject when nobody waits for it any more.
  try {
    return await Promise.race([promise, over]);
  } finally {
    clearTimeout(timer);
  }
}

function tooSlow({ bytes, seconds }: SlowestBody): InvalidInputError {
  return new InvalidInputError("the body arrives too slowly", {
    party: "client",
    check: "transfer rate",
    expected: `at least ${bytes} bytes in ${seconds} seconds`,
    hint: "repeat, with fewer transfers at the same time",
    retryable: true,
  });
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

/** All of a body, whose length somebody has limited. */
export async function collect(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return concatBytes(...pieces);
}
