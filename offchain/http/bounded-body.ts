/** Bodies of answers from other parties, which may be longer than agreed or something else than they claim. */

import { TallystickError } from "../core/errors.ts";

/** Most bytes that are set aside on the word of another party. */
const MOST_ANNOUNCED_BYTES = 4 * 1024 * 1024;
const FIRST_BYTES = 4096;

/** Joins the pieces of a body as they arrive, up to a bound. */
export class BodyCollector {
  readonly #announcedBytes: number;
  readonly #maximumBytes: number;
  readonly #party: string;
  readonly #isGiven: boolean;
  #joined: Uint8Array;
  #filled = 0;

  /**
   * @param announcedBytes what the header says, or 0. It saves copies; the bytes that really come are what counts.
   * @param maximumBytes a longer body is refused.
   * @param party whose answer it is, for the error.
   * @param memory where the body is put if it fits. Default: memory of its own.
   */
  constructor(announcedBytes: number, maximumBytes: number, party: string, memory?: Uint8Array) {
    this.#announcedBytes = announcedBytes;
    this.#maximumBytes = maximumBytes;
    this.#party = party;
    const expected = announcedBytes > 0 ? Math.min(announcedBytes, maximumBytes, MOST_ANNOUNCED_BYTES) : FIRST_BYTES;
    this.#isGiven = memory !== undefined;
    this.#joined = memory ?? new Uint8Array(expected);
  }

  /** @throws TallystickError BAD_RESPONSE when more is announced than allowed */
  requireAnnounced(): void {
    if (this.#announcedBytes > this.#maximumBytes) throw this.#tooLarge();
  }

  get filledBytes(): number {
    return this.#filled;
  }

  /**
   * Where what comes next of an announced body belongs, for whoever can put it there: `add` does not copy it then.
   * @returns undefined when nothing more is announced, or there is no memory for it yet
   */
  room(): Uint8Array | undefined {
    const end = Math.min(this.#announcedBytes, this.#joined.length);
    return this.#filled < end ? this.#joined.subarray(this.#filled, end) : undefined;
  }

  /** @throws TallystickError BAD_RESPONSE when more has come than allowed */
  add(piece: Uint8Array): void {
    const end = this.#filled + piece.length;
    if (end > this.#maximumBytes) throw this.#tooLarge();
    if (end > this.#joined.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#joined.length));
      grown.set(this.#joined.subarray(0, this.#filled));
      this.#joined = grown;
    }
    const isInPlace =
      piece.buffer === this.#joined.buffer && piece.byteOffset === this.#joined.byteOffset + this.#filled;
    if (!isInPlace) this.#joined.set(piece, this.#filled);
    this.#filled = end;
  }

  finish(): Uint8Array {
    if (this.#filled === this.#joined.length) return this.#joined;
    return this.#isGiven ? this.#joined.subarray(0, this.#filled) : this.#joined.slice(0, this.#filled);
  }

  #tooLarge(): TallystickError {
    return new TallystickError(`${this.#party} sent a larger answer than the protocol allows`, {
      code: "BAD_RESPONSE",
      party: this.#party,
      check: "size of the answer",
      expected: `at most ${this.#maximumBytes} bytes`,
    });
  }
}

/**
 * @param maximumBytes a longer body is refused, and given up, as soon as its announced length or its bytes exceed this.
 * @param party whose answer it is, for the error.
 * @param memory where the body is put if it fits. Default: memory of its own.
 * @throws TallystickError BAD_RESPONSE for a longer body; whatever the connection fails with.
 */
export async function readBounded(
  response: Response,
  maximumBytes: number,
  party: string,
  memory?: Uint8Array,
): Promise<Uint8Array> {
  const body = new BodyCollector(Number(response.headers.get("content-length") ?? "0"), maximumBytes, party, memory);
  const reader = response.body?.getReader();
  try {
    body.requireAnnounced();
    if (reader === undefined) return new Uint8Array(0);
    for (let next = await reader.read(); !next.done; next = await reader.read()) body.add(next.value);
  } catch (error) {
    await reader?.cancel().catch(() => undefined);
    throw error;
  }
  return body.finish();
}

/** @throws TallystickError BAD_RESPONSE naming the party for bytes that are no JSON in UTF-8 */
export function parseJson(bytes: Uint8Array, party: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new TallystickError(`${party} answered with something else than JSON`, {
      code: "BAD_RESPONSE",
      party,
      check: "JSON",
      cause,
    });
  }
}
