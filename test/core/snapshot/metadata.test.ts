import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import { sha256 } from "#primitives";
import { decodeCbor, encodeCbor } from "../../../offchain/core/encoding/cbor.ts";
import type { SealedObject } from "../../../offchain/core/recipe/tree.ts";
import type { EntryMetadata } from "../../../offchain/core/snapshot/entry-metadata.ts";
import {
  decodeMetadata,
  encodeMetadata,
  MAX_METADATA_ITEM_BYTES,
} from "../../../offchain/core/snapshot/metadata-item.ts";
import {
  openMetadataPiece,
  openMetadataRoot,
  sealMetadataPiece,
  sealMetadataRoot,
} from "../../../offchain/core/snapshot/metadata-objects.ts";
import { decodeMetadataStream, MetadataWriter } from "../../../offchain/core/snapshot/metadata-stream.ts";
import { snapshotKeys } from "../../../offchain/core/snapshot/snapshot-keys.ts";
import { collect } from "../../helpers/promises.ts";
import { inPieces } from "../../helpers/pseudo-random.ts";
import { expectAsyncRejection, expectRejection } from "../../helpers/rejection.ts";
import { arbitraryMetadata, SNAPSHOT_KEYS, scopeOf, vectors } from "../../helpers/snapshots.ts";
import { unhex } from "../../helpers/vectors.ts";

async function write(entries: readonly EntryMetadata[]) {
  const writer = new MetadataWriter(SNAPSHOT_KEYS);
  const objects: SealedObject[] = [];
  for (const entry of entries) objects.push(...(await writer.push(entry)));
  objects.push(...(await writer.finish()));
  return { objects, rootId: writer.rootId };
}

const plain: EntryMetadata = { mode: 0o644, mtimeNanos: 0n };

