/**
 * Stub files: the stubs of all packages of a put, in the order of its recipe, sealed for its owner or ownership group.
 *
 *     head = u8 version 1 ‖ u64 epoch ‖ salt (32)                                                        (41 bytes)
 *     file = head ‖ AES-256-GCM(kdf(epoch key, "stub-file", salt), 12 zero bytes,
 *                               tag("stub-file") ‖ data id digest (32) ‖ head, stubs (64 each))          (57 + 64·n)
 *
 * The salt is drawn each time a stub file is sealed, so a key seals one plaintext although two devices may seal
 * different ones in one epoch. A revocation opens the file and seals it for the next epoch; the packages stay.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { aes256GcmOpen, aes256GcmSeal, randomBytes } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { digestOf } from "../encoding/content-id.ts";
import { u64be } from "../encoding/integers.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../errors.ts";
import { type StubScope, scopeBytes } from "./epoch-key.ts";
import { STUB_BYTES } from "./package.ts";

/** Most stubs in a file: packages of 64 GiB at 1 MiB each. */
export const MAX_STUBS = 65_536;

const VERSION = 1;
const SALT_BYTES = 32;
const SALT_AT = 9;
const HEAD_BYTES = SALT_AT + SALT_BYTES;
const TAG_BYTES = 16;
const ZERO_NONCE = new Uint8Array(12);
const STUB_FILE_TAG = domainTag("stub-file");

/** Longest stub file. */
export const MAX_STUB_FILE_BYTES = stubFileBytes(MAX_STUBS);

/** Length of the file with this many stubs. */
export function stubFileBytes(stubs: number): number {
  return HEAD_BYTES + stubs * STUB_BYTES + TAG_BYTES;
}

/**
 * Seals stubs.
 * @param key of the epoch, from `epochKey`
 * @param stubs one after the other, 64 bytes each
 * @param salt 32 bytes that no other sealing uses. Default: random
 * @throws InvalidInputError for a length that is no number of stubs, or above the limit
 */
export function sealStubFile(
  key: Uint8Array,
  scope: StubScope,
  stubs: Uint8Array,
  salt: Uint8Array = randomBytes(SALT_BYTES),
): Uint8Array {
  if (stubs.length % STUB_BYTES !== 0 || stubs.length > MAX_STUBS * STUB_BYTES) {
    throw new InvalidInputError("stubs have a wrong length", {
      check: "length of the stubs",
      expected: `a multiple of ${STUB_BYTES}, at most ${MAX_STUBS * STUB_BYTES} bytes`,
      received: `${stubs.length} bytes`,
    });
  }
  if (salt.length !== SALT_BYTES) {
    throw new InvalidInputError("salt of a stub file has the wrong length", { check: "length of the salt" });
  }
  const digestBytes = scopeBytes(scope).subarray(0, -8);
  const head = concatBytes(Uint8Array.of(VERSION), u64be(BigInt(scope.epoch)), salt);
  const aad = concatBytes(STUB_FILE_TAG, digestBytes, head);
  return concatBytes(head, aes256GcmSeal(kdf(key, "stub-file", salt), ZERO_NONCE, aad, stubs));
}

/**
 * The epoch that a sealed stub file says it is of, which nothing vouches for before it is opened.
 * @param party who sent it, for errors
 * @throws UnknownVersionError; IntegrityError naming the party for a length that no stub file has
 */
export function epochOf(sealed: Uint8Array, party: string): number {
  const [version] = sealed;
  if (version !== undefined && version !== VERSION) throw new UnknownVersionError("stub file", version, [VERSION]);
  const stubBytes = sealed.length - HEAD_BYTES - TAG_BYTES;
  if (stubBytes < 0 || stubBytes % STUB_BYTES !== 0 || sealed.length > MAX_STUB_FILE_BYTES) {
    throw new IntegrityError(`${party}: stub file has a wrong length`, {
      party,
      check: "length of the stub file",
      expected: `${HEAD_BYTES + TAG_BYTES} bytes and ${STUB_BYTES} for each of at most ${MAX_STUBS} stubs`,
      received: `${sealed.length} bytes`,
    });
  }
  const epoch = new DataView(sealed.buffer, sealed.byteOffset).getBigUint64(1);
  if (epoch >= 1n && epoch <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(epoch);
  throw new IntegrityError(`${party}: stub file has an epoch out of range`, {
    party,
    check: "epoch of the stub file",
    expected: "an integer from 1 to 2^53 − 1",
    received: String(epoch),
  });
}

/**
 * Opens a stub file.
 * @param key of the epoch
 * @param scope the epoch that is expected. An older file that is presented again does not open
 * @param party who sent it, for errors
 * @returns the stubs, one after the other
 * @throws as `epochOf`; IntegrityError naming the party when it is of another epoch, or does not open
 */
export function openStubFile(key: Uint8Array, scope: StubScope, sealed: Uint8Array, party: string): Uint8Array {
  const epoch = epochOf(sealed, party);
  if (epoch !== scope.epoch) {
    throw new IntegrityError(`${party}: stub file of ${scope.dataId} is of another epoch`, {
      party,
      check: "epoch of the stub file",
      expected: String(scope.epoch),
      received: String(epoch),
      hint: epoch < scope.epoch ? "an older stub file was presented again" : "ask for the keys of the newer epoch",
    });
  }
  const head = sealed.subarray(0, HEAD_BYTES);
  const aad = concatBytes(STUB_FILE_TAG, digestOf(scope.dataId), head);
  const fileKey = kdf(key, "stub-file", head.subarray(SALT_AT));
  const stubs = aes256GcmOpen(fileKey, ZERO_NONCE, aad, sealed.subarray(HEAD_BYTES));
  if (stubs !== undefined) return stubs;
  throw new IntegrityError(`${party}: stub file of ${scope.dataId} does not open`, {
    party,
    check: "AES-256-GCM tag",
    hint: "it is damaged, of another put, or sealed under a key of another epoch",
  });
}

/** One stub of an opened file. @throws IntegrityError when the file is shorter than the recipe says */
export function stubAt(stubs: Uint8Array, position: number): Uint8Array {
  const stub = stubs.subarray(position * STUB_BYTES, (position + 1) * STUB_BYTES);
  if (stub.length === STUB_BYTES) return stub;
  throw new IntegrityError("the stub file has too few stubs", {
    check: "number of stubs",
    expected: `more than ${position}`,
    received: String(stubs.length / STUB_BYTES),
  });
}
