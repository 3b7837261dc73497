/**
 * The snapshot list of an account at one provider: sealed pages (objects) with older records, and a sealed head that
 * names the pages and holds the newest records. The provider keeps the head under compare-and-swap.
 *
 *   page       u8 1 ‖ AES-256-GCM-SIV(list key, 12 zero bytes, tag("snapshot-page") ‖ u8 1 ‖ scope, [1, [record, …]])
 *   head       u8 1 ‖ u64 version ‖ AES-256-GCM-SIV(list key, 12 zero bytes, tag("snapshot-head") ‖ u8 1 ‖ scope ‖
 *              provider (20) ‖ u64 version, [1, [page reference, …], [record, …], [digest of an earlier head (32), …]])
 *   reference  [digest (32), number of records]
 *
 * Where snapshots of devices that only write were taken over (device-entry.ts), the head has one more item, which says
 * how far: [[address of the device (20), position, digest of the last entry taken over (32)], …], in the order of the
 * addresses. So a provider cannot bring back what was taken over and removed since.
 *
 * Records are in the order in which they were appended, the pages' before the head's. The version counts the heads of
 * this account at this provider, from 1. It is authenticated with the name of the provider, so that a provider can
 * present neither an older head as the newest, nor the head of another provider.
 *
 * A head names the heads that it follows. Without that, a provider could hand an old head to one device, take its
 * change, and show the result to a device that had seen a newer head: the version would be high enough.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { ADDRESS_BYTES, checksumAddress } from "../encoding/address.ts";
import { asArray, asBytes, asInteger, type CborValue, decodeCbor, encodeCbor } from "../encoding/cbor.ts";
import { contentId, contentIdFromDigest, DIGEST_BYTES, digestOf } from "../encoding/content-id.ts";
import { fromHex } from "../encoding/hex.ts";
import { u64be } from "../encoding/integers.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../errors.ts";
import type { SealedObject } from "../recipe/tree.ts";
import { RECORD_DEPTH, type Snapshot, snapshotFromCbor, snapshotToCbor } from "./snapshot.ts";
import {
  openWith,
  requireSnapshotVersion,
  SNAPSHOT_FORMAT_VERSION,
  SNAPSHOT_OVERHEAD_BYTES,
  type SnapshotKeys,
  sealWith,
} from "./snapshot-keys.ts";

/** Longest sealed head: what a provider keeps for an account. */
export const MAX_HEAD_BYTES = 65_536;
/** Bytes of a sealed head before the ciphertext: format version and head version. */
export const HEAD_PREFIX_BYTES = 9;
/** Longest sealed page. */
export const MAX_PAGE_BYTES = 262_144;
export const MAX_PAGE_RECORDS = 4096;
export const MAX_HEAD_PAGES = 1024;
/** Earlier heads that a head names: a device that has missed as many changes still finds its own among them. */
export const EARLIER_HEADS = 32;
/** Devices that only write of which a head says how far their snapshots were taken over. */
export const MAX_HEAD_DEVICES = 256;

const GCM_SIV_TAG_BYTES = 16;
/** Nesting: list, array of records, record, paths. */
const LIST_DEPTH = RECORD_DEPTH + 2;

/** A page as the head names it. */
export interface PageRef {
  readonly id: string;
  readonly recordCount: number;
}

export interface SnapshotHead {
  /** From 1. */
  readonly version: number;
  readonly pages: readonly PageRef[];
  /** Records that are on no page yet, the oldest first. */
  readonly recent: readonly Snapshot[];
  /** Ids of the heads that it follows, version − 1 first: the last `EARLIER_HEADS`, or all if there are fewer. */
  readonly earlier: readonly string[];
  /** How far the snapshots of devices were taken over, in the order of their addresses. */
  readonly devices: readonly TakenOver[];
}

/** The last snapshot of a device that was taken over. */
export interface TakenOver {
  /** Address of the device, with checksum. */
  readonly device: string;
  /** From 1. */
  readonly position: number;
  /** SHA-256 of the entry, 32 bytes. */
  readonly digest: Uint8Array;
}

/** A head by its version and the content id of its sealed bytes. */
export interface HeadName {
  readonly version: number;
  readonly id: string;
}

/** What the head that takes the place of another has as `earlier`. @param replaced undefined for the first head */
export function earlierHeads(replaced: (HeadName & Pick<SnapshotHead, "earlier">) | undefined): string[] {
  return replaced === undefined ? [] : [replaced.id, ...replaced.earlier].slice(0, EARLIER_HEADS);
}

