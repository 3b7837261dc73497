/**
 * The stub file of an ownership group: two layers, of which an owner opens both and nobody else does.
 *
 *     access key     kdf(group id, "group-access", data id digest (32) ‖ u64 epoch)
 *     stub file      as stub-file.ts, under the epoch key of file key and access key, sealed by the founder
 *     head           u8 1 ‖ u64 epoch of the group ‖ salt (32)                                          (41 bytes)
 *     wrapped        head ‖ AES-256-GCM(kdf(group key, "group-stubs", salt), 12 zero bytes,
 *                                       tag("group-stubs") ‖ group id (32) ‖ head, stub file)
 *
 * The inner layer keeps the provider out, which knows the group key and not the file key. The outer one keeps former
 * owners out, who know the file key and not the group key of a later epoch. The provider, which manages the group, puts
 * the outer layer on each time it serves the file, with a salt of its own; so a change of owners rewrites no stubs.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { aes256GcmOpen, aes256GcmSeal, randomBytes } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { u64be } from "../encoding/integers.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../errors.ts";
import { type StubScope, scopeBytes } from "./epoch-key.ts";
import { GROUP_ID_BYTES } from "./group-keys.ts";
import { MAX_STUB_FILE_BYTES } from "./stub-file.ts";

const VERSION = 1;
const SALT_BYTES = 32;
const SALT_AT = 9;
const HEAD_BYTES = SALT_AT + SALT_BYTES;
const TAG_BYTES = 16;
const ZERO_NONCE = new Uint8Array(12);
const WRAP_TAG = domainTag("group-stubs");

/** Longest wrapped stub file. */
export const MAX_WRAPPED_BYTES = HEAD_BYTES + MAX_STUB_FILE_BYTES + TAG_BYTES;

/** The group in one epoch, as far as its stub file is concerned. */
interface WrappingKey {
  readonly groupId: Uint8Array;
  readonly epoch: number;
  /** 32 bytes. */
  readonly groupKey: Uint8Array;
}

/** The access key of the inner layer: public, but of one group, so that its stub files differ from all others. */
export function groupAccessKey(groupId: Uint8Array, scope: StubScope): Uint8Array {
  if (groupId.length !== GROUP_ID_BYTES) {
    throw new InvalidInputError("group id has the wrong length", {
      check: "length of the group id",
      expected: `${GROUP_ID_BYTES} bytes`,
      received: `${groupId.length} bytes`,
    });
  }
  return kdf(groupId, "group-access", scopeBytes(scope));
}

/**
 * Puts the outer layer on.
 * @param salt 32 bytes that no other wrapping uses. Default: random
 */
export function wrapGroupStubs(
  { groupId, epoch, groupKey }: WrappingKey,
  stubFile: Uint8Array,
  salt: Uint8Array = randomBytes(SALT_BYTES),
): Uint8Array {
  const head = concatBytes(Uint8Array.of(VERSION), u64be(BigInt(epoch)), salt);
  const aad = concatBytes(WRAP_TAG, groupId, head);
  return concatBytes(head, aes256GcmSeal(kdf(groupKey, "group-stubs", salt), ZERO_NONCE, aad, stubFile));
}

/**
 * The epoch of the group that a wrapped file says it is of, which nothing vouches for before it is opened.
 * @param party who sent it, for errors
 * @throws UnknownVersionError; IntegrityError naming the party for a length or an epoch out of range
 */
export function wrappedEpoch(wrapped: Uint8Array, party: string): number {
  const [version] = wrapped;
  if (version !== undefined && version !== VERSION) {
    throw new UnknownVersionError("stub file of a group", version, [VERSION]);
  }
  if (wrapped.length < HEAD_BYTES + TAG_BYTES || wrapped.length > MAX_WRAPPED_BYTES) {
    throw new IntegrityError(`${party}: stub file of a group has a wrong length`, {
      party,
      check: "length of the wrapped stub file",
      expected: `${HEAD_BYTES + TAG_BYTES} to ${MAX_WRAPPED_BYTES} bytes`,
      received: `${wrapped.length} bytes`,
    });
  }
  const epoch = new DataView(wrapped.buffer, wrapped.byteOffset).getBigUint64(1);
  if (epoch >= 1n && epoch <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(epoch);
  throw new IntegrityError(`${party}: stub file of a group has an epoch out of range`, {
    party,
    check: "epoch of the group",
    expected: "an integer from 1 to 2^53 − 1",
    received: String(epoch),
  });
}

/**
 * Takes the outer layer off.
 * @returns the stub file, sealed
 * @throws as `wrappedEpoch`; IntegrityError naming the party when it is of another epoch, or does not open
 */
export function unwrapGroupStubs(
  { groupId, epoch, groupKey }: WrappingKey,
  wrapped: Uint8Array,
  party: string,
): Uint8Array {
  const received = wrappedEpoch(wrapped, party);
  const head = wrapped.subarray(0, HEAD_BYTES);
  const key = kdf(groupKey, "group-stubs", head.subarray(SALT_AT));
  const aad = concatBytes(WRAP_TAG, groupId, head);
  const stubFile = received === epoch ? aes256GcmOpen(key, ZERO_NONCE, aad, wrapped.subarray(HEAD_BYTES)) : undefined;
  if (stubFile !== undefined) return stubFile;
  throw new IntegrityError(`${party}: stub file of the group does not open`, {
    party,
    check: received === epoch ? "AES-256-GCM tag" : "epoch of the group",
    expected: `epoch ${epoch}`,
    received: `epoch ${received}`,
    hint: "it is damaged, or wrapped under a group key that this owner does not have",
  });
}
