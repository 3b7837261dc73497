/**
 * Symmetric primitives on node:crypto (OpenSSL, with the CPU's SHA and AES instructions). See primitives.ts for what
 * each call does. Results are plain `Uint8Array`s, never `Buffer`s, so that they compare and serialise alike on every
 * platform.
 */
import {
  createCipheriv,
  createDecipheriv,
  createDiffieHellman,
  createECDH,
  createHash,
  createHmac,
  createSecretKey,
  hash,
  hkdfSync,
  scrypt as opensslScrypt,
  pbkdf2Sync,
  randomFillSync,
  timingSafeEqual,
} from "node:crypto";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
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

/**
 * Every call below takes its key in this form: Node finds out what kind of key it was given by exceptions that it
 * catches, which takes three times as long as enciphering a kibibyte.
 */
const secret = createSecretKey;

const SHA256_BYTES = 32;
/** Of a Diffie–Hellman group; no power here is one of it. */
const GENERATOR = Uint8Array.of(2);

function asPlainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** By way of a string, and into memory of the JavaScript heap: a `Buffer` for each digest takes half as long again. */
export function sha256(data: Uint8Array): Uint8Array {
  const characters = hash("sha256", data, "binary");
  const digest = new Uint8Array(SHA256_BYTES);
  for (let k = 0; k < SHA256_BYTES; k++) digest[k] = characters.charCodeAt(k);
  return digest;
}

export function createSha256(): Sha256 {
  const state = createHash("sha256");
  return {
    update(data) {
      state.update(data);
    },
    digest() {
      return asPlainBytes(state.digest());
    },
  };
}

export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  return asPlainBytes(createHmac("sha256", secret(key)).update(data).digest());
}

export function hkdfSha256(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  checkHkdfArguments(info, length);
  return new Uint8Array(hkdfSync("sha256", secret(ikm), salt, info, length));
}

export function pbkdf2Sha512(password: Uint8Array, salt: Uint8Array, iterations: number, length: number): Uint8Array {
  return asPlainBytes(pbkdf2Sync(password, salt, iterations, length, "sha512"));
}

export function scrypt(
  passphrase: Uint8Array,
  salt: Uint8Array,
  cost: ScryptCost,
  length: number,
): Promise<Uint8Array> {
  const { n: N, r, p } = cost;
  return new Promise((resolve, reject) => {
    opensslScrypt(passphrase, salt, length, { N, r, p, maxmem: scryptMemory(cost) }, (error, key) => {
      if (error) reject(error);
      else resolve(asPlainBytes(key));
    });
  });
}

export function aes256GcmSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  checkGcmArguments(key, nonce);
  const cipher = createCipheriv("aes-256-gcm", secret(key), nonce, { authTagLength: GCM_TAG_BYTES });
  cipher.setAAD(aad);
  // GCM is a stream mode: `update` returns every byte, `final` returns none and only closes the tag.
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  // Not zero-filled, because every byte is written below; not from the pool, because the result outlives the call.
  const sealed = asPlainBytes(Buffer.allocUnsafeSlow(ciphertext.length + GCM_TAG_BYTES));
  sealed.set(ciphertext, 0);
  sealed.set(cipher.getAuthTag(), ciphertext.length);
  return sealed;
}

/** Bytes that are ciphered in place at a time: the copy of the result is then in the cache when it is moved. */
const IN_PLACE_AT_A_TIME = 65_536;

export function aes256GcmSealInPlace(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  memory: Uint8Array,
  plaintextBytes: number,
): void {
  checkGcmArguments(key, nonce);
  checkSealingRoom(memory, plaintextBytes);
  const cipher = createCipheriv("aes-256-gcm", secret(key), nonce, { authTagLength: GCM_TAG_BYTES });
  cipher.setAAD(aad);
  for (let start = 0; start < plaintextBytes; start += IN_PLACE_AT_A_TIME) {
    const end = Math.min(start + IN_PLACE_AT_A_TIME, plaintextBytes);
    memory.set(cipher.update(memory.subarray(start, end)), start);
  }
  cipher.final();
  memory.set(cipher.getAuthTag(), plaintextBytes);
}

