/**
 * Encryption of chunks and recipes, and the OPRF inputs their keys come from.
 *
 * Chunks: AES-256-GCM (NIST SP 800-38D) with an all-zero nonce. That is sound here, and only here, because a chunk key
 * is derived from the digest of the frame that it encrypts (message-locked encryption, Bellare–Keelveedhi–Ristenpart
 * 2013, with the server-aided keys of DupLESS, 2013): one key encrypts one frame, ever. It derives from the frame, not
 * from the plaintext before compression: two compressors that disagree about a plaintext then have two keys, instead of
 * one key and nonce for two frames. Format version and length are associated data. GCM does not commit to its key; the
 * recipe pins the SHA-256 of the ciphertext beside the key, which does.
 *
 * Recipes: AES-256-GCM-SIV (RFC 8452) with an all-zero nonce. A file key may encrypt several recipe objects, and later
 * other encodings of the same file, so nonces repeat. With SIV, a repeated nonce reveals only whether two recipes are
 * equal, which deduplication reveals anyway.
 */
import { gcmsiv } from "@noble/ciphers/aes.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { aes256GcmOpen, aes256GcmOpenInPlace, aes256GcmSeal, aes256GcmSealInPlace } from "#primitives";
import { DIGEST_BYTES } from "../encoding/content-id.ts";
import { u64be } from "../encoding/integers.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../errors.ts";
import { domainTag, kdf } from "./kdf.ts";

/** Version of the chunk format: chunker, key derivation and cipher together. Part of the associated data. */
export const CHUNK_FORMAT_VERSION = 1;

/** Version of the recipe format; the first byte of every sealed recipe object. */
export const RECIPE_FORMAT_VERSION = 1;

/** Bytes by which a sealed chunk is longer than its frame. */
export const CHUNK_OVERHEAD_BYTES = 16;

/** Bytes by which a sealed recipe object is longer than its plaintext: version byte and tag. */
export const RECIPE_OVERHEAD_BYTES = 17;

/** The domain whose users all deduplicate against each other. */
export const PUBLIC_DOMAIN = "public";

const KEY_BYTES = 32;
const MAX_DOMAIN_BYTES = 255;
const SHOWN_CHARACTERS = 64;
const ZERO_NONCE = new Uint8Array(12);
const CHUNK_TAG = domainTag("chunk");
const RECIPE_TAG = domainTag("recipe");
const OPRF_TAG = domainTag("oprf");
/** What noble throws when, and only when, a GCM-SIV tag does not verify. */
const NOBLE_INVALID_TAG = "invalid polyval tag";
const encoder = new TextEncoder();

const OPRF_KINDS = { chunk: 1, file: 2, bundle: 3, merkle: 4 } as const;

/** What a key belongs to. */
export type KeyKind = keyof typeof OPRF_KINDS;

/**
 * What a sealed recipe object is: the root of a put, or a list of chunks (level 0) or of further lists (level 1 and
 * up).
 */
export type RecipeKind = "root" | "list";
const RECIPE_KINDS = { root: 1, list: 2 } as const;

function requireKey(key: Uint8Array): void {
  if (key.length === KEY_BYTES) return;
  throw new InvalidInputError("key has the wrong length", {
    check: "key length",
    expected: `${KEY_BYTES} bytes`,
    received: `${key.length} bytes`,
  });
}

/**
 * Checks the name of a dedup domain: well-formed Unicode, 1 to 255 bytes of UTF-8.
 * @returns its UTF-8 bytes
 * @throws InvalidInputError
 */
export function domainBytes(domain: string): Uint8Array {
  const bytes = encoder.encode(domain);
  if (bytes.length >= 1 && bytes.length <= MAX_DOMAIN_BYTES && domain.isWellFormed()) return bytes;
  throw new InvalidInputError("dedup domain is malformed", {
    check: "dedup domain",
    expected: `1 to ${MAX_DOMAIN_BYTES} bytes of UTF-8`,
    received: JSON.stringify(domain.slice(0, SHOWN_CHARACTERS)),
  });
}