describe("metadata of entries", () => {
  it("returns what was written", () => {
    fc.assert(
      fc.property(arbitraryMetadata, (metadata) => {
        const bytes = encodeMetadata(metadata);
        expect(decodeMetadata(bytes)).to.deep.equal(metadata);
        expect(bytes).to.deep.equal(encodeCbor(decodeCbor(bytes, bytes.length, 3, "item")));
      }),
    );
  });

  it("matches the vectors", async () => {
    const { items, frame, piece, root } = vectors.metadata;
    for (const hex of items) expect(encodeMetadata(decodeMetadata(unhex(hex)))).to.deep.equal(unhex(hex));
    const [, second, third] = items.map((hex) => decodeMetadata(unhex(hex)));
    expect(second).to.deep.equal({
      mode: 0o4755,
      mtimeNanos: -1n,
      uid: 0,
      gid: 1000,
      user: "jürgen",
      group: "\udcff",
    });
    expect(third?.xattrs).to.deep.equal(
      new Map([
        ["security.x", Uint8Array.of(0, 1)],
        ["user.a", new Uint8Array(0)],
      ]),
    );
    expect([third?.linkGroup, third?.sparse, third?.uid]).to.deep.equal([7, true, 0xffff_ffff]);
    const { objects } = await write(items.map((hex) => decodeMetadata(unhex(hex))));
    expect(objects.map(({ id }) => id)).to.deep.equal([piece.id, root.id]);
    expect(objects.map(({ sealed }) => sealed)).to.deep.equal([unhex(piece.sealed), unhex(root.sealed)]);
    const opened = openMetadataRoot(SNAPSHOT_KEYS, root.id, unhex(root.sealed));
    const [only] = opened.pieces;
    if (only === undefined) throw new Error("no piece");
    expect(await openMetadataPiece(SNAPSHOT_KEYS, only, unhex(piece.sealed))).to.deep.equal(unhex(frame).slice(1));
  });

  it("writes attributes in byte order, whatever their order in memory", () => {
    const names = ["user.b", "security.x", "user.\udcff", "user.é"];
    const forth = new Map(names.map((name) => [name, new Uint8Array(1)]));
    const back = new Map(names.toReversed().map((name) => [name, new Uint8Array(1)]));
    const bytes = encodeMetadata({ ...plain, xattrs: forth });
    expect(encodeMetadata({ ...plain, xattrs: back })).to.deep.equal(bytes);
    expect([...(decodeMetadata(bytes).xattrs?.keys() ?? [])]).to.deep.equal([
      "security.x",
      "user.b",
      "user.é",
      "user.\udcff",
    ]);
  });

  const text = (word: string) => new TextEncoder().encode(word);
  const item = (changed: Readonly<Record<number, unknown>>) => {
    const fields: unknown[] = [0o644, 0, [], [], text(""), text(""), [], [], 0];
    for (const [index, value] of Object.entries(changed)) fields[Number(index)] = value;
    return encodeCbor(fields as Parameters<typeof encodeCbor>[0]);
  };
  for (const [what, bytes, check] of [
    ["a mode with the type of a file", item({ 0: 0o100644 }), "mode"],
    ["a time beyond 64 bits", item({ 1: 2n ** 63n }), "modification time"],
    ["two user numbers", item({ 2: [1, 2] }), "user number"],
    ["a group number beyond 32 bits", item({ 3: [2 ** 32] }), "group number"],
    ["a user name with a NUL", item({ 4: text("a\0") }), "user"],
    ["a user name that is too long", item({ 4: new Uint8Array(256).fill(97) }), "user"],
    ["an attribute without a name", item({ 6: [[text(""), text("v")]] }), "attribute name"],
    ["an attribute with a NUL in its name", item({ 6: [[text("a\0b"), text("v")]] }), "attribute name"],
    ["an attribute twice", item({ 6: [1, 2].map(() => [text("a"), text("v")]) }), "attribute order"],
    ["attributes out of order", item({ 6: ["b", "a"].map((name) => [text(name), text("v")]) }), "attribute order"],
    ["an attribute value that is too long", item({ 6: [[text("a"), new Uint8Array(65_537)]] }), "attribute value"],
    ["an unknown flag", item({ 8: 2 }), "flags"],
    ["a tenth field", encodeCbor([0, 0, [], [], text(""), text(""), [], [], 0, 0]), "shape"],
    ["deep nesting", item({ 6: [[[[text("a")]]]] }), "nesting"],
    ["a padded head", Uint8Array.of(0x98, 9, ...item({}).subarray(1)), "CBOR head"],
  ] as [string, Uint8Array, string][]) {
    it(`refuses ${what}`, () => {
      expect(expectRejection(() => decodeMetadata(bytes), "INVALID_INPUT").check).to.equal(check);
    });
  }

  it("refuses to write what nobody could read", () => {
    expectRejection(() => encodeMetadata({ ...plain, user: "" }), "INVALID_INPUT");
    expectRejection(() => encodeMetadata({ ...plain, mode: -1 }), "INVALID_INPUT");
    expectRejection(() => encodeMetadata({ ...plain, linkGroup: 0.5 }), "INVALID_INPUT");
    expectRejection(() => encodeMetadata({ ...plain, mtimeNanos: 2n ** 63n }), "INVALID_INPUT");
    expectRejection(() => encodeMetadata({ ...plain, uid: 2 ** 32 }), "INVALID_INPUT");
    expectRejection(() => encodeMetadata({ ...plain, group: "x".repeat(256) }), "INVALID_INPUT");
    for (const name of ["", "a\0", "x".repeat(256)]) {
      expectRejection(
        () => encodeMetadata({ ...plain, xattrs: new Map([[name, new Uint8Array(1)]]) }),
        "INVALID_INPUT",
      );
    }
    const numerous = new Map(Array.from({ length: 1025 }, (_, k) => [`user.${k}`, new Uint8Array(0)]));
    expectRejection(() => encodeMetadata({ ...plain, xattrs: numerous }), "INVALID_INPUT", /too many/);
    const large = new Map(Array.from({ length: 17 }, (_, k) => [`user.${k}`, new Uint8Array(65_536)]));
    expectRejection(() => encodeMetadata({ ...plain, xattrs: large }), "INVALID_INPUT", /too long/);
  });
});