export function aes256GcmOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  checkGcmArguments(key, nonce);
  if (sealed.length < GCM_TAG_BYTES) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", secret(key), nonce, { authTagLength: GCM_TAG_BYTES });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(sealed.length - GCM_TAG_BYTES));
  const plaintext = decipher.update(sealed.subarray(0, sealed.length - GCM_TAG_BYTES));
  try {
    decipher.final();
  } catch {
    // The only failure left at this point: OpenSSL compares the tags here and says nothing else.
    plaintext.fill(0);
    return undefined;
  }
  return asPlainBytes(plaintext);
}

export function aes256GcmOpenInPlace(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): boolean {
  checkGcmArguments(key, nonce);
  const plaintextBytes = sealed.length - GCM_TAG_BYTES;
  if (plaintextBytes < 0) return false;
  const decipher = createDecipheriv("aes-256-gcm", secret(key), nonce, { authTagLength: GCM_TAG_BYTES });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(plaintextBytes));
  for (let start = 0; start < plaintextBytes; start += IN_PLACE_AT_A_TIME) {
    const end = Math.min(start + IN_PLACE_AT_A_TIME, plaintextBytes);
    sealed.set(decipher.update(sealed.subarray(start, end)), start);
  }
  try {
    decipher.final();
  } catch {
    sealed.fill(0, 0, plaintextBytes);
    return false;
  }
  return true;
}

export function aes256CtrInPlace(key: Uint8Array, counter: Uint8Array, memory: Uint8Array): void {
  checkCtrArguments(key, counter);
  const cipher = createCipheriv("aes-256-ctr", secret(key), counter);
  for (let start = 0; start < memory.length; start += IN_PLACE_AT_A_TIME) {
    memory.set(cipher.update(memory.subarray(start, start + IN_PLACE_AT_A_TIME)), start);
  }
}

const SECP256K1_KEY_BYTES = 32;

/** By OpenSSL: tables of a library in JavaScript take as long to make as a command takes to start. */
export function secp256k1PublicKey(privateKey: Uint8Array, isCompressed: boolean): Uint8Array | undefined {
  // OpenSSL would take a shorter number.
  if (privateKey.length !== SECP256K1_KEY_BYTES) return undefined;
  const pair = createECDH("secp256k1");
  try {
    pair.setPrivateKey(privateKey);
  } catch {
    return undefined;
  }
  return asPlainBytes(pair.getPublicKey(null, isCompressed ? "compressed" : "uncompressed"));
}

/** Node's default; shorter memory might be part of a pool. */
const LEAST_OUTPUT_BYTES = 16_384;

export function zstdDecompress(frame: Uint8Array, sizeBytes: number): Uint8Array | undefined {
  try {
    // All output in one piece of memory, with a byte to spare, which tells zlib that there is no more: pieces of the
    // default length would be joined afterwards.
    const chunkSize = Math.max(sizeBytes + 1, LEAST_OUTPUT_BYTES);
    const bytes = zstdDecompressSync(frame, { maxOutputLength: Math.max(sizeBytes, 1), chunkSize });
    return bytes.length === sizeBytes ? asPlainBytes(bytes) : undefined;
  } catch {
    // Whatever is wrong with the frame: the caller names the object it came from.
    return undefined;
  }
}

/** Not by the stream of the web, whose classes alone take longer to load than this takes to run. */
export async function gunzipBase64(text: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(gunzipSync(Buffer.from(text, "base64")));
}

/**
 * By way of finite-field Diffie–Hellman, whose shared secret is just this power: OpenSSL computes it in constant time,
 * and does not ask whether the modulus is prime. RSA calls are of no use here, because they need the public exponent
 * that belongs to the exponent, which is a secret of the whole key.
 */
export function modularPower(exponent: Uint8Array, modulus: Uint8Array): (base: Uint8Array) => Uint8Array {
  const exchange = createDiffieHellman(modulus, GENERATOR);
  exchange.setPrivateKey(exponent);
  return (base) => asPlainBytes(exchange.computeSecret(base));
}

export function randomBytes(n: number): Uint8Array {
  checkRandomLength(n);
  return randomFillSync(new Uint8Array(n));
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
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
