/**
 * Deterministic all-or-nothing packages: chunks that open with a stub of 64 bytes each, and with nothing less. The
 * construction is the enhanced scheme of REED (J. Li, C. Qin, P. P. C. Lee, J. Li, "Rekeying for Encrypted
 * Deduplication Storage", DSN 2016), a convergent form of Rivest's package transform (FSE 1997) with the hash of
 * CAONT-RS (CDStore, ATC 2015). For a frame B of L bytes and its package key K:
 *
 *     C = B ⊕ AES-256-CTR(kdf(K, "package-inner"))
 *     h = SHA-256(tag("package") ‖ u8 1 ‖ u64 L ‖ K ‖ C)
 *     outer key (32) ‖ mask (32) ‖ end (16) = kdf(h, "package-pad")
 *     object = C ⊕ AES-256-CTR(outer key) ‖ end                                                   (L + 16 bytes)
 *     stub   = m ‖ t,  m = K ⊕ mask,  t = h ⊕ SHA-256(tag("package-stub") ‖ u8 1 ‖ SHA-256(object) ‖ m)   (64 bytes)
 *
 * Deviations from REED: the end of the package is masked with a hash where REED has XOR of its parts; that hash takes
 * the digest which names the object anyway, so it costs no pass. 16 bytes that follow from h make the object as long as
 * a sealed chunk, and keep short frames of different content from having the same object.
 *
 * Both keys are needed: who kept K but not h faces the outer stream, who kept h but not K the inner one. h comes from
 * the whole of C, so K and the digest of the frame, with which anybody can ask for K, do not give it. The stub has 64
 * bytes of secrets, and whoever kept 64 bytes of each chunk it once opened needs no stub: no scheme that rewrites 64
 * bytes can do better, because these bytes, the unchanged object and the old keys are all that the chunk ever was.
 * Constant counters are sound for the reason they are for chunks: each key enciphers one content.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { aes256CtrInPlace, createSha256, equalBytes, sha256 } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { DIGEST_BYTES } from "../encoding/content-id.ts";
import { u64be } from "../encoding/integers.ts";
import { IntegrityError, InvalidInputError } from "../errors.ts";

/** Bytes that the holder of an object lacks to open it. */
export const STUB_BYTES = 64;
/** Bytes by which the object of a package is longer than the frame: as many as with a sealed chunk. */
export const PACKAGE_OVERHEAD_BYTES = 16;

const VERSION = Uint8Array.of(1);
const KEY_BYTES = 32;
const PACKAGE_TAG = domainTag("package");
const STUB_TAG = domainTag("package-stub");
const ZERO_COUNTER = new Uint8Array(16);

/** A package that was made. */
export interface Package {
  /** What is stored, a view of the memory that was handed in. */
  readonly object: Uint8Array;
  /** SHA-256 of the object, for its content id. */
  readonly digest: Uint8Array;
  /** 64 secret bytes, which belong into a stub file. */
  readonly stub: Uint8Array;
}

/**
 * Derives the key of a package. It is independent of the key that a sealed chunk of the same frame has.
 * @param oprfOutput the committee's output for the frame, `oprfInput(…, "chunk", …)`
 * @returns 32 bytes
 */
export function packageKey(oprfOutput: Uint8Array): Uint8Array {
  return kdf(oprfOutput, "package-key");
}

/**
 * Makes a package where the frame is.
 * @param key from `packageKey`, 32 bytes
 * @param memory starts with the frame; afterwards with the object
 * @throws InvalidInputError for a key of another length; RangeError without room for the end of the object
 */
export function packInPlace(key: Uint8Array, memory: Uint8Array, frameBytes: number): Package {
  requireLength(key, KEY_BYTES, "package key");
  if (frameBytes + PACKAGE_OVERHEAD_BYTES > memory.length) {
    throw new RangeError(`${memory.length} bytes have no room for a package of ${frameBytes} bytes`);
  }
  const frame = memory.subarray(0, frameBytes);
  aes256CtrInPlace(kdf(key, "package-inner"), ZERO_COUNTER, frame);
  const secret = secretOf(key, frame);
  const { outerKey, mask, end } = padOf(secret);
  aes256CtrInPlace(outerKey, ZERO_COUNTER, frame);
  memory.set(end, frameBytes);
  const object = memory.subarray(0, frameBytes + PACKAGE_OVERHEAD_BYTES);
  const digest = sha256(object);
  const masked = xor(key, mask);
  return { object, digest, stub: concatBytes(masked, xor(secret, stubMask(digest, masked))) };
}

