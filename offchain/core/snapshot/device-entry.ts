/**
 * A snapshot of a device that only writes, as the device leaves it at a provider for the owner of its account. Such a
 * device has no list: whoever has its key must neither read nor change what it has left. So each snapshot is sealed to
 * the account's HPKE key, and signed with its place behind the one before.
 *
 *   entry      u8 1 ‖ u64 position ‖ u64 time ‖ previous (32) ‖ signature (65) ‖ sealed
 *   sealed     HPKE to the account's key of a record that names the device (snapshot.ts),
 *              info tag("delegate-snapshot"), aad scope (88) ‖ u64 position ‖ u64 time ‖ previous (32)
 *   scope      u64 chain id ‖ directory of accounts (20) ‖ account (20) ‖ key (20) ‖ provider (20)
 *   signature  of the device's key: EIP-712 `DelegateSnapshot` in the domain of the directory
 *
 * Positions count from 1. `previous` is the SHA-256 of the entry before, zero for the first one: a provider that leaves
 * one out, or changes the order, is found out by the next one. The time is that of the device's clock when it signed,
 * in unix seconds. The provider checks everything but what is sealed, so that what is wrong with the rest is its fault.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { HPKE_OVERHEAD_BYTES, hpkeOpen, hpkeSeal } from "../crypto/hpke.ts";
import { domainTag } from "../crypto/kdf.ts";
import { isAddressEqual } from "../encoding/address.ts";
import { asInteger, decodeCbor, encodeCbor } from "../encoding/cbor.ts";
import { toHex } from "../encoding/hex.ts";
import { u64be } from "../encoding/integers.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../errors.ts";
import { encodeParcelScope, type ParcelScope } from "../identity/delegate-secrets.ts";
import { type DelegateSnapshotMessage, delegateSnapshotTypedData, type TypedData } from "../identity/typed-messages.ts";
import { MAX_RECORD_BYTES, RECORD_DEPTH, type Snapshot, snapshotFromCbor, snapshotToCbor } from "./snapshot.ts";

const VERSION = 1;
const HASH_BYTES = 32;
const SIGNATURE_BYTES = 65;
const SIGNATURE_AT = 1 + 8 + 8 + HASH_BYTES;
const HEADER_BYTES = SIGNATURE_AT + SIGNATURE_BYTES;

/** The shortest entry is longer. */
export const MIN_ENTRY_BYTES = HEADER_BYTES + HPKE_OVERHEAD_BYTES;
/** Longest entry. */
export const MAX_ENTRY_BYTES = MIN_ENTRY_BYTES + MAX_RECORD_BYTES;

/** Where an entry stands. */
export interface EntryPlace {
  /** From 1. */
  readonly position: number;
  /** Unix seconds. */
  readonly time: number;
  /** SHA-256 of the entry before, 32 bytes. */
  readonly previous: Uint8Array;
}

/** An entry as it lies at a provider. Nothing of it is verified. */
export interface DeviceEntry extends EntryPlace {
  /** 65 bytes, 0x hex. */
  readonly signature: string;
  readonly sealed: Uint8Array;
  /** SHA-256 of the whole entry, 32 bytes. */
  readonly digest: Uint8Array;
}

/** What the entry after another has as its place; that other is undefined for the first one. */
export function nextPlace(last: Pick<DeviceEntry, "position" | "digest"> | undefined, time: number): EntryPlace {
  const { position, digest } = last ?? FIRST_FOLLOWS;
  return { position: position + 1, time, previous: digest };
}

/** What the first entry of a device follows. */
export const FIRST_FOLLOWS = { position: 0, digest: new Uint8Array(HASH_BYTES) } as const;

/**
 * On the device.
 * @param accountKey HPKE public key of the account
 * @returns what `entryTypedData` and `encodeEntry` take
 * @throws IntegrityError for a snapshot of another device; InvalidPointError for a key that cannot be sealed to
 */