/**
 * The id that a head tells for a version, which is its own or one before it.
 * @returns undefined for a version that it no longer names
 */
export function idAtVersion(head: HeadName & Pick<SnapshotHead, "earlier">, version: number): string | undefined {
  return version === head.version ? head.id : head.earlier[head.version - version - 1];
}

/** Seals a page. @throws InvalidInputError for no record, or too many for one page */
export function sealPage(keys: SnapshotKeys, records: readonly Snapshot[]): SealedObject {
  const plaintext = encodeCbor([SNAPSHOT_FORMAT_VERSION, records.map(snapshotToCbor)]);
  decodePage(plaintext);
  const sealed = concatBytes(
    Uint8Array.of(SNAPSHOT_FORMAT_VERSION),
    sealWith(keys.listKey, "snapshot-page", keys.scope, new Uint8Array(0), plaintext),
  );
  return { id: contentId(sealed), sealed };
}

/** @throws IntegrityError for other bytes than the reference names, UnknownVersionError, InvalidInputError */
export function openPage(keys: SnapshotKeys, ref: PageRef, sealed: Uint8Array): Snapshot[] {
  const received = contentId(sealed);
  if (received !== ref.id) {
    throw new IntegrityError(`object ${ref.id} is not what its id names`, {
      check: "content id",
      expected: ref.id,
      received,
    });
  }
  const label = `page ${ref.id} of the snapshot list`;
  requireSnapshotVersion(sealed, SNAPSHOT_OVERHEAD_BYTES, "page of the snapshot list");
  const records = decodePage(
    openWith(keys.listKey, "snapshot-page", keys.scope, new Uint8Array(0), sealed.subarray(1), label),
  );
  if (records.length === ref.recordCount) return records;
  throw new IntegrityError(`${label} does not add up`, {
    check: "number of records",
    expected: String(ref.recordCount),
    received: String(records.length),
  });
}

/**
 * Seals a head.
 * @param provider account of the provider that keeps it
 * @throws InvalidInputError for a head that breaks a limit
 */
export function sealHead(keys: SnapshotKeys, provider: string, head: SnapshotHead): Uint8Array {
  const plaintext = encodeCbor([
    SNAPSHOT_FORMAT_VERSION,
    head.pages.map(({ id, recordCount }) => [digestOf(id), recordCount]),
    head.recent.map(snapshotToCbor),
    head.earlier.map(digestOf),
    ...(head.devices.length === 0 ? [] : [head.devices.map(takenOverToCbor)]),
  ]);
  decodeHead(plaintext, head.version);
  const version = u64be(BigInt(head.version));
  const bound = concatBytes(providerBytes(provider), version);
  const sealed = sealWith(keys.listKey, "snapshot-head", keys.scope, bound, plaintext);
  return concatBytes(Uint8Array.of(SNAPSHOT_FORMAT_VERSION), version, sealed);
}

/** @throws IntegrityError when it is damaged or not of this account and provider; UnknownVersionError */
export function openHead(keys: SnapshotKeys, provider: string, sealed: Uint8Array): SnapshotHead {
  const version = headVersion(sealed);
  const bound = concatBytes(providerBytes(provider), u64be(BigInt(version)));
  const rest = sealed.subarray(HEAD_PREFIX_BYTES);
  const label = "head of the snapshot list";
  return decodeHead(openWith(keys.listKey, "snapshot-head", keys.scope, bound, rest, label), version);
}

/**
 * The version that a sealed head states; a provider reads no more of it.
 * @throws IntegrityError when it is truncated, InvalidInputError for a length or version out of range
 */
export function headVersion(sealed: Uint8Array): number {
  requireSnapshotVersion(sealed, HEAD_PREFIX_BYTES + GCM_SIV_TAG_BYTES, "head of the snapshot list");
  if (sealed.length > MAX_HEAD_BYTES) throw tooLarge(sealed.length);
  const version = new DataView(sealed.buffer, sealed.byteOffset).getBigUint64(1);
  // Beyond 2^53 the conversion rounds, to what is out of range as well.
  return asInteger(Number(version), 1, Number.MAX_SAFE_INTEGER, headField("version"));
}