/**
 * Opens a package where the object is.
 * @param stub 64 bytes
 * @param object is overwritten
 * @param digest which names the object. A package opens under its own digest only
 * @param objectBytes length that the recipe states
 * @param label names the object in errors
 * @returns the frame, a view of the object's memory
 * @throws IntegrityError when the length is wrong, or object and stub are not of one package. The memory then holds no
 *   plaintext
 */
export function unpackInPlace(
  stub: Uint8Array,
  object: Uint8Array,
  digest: Uint8Array,
  objectBytes: number,
  label: string,
): Uint8Array {
  requireLength(stub, STUB_BYTES, "stub");
  requireLength(digest, DIGEST_BYTES, "digest of a package");
  const frameBytes = objectBytes - PACKAGE_OVERHEAD_BYTES;
  if (object.length !== objectBytes || frameBytes < 0) {
    throw new IntegrityError(`chunk ${label} has the wrong length`, {
      check: "chunk length",
      expected: `${objectBytes} bytes`,
      received: `${object.length} bytes`,
    });
  }
  const { key, secret, outerKey, end } = openStub(stub, digest);
  const frame = object.subarray(0, frameBytes);
  const hasEnd = equalBytes(end, object.subarray(frameBytes));
  aes256CtrInPlace(outerKey, ZERO_COUNTER, frame);
  if (!equalBytes(secretOf(key, frame), secret) || !hasEnd) {
    object.fill(0);
    throw new IntegrityError(`chunk ${label} does not open with its stub`, { check: "all-or-nothing package" });
  }
  aes256CtrInPlace(kdf(key, "package-inner"), ZERO_COUNTER, frame);
  return frame;
}

/**
 * The package key in a stub, with which a frame is packed again to see whether it is that of the object.
 * @param digest of the object
 */
export function packageKeyOf(stub: Uint8Array, digest: Uint8Array): Uint8Array {
  requireLength(stub, STUB_BYTES, "stub");
  return openStub(stub, digest).key;
}

function openStub(stub: Uint8Array, digest: Uint8Array) {
  const masked = stub.subarray(0, KEY_BYTES);
  const secret = xor(stub.subarray(KEY_BYTES), stubMask(digest, masked));
  const { outerKey, mask, end } = padOf(secret);
  return { key: xor(masked, mask), secret, outerKey, end };
}

/** h of the scheme. */
function secretOf(key: Uint8Array, enciphered: Uint8Array): Uint8Array {
  const hash = createSha256();
  hash.update(concatBytes(PACKAGE_TAG, VERSION, u64be(BigInt(enciphered.length)), key));
  hash.update(enciphered);
  return hash.digest();
}

function padOf(secret: Uint8Array): { outerKey: Uint8Array; mask: Uint8Array; end: Uint8Array } {
  const pad = kdf(secret, "package-pad", new Uint8Array(0), 2 * KEY_BYTES + PACKAGE_OVERHEAD_BYTES);
  return {
    outerKey: pad.subarray(0, KEY_BYTES),
    mask: pad.subarray(KEY_BYTES, 2 * KEY_BYTES),
    end: pad.subarray(2 * KEY_BYTES),
  };
}

function stubMask(digest: Uint8Array, masked: Uint8Array): Uint8Array {
  return sha256(concatBytes(STUB_TAG, VERSION, digest, masked));
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, at) => byte ^ (b[at] ?? 0));
}

function requireLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length === length) return;
  throw new InvalidInputError(`${what} has the wrong length`, {
    check: `length of the ${what}`,
    expected: `${length} bytes`,
    received: `${bytes.length} bytes`,
  });
}
