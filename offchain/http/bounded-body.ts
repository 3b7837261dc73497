/** Bodies of answers from other parties, which may be longer than agreed or something else than they claim. */

import { TallystickError } from "../core/errors.ts";

/**
 * @param maximumBytes a longer body is refused, and given up, as soon as its announced length or its bytes exceed this.
 * @param party whose answer it is, for the error.
 * @throws TallystickError BAD_RESPONSE for a longer body; whatever the connection fails with.
 */
export async function readBounded(response: Response, maximumBytes: number, party: string): Promise<Uint8Array> {
  const tooLarge = () =>
    new TallystickError(`${party} sent a larger answer than the protocol allows`, {
      code: "BAD_RESPONSE",
      party,
      check: "size of the answer",
      expected: `at most ${maximumBytes} bytes`,
    });
  const announcedBytes = Number(response.headers.get("content-length") ?? "0");
  if (announcedBytes > maximumBytes) {
    await response.body?.cancel();
    throw tooLarge();
  }
  if (response.body === null) return new Uint8Array(0);
  // The announced length saves a copy; the bytes that really come are what counts.
  let joined = new Uint8Array(announcedBytes > 0 ? announcedBytes : 4096);
  let filled = 0;
  const reader = response.body.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const piece = next.value;
    if (filled + piece.length > maximumBytes) {
      await reader.cancel();
      throw tooLarge();
    }
    if (filled + piece.length > joined.length) {
      const grown = new Uint8Array(Math.max(filled + piece.length, 2 * joined.length));
      grown.set(joined.subarray(0, filled));
      joined = grown;
    }
    joined.set(piece, filled);
    filled += piece.length;
  }
  return filled === joined.length ? joined : joined.slice(0, filled);
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
