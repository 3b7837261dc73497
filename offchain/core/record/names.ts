/** Names of key records, and the key that only somebody who has the file can derive. */

import { secp256k1 } from "@noble/curves/secp256k1.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { ADDRESS_BYTES, addressOfPrivateKey } from "../encoding/address.ts";
import { digestOf } from "../encoding/content-id.ts";
import { fromHex } from "../encoding/hex.ts";
import { u64be } from "../encoding/integers.ts";
import { InvalidInputError } from "../errors.ts";
import type { KeyRecordHeader } from "./header.ts";

const FILE_TAG = domainTag("file-tag");
/** secp256k1 keys are reduced from this many bytes, so that their bias is below 2^-128 (FIPS 186-5 §A.2.1). */
const OWNERSHIP_SEED_BYTES = 48;
const WORD_BYTES = 32;

/**
 * The name of a file on chain: sha256("tallystick/v1/file-tag" ‖ 0x00 ‖ digest of the data id).
 * @returns 32 bytes
 * @throws InvalidInputError for a malformed data id
 */
export function fileTag(dataId: string): Uint8Array {
  return sha256(concatBytes(FILE_TAG, digestOf(dataId)));
}

/**
 * What the sealed messages of an account about a file are bound to, in all of its records: keccak256 of account and
 * file tag, a word each.
 * @param tag 32 bytes
 * @returns 32 bytes
 * @throws InvalidInputError for a malformed account or tag
 */
export function fileScope(account: string, tag: Uint8Array): Uint8Array {
  if (tag.length !== WORD_BYTES) {
    throw new InvalidInputError(`file tag has ${tag.length} bytes`, {
      check: "file tag length",
      expected: `${WORD_BYTES} bytes`,
      received: `${tag.length} bytes`,
    });
  }
  return keccak_256(concatBytes(addressWord(account, "account"), tag));
}

/**
 * What the sealed key of a record is labelled with: keccak256 of account, file tag, committee id, key time and
 * ownership key, a word each. The id of the record itself cannot be, because it is a hash of the sealed key too.
 * @returns 32 bytes
 * @throws InvalidInputError for a malformed field
 */
export function recordSecretId(header: KeyRecordHeader): Uint8Array {
  return keccak_256(
    concatBytes(
      addressWord(header.account, "account"),
      fromHex(header.fileTag, WORD_BYTES, "file tag"),
      word(u64be(header.committeeId)),
      word(u64be(header.keyTime)),
      addressWord(header.ownershipKey, "ownership key"),
    ),
  );
}

function addressWord(address: string, what: string): Uint8Array {
  return word(fromHex(address, ADDRESS_BYTES, what));
}

/** Padded on the left, as the ABI encodes addresses and numbers. */
function word(bytes: Uint8Array): Uint8Array {
  return concatBytes(new Uint8Array(WORD_BYTES - bytes.length), bytes);
}

/**
 * The secp256k1 private key that shows possession of a file: it derives from the file key, so every owner has it.
 * @param fileKey 32 bytes
 * @returns 32 bytes
 */
export function ownershipKey(fileKey: Uint8Array): Uint8Array {
  const seed = kdf(fileKey, "ownership", new Uint8Array(0), OWNERSHIP_SEED_BYTES);
  const key = secp256k1.utils.randomSecretKey(seed);
  seed.fill(0);
  return key;
}

/** The address of `ownershipKey(fileKey)`, which the record carries. */
export function ownershipAddress(fileKey: Uint8Array): string {
  const key = ownershipKey(fileKey);
  const address = addressOfPrivateKey(key);
  key.fill(0);
  return address;
}
