/**
 * The answer to GET and HEAD for one file: validators, preconditions and ranges of RFC 9110, sections 8.8, 13 and 14.
 *
 * Several ranges in one request are answered with the whole file, which section 14.2 allows: `multipart/byteranges`
 * has no user among players, file managers and download programs.
 */

import { type ByteRange, parseRangeSpec, type RangeSpec, resolveRange } from "../agent/read/byte-range.ts";
import type { TreeFile } from "../agent/read/readable-tree.ts";
import { type Answer, CONFINED, textAnswer } from "./answer.ts";

/** Values of request headers by lower-case name, as Node has them. */
export type RequestHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** Names the media type of a file by its name. */
export type ContentType = (name: string) => string | undefined;

export interface FileRequest {
  readonly method: "GET" | "HEAD";
  readonly headers: RequestHeaders;
}

export interface FileToAnswer {
  readonly file: TreeFile;
  /** Opens the content. Called when the answer is sent, and not at all without a body. */
  readonly open: (range: ByteRange) => Promise<AsyncIterable<Uint8Array>>;
  /** Default `application/octet-stream`, which no browser runs. */
  readonly contentType?: ContentType | undefined;
}

const UNKNOWN_TYPE = "application/octet-stream";

/** @param now milliseconds since 1970 */
export function fileAnswer(request: FileRequest, source: FileToAnswer, now: number = Date.now()): Answer {
  const { file, contentType } = source;
  const { sizeBytes } = file;
  const validators = validatorsOf(file, now);
  const failed = checkPreconditions(request.headers, validators);
  if (failed === 412) return textAnswer(412, "the file is another one than the request expects", validators);
  if (failed === 304) return { status: 304, headers: validators };
  const common = {
    ...CONFINED,
    // A stored page that a type was given for is of no origin, so that it cannot read the other files.
    "content-security-policy": `${CONFINED["content-security-policy"]}; sandbox`,
    ...validators,
    "accept-ranges": "bytes",
    "content-type": contentType?.(file.name) ?? UNKNOWN_TYPE,
  };
  const range = requestedRange(request, validators.etag, sizeBytes);
  if (range === "not satisfiable") {
    return textAnswer(416, `the file has ${sizeBytes} bytes`, { "content-range": `bytes */${sizeBytes}` });
  }
  const { start, end } = range ?? { start: 0, end: sizeBytes };
  const length = { "content-length": String(end - start) };
  const body = contentOf(source, { start, end });
  if (range === undefined) return { status: 200, headers: { ...common, ...length }, body };
  const position = { "content-range": `bytes ${start}-${end - 1}/${sizeBytes}` };
  return { status: 206, headers: { ...common, ...length, ...position }, body };
}

async function* contentOf({ open }: FileToAnswer, range: ByteRange): AsyncGenerator<Uint8Array, void, undefined> {
  yield* await open(range);
}

interface Validators extends Record<string, string> {
  readonly etag: string;
}

function validatorsOf({ tag, modifiedMillis }: TreeFile, now: number): Validators {
  // Section 8.8.2.1: a time in the future is no validator.
  const isKnown = modifiedMillis !== undefined && modifiedMillis <= now;
  return {
    etag: `"${tag}"`,
    // Caches keep the file but ask whether it is still shown.
    "cache-control": "private, no-cache",
    ...(isKnown ? { "last-modified": new Date(modifiedMillis).toUTCString() } : {}),
  };
}

/** Section 13.2.2, in its order. */
function checkPreconditions(headers: RequestHeaders, validators: Validators): 304 | 412 | undefined {
  const value = (name: string) => headers[name]?.toString();
  const modified = secondsOf(validators["last-modified"]);
  const [ifMatch, ifUnmodified] = [value("if-match"), secondsOf(value("if-unmodified-since"))];
  if (ifMatch !== undefined) {
    if (!names(ifMatch, validators.etag, "strong")) return 412;
  } else if (ifUnmodified !== undefined && modified !== undefined && modified > ifUnmodified) return 412;
  const [ifNoneMatch, ifModified] = [value("if-none-match"), secondsOf(value("if-modified-since"))];
  if (ifNoneMatch !== undefined) return names(ifNoneMatch, validators.etag, "weak") ? 304 : undefined;
  return ifModified !== undefined && modified !== undefined && modified <= ifModified ? 304 : undefined;
}

function secondsOf(date: string | undefined): number | undefined {
  const milliseconds = date === undefined ? Number.NaN : Date.parse(date);
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000);
}

/** Whether a list of entity tags has this one. Section 8.8.3.2: a weak tag matches in weak comparison only. */
function names(list: string, etag: string, comparison: "strong" | "weak"): boolean {
  if (list.trim() === "*") return true;
  return list.split(",").some((one) => {
    const trimmed = one.trim();
    return (comparison === "weak" ? trimmed.replace(/^W\//, "") : trimmed) === etag;
  });
}

/** What of the file is to be sent; undefined for all of it. */
function requestedRange(
  { method, headers }: FileRequest,
  etag: string,
  sizeBytes: number,
): ByteRange | "not satisfiable" | undefined {
  // Section 14.2: only GET has ranges.
  const spec = method === "GET" ? specOf(headers.range?.toString()) : undefined;
  if (spec === undefined) return undefined;
  const condition = headers["if-range"]?.toString().trim();
  // Section 13.1.5 wants a strong validator: this server's times are none, so a date never matches.
  if (condition !== undefined && condition !== etag) return undefined;
  const range = resolveRange(spec, sizeBytes);
  if (range === undefined) return "not satisfiable";
  // The suffix of an empty file: no Content-Range can say it.
  return range.start === range.end ? undefined : range;
}

/** Of one range. Of other units, several ranges, or what is malformed: undefined, which means to ignore the header. */
function specOf(header: string | undefined): RangeSpec | undefined {
  // No pattern that could try to match blanks in many ways.
  const [unit = "", ...specs] = header?.split("=") ?? [];
  return unit.toLowerCase() === "bytes" ? parseRangeSpec(specs.join("=").trim()) : undefined;
}