function decodePage(bytes: Uint8Array): Snapshot[] {
  const what = "page of the snapshot list";
  const value = decodeCbor(bytes, MAX_PAGE_BYTES - SNAPSHOT_OVERHEAD_BYTES, LIST_DEPTH, what);
  const [version, records] = asArray(value, 2, 2, { what, name: "shape" });
  requireKnown(version, what);
  return asArray(records, 1, MAX_PAGE_RECORDS, { what, name: "number of records" }).map(snapshotFromCbor);
}

function decodeHead(bytes: Uint8Array, version: number): SnapshotHead {
  const maximumBytes = MAX_HEAD_BYTES - HEAD_PREFIX_BYTES - GCM_SIV_TAG_BYTES;
  if (bytes.length > maximumBytes) throw tooLarge(bytes.length + MAX_HEAD_BYTES - maximumBytes);
  const value = decodeCbor(bytes, maximumBytes, LIST_DEPTH, headField("").what);
  const [format, pages, recent, earlier, devices] = asArray(value, 4, 5, headField("shape"));
  requireKnown(format, headField("").what);
  const checked = asInteger(version, 1, Number.MAX_SAFE_INTEGER, headField("version"));
  const earlierCount = Math.min(checked - 1, EARLIER_HEADS);
  return {
    version: checked,
    pages: asArray(pages, 0, MAX_HEAD_PAGES, headField("number of pages")).map(pageRefFrom),
    recent: asArray(recent, 0, MAX_PAGE_RECORDS, headField("number of records")).map(snapshotFromCbor),
    earlier: asArray(earlier, earlierCount, earlierCount, headField("number of earlier heads")).map((digest) =>
      contentIdFromDigest(asBytes(digest, DIGEST_BYTES, DIGEST_BYTES, headField("digest of an earlier head"))),
    ),
    devices: devices === undefined ? [] : takenOverFrom(devices),
  };
}

/** What a head says when more of a device was taken over. */
export function withTakenOver(devices: readonly TakenOver[], upTo: TakenOver): TakenOver[] {
  const order = ({ device }: TakenOver) => device.toLowerCase();
  const others = devices.filter((one) => order(one) !== order(upTo));
  return [...others, upTo].sort((one, other) => (order(one) < order(other) ? -1 : 1));
}

function takenOverToCbor({ device, position, digest }: TakenOver): CborValue {
  return [fromHex(device, ADDRESS_BYTES, "device"), position, digest];
}

function takenOverFrom(value: CborValue): TakenOver[] {
  const devices = asArray(value, 1, MAX_HEAD_DEVICES, headField("number of devices")).map((item) => {
    const [device, position, digest] = asArray(item, 3, 3, headField("device"));
    return {
      device: checksumAddress(asBytes(device, ADDRESS_BYTES, ADDRESS_BYTES, headField("address of a device"))),
      position: asInteger(position, 1, Number.MAX_SAFE_INTEGER, headField("position of a device")),
      digest: asBytes(digest, DIGEST_BYTES, DIGEST_BYTES, headField("digest of a device's entry")),
    };
  });
  const addresses = devices.map(({ device }) => device.toLowerCase());
  if (addresses.every((one, k) => k === 0 || (addresses[k - 1] ?? "") < one)) return devices;
  throw new InvalidInputError("the head of the snapshot list has devices out of order", {
    check: "order of devices",
    expected: "addresses that ascend, each once",
  });
}

function pageRefFrom(value: CborValue): PageRef {
  const [digest, count] = asArray(value, 2, 2, headField("page reference"));
  return {
    id: contentIdFromDigest(asBytes(digest, DIGEST_BYTES, DIGEST_BYTES, headField("page digest"))),
    recordCount: asInteger(count, 1, MAX_PAGE_RECORDS, headField("number of records")),
  };
}

function headField(name: string) {
  return { what: "head of the snapshot list", name };
}

function requireKnown(version: CborValue | undefined, what: string): void {
  if (version === SNAPSHOT_FORMAT_VERSION) return;
  throw new UnknownVersionError(what, String(version), [SNAPSHOT_FORMAT_VERSION]);
}

function providerBytes(provider: string): Uint8Array {
  return fromHex(provider, ADDRESS_BYTES, "account of the provider");
}

function tooLarge(bytes: number): InvalidInputError {
  return new InvalidInputError("the head of the snapshot list is too large", {
    check: "size of the head",
    expected: `at most ${MAX_HEAD_BYTES} bytes`,
    received: `${bytes} bytes`,
  });
}