export async function sealEntry(
  accountKey: Uint8Array,
  scope: ParcelScope,
  place: EntryPlace,
  snapshot: Snapshot,
): Promise<Uint8Array> {
  requireDevice(scope, snapshot);
  const record = encodeCbor(snapshotToCbor(snapshot));
  return await hpkeSeal(accountKey, domainTag("delegate-snapshot"), aadOf(scope, place), record);
}

/** What the device signs. */
export function entryTypedData(
  { chainId, directory, account, key, provider }: ParcelScope,
  { position, time, previous }: EntryPlace,
  sealed: Uint8Array,
): TypedData<DelegateSnapshotMessage> {
  return delegateSnapshotTypedData(chainId, directory, {
    account,
    key,
    provider,
    position: BigInt(position),
    time: BigInt(time),
    previous: toHex(previous),
    sealedHash: toHex(sha256(sealed)),
  });
}

/** @param signature 65 bytes */
export function encodeEntry(place: EntryPlace, signature: Uint8Array, sealed: Uint8Array): Uint8Array {
  const { position, time, previous } = place;
  const [at, since] = [u64be(BigInt(position)), u64be(BigInt(time))];
  return concatBytes(Uint8Array.of(VERSION), at, since, previous, signature, sealed);
}

/** @throws UnknownVersionError; InvalidInputError for a length, position or time out of range */
export function decodeEntry(bytes: Uint8Array): DeviceEntry {
  const [version] = bytes;
  if (version !== undefined && version !== VERSION) {
    throw new UnknownVersionError("snapshot of a device", version, [VERSION]);
  }
  if (bytes.length <= MIN_ENTRY_BYTES || bytes.length > MAX_ENTRY_BYTES) {
    throw new InvalidInputError("the snapshot of a device has a wrong length", {
      check: "length of the entry",
      expected: `more than ${MIN_ENTRY_BYTES} bytes, and at most ${MAX_ENTRY_BYTES}`,
      received: `${bytes.length} bytes`,
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Beyond 2^53 the conversion rounds, to what is out of range as well.
  const number = (at: number, least: number, name: string) =>
    asInteger(Number(view.getBigUint64(at)), least, Number.MAX_SAFE_INTEGER, { what: "snapshot of a device", name });
  return {
    position: number(1, 1, "position"),
    time: number(9, 0, "time"),
    previous: bytes.slice(17, SIGNATURE_AT),
    signature: toHex(bytes.subarray(SIGNATURE_AT, HEADER_BYTES)),
    sealed: bytes.subarray(HEADER_BYTES),
    digest: sha256(bytes),
  };
}

/**
 * As the owner, of an entry whose signature was checked.
 * @param accountPrivateKey HPKE private key of the account
 * @throws IntegrityError when it is sealed to another key, for another place or scope, or names another device;
 *   InvalidInputError for what is no record
 */
export async function openEntry(
  accountPrivateKey: Uint8Array,
  scope: ParcelScope,
  entry: Pick<DeviceEntry, keyof EntryPlace | "sealed">,
): Promise<Snapshot> {
  const info = domainTag("delegate-snapshot");
  const record = await hpkeOpen(accountPrivateKey, info, aadOf(scope, entry), entry.sealed);
  const what = "snapshot record of a device";
  const snapshot = snapshotFromCbor(decodeCbor(record, MAX_RECORD_BYTES, RECORD_DEPTH, what));
  requireDevice(scope, snapshot);
  return snapshot;
}

/** Whether an entry follows another directly. */
export function follows(entry: EntryPlace, last: Pick<DeviceEntry, "position" | "digest">): boolean {
  return entry.position === last.position + 1 && toHex(entry.previous) === toHex(last.digest);
}

function requireDevice({ key }: ParcelScope, { device }: Snapshot): void {
  if (device !== undefined && isAddressEqual(device, key)) return;
  throw new IntegrityError("the snapshot names another device than the one that left it", {
    check: "device of the snapshot",
    expected: key,
    received: device ?? "none",
  });
}

function aadOf(scope: ParcelScope, { position, time, previous }: EntryPlace): Uint8Array {
  return concatBytes(encodeParcelScope(scope), u64be(BigInt(position)), u64be(BigInt(time)), previous);
}
