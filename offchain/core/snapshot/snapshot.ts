/**
 * A snapshot: when and where a tree was put, and what it came to. It joins the data id, which says what the content is,
 * and the metadata root, which says what times, owners and modes it had.
 *
 *   record  [digest of the data id (32), digest of the metadata root (32), time, host, user, [path, …], [tag, …],
 *            [entries, bytes, added objects, added bytes], unread entries]
 *
 * A snapshot of a device that only writes has one more item, the address of the device (20): its metadata is under keys
 * of that device, and whoever has stolen the device can make such snapshots, so they are told apart from the others.
 *
 * Host, user, paths and tags are byte strings. The snapshot id is SHA-256(tag("snapshot") ‖ record) in hexadecimal: to
 * append a record twice, after an answer that was lost, changes nothing.
 */

import { bytesToHex, concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { domainTag } from "../crypto/kdf.ts";
import { ADDRESS_BYTES, checksumAddress } from "../encoding/address.ts";
import { asArray, asBytes, asInteger, type CborValue, decodeCbor, encodeCbor } from "../encoding/cbor.ts";
import { compareBytes } from "../encoding/compare-bytes.ts";
import { contentIdFromDigest, DIGEST_BYTES, digestOf } from "../encoding/content-id.ts";
import { fromHex } from "../encoding/hex.ts";
import { InvalidInputError } from "../errors.ts";
import { pathFromBytes, pathToBytes } from "../recipe/path-name.ts";

/** Longest encoded record. */
export const MAX_RECORD_BYTES = 16_384;
/** Nesting of a record: record, paths. */
export const RECORD_DEPTH = 2;
export const MAX_SNAPSHOT_PATHS = 128;
export const MAX_SNAPSHOT_TAGS = 64;
export const MAX_TAG_BYTES = 64;
/** Longest name of a host or user. */
export const MAX_HOST_BYTES = 255;
/** Hexadecimal digits of a snapshot id. */
export const SNAPSHOT_ID_LENGTH = 64;

const MAX_PATH_BYTES = 8192;
/** Range of times in JavaScript: 100 million days around 1970. */
const MAX_TIME = 8_640_000_000_000_000;
const SNAPSHOT_TAG = domainTag("snapshot");
const what = "snapshot record";
const field = (name: string) => ({ what, name });

/** What a snapshot says, before it has an id. */
export interface SnapshotFacts {
  readonly dataId: string;
  /** Content id of the metadata root. */
  readonly metadataId: string;
  /** Milliseconds since the epoch: when the put began, or the time that the user gave. */
  readonly timeMillis: number;
  /** Machine it was put from. */
  readonly host: string;
  readonly user: string;
  /** What was put, as it was named on that machine. */
  readonly paths: readonly string[];
  /** Each once, in byte order. */
  readonly tags: readonly string[];
  readonly totals: SnapshotTotals;
  /** Entries that could not be read and are missing. */
  readonly unreadEntries: number;
  /** Of a device that only writes: the address of its key, with checksum. */
  readonly device?: string;
}

export interface SnapshotTotals {
  readonly entries: number;
  /** Plaintext bytes of all files. */
  readonly bytes: number;
  /** Objects that the providers did not have before, metadata included. */
  readonly addedObjects: number;
  /** Ciphertext bytes of these. */
  readonly addedBytes: number;
}

export interface Snapshot extends SnapshotFacts {
  /** 64 hexadecimal digits. */
  readonly id: string;
}

/** What names the metadata of a snapshot, and under whose keys it is. */
export type NamedMetadata = Pick<Snapshot, "metadataId" | "device">;

/** @returns the snapshot, with its id, as readers will see it @throws InvalidInputError for facts that break a limit */
export function makeSnapshot(facts: SnapshotFacts): Snapshot {
  return snapshotFromCbor(factsToCbor(facts));
}

/** The value that pages and heads hold. */
export function snapshotToCbor(snapshot: Snapshot): CborValue {
  return factsToCbor(snapshot);
}

/** Bytes of the encoded record. */
export function recordBytes(snapshot: Snapshot): number {
  return encodeCbor(factsToCbor(snapshot)).length;
}

/** @throws InvalidInputError */
export function snapshotFromCbor(value: CborValue): Snapshot {
  const encoded = encodeCbor(value);
  const items = decodeCbor(encoded, MAX_RECORD_BYTES, RECORD_DEPTH, what);
  const fields = asArray(items, 9, 10, field("shape"));
  const [data, metadata, time, host, user, paths, tags, totals, unread, device] = fields;
  const [entries, bytes, addedObjects, addedBytes] = asArray(totals, 4, 4, field("totals"));
  const count = (number: CborValue | undefined, name: string) =>
    asInteger(number, 0, Number.MAX_SAFE_INTEGER, field(name));
  return {
    id: bytesToHex(sha256(concatBytes(SNAPSHOT_TAG, encoded))),
    dataId: idFrom(data, "data id"),
    metadataId: idFrom(metadata, "metadata root"),
    timeMillis: asInteger(time, -MAX_TIME, MAX_TIME, field("time")),
    host: textFrom(host, 1, MAX_HOST_BYTES, "host"),
    user: textFrom(user, 0, MAX_HOST_BYTES, "user"),
    paths: asArray(paths, 1, MAX_SNAPSHOT_PATHS, field("number of paths")).map((path) =>
      textFrom(path, 1, MAX_PATH_BYTES, "path"),
    ),
    tags: tagsFrom(tags),
    totals: {
      entries: count(entries, "entry count"),
      bytes: count(bytes, "total size"),
      addedObjects: count(addedObjects, "added objects"),
      addedBytes: count(addedBytes, "added bytes"),
    },
    unreadEntries: count(unread, "unread entries"),
    ...(device === undefined
      ? {}
      : { device: checksumAddress(asBytes(device, ADDRESS_BYTES, ADDRESS_BYTES, field("device"))) }),
  };
}

function factsToCbor(facts: SnapshotFacts): CborValue {
  const { totals } = facts;
  return [
    digestOf(facts.dataId),
    digestOf(facts.metadataId),
    facts.timeMillis,
    pathToBytes(facts.host),
    pathToBytes(facts.user),
    facts.paths.map(pathToBytes),
    [...new Set(facts.tags)].map(pathToBytes).sort(compareBytes),
    [totals.entries, totals.bytes, totals.addedObjects, totals.addedBytes],
    facts.unreadEntries,
    ...(facts.device === undefined ? [] : [fromHex(facts.device, ADDRESS_BYTES, "device")]),
  ];
}

function idFrom(value: CborValue | undefined, name: string): string {
  return contentIdFromDigest(asBytes(value, DIGEST_BYTES, DIGEST_BYTES, field(name)));
}

function textFrom(value: CborValue | undefined, minBytes: number, maxBytes: number, name: string): string {
  const bytes = asBytes(value, minBytes, maxBytes, field(name));
  if (bytes.includes(0)) throw new InvalidInputError(`${what} has a NUL byte in its ${name}`, { check: name });
  return pathFromBytes(bytes);
}

function tagsFrom(value: CborValue | undefined): string[] {
  const tags = asArray(value, 0, MAX_SNAPSHOT_TAGS, field("number of tags"));
  tags.reduce(
    (previous, tag) => {
      if (previous instanceof Uint8Array && tag instanceof Uint8Array && compareBytes(previous, tag) >= 0) {
        throw new InvalidInputError(`${what} has tags out of order`, {
          check: "tag order",
          expected: "tags that ascend, each once",
        });
      }
      return tag;
    },
    undefined as CborValue | undefined,
  );
  return tags.map((tag) => {
    const text = textFrom(tag, 1, MAX_TAG_BYTES, "tag");
    if (!text.includes(",")) return text;
    throw new InvalidInputError(`${what} has a tag with a comma`, {
      check: "tag",
      expected: "no comma, which separates tags",
      received: JSON.stringify(text),
    });
  });
}
