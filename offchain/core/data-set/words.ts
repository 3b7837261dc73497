/** Words of 32 bytes, as contracts hash and encode them. */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes, hexToBytes } from "@noble/hashes/utils.js";
import { ADDRESS_BYTES, checksumAddress } from "../encoding/address.ts";
import { fromHex, toHex } from "../encoding/hex.ts";
import { InvalidInputError } from "../errors.ts";

export const WORD_BYTES = 32;

/**
 * An unsigned integer as a word.
 * @param bits of its type in the contract
 * @param name what it is, for the error
 * @throws InvalidInputError unless it fits the type
 */
export function integerToWord(value: number | bigint, bits: number, name: string): Uint8Array {
  const integer = typeof value === "bigint" || Number.isSafeInteger(value) ? BigInt(value) : -1n;
  if (integer < 0n || integer >= 1n << BigInt(bits)) {
    throw new InvalidInputError(`${name} is no unsigned integer of ${bits} bits`, {
      check: name,
      expected: `0 to 2^${bits} - 1`,
      received: String(value),
    });
  }
  return hexToBytes(integer.toString(16).padStart(2 * WORD_BYTES, "0"));
}

/** An address as a word. @throws InvalidInputError unless it is one */
export function addressWord(address: string, name: string): Uint8Array {
  return concatBytes(new Uint8Array(WORD_BYTES - ADDRESS_BYTES), fromHex(address, ADDRESS_BYTES, name));
}

/** The domain tag of a hash: keccak256("tallystick/v2/" ‖ name). */
export function tagOf(name: string): Uint8Array {
  return keccak_256(new TextEncoder().encode(`tallystick/v2/${name}`));
}

/** Reads words one after the other. */
export class WordReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #next = 0;

  /** @throws InvalidInputError for another length */
  constructor(bytes: Uint8Array, lengthBytes: number, what: string) {
    this.#bytes = bytes;
    this.#what = what;
    if (bytes.length !== lengthBytes) this.refuse("length", `${lengthBytes} bytes`, `${bytes.length} bytes`);
  }

  #word(): Uint8Array {
    this.#next += WORD_BYTES;
    return this.#bytes.subarray(this.#next - WORD_BYTES, this.#next);
  }

  hash(): string {
    return toHex(this.#word());
  }

  integer(): bigint {
    return BigInt(toHex(this.#word()));
  }

  number(): number {
    const value = this.integer();
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : this.refuse("integer", "53 bits", String(value));
  }

  /** @returns with the checksum of EIP-55 */
  address(): string {
    const word = this.#word();
    const padding = WORD_BYTES - ADDRESS_BYTES;
    if (word.subarray(0, padding).some((byte) => byte !== 0)) this.refuse("address", "20 bytes", toHex(word));
    return checksumAddress(word.subarray(padding));
  }

  refuse(check: string, expected?: string, received?: string): never {
    throw new InvalidInputError(`${this.#what} are malformed`, {
      check,
      ...(expected === undefined ? {} : { expected }),
      ...(received === undefined ? {} : { received }),
    });
  }
}
