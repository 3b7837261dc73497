/** Snapshots for tests: keys and vectors, arbitrary metadata, and records that differ in what a test says. */
import fc from "fast-check";
import type { NeededObjects } from "../../offchain/agent/snapshots/confirm-objects.ts";
import { contentIdFromDigest } from "../../offchain/core/encoding/content-id.ts";
import { pathFromBytes } from "../../offchain/core/recipe/path-name.ts";
import type { EntryMetadata } from "../../offchain/core/snapshot/entry-metadata.ts";
import { makeSnapshot, type Snapshot, type SnapshotFacts } from "../../offchain/core/snapshot/snapshot.ts";
import { type SnapshotKeys, snapshotKeys } from "../../offchain/core/snapshot/snapshot-keys.ts";
import { loadVectors, unhex } from "./vectors.ts";

interface NamedBytes {
  readonly id: string;
  readonly sealed: string;
}

export const vectors = loadVectors<{
  snapshotKey: string;
  chainId: string;
  keyLedger: string;
  account: string;
  provider: string;
  scope: string;
  metadataKey: string;
  listKey: string;
  metadata: { items: string[]; frame: string; piece: NamedBytes; root: NamedBytes };
  list: {
    records: string[];
    ids: string[];
    page: NamedBytes;
    head: string;
    headWithDevices: string;
    version: number;
    earlier: string[];
  };
}>("snapshots.json");

/** Keys of the vectors, with what a test changes. @param changed.key fills another snapshot key */
export function scopeOf(changed: { chainId?: bigint; account?: string; key?: number } = {}): SnapshotKeys {
  const key = changed.key === undefined ? unhex(vectors.snapshotKey) : new Uint8Array(32).fill(changed.key);
  const ledger = { chainId: changed.chainId ?? BigInt(vectors.chainId), keyLedger: vectors.keyLedger };
  return snapshotKeys(key, ledger, changed.account ?? vectors.account);
}

export const SNAPSHOT_KEYS = scopeOf();

const arbitraryText = (maxLength: number) =>
  fc
    .oneof(
      fc.string({ unit: "grapheme", minLength: 1, maxLength }),
      fc.uint8Array({ minLength: 1, maxLength }).map(pathFromBytes),
    )
    .map((text) => text.replaceAll("\0", "_"));

const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });

export const arbitraryMetadata: fc.Arbitrary<EntryMetadata> = fc
  .record({
    mode: fc.nat(0o7777),
    mtimeNanos: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    uid: optional(fc.nat(0xffff_ffff)),
    gid: optional(fc.nat(0xffff_ffff)),
    user: optional(arbitraryText(8)),
    group: optional(arbitraryText(8)),
    xattrs: optional(
      fc
        .dictionary(arbitraryText(8), fc.uint8Array({ maxLength: 20 }), { minKeys: 1, maxKeys: 4 })
        .map((values) => new Map(Object.entries(values))),
    ),
    linkGroup: optional(fc.nat()),
    sparse: optional(fc.constant(true)),
  })
  .map((metadata) => {
    const given = Object.entries(metadata).filter(([, value]) => value !== undefined);
    return Object.fromEntries(given) as unknown as EntryMetadata;
  });

/** For snapshots that name no object. */
export const NOTHING_NEEDED: NeededObjects = { releases: undefined, ids: async function* () {} };

/** A content id that stands for nothing. */
export function someId(n: number): string {
  const digest = new Uint8Array(32);
  new DataView(digest.buffer).setUint32(0, n);
  return contentIdFromDigest(digest);
}

/** A snapshot whose ids follow from n. */
export function snapshotOf(n: number, changed: Partial<SnapshotFacts> = {}): Snapshot {
  return makeSnapshot({
    dataId: someId(2 * n),
    metadataId: someId(2 * n + 1),
    timeMillis: 1_700_000_000_000 + n * 1000,
    host: "laptop",
    user: "alice",
    paths: ["/home/alice"],
    tags: [],
    totals: { entries: 3, bytes: 1000, addedObjects: 2, addedBytes: 900 },
    unreadEntries: 0,
    ...changed,
  });
}
