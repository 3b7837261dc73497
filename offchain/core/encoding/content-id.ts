/**
 * Content ids: CIDv1, codec raw (0x55), multihash sha2-256, in lower-case unpadded base32 (multibase prefix `b`). An id
 * names ciphertext, so a provider can recompute it, and it is the same string that IPFS uses for the same bytes.
 * Specifications: multiformats CID v1, multihash, RFC 4648 §6.
 *
 * Deviation: only this one form is accepted. Upper case, other bases, CIDv0, other codecs and hashes are refused, so
 * that one object has one name and names compare as strings.
 */
import { base32 } from "multiformats/bases/base32";
import { sha256 } from "#primitives";
import { InvalidInputError } from "../errors.ts";

/** version 1 ‖ codec raw ‖ hash sha2-256 ‖ digest length 32, each one varint byte. */
const PREFIX = Uint8Array.of(0x01, 0x55, 0x12, 0x20);

/** Bytes of a SHA-256 digest. */
export const DIGEST_BYTES = 32;

/** Bytes of the binary form. */
export const CONTENT_ID_BYTES = PREFIX.length + DIGEST_BYTES;

/** Characters of the text form: the prefix `b` and 58 base32 characters. */
export const CONTENT_ID_LENGTH = 59;

function refuse(received: string): InvalidInputError {
  return new InvalidInputError("content id is malformed", {
    check: "content id",
    expected: "CIDv1, raw, sha2-256, lower-case base32 (bafkrei…)",
    received: received.slice(0, 80),
  });
}

/** Returns the id of a ciphertext. */
export function contentId(ciphertext: Uint8Array): string {
  return contentIdFromDigest(sha256(ciphertext));
}

/** The entries of a bundle name the same object hundreds of times in a row. */
let latest: { readonly id: string; readonly digest: Uint8Array } | undefined;

/**
 * Returns the id that names a SHA-256 digest.
 * @param digest 32 bytes
 * @throws InvalidInputError for another length
 */
export function contentIdFromDigest(digest: Uint8Array): string {
  if (digest.length !== DIGEST_BYTES) throw refuse(`a digest of ${digest.length} bytes`);
  if (latest?.digest.every((byte, index) => byte === digest[index])) return latest.id;
  const binary = new Uint8Array(CONTENT_ID_BYTES);
  binary.set(PREFIX);
  binary.set(digest, PREFIX.length);
  latest = { id: base32.encode(binary), digest: binary.subarray(PREFIX.length) };
  return latest.id;
}

/**
 * Returns the binary form of an id (36 bytes).
 * @throws InvalidInputError if the id is not in its one canonical form
 */
export function contentIdToBytes(id: string): Uint8Array {
  // The alphabet is checked first, because the decoder's own errors do not tell what is wrong with which id.
  if (id.length !== CONTENT_ID_LENGTH || !/^b[a-z2-7]+$/.test(id)) throw refuse(JSON.stringify(id.slice(0, 80)));
  // 58 characters are 290 bits for 288; the decoder refuses an id whose two spare bits are not zero.
  const binary = decodeBase32(id);
  if (binary === undefined || binary.length !== CONTENT_ID_BYTES) throw refuse(id);
  if (PREFIX.some((byte, index) => binary[index] !== byte)) throw refuse(id);
  return binary;
}

/** Whether a text is an id in its one canonical form. */
export function isContentId(text: string): boolean {
  if (text.length !== CONTENT_ID_LENGTH || !/^b[a-z2-7]+$/.test(text)) return false;
  const binary = decodeBase32(text);
  return binary?.length === CONTENT_ID_BYTES && PREFIX.every((byte, index) => binary[index] === byte);
}

function decodeBase32(id: string): Uint8Array | undefined {
  try {
    return base32.decode(id);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * Returns the id of a binary CID.
 * @param binary 36 bytes
 * @throws InvalidInputError for another length or prefix
 */
export function contentIdFromBytes(binary: Uint8Array): string {
  if (binary.length !== CONTENT_ID_BYTES) throw refuse(`${binary.length} bytes`);
  if (PREFIX.some((byte, index) => binary[index] !== byte)) throw refuse(`prefix ${binary.subarray(0, 4).join(" ")}`);
  return base32.encode(binary);
}

/**
 * Returns the SHA-256 digest inside an id (32 bytes).
 * @throws InvalidInputError if the id is not in its one canonical form
 */
export function digestOf(id: string): Uint8Array {
  if (id !== latest?.id) latest = { id, digest: contentIdToBytes(id).subarray(PREFIX.length) };
  return latest.digest.slice();
}