/**
 * Returns the OPRF input for a content:
 * domainTag("oprf") ‖ u8 kind (1 chunk, 2 file, 3 bundle, 4 merkle) ‖ u16be length of the domain ‖ domain ‖
 * digest.
 * @param domain dedup domain: only inputs of one domain share keys
 * @param digest 32 bytes: SHA-256 of the frame (chunk), `fileDigest`, `bundleDigest`, `merkleRoot`, or SHA-256
 *   of the encoded root
 * @throws InvalidInputError for a malformed domain or digest
 */
export function oprfInput(domain: string, kind: KeyKind, digest: Uint8Array): Uint8Array {
  if (digest.length !== DIGEST_BYTES) {
    throw new InvalidInputError("digest has the wrong length", {
      check: "digest length",
      expected: `${DIGEST_BYTES} bytes`,
      received: `${digest.length} bytes`,
    });
  }
  const name = domainBytes(domain);
  const header = Uint8Array.of(OPRF_KINDS[kind], name.length >> 8, name.length & 0xff);
  return concatBytes(OPRF_TAG, header, name, digest);
}

/**
 * Derives the key of a chunk.
 * @param oprfOutput the committee's output for `oprfInput(…, "chunk", …)`
 * @returns 32 bytes
 */
export function chunkKey(oprfOutput: Uint8Array): Uint8Array {
  return kdf(oprfOutput, "chunk-key");
}

/**
 * Derives the key of a file.
 * @param oprfOutput the committee's output for `oprfInput(…, "file", …)`
 * @returns 32 bytes
 */
export function fileKey(oprfOutput: Uint8Array): Uint8Array {
  return kdf(oprfOutput, "file-key");
}

/** Associated data of a chunk: domainTag("chunk") ‖ u8 version ‖ u64be length of the frame. */
function chunkAad(frameBytes: number): Uint8Array {
  return concatBytes(CHUNK_TAG, Uint8Array.of(CHUNK_FORMAT_VERSION), u64be(BigInt(frameBytes)));
}

/**
 * Encrypts a chunk under the key that belongs to its content and to no other.
 * @param key from `chunkKey`, 32 bytes
 * @param frame codec byte and payload, see recipe/frame.ts
 * @returns ciphertext ‖ tag, 16 bytes longer than the frame
 * @throws InvalidInputError for a key of another length
 */
export function sealChunk(key: Uint8Array, frame: Uint8Array): Uint8Array {
  requireKey(key);
  return aes256GcmSeal(key, ZERO_NONCE, chunkAad(frame.length), frame);
}

/**
 * Encrypts a chunk where it is.
 * @param memory starts with the frame; afterwards with the sealed chunk
 * @returns the sealed chunk, a view of the memory
 * @throws InvalidInputError for a key of another length; RangeError without room for the tag
 */
export function sealChunkInPlace(key: Uint8Array, memory: Uint8Array, frameBytes: number): Uint8Array {
  requireKey(key);
  aes256GcmSealInPlace(key, ZERO_NONCE, chunkAad(frameBytes), memory, frameBytes);
  return memory.subarray(0, frameBytes + CHUNK_OVERHEAD_BYTES);
}

/**
 * Decrypts a chunk.
 * @param sealedBytes length that the recipe states
 * @param label names the chunk in errors, for example its id and the file it belongs to
 * @returns the frame
 * @throws IntegrityError if the length or the tag is wrong
 */
export function openChunk(key: Uint8Array, ciphertext: Uint8Array, sealedBytes: number, label: string): Uint8Array {
  requireKey(key);
  requireChunkLength(ciphertext, sealedBytes, label);
  const frame = aes256GcmOpen(key, ZERO_NONCE, chunkAad(sealedBytes - CHUNK_OVERHEAD_BYTES), ciphertext);
  if (frame === undefined) throw undecryptable(label);
  return frame;
}

/**
 * Decrypts a chunk where it is; see `openChunk`.
 * @param ciphertext is overwritten
 * @returns the frame, a view of the ciphertext's memory
 */
