/**
 * The `fetch` under s3mini: it adds what the library leaves out. Each request has the deadline of the call that it
 * belongs to; redirects, which would carry the signature elsewhere, are refused; and a listing that is not one is an
 * error, where the library takes any answer that it does not understand for an empty list.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { isPassingStatus } from "../store-service.ts";
import { S3AnswerError, S3PassingError } from "./s3-errors.ts";

const deadlines = new AsyncLocalStorage<AbortSignal>();

/** Largest answer that is a document: a listing of 1000 keys of 1 KiB, escaped. */
const MAXIMUM_DOCUMENT_BYTES = 16 * 1024 * 1024;

/** Runs requests under a deadline. */
export function withDeadline<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  return deadlines.run(signal, work);
}

export async function guardedFetch(input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
  const signal = deadlines.getStore();
  const response = await fetch(input, { ...init, redirect: "error", ...(signal === undefined ? {} : { signal }) });
  if (isPassingStatus(response.status)) {
    await response.body?.cancel();
    throw new S3PassingError(response.status, response.headers);
  }
  const isListing = init.method === "GET" && new URL(String(input)).searchParams.get("list-type") === "2";
  if (!isListing || response.status !== 200) return response;
  const text = new TextDecoder().decode(await readBody(response, MAXIMUM_DOCUMENT_BYTES));
  requireListing(text);
  const { status, headers } = response;
  return new Response(text, { status, headers });
}

/** A whole body. @throws S3AnswerError for a longer one */
export async function readBody(response: Response, maximumBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (let next = await reader?.read(); next !== undefined && !next.done; next = await reader?.read()) {
    length += next.value.length;
    if (length > maximumBytes) {
      await reader?.cancel();
      throw new S3AnswerError(`its answer has more than ${maximumBytes} bytes`);
    }
    pieces.push(next.value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

const count = (text: string, tag: string): number => text.split(`<${tag}>`).length - 1;

/** A listing names its keys, says how many, and where it goes on. */
function requireListing(text: string): void {
  const isWhole = /<ListBucketResult[\s>]/.test(text) && text.trimEnd().endsWith("</ListBucketResult>");
  const keyCount = /<KeyCount>(\d+)<\/KeyCount>/.exec(text)?.[1];
  const truncated = /<IsTruncated>(true|false)<\/IsTruncated>/.exec(text)?.[1];
  if (!isWhole || truncated === undefined) throw new S3AnswerError("its answer is no listing");
  if (keyCount !== undefined && Number(keyCount) !== count(text, "Contents") + count(text, "CommonPrefixes")) {
    throw new S3AnswerError("its listing has not as many keys as it says");
  }
  if (truncated === "true" && count(text, "NextContinuationToken") !== 1) {
    throw new S3AnswerError("its listing does not say where it goes on");
  }
}
