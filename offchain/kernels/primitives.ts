/**
 * Interface of the accelerated primitives, imported by core as `#primitives`. Two implementations export
 * exactly these names: `primitives-node.ts` (OpenSSL through node:crypto) and `primitives-web.ts` (noble, any
 * JavaScript runtime). All calls but scrypt, which is made to take long, are synchronous: below 64 KiB an await per
 * call costs more than the work, above it a worker thread is the right tool. Standards: FIPS 180-4 (SHA-256), RFC 2104
 * (HMAC), RFC 5869 (HKDF), RFC 8018 (PBKDF2), RFC 7914 (scrypt), NIST SP 800-38D (AES-256-GCM),
 * SP 800-38A (AES-256-CTR).
 */

/** Length of an AES-GCM nonce in bytes (SP 800-38D §5.2.1.1: 96 bits, the only length used here). */
export const GCM_NONCE_BYTES = 12;

/** Length of an AES-GCM authentication tag in bytes; it follows the ciphertext. */
export const GCM_TAG_BYTES = 16;

/** Length of a counter block of AES-CTR in bytes (SP 800-38A §6.5). */
export const CTR_BLOCK_BYTES = 16;

/** Length of an AES-256 key in bytes. */
export const AES_KEY_BYTES = 32;

/** Largest HKDF-SHA256 output in bytes (RFC 5869 §2.3: 255 · HashLen). */
export const HKDF_OUTPUT_LIMIT_BYTES = 255 * 32;

/** Largest HKDF info in bytes: OpenSSL's own limit, kept by both implementations so that they accept the same calls. */
export const HKDF_INFO_LIMIT_BYTES = 1024;

/** Cost of one scrypt computation: it takes 128 · r · (n + p) bytes of memory, and time in proportion to n · r · p. */
export interface ScryptCost {
  /** A power of two. */
  n: number;
  r: number;
  p: number;
}

/** A SHA-256 computation that takes its input in pieces. `digest` ends it. */
export interface Sha256 {
  update(data: Uint8Array): void;
  /** @returns 32 bytes */
  digest(): Uint8Array;
}

