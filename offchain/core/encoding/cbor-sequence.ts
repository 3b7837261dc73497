/** Splits a CBOR sequence (RFC 8742) that arrives in pieces into its items, in memory bounded by one item. */
import { IntegrityError, InvalidInputError } from "../errors.ts";
import { measureItem } from "./cbor.ts";

export class CborSequence {
  readonly #maxItemBytes: number;
  readonly #maxDepth: number;
  readonly #what: string;
  #rest: Uint8Array = new Uint8Array(0);

  /** @param what names the sequence in errors */
  constructor(maxItemBytes: number, maxDepth: number, what: string) {
    this.#maxItemBytes = maxItemBytes;
    this.#maxDepth = maxDepth;
    this.#what = what;
  }

  /**
   * Takes the next piece.
   * @returns the encoded items that it completes
   * @throws InvalidInputError for an item outside the profile, or one that is too long
   */
  *push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    let bytes = piece;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + piece.length);
      bytes.set(this.#rest);
      bytes.set(piece, this.#rest.length);
    }
    let start = 0;
    while (start < bytes.length) {
      // Reads no further than the longest item: a head that announces more is refused at once.
      const window = bytes.subarray(start, start + this.#maxItemBytes);
      const length = measureItem(window, 0, this.#maxDepth, this.#what);
      if (length === undefined) {
        if (window.length < this.#maxItemBytes) break;
        throw new InvalidInputError(`${this.#what} has an item that is too long`, {
          check: "item size",
          expected: `at most ${this.#maxItemBytes} bytes`,
        });
      }
      start += length;
      yield window.subarray(0, length);
    }
    this.#rest = bytes.slice(start);
  }

  /** Ends the sequence. @throws IntegrityError in the middle of an item */
  finish(): void {
    if (this.#rest.length === 0) return;
    throw new IntegrityError(`${this.#what} ends in the middle of an item`, {
      check: "length",
      received: `${this.#rest.length} bytes left over`,
    });
  }
}
