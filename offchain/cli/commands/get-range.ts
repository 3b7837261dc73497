/** `tallystick get --range`: a part of one stored file, to stdout or into a file. */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { InvalidArgumentError } from "commander";
import { saveStream } from "../../agent/node/save-stream.ts";
import { parseRangeSpec, type RangeSpec, resolveRange } from "../../agent/read/byte-range.ts";
import { streamPieces } from "../../agent/read/stream-pieces.ts";
import { InvalidInputError } from "../../core/errors.ts";
import type { AgentSession } from "../agent-session.ts";
import { formatBytes } from "../output.ts";

export interface RangeRequest {
  /** Snapshot or data id, with the path of the file behind a colon unless the put has one file only. */
  readonly target: string;
  readonly range: RangeSpec;
  /** File to write; default stdout. */
  readonly out?: string | undefined;
  readonly overwrite: boolean;
}

/** Parser of the option. @throws InvalidArgumentError */
export function rangeOption(text: string): RangeSpec {
  const spec = parseRangeSpec(text);
  if (spec !== undefined) return spec;
  throw new InvalidArgumentError(
    "A range is first-last (both included, from 0), first- (to the end) or -count (the last bytes).",
  );
}

export async function getRange({ agent, output, signal }: AgentSession, request: RangeRequest): Promise<void> {
  const { target, out, overwrite } = request;
  const toStdout = out === undefined || out === "-";
  if (toStdout && output.json) {
    throw new InvalidInputError("standard output cannot carry both the bytes and a JSON document", {
      party: "you",
      check: "output of the range",
      hint: "name a file with --out, or leave --json out",
    });
  }
  const file = await agent.getFile(target, { signal });
  const range = resolveRange(request.range, file.sizeBytes);
  if (range === undefined) {
    throw new InvalidInputError("the file has no byte in this range", {
      party: "you",
      check: "range",
      expected: file.sizeBytes === 0 ? "a file that is not empty" : `a range that begins before byte ${file.sizeBytes}`,
    });
  }
  const stream = file.stream(range);
  if (toStdout) return await writeToStdout(stream);
  const writtenBytes = await saveStream(stream, out, { overwrite });
  const report = { target, path: file.path, start: range.start, end: range.end, writtenBytes };
  output.result(report, [`wrote ${formatBytes(writtenBytes)} of ${formatBytes(file.sizeBytes)} into ${out}`]);
}

/** A reader that stops early, such as `head`, is no failure. */
async function writeToStdout(stream: ReadableStream<Uint8Array>): Promise<void> {
  try {
    await pipeline(Readable.from(streamPieces(stream)), process.stdout, { end: false });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EPIPE")) throw error;
  }
}