export interface Primitives {
  /** SHA-256. @returns 32 bytes */
  sha256(data: Uint8Array): Uint8Array;
  /** SHA-256 over input that arrives in pieces. */
  createSha256(): Sha256;
  /** HMAC-SHA-256. @returns 32 bytes */
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;
  /**
   * HKDF-SHA-256, extract then expand.
   * @param length bytes wanted, 1 to 8160
   * @param info at most 1024 bytes
   * @throws RangeError for other lengths
   */
  hkdfSha256(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array;
  /**
   * PBKDF2 with HMAC-SHA-512.
   * @param iterations and length in bytes: positive integers
   */
  pbkdf2Sha512(password: Uint8Array, salt: Uint8Array, iterations: number, length: number): Uint8Array;
  /**
   * scrypt. The cost is the caller's to bound.
   * @param length bytes wanted
   */
  scrypt(passphrase: Uint8Array, salt: Uint8Array, cost: ScryptCost, length: number): Promise<Uint8Array>;
  /**
   * AES-256-GCM encryption.
   * @param key 32 bytes
   * @param nonce 12 bytes, never used twice under one key with different plaintexts
   * @returns ciphertext ‖ 16-byte tag, in memory of its own
   * @throws RangeError for wrong lengths of key or nonce
   */
  aes256GcmSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /**
   * AES-256-GCM encryption in place.
   * @param memory starts with the plaintext, with room for the tag behind it; afterwards with ciphertext and tag
   * @param plaintextBytes length of the plaintext
   * @throws RangeError for wrong lengths of key or nonce, or without room for the tag
   */
  aes256GcmSealInPlace(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    memory: Uint8Array,
    plaintextBytes: number,
  ): void;
  /**
   * AES-256-GCM decryption.
   * @returns the plaintext, or undefined when the tag does not verify (or there is no room for one)
   * @throws RangeError for wrong lengths of key or nonce
   */
  aes256GcmOpen(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
  /**
   * AES-256-GCM decryption of bytes where they are.
   * @param sealed ciphertext and tag; afterwards it starts with the plaintext. When the tag does not verify, its
   *   content is undefined, and holds no plaintext
   * @returns whether the tag verifies
   * @throws RangeError for wrong lengths of key or nonce
   */
  aes256GcmOpenInPlace(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): boolean;
  /**
   * AES-256-CTR in place, which enciphers and deciphers. It authenticates nothing.
   * @param counter the first counter block, 16 bytes; the whole block counts up (SP 800-38A, appendix B.1)
   * @throws RangeError for wrong lengths of key or counter
   */
  aes256CtrInPlace(key: Uint8Array, counter: Uint8Array, memory: Uint8Array): void;
  /**
   * The public key of a secp256k1 private key (SEC 1, section 2.3.3).
   * @returns 33 bytes, or 65 uncompressed; undefined for anything but 32 bytes of a number from 1 to the order less 1
   */
  secp256k1PublicKey(privateKey: Uint8Array, isCompressed: boolean): Uint8Array | undefined;
  /**
   * zstd decompression of one frame, where the platform has it. It need not check the frame: kernels/zstd.ts does.
   * @returns exactly `sizeBytes` bytes, or undefined when the frame is damaged or has another content size
   */
  readonly zstdDecompress: ((frame: Uint8Array, sizeBytes: number) => Uint8Array | undefined) | undefined;
  /** Unpacks what this project carries as text: gzip in base64. Not for input of others: the result is not bounded. */
  gunzipBase64(text: string): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Prepares exponentiations modulo an odd number with one secret exponent. Integers are byte strings, most significant
   * byte first.
   * @returns takes a base of 2 to modulus − 2, and gives base ^ exponent as long as the modulus
   */
  modularPower(exponent: Uint8Array, modulus: Uint8Array): (base: Uint8Array) => Uint8Array;
  /** Bytes from the system's cryptographic generator. @param n how many, a non-negative integer */
  randomBytes(n: number): Uint8Array;
  /** Equality in time that depends on the lengths only. False for different lengths. */
  equalBytes(a: Uint8Array, b: Uint8Array): boolean;
}

/**
 * Holds AES-256-GCM arguments to the lengths both implementations accept.
 * @throws RangeError
 */
export function checkGcmArguments(key: Uint8Array, nonce: Uint8Array): void {
  if (key.length !== AES_KEY_BYTES)
    throw new RangeError(`AES-256 key must be ${AES_KEY_BYTES} bytes, got ${key.length}`);
  if (nonce.length !== GCM_NONCE_BYTES) {
    throw new RangeError(`AES-GCM nonce must be ${GCM_NONCE_BYTES} bytes, got ${nonce.length}`);
  }
}

/**
 * Holds AES-256-CTR arguments to the lengths both implementations accept.
 * @throws RangeError
 */
export function checkCtrArguments(key: Uint8Array, counter: Uint8Array): void {
  if (key.length !== AES_KEY_BYTES)
    throw new RangeError(`AES-256 key must be ${AES_KEY_BYTES} bytes, got ${key.length}`);
  if (counter.length !== CTR_BLOCK_BYTES) {
    throw new RangeError(`AES-CTR counter block must be ${CTR_BLOCK_BYTES} bytes, got ${counter.length}`);
  }
}

/** @throws RangeError when ciphertext and tag do not fit */
export function checkSealingRoom(memory: Uint8Array, plaintextBytes: number): void {
  if (plaintextBytes + GCM_TAG_BYTES > memory.length) {
    throw new RangeError(`${memory.length} bytes have no room for ${plaintextBytes} bytes and a tag`);
  }
}

/** Memory that a scrypt computation takes, in bytes; what implementations are told to allow. */
export function scryptMemory({ n, r, p }: ScryptCost): number {
  return 128 * r * (n + p + 2);
}

/**
 * Holds HKDF arguments to the lengths both implementations accept.
 * @throws RangeError
 */
export function checkHkdfArguments(info: Uint8Array, length: number): void {
  if (!Number.isInteger(length) || length < 1 || length > HKDF_OUTPUT_LIMIT_BYTES) {
    throw new RangeError(`HKDF-SHA256 output must be 1 to ${HKDF_OUTPUT_LIMIT_BYTES} bytes, got ${length}`);
  }
  if (info.length > HKDF_INFO_LIMIT_BYTES) {
    throw new RangeError(`HKDF info must be at most ${HKDF_INFO_LIMIT_BYTES} bytes, got ${info.length}`);
  }
}

/**
 * Holds the number of random bytes asked for to what is sane.
 * @throws RangeError
 */
export function checkRandomLength(n: number): void {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`number of random bytes must not be negative, got ${n}`);
}