export function openChunkInPlace(
  key: Uint8Array,
  ciphertext: Uint8Array,
  sealedBytes: number,
  label: string,
): Uint8Array {
  requireKey(key);
  requireChunkLength(ciphertext, sealedBytes, label);
  const frameBytes = sealedBytes - CHUNK_OVERHEAD_BYTES;
  if (!aes256GcmOpenInPlace(key, ZERO_NONCE, chunkAad(frameBytes), ciphertext)) throw undecryptable(label);
  return ciphertext.subarray(0, frameBytes);
}

function requireChunkLength(ciphertext: Uint8Array, sealedBytes: number, label: string): void {
  if (ciphertext.length === sealedBytes) return;
  throw new IntegrityError(`chunk ${label} has the wrong length`, {
    check: "chunk length",
    expected: `${sealedBytes} bytes`,
    received: `${ciphertext.length} bytes`,
  });
}

function undecryptable(label: string): IntegrityError {
  return new IntegrityError(`chunk ${label} does not decrypt`, { check: "AES-256-GCM tag" });
}

/** Associated data of a recipe object: domainTag("recipe") ‖ u8 version ‖ u8 kind (1 root, 2 list) ‖ u64be length. */
function recipeAad(kind: RecipeKind, plaintextBytes: number): Uint8Array {
  return concatBytes(
    RECIPE_TAG,
    Uint8Array.of(RECIPE_FORMAT_VERSION, RECIPE_KINDS[kind]),
    u64be(BigInt(plaintextBytes)),
  );
}

/** The key of a file's recipe objects; the file key itself is kept for sharing and for the ownership key. */
function recipeKey(fileKeyBytes: Uint8Array): Uint8Array {
  requireKey(fileKeyBytes);
  return kdf(fileKeyBytes, "recipe-key");
}

/**
 * Encrypts a recipe object.
 * @param fileKeyBytes key of the file (or of the put) it describes, 32 bytes
 * @param bytes canonical encoding from recipe.ts
 * @returns u8 version ‖ ciphertext ‖ tag. Deterministic: equal recipes seal to equal bytes
 * @throws InvalidInputError for a key of another length
 */
export function sealRecipe(fileKeyBytes: Uint8Array, kind: RecipeKind, bytes: Uint8Array): Uint8Array {
  const sealed = gcmsiv(recipeKey(fileKeyBytes), ZERO_NONCE, recipeAad(kind, bytes.length)).encrypt(bytes);
  return concatBytes(Uint8Array.of(RECIPE_FORMAT_VERSION), sealed);
}

/**
 * Decrypts a recipe object.
 * @param label names the object in errors
 * @throws UnknownVersionError if its first byte is not a version this build reads
 * @throws IntegrityError if it is truncated or its tag does not verify
 */
export function openRecipe(
  fileKeyBytes: Uint8Array,
  kind: RecipeKind,
  sealed: Uint8Array,
  label = "of this data id",
): Uint8Array {
  const version = sealed[0];
  if (version === undefined || sealed.length < RECIPE_OVERHEAD_BYTES) {
    throw new IntegrityError(`recipe ${label} is truncated`, {
      check: "recipe length",
      expected: `at least ${RECIPE_OVERHEAD_BYTES} bytes`,
      received: `${sealed.length} bytes`,
    });
  }
  if (version !== RECIPE_FORMAT_VERSION) throw new UnknownVersionError("recipe", version, [RECIPE_FORMAT_VERSION]);
  const aad = recipeAad(kind, sealed.length - RECIPE_OVERHEAD_BYTES);
  try {
    return gcmsiv(recipeKey(fileKeyBytes), ZERO_NONCE, aad).decrypt(sealed.subarray(1));
  } catch (error) {
    if (!(error instanceof Error) || error.message !== NOBLE_INVALID_TAG) throw error;
    throw new IntegrityError(`recipe ${label} does not decrypt`, { check: "AES-256-GCM-SIV tag" });
  }
}
