/**
 * Symmetric primitives on noble (plain JavaScript), for runtimes without node:crypto. See primitives.ts for what each
 * call does. WebCrypto would be faster on large inputs but is asynchronous only. noble's AES is table based: on a
 * machine shared with an attacker who measures caches, prefer the Node implementation.
 */
import { ctr, gcm } from "@noble/ciphers/aes.js";
import { pow } from "@noble/curves/abstract/modular.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { bytesToNumberBE, numberToBytesBE } from "@noble/curves/utils.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { pbkdf2 } from "@noble/hashes/pbkdf2.js";
import { scryptAsync } from "@noble/hashes/scrypt.js";
import { sha256 as nobleSha256, sha512 } from "@noble/hashes/sha2.js";
import {
  checkCtrArguments,
  checkGcmArguments,
  checkHkdfArguments,
  checkRandomLength,
  checkSealingRoom,
  GCM_TAG_BYTES,
  type Primitives,
  type ScryptCost,
  type Sha256,
  scryptMemory,
} from "./primitives.ts";

/** Most bytes that one call of `crypto.getRandomValues` gives (W3C Web Cryptography API, §10.1.1). */
const RANDOM_QUOTA_BYTES = 65_536;

/** What noble throws when, and only when, a GCM tag does not verify. */
const NOBLE_INVALID_TAG = "aes-gcm: invalid tag";

export function sha256(data: Uint8Array): Uint8Array {
  return nobleSha256(data);
}

export function createSha256(): Sha256 {
  const state = nobleSha256.create();
  return {
    update(data) {
      state.update(data);
    },
    digest() {
      return state.digest();
    },
  };
}

export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  return hmac(nobleSha256, key, data);
}

export function hkdfSha256(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  checkHkdfArguments(info, length);
  return hkdf(nobleSha256, ikm, salt, info, length);
}

export function pbkdf2Sha512(password: Uint8Array, salt: Uint8Array, iterations: number, length: number): Uint8Array {
  return pbkdf2(sha512, password, salt, { c: iterations, dkLen: length });
}

export function scrypt(
  passphrase: Uint8Array,
  salt: Uint8Array,
  cost: ScryptCost,
  length: number,
): Promise<Uint8Array> {
  const { n: N, r, p } = cost;
  return scryptAsync(passphrase, salt, { N, r, p, dkLen: length, maxmem: scryptMemory(cost) });
}

export function aes256GcmSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  checkGcmArguments(key, nonce);
  return gcm(key, nonce, aad).encrypt(plaintext);
}

export function aes256GcmSealInPlace(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  memory: Uint8Array,
  plaintextBytes: number,
): void {
  checkSealingRoom(memory, plaintextBytes);
  memory.set(aes256GcmSeal(key, nonce, aad, memory.subarray(0, plaintextBytes)));
}

export function aes256GcmOpenInPlace(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): boolean {
  const plaintext = aes256GcmOpen(key, nonce, aad, sealed);
  if (plaintext === undefined) return false;
  sealed.set(plaintext);
  return true;
}

export function aes256GcmOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  checkGcmArguments(key, nonce);
  if (sealed.length < GCM_TAG_BYTES) return undefined;
  try {
    return gcm(key, nonce, aad).decrypt(sealed);
  } catch (error) {
    if (error instanceof Error && error.message === NOBLE_INVALID_TAG) return undefined;
    throw error;
  }
}

export function aes256CtrInPlace(key: Uint8Array, counter: Uint8Array, memory: Uint8Array): void {
  checkCtrArguments(key, counter);
  memory.set(ctr(key, counter).encrypt(memory));
}

export function secp256k1PublicKey(privateKey: Uint8Array, isCompressed: boolean): Uint8Array | undefined {
  if (!secp256k1.utils.isValidSecretKey(privateKey)) return undefined;
  return secp256k1.getPublicKey(privateKey, isCompressed);
}

/** No browser has zstd. */
export const zstdDecompress: Primitives["zstdDecompress"] = undefined;

export async function gunzipBase64(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

/** On BigInt: the time says something about the exponent. */
export function modularPower(exponent: Uint8Array, modulus: Uint8Array): (base: Uint8Array) => Uint8Array {
  const [power, modulo] = [bytesToNumberBE(exponent), bytesToNumberBE(modulus)];
  return (base) => numberToBytesBE(pow(bytesToNumberBE(base), power, modulo), modulus.length);
}

export function randomBytes(n: number): Uint8Array {
  checkRandomLength(n);
  const bytes = new Uint8Array(n);
  for (let offset = 0; offset < n; offset += RANDOM_QUOTA_BYTES) {
    globalThis.crypto.getRandomValues(bytes.subarray(offset, Math.min(n, offset + RANDOM_QUOTA_BYTES)));
  }
  return bytes;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}

// Holds this module to the interface at compile time.
({
  sha256,
  createSha256,
  hmacSha256,
  hkdfSha256,
  pbkdf2Sha512,
  scrypt,
  aes256GcmSeal,
  aes256GcmSealInPlace,
  aes256GcmOpen,
  aes256GcmOpenInPlace,
  aes256CtrInPlace,
  secp256k1PublicKey,
  zstdDecompress,
  gunzipBase64,
  modularPower,
  randomBytes,
  equalBytes,
}) satisfies Primitives;
