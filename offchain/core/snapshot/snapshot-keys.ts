/**
 * Keys of an account's snapshots. All derive from the identity, so that the recovery phrase alone reads them on a new
 * device, and from the deployment, so that what is sealed for one chain or ledger does not open in another.
 *
 *     scope         u64 chain id ‖ key ledger (20) ‖ account (20)
 *     metadata key  kdf(snapshot key, "snapshot-metadata", scope)
 *     list key      kdf(snapshot key, "snapshot-list", scope)
 */

import { gcmsiv } from "@noble/ciphers/aes.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../errors.ts";
import { encodeLedgerScope, type LedgerScope } from "../record/ledger-scope.ts";

/** Version of all formats of snapshots: metadata, records, pages, head. */
export const SNAPSHOT_FORMAT_VERSION = 1;

/** Bytes by which a sealed metadata root or list page is longer than its plaintext: version byte and tag. */
export const SNAPSHOT_OVERHEAD_BYTES = 17;

const KEY_BYTES = 32;
const ZERO_NONCE = new Uint8Array(12);
/** What noble throws when, and only when, a GCM-SIV tag does not verify. */
const NOBLE_INVALID_TAG = "invalid polyval tag";

export interface SnapshotKeys {
  /** 48 bytes; part of all associated data. */
  readonly scope: Uint8Array;
  /** 32 bytes. */
  readonly metadataKey: Uint8Array;
  /** 32 bytes. */
  readonly listKey: Uint8Array;
  /**
   * Keys of predecessors, for metadata that is named under the account's own keys. Lists do not open under them: who
   * has a predecessor's keys could make one.
   */
  readonly earlier?: readonly SnapshotKeys[];
}

/**
 * @param snapshotKey of the identity, 32 bytes
 * @param account address of the identity
 * @throws InvalidInputError for a malformed argument
 */
export function snapshotKeys(snapshotKey: Uint8Array, ledger: LedgerScope, account: string): SnapshotKeys {
  if (snapshotKey.length !== KEY_BYTES) {
    throw new InvalidInputError("snapshot key has the wrong length", {
      check: "key length",
      expected: `${KEY_BYTES} bytes`,
      received: `${snapshotKey.length} bytes`,
    });
  }
  const scope = concatBytes(encodeLedgerScope(ledger), fromHex(account, ADDRESS_BYTES, "account"));
  return {
    scope,
    metadataKey: kdf(snapshotKey, "snapshot-metadata", scope),
    listKey: kdf(snapshotKey, "snapshot-list", scope),
  };
}

/** What is sealed with AES-256-GCM-SIV under a key of the account: the label is part of the associated data. */
export type SealedKind = "metadata-root" | "snapshot-page" | "snapshot-head";

/**
 * AES-256-GCM-SIV (RFC 8452) with an all-zero nonce: a key seals many objects, so nonces repeat, and with SIV a
 * repeated nonce reveals only whether two objects are equal. Equal plaintexts give equal objects, which an unchanged
 * put relies on.
 * @param bound further associated data, of a fixed length for each kind
 */
export function sealWith(
  key: Uint8Array,
  kind: SealedKind,
  scope: Uint8Array,
  bound: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  return gcmsiv(key, ZERO_NONCE, associatedData(kind, scope, bound)).encrypt(plaintext);
}

/** @param label names the object in errors @throws IntegrityError when the tag does not verify */
export function openWith(
  key: Uint8Array,
  kind: SealedKind,
  scope: Uint8Array,
  bound: Uint8Array,
  sealed: Uint8Array,
  label: string,
): Uint8Array {
  try {
    return gcmsiv(key, ZERO_NONCE, associatedData(kind, scope, bound)).decrypt(sealed);
  } catch (cause) {
    if (!(cause instanceof Error) || cause.message !== NOBLE_INVALID_TAG) throw cause;
    throw new IntegrityError(`${label} does not open`, {
      check: "AES-256-GCM-SIV tag",
      received: "damaged bytes, or bytes sealed for another account, deployment or provider",
    });
  }
}

/** Checks length and version byte of a sealed object. @throws IntegrityError, UnknownVersionError */
export function requireSnapshotVersion(sealed: Uint8Array, minimumBytes: number, what: string): void {
  const [version] = sealed;
  if (version !== undefined && version !== SNAPSHOT_FORMAT_VERSION) {
    throw new UnknownVersionError(what, version, [SNAPSHOT_FORMAT_VERSION]);
  }
  if (sealed.length >= minimumBytes) return;
  throw new IntegrityError(`${what} is truncated`, {
    check: "length",
    expected: `at least ${minimumBytes} bytes`,
    received: `${sealed.length} bytes`,
  });
}

function associatedData(kind: SealedKind, scope: Uint8Array, bound: Uint8Array): Uint8Array {
  return concatBytes(domainTag(kind), Uint8Array.of(SNAPSHOT_FORMAT_VERSION), scope, bound);
}
