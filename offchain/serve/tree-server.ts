/**
 * An HTTP server on the loopback interface that shows a tree to read: files with ranges, folders as pages, and WebDAV
 * of class 1 (RFC 4918) without what writes. `access.ts` says who may use it.
 *
 * Memory: at most BODIES files are read at once, each with the chunks that its tree reads ahead; a folder is sent as it
 * is listed; the body of a request is at most PROPFIND_BYTES.
 */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { ReadableTree } from "../agent/read/readable-tree.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";
import { hostNames, LOOPBACK_HOSTS, type LoopbackHost, newToken, requireToken } from "./access.ts";
import { type Answer, failureAnswer, textAnswer } from "./answer.ts";
import { BodySlots } from "./body-slots.ts";
import type { ContentType } from "./file-answer.ts";
import { answerMalformed } from "./malformed-request.ts";
import { dropBody } from "./request-body.ts";
import { sendAnswer } from "./send-answer.ts";
import { TreeSite } from "./tree-site.ts";

/** Files that are read from storage at once. */
const BODIES = 12;
const CONNECTIONS = 64;
/** A client that sends its request more slowly, or takes nothing of the answer for so long, is disconnected. */
const HEADERS_MILLISECONDS = 10_000;
const REQUEST_MILLISECONDS = 30_000;
const STALLED_MILLISECONDS = 300_000;
const KEEP_ALIVE_MILLISECONDS = 30_000;
const HEADER_BYTES = 32_768;
/** Time for requests under way when the server is closed. */
const CLOSING_MILLISECONDS = 1000;

export interface TreeServerOptions {
  readonly tree: ReadableTree;
  /** Answer PROPFIND, so that file managers can mount the tree. Default: GET and HEAD only. */
  readonly webdav?: boolean;
  /** Default 127.0.0.1. */
  readonly host?: LoopbackHost;
  /** Default: one that is free. */
  readonly port?: number;
  /** Default: one that is made, with 256 bits of chance. */
  readonly token?: string;
  /** Media types; default `application/octet-stream` for all files. */
  readonly contentType?: ContentType;
  /** Told of requests that failed, with the error. Default: nobody. */
  readonly onFailure?: (error: unknown) => void;
}

export interface TreeServer {
  /** Address of the root with the token in its path: whoever has it can read. */
  readonly url: string;
  /** Address without the token, for programs that send it as a password. */
  readonly origin: string;
  readonly token: string;
  close(): Promise<void>;
}

/**
 * Starts a server.
 * @throws InvalidInputError for an address that is not of the loopback interface, or a bad token
 * @throws TallystickError CONFLICT when the port is taken
 */
export async function startTreeServer(options: TreeServerOptions): Promise<TreeServer> {
  const { tree, webdav = false, host = "127.0.0.1", port = 0, onFailure = () => undefined } = options;
  requireLoopback(host);
  const token = requireToken(options.token ?? newToken());
  const closing = new AbortController();
  const slots = new BodySlots(BODIES);
  const server = createServer({
    maxHeaderSize: HEADER_BYTES,
    headersTimeout: HEADERS_MILLISECONDS,
    requestTimeout: REQUEST_MILLISECONDS,
    keepAliveTimeout: KEEP_ALIVE_MILLISECONDS,
    connectionsCheckingInterval: 1000,
  });
  server.maxConnections = CONNECTIONS;
  server.timeout = STALLED_MILLISECONDS;
  await listen(server, host, port);
  const address = server.address() as AddressInfo;
  const origin = `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`;
  const { contentType } = options;
  const site = new TreeSite({ tree, webdav, token, hosts: hostNames(address.port), slots, contentType });

  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const isHead = request.method === "HEAD";
    const gone = new AbortController();
    response.once("close", () => gone.abort(new Error("the client is gone")));
    const signal = AbortSignal.any([gone.signal, closing.signal]);
    const report = (error: unknown) => {
      if (!signal.aborted) onFailure(error);
    };
    let answer: Answer;
    try {
      answer = await site.answer(request, response, signal);
    } catch (error) {
      report(error);
      answer = failureAnswer(error);
    }
    const beforeEnd = dropBody(request, response);
    await sendAnswer(response, answer, { isHead, onFailure: report, beforeEnd });
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse) => void serve(request, response);
  server.on("request", onRequest);
  // Whoever asks before sending a body is told without having to send it.
  server.on("checkContinue", onRequest);
  server.on("checkExpectation", (_request, response: ServerResponse) => {
    const answer = textAnswer(417, "only 100-continue can be expected");
    void sendAnswer(response, answer, { isHead: false, onFailure });
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => answerMalformed(error, socket));

  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const timer = setTimeout(() => {
      closing.abort(new Error("the server is closing"));
      server.closeAllConnections();
    }, CLOSING_MILLISECONDS);
    await closed;
    clearTimeout(timer);
  };
  return { url: `${origin}/${token}/`, origin: `${origin}/`, token, close };
}

function requireLoopback(host: string): void {
  if (LOOPBACK_HOSTS.some((one) => one === host)) return;
  throw new InvalidInputError("the server listens on the loopback interface only", {
    party: "you",
    check: "address of the server",
    expected: LOOPBACK_HOSTS.join(" or "),
    received: host,
    hint: "what it sends is not encrypted; for other machines, put a proxy with TLS in front of it",
  });
}

async function listen(server: ReturnType<typeof createServer>, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      reject(
        new TallystickError(`the server cannot listen on port ${port} of ${host}`, {
          code: cause.code === "EADDRINUSE" ? "CONFLICT" : "INVALID_INPUT",
          party: "you",
          check: "port of the server",
          received: cause.code ?? cause.message,
          hint: "choose another port, or leave it out",
          cause,
        }),
      );
    });
    server.listen({ host, port }, resolve);
  });
}