describe("metadata stream", () => {
  // Half a kilobyte each, so that few of them make several pieces.
  const value = new Uint8Array(400);
  const many = Array.from({ length: 6000 }, (_, k): EntryMetadata => {
    const digest = sha256(Uint8Array.of(k >> 8, k & 0xff));
    return { ...plain, mtimeNanos: BigInt(k), xattrs: new Map([["user.a", concatBytes(digest, value)]]) };
  });

  async function read({ objects, rootId }: Awaited<ReturnType<typeof write>>) {
    const byId = new Map(objects.map(({ id, sealed }) => [id, sealed]));
    const sealed = (id: string) => byId.get(id) ?? new Uint8Array(0);
    const root = openMetadataRoot(SNAPSHOT_KEYS, rootId, sealed(rootId));
    const pieces = root.pieces.map((piece) => openMetadataPiece(SNAPSHOT_KEYS, piece, sealed(piece.id)));
    return await collect(decodeMetadataStream(await Promise.all(pieces), root));
  }

  it("returns the items of a stream of several pieces, and of an empty one", async () => {
    const stored = await write(many);
    expect(stored.objects.length).to.be.greaterThan(2);
    expect(await read(stored)).to.deep.equal(many);
    expect(await read(await write([]))).to.deep.equal([]);
  });

  it("makes the same objects of the same entries, and shares most pieces after a change", async () => {
    const first = await write(many);
    expect(await write(many)).to.deep.equal(first);
    const changed = await write(many.with(5999, plain));
    const known = new Set(first.objects.map(({ id }) => id));
    expect(changed.objects.filter(({ id }) => !known.has(id))).to.have.length(2);
  });

  it("reads a stream however its bytes are split", async () => {
    const bytes = Buffer.concat(many.slice(0, 50).map(encodeMetadata));
    for (const pieceBytes of [1, 7, 64]) {
      const items = await collect(decodeMetadataStream(inPieces(bytes, pieceBytes), { itemCount: 50 }));
      expect(items).to.deep.equal(many.slice(0, 50));
    }
  });

  it("does not open for another account, ledger or chain, nor damaged or with another name", async () => {
    const { objects, rootId } = await write(many.slice(0, 3));
    const [piece, root] = objects;
    if (piece === undefined || root === undefined) throw new Error("objects are missing");
    for (const keys of [scopeOf({ account: `0x${"ab".repeat(20)}` }), scopeOf({ chainId: 1n }), scopeOf({ key: 9 })]) {
      expectRejection(() => openMetadataRoot(keys, rootId, root.sealed), "INTEGRITY", /does not open/);
      const ref = openMetadataRoot(SNAPSHOT_KEYS, rootId, root.sealed).pieces[0];
      if (ref === undefined) throw new Error("no piece");
      await expectAsyncRejection(() => openMetadataPiece(keys, ref, piece.sealed), "INTEGRITY", /does not decrypt/);
      const flipped = piece.sealed.with(3, (piece.sealed[3] ?? 0) ^ 1);
      await expectAsyncRejection(() => openMetadataPiece(SNAPSHOT_KEYS, ref, flipped), "INTEGRITY");
      const cutOff = piece.sealed.subarray(0, 16);
      await expectAsyncRejection(() => openMetadataPiece(SNAPSHOT_KEYS, ref, cutOff), "INTEGRITY");
    }
    expectRejection(() => openMetadataRoot(SNAPSHOT_KEYS, piece.id, root.sealed), "INTEGRITY", /not what its id names/);
  });

  it("refuses a root that does not add up, and a stream that is not what its root says", async () => {
    const piece = sealMetadataPiece(SNAPSHOT_KEYS, Uint8Array.of(0, 1, 2), 2).piece;
    for (const root of [
      { itemCount: 1, streamBytes: 3, pieces: [piece] },
      { itemCount: 3, streamBytes: 2, pieces: [piece] },
    ]) {
      expect(expectRejection(() => sealMetadataRoot(SNAPSHOT_KEYS, root), "INVALID_INPUT").check).to.equal(
        "stream size",
      );
    }
    const bytes = Buffer.concat(many.slice(0, 3).map(encodeMetadata));
    for (const [pieces, itemCount, code] of [
      [[bytes], 2, "INTEGRITY"],
      [[bytes], 4, "INTEGRITY"],
      [[bytes.subarray(0, -1)], 3, "INTEGRITY"],
      [[Uint8Array.of(0xa0)], 1, "INVALID_INPUT"],
      // An array that announces more items than an item may have bytes.
      [[Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff), new Uint8Array(MAX_METADATA_ITEM_BYTES)], 1, "INVALID_INPUT"],
    ] as const) {
      await expectAsyncRejection(() => collect(decodeMetadataStream(pieces, { itemCount })), code);
    }
  });

  it("refuses a snapshot key of another length", () => {
    expectRejection(
      () => snapshotKeys(new Uint8Array(31), { chainId: 1n, keyLedger: vectors.keyLedger }, vectors.account),
      "INVALID_INPUT",
    );
  });
});
