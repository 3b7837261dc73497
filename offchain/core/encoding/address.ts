/** Ethereum addresses: keccak-256 of the uncompressed secp256k1 key, with the checksum of EIP-55. */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { secp256k1PublicKey } from "#primitives";
import { InvalidInputError } from "../errors.ts";

export const ADDRESS_BYTES = 20;

/**
 * The address of a secp256k1 private key.
 * @param privateKey 32 bytes
 * @throws InvalidInputError when the bytes are no private key
 */
export function addressOfPrivateKey(privateKey: Uint8Array): string {
  const uncompressed = secp256k1PublicKey(privateKey, false);
  if (uncompressed === undefined) {
    throw new InvalidInputError("bytes are no secp256k1 private key", { check: "private key" });
  }
  return checksumAddress(keccak_256(uncompressed.subarray(1)).subarray(12));
}

/** The text form of 20 bytes, mixed case as EIP-55 says. @throws InvalidInputError for another length. */
export function checksumAddress(address: Uint8Array): string {
  if (address.length !== ADDRESS_BYTES) {
    throw new InvalidInputError(`address has ${address.length} bytes`, {
      check: "address length",
      expected: `${ADDRESS_BYTES} bytes`,
      received: `${address.length} bytes`,
    });
  }
  const digits = bytesToHex(address);
  const hash = bytesToHex(keccak_256(new TextEncoder().encode(digits)));
  const mixed = [...digits].map((digit, position) => {
    return Number.parseInt(hash.charAt(position), 16) >= 8 ? digit.toUpperCase() : digit;
  });
  return `0x${mixed.join("")}`;
}

/** Whether two texts are the same address; the checksum of EIP-55 makes case differ. */
export function isAddressEqual(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
