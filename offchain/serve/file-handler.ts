/**
 * Files of a tree for the HTTP server of another program: GET and HEAD with ranges and validators.
 *
 *   const handler = createFileHandler(agent.trees().tree(dataId), { basePath: "/films" });
 *   createServer(handler).listen(8080);
 *
 * The handler asks nobody for a password: that is the business of the program it is part of.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { ReadableTree } from "../agent/read/readable-tree.ts";
import { streamPieces } from "../agent/read/stream-pieces.ts";
import { type Answer, failureAnswer, textAnswer } from "./answer.ts";
import { type ContentType, fileAnswer } from "./file-answer.ts";
import { dropBody } from "./request-body.ts";
import { parseRequestPath } from "./request-path.ts";
import { sendAnswer } from "./send-answer.ts";

export interface FileHandlerOptions {
  /** Path on the server below which the tree is shown, encoded as in a URL. Default: the root. */
  readonly basePath?: string;
  /** Media types; default `application/octet-stream` for all files. */
  readonly contentType?: ContentType;
  /** Told of requests that failed, with the error. Default: nobody. */
  readonly onFailure?: (error: unknown) => void;
}

export type FileHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

export function createFileHandler(tree: ReadableTree, options: FileHandlerOptions = {}): FileHandler {
  const { contentType, onFailure = () => undefined } = options;
  const base = (options.basePath ?? "").replace(/\/+$/, "");
  return async (request, response) => {
    const gone = new AbortController();
    response.once("close", () => gone.abort(new Error("the client is gone")));
    const { signal } = gone;
    const report = (error: unknown) => {
      if (!signal.aborted) onFailure(error);
    };
    const isHead = request.method === "HEAD";
    let answer: Answer;
    try {
      answer = await answerOf(request, signal);
    } catch (error) {
      report(error);
      answer = failureAnswer(error);
    }
    const beforeEnd = dropBody(request, response);
    await sendAnswer(response, answer, { isHead, onFailure: report, beforeEnd });
  };

  async function answerOf({ method, url = "", headers }: IncomingMessage, signal: AbortSignal): Promise<Answer> {
    if (method !== "GET" && method !== "HEAD") return textAnswer(405, "this server only reads", { allow: "GET, HEAD" });
    const parsed = url.startsWith(`${base}/`) ? parseRequestPath(url.slice(base.length)) : undefined;
    if (parsed === undefined) return textAnswer(url.startsWith(`${base}/`) ? 400 : 404, "there is no such file");
    const path = parsed.components.join("/");
    const file = parsed.hasSlash ? undefined : await tree.stat(path, signal);
    if (file?.type !== "file") return textAnswer(404, "there is no such file");
    const open = async (range: { readonly start: number; readonly end: number }) =>
      streamPieces(await tree.open(path, range, signal));
    return fileAnswer({ method, headers }, { file, open, contentType });
  }
}
