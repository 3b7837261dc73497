/**
 * The rekeyable file key: the key of a stub file in one epoch.
 *
 *     epoch key = kdf(file key ‖ access key, "stub-epoch", data id digest (32) ‖ u64 epoch)
 *
 * The file key never changes and belongs to the content; everybody who ever owned it may know it, and the provider does
 * not. The access key changes with every revocation: it is the group key of the epoch for an ownership group, and the
 * owner's own `ownerAccessKey` otherwise. A former owner lacks the second, a provider that keeps the group lacks the
 * first.
 *
 * Epoch keys are independent of each other. Key regression, with which a new owner derives the keys of earlier epochs,
 * has no use here: a revocation re-encrypts the whole stub file, 64 bytes per chunk, so one epoch is in use at a time.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { kdf } from "../crypto/kdf.ts";
import { digestOf } from "../encoding/content-id.ts";
import { u64be } from "../encoding/integers.ts";
import { InvalidInputError } from "../errors.ts";

const KEY_BYTES = 32;

/** Which stub file, and which of its epochs. */
export interface StubScope {
  readonly dataId: string;
  /** From 1 to 2^53 − 1. */
  readonly epoch: number;
}

/** data id digest (32) ‖ u64 epoch. @throws InvalidInputError for an epoch out of range */
export function scopeBytes({ dataId, epoch }: StubScope): Uint8Array {
  if (!Number.isSafeInteger(epoch) || epoch < 1) {
    throw new InvalidInputError("epoch of a stub file is out of range", {
      check: "epoch",
      expected: "an integer from 1 to 2^53 − 1",
      received: String(epoch),
    });
  }
  return concatBytes(digestOf(dataId), u64be(BigInt(epoch)));
}

/**
 * @param fileKey of the put, 32 bytes
 * @param accessKey of the epoch, 32 bytes
 * @returns 32 bytes
 * @throws InvalidInputError for a malformed id, epoch or key
 */
export function epochKey(fileKey: Uint8Array, accessKey: Uint8Array, scope: StubScope): Uint8Array {
  for (const [name, key] of Object.entries({ "file key": fileKey, "access key": accessKey })) {
    if (key.length === KEY_BYTES) continue;
    throw new InvalidInputError(`${name} has the wrong length`, {
      check: `length of the ${name}`,
      expected: `${KEY_BYTES} bytes`,
      received: `${key.length} bytes`,
    });
  }
  return kdf(concatBytes(fileKey, accessKey), "stub-epoch", scopeBytes(scope));
}

/**
 * The access key of an owner without a group: it follows from the identity, so the recovery phrase finds it again, and
 * is that of one epoch, so it can be given away with a file.
 * @param identityKey of the account, see identity/identity.ts, 32 bytes
 */
export function ownerAccessKey(identityKey: Uint8Array, scope: StubScope): Uint8Array {
  return kdf(identityKey, "stub-access", scopeBytes(scope));
}
