/**
 * The file key of a record, sealed to the committee's record key (core/sealed-secrets), which stays the same through
 * all generations: a record outlives the members of its day.
 *
 *     label    deployment, `recordSecretId`, number 1, recorder, owners policy, keccak256 of no data
 *     payload  K_F (32)
 *     r        kdf(K_F, "record-seal", S ‖ label, 64) modulo the group order
 *
 * The record id cannot be in the label, because it is a hash of the payload. `recordSecretId` covers the rest of the
 * header, and the owners policy asks for the header of a record on the ledger with that secret id.
 *
 * r derives from the file key, so every owner opens the sealed key alone, and a later owner checks it without asking
 * the committee, which would not yet answer it. K_F has the entropy of an OPRF output, so r is a random scalar to
 * everybody who lacks K_F; one who has it needs no r. A label determines K_F through the ownership key, so each r seals
 * one payload.
 *
 * Deviation from the published record, K_F ‖ MAC ‖ T_K: the header has an address that derives from K_F, and the secret
 * id covers T_K, so neither is repeated inside.
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { kdf } from "../crypto/kdf.ts";
import { isAddressEqual } from "../encoding/address.ts";
import { IntegrityError, InvalidInputError, TallystickError } from "../errors.ts";
import { scalarFromUniform } from "../oprf/group.ts";
import { encodeLabel, type SecretLabel } from "../sealed-secrets/label.ts";
import { type CheckedSecret, checkSealed, openWithScalar, sealSecret } from "../sealed-secrets/sealed-secret.ts";
import type { KeyRecordHeader } from "./header.ts";
import { tagOfDataId } from "./key-record.ts";
import type { LedgerScope } from "./ledger-scope.ts";
import { fileScope, ownershipAddress, recordSecretId } from "./names.ts";
import { encodeRecordPayload, RECORD_PAYLOAD_VERSION, type RecordPayload, SEALED_POLICY } from "./payload.ts";
import { sealSelfEnvelope } from "./self-envelope.ts";

/** A record holds one secret. */
const SECRET_NUMBER = 1;
const FILE_KEY_BYTES = 32;
const UNIFORM_BYTES = 64;
const NO_DATA_HASH = keccak_256(new Uint8Array());

/** To whom a record's key is sealed. */
export interface RecordSeal {
  readonly ledger: LedgerScope;
  /** Address of OwnersPolicy. */
  readonly ownersPolicy: string;
  /** S of the committee's record key. */
  readonly groupKey: Uint8Array;
}

export interface SealedPayloadInput {
  readonly seal: RecordSeal;
  readonly header: KeyRecordHeader;
  /** 32 bytes. */
  readonly fileKey: Uint8Array;
  readonly dataId: string;
  /** The account's own key, for the self envelope. */
  readonly catalogueKey: Uint8Array;
}

/** The label of a record's sealed key. */
export function recordSecretLabel({ ledger, ownersPolicy }: RecordSeal, header: KeyRecordHeader): SecretLabel {
  return {
    ledger,
    recordId: recordSecretId(header),
    version: SECRET_NUMBER,
    author: header.account,
    policy: ownersPolicy,
    policyDataHash: NO_DATA_HASH,
  };
}

/**
 * Makes the payload of a record with the file key sealed to the committee. All of it but the proof is the same every
 * time.
 *
 * @throws InvalidInputError for a header of another file or key, and for malformed fields
 * @throws InvalidPointError for a malformed group key
 */
export function buildSealedPayload(input: SealedPayloadInput): Uint8Array {
  const { seal, header, fileKey, dataId, catalogueKey } = input;
  const tag = tagOfDataId(header, dataId);
  if (fileKey.length !== FILE_KEY_BYTES || !isAddressEqual(ownershipAddress(fileKey), header.ownershipKey)) {
    throw new InvalidInputError("the ownership key of the record is not that of the file key", {
      check: "ownership key",
    });
  }
  const context = { ledger: seal.ledger, fileScope: fileScope(header.account, tag), catalogueKey };
  const label = recordSecretLabel(seal, header);
  return encodeRecordPayload({
    version: RECORD_PAYLOAD_VERSION,
    policy: SEALED_POLICY,
    selfEnvelope: sealSelfEnvelope(context, { dataId, fileKey }),
    sealedKey: sealSecret(seal.groupKey, label, fileKey, sealingScalar(seal, label, fileKey)),
    commitments: [],
    envelopes: [],
  });
}

/**
 * Checks that the sealed key of a record was sealed to this committee under this record's label. What it holds is seen
 * when it is opened.
 *
 * @throws TallystickError UNKNOWN_VERSION, INTEGRITY, INVALID_POINT or INVALID_PROOF naming the recorder
 * @throws InvalidInputError when the record has no sealed key
 */
export function checkSealedKey(payload: RecordPayload, header: KeyRecordHeader, seal: RecordSeal): CheckedSecret {
  if (payload.sealedKey === undefined) {
    throw new InvalidInputError("the record has no key that is sealed to the committee", { check: "recipients" });
  }
  return checkSealed(seal.groupKey, recordSecretLabel(seal, header), payload.sealedKey);
}

/**
 * Checks that a record, made by another account, would give the committee's requesters a file key that the caller has.
 *
 * @throws InvalidInputError when the data id is not the one of the header
 * @throws TallystickError INTEGRITY, INVALID_PROOF and others naming the recorder when it would not
 */
export function verifySealedForKey(
  payload: RecordPayload,
  header: KeyRecordHeader,
  seal: RecordSeal,
  fileKey: Uint8Array,
  dataId: string,
): void {
  tagOfDataId(header, dataId);
  const secret = checkSealedKey(payload, header, seal);
  const r = sealingScalar(seal, secret.label, fileKey);
  try {
    const opened = openWithScalar(secret, r);
    const isSame = equalBytes(opened, fileKey);
    opened.fill(0);
    if (isSame && isAddressEqual(ownershipAddress(fileKey), header.ownershipKey)) return;
    throw new IntegrityError("the record does not hold the key of this file", { check: "sealed key" });
  } catch (cause) {
    if (!(cause instanceof TallystickError)) throw cause;
    throw notTheKey(header, cause);
  } finally {
    r.fill(0);
  }
}

/**
 * The file key from what a committee has opened.
 *
 * @param opened payload of the sealed key; taken over
 * @throws InvalidInputError when the data id is not the one of the header
 * @throws IntegrityError naming the recorder when it is no key of this file
 */
export function fileKeyFrom(opened: Uint8Array, header: KeyRecordHeader, dataId: string): Uint8Array {
  tagOfDataId(header, dataId);
  const isKey = opened.length === FILE_KEY_BYTES && isAddressEqual(ownershipAddress(opened), header.ownershipKey);
  if (isKey) return opened;
  opened.fill(0);
  throw notTheKey(header);
}

function notTheKey({ account }: KeyRecordHeader, cause?: unknown): IntegrityError {
  return new IntegrityError("the record does not hold the key of this file", {
    party: `recorder ${account}`,
    check: "sealed key",
    hint: "the record was made wrongly; store the file again to record its key anew",
    cause,
  });
}

function sealingScalar({ groupKey }: RecordSeal, label: SecretLabel, fileKey: Uint8Array): Uint8Array {
  const uniform = kdf(fileKey, "record-seal", concatBytes(groupKey, encodeLabel(label)), UNIFORM_BYTES);
  const r = scalarFromUniform(uniform);
  uniform.fill(0);
  return r;
}
