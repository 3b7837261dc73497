import { bytesToHex as hex, utf8ToBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import { sha256 } from "#primitives";
import { type CborValue, encodeCbor } from "../../../offchain/core/encoding/cbor.ts";
import { contentIdFromDigest } from "../../../offchain/core/encoding/content-id.ts";
import { InvalidInputError, UnknownVersionError } from "../../../offchain/core/errors.ts";
import {
  type ChunkRef,
  contentBytes,
  decodeEntry,
  decodeList,
  decodeRoot,
  encodeEntry,
  encodeList,
  encodeRoot,
  type FileEntry,
  MAX_ENTRY_BYTES,
  MAX_LIST_REFS,
  MAX_SEALED_RECIPE_BYTES,
  type RootRecipe,
} from "../../../offchain/core/recipe/recipe.ts";
import { arbitraryEntry } from "../../helpers/recipes.ts";
import { loadVectors, unhex } from "../../helpers/vectors.ts";

interface Vectors {
  entries: string[];
  root: string;
  chunkList: string;
  upperList: string;
}

const vectors = loadVectors<Vectors>("recipe.json");
const digest = (n: number) => sha256(utf8ToBytes(`object ${n}`));
const key = (n: number) => sha256(utf8ToBytes(`key ${n}`));
const chunk = (n: number, sizeBytes: number): ChunkRef => ({
  id: contentIdFromDigest(digest(n)),
  key: key(n),
  sizeBytes,
});

const SECOND = 1_700_000_000_000_000_000n;
const ENTRIES: FileEntry[] = [
  { type: "directory", path: "Straße", mode: 0o755, mtimeNanos: SECOND },
  { type: "file", path: "Straße/empty", mode: 0o600, mtimeNanos: -1n, sizeBytes: 0, content: { chunks: [] } },
  {
    type: "file",
    path: "Straße/large",
    mode: 0o444,
    mtimeNanos: SECOND + 1n,
    sizeBytes: 10 * 2 ** 30,
    content: { blob: { level: 1, id: contentIdFromDigest(digest(9)), key: key(9), sizeBytes: 10 * 2 ** 30 } },
  },
  {
    type: "file",
    path: "Straße/small",
    mode: 0o4755,
    mtimeNanos: 0n,
    sizeBytes: 1_050_000,
    content: { chunks: [chunk(1, 1_000_000), chunk(2, 50_000)] },
  },
  { type: "symlink", path: "link-\udcff\udcfe", mode: 0o777, mtimeNanos: SECOND, target: "../outside/\udc80" },
];
const ROOT: RootRecipe = {
  version: 1,
  domain: "public",
  entryCount: ENTRIES.length,
  totalBytes: 10 * 2 ** 30 + 1_050_000,
  listingBytes: 500,
  listing: { chunks: [chunk(3, 500)] },
};

describe("recipe", () => {
  it("has the bytes that an independent implementation of the specification writes", () => {
    expect(ENTRIES.map((entry) => hex(encodeEntry(entry)))).to.deep.equal(vectors.entries);
    expect(hex(encodeRoot(ROOT))).to.equal(vectors.root);
    const chunks = Array.from({ length: 10 }, (_, n) => chunk(n, 1000 + n));
    expect(hex(encodeList({ level: 0, refs: chunks }))).to.equal(vectors.chunkList);
    const lists = Array.from({ length: 3 }, (_, n) => ({ id: contentIdFromDigest(digest(n)), sizeBytes: 2 ** 40 + n }));
    expect(hex(encodeList({ level: 2, refs: lists }))).to.equal(vectors.upperList);
  });

  it("reads those bytes", () => {
    expect(vectors.entries.map((entry) => decodeEntry(unhex(entry)))).to.deep.equal(ENTRIES);
    expect(decodeRoot(unhex(vectors.root))).to.deep.equal(ROOT);
    const list = decodeList(unhex(vectors.chunkList), 0);
    expect(list.refs[9]).to.deep.equal(chunk(9, 1009));
    expect(decodeList(unhex(vectors.upperList), 2).refs.length).to.equal(3);
  });

  it("returns every entry that can be written", () => {
    fc.assert(
      fc.property(arbitraryEntry, (entry) => {
        const bytes = encodeEntry(entry);
        expect(bytes.length).to.be.at.most(MAX_ENTRY_BYTES);
        expect(decodeEntry(bytes)).to.deep.equal(entry);
        if (entry.type === "file") expect(contentBytes(entry.content)).to.equal(entry.sizeBytes);
      }),
    );
  });

  it("reads nothing but what it would write itself, however a byte of an entry is changed", () => {
    const samples = vectors.entries.map(unhex);
    fc.assert(
      fc.property(fc.nat(samples.length - 1), fc.nat(), fc.nat(255), (which, at, byte) => {
        const changed = (samples[which] as Uint8Array).slice();
        changed[at % changed.length] = byte;
        let entry: FileEntry;
        try {
          entry = decodeEntry(changed);
        } catch (error) {
          expect(error).to.be.instanceOf(InvalidInputError);
          return;
        }
        expect(hex(encodeEntry(entry))).to.equal(hex(changed));
      }),
      { numRuns: 3000 },
    );
  });

  describe("refuses an unknown version", () => {
    for (const version of [0, 2, 23]) {
      it(`${version}, whatever else the object holds`, () => {
        for (const rest of ["f6", "00", ""]) {
          const bytes = unhex(`83${version.toString(16).padStart(2, "0")}${rest}`);
          expect(() => decodeRoot(bytes)).to.throw(UnknownVersionError, `root recipe has format version ${version}`);
          expect(() => decodeList(bytes, 0)).to.throw(UnknownVersionError, `recipe list has format version ${version}`);
        }
      });
    }

    it("when writing, too", () => {
      const root = { ...ROOT, version: 2 } as unknown as RootRecipe;
      expect(() => encodeRoot(root)).to.throw(UnknownVersionError);
    });
  });

  const path = utf8ToBytes("a");
  const ref: CborValue = [digest(1), key(1), 100];
  const malformedEntries: Record<string, CborValue> = {
    "another type": [4, path, 0, 0],
    "a negative type": [-1, path, 0, 0],
    "a missing field": [2, path, 0],
    "an additional field": [2, path, 0, 0, 0],
    "a file's fields on a folder": [2, path, 0, 0, 100, [0, [ref]]],
    "a negative mode": [2, path, -1, 0],
    "a file type in the mode": [2, path, 0o100644, 0],
    "a time beyond 64 bits": [2, path, 0, 2n ** 63n],
    "a path that is a number": [2, 5, 0, 0],
    "a path that leads out": [2, utf8ToBytes("../a"), 0, 0],
    "a path that is absolute": [2, utf8ToBytes("/a"), 0, 0],
    "an empty path": [2, new Uint8Array(0), 0, 0],
    "a NUL byte in the path": [2, utf8ToBytes("a\0"), 0, 0],
    "a negative size": [1, path, 0, 0, -100, [0, [ref]]],
    "a size beyond what can be counted": [1, path, 0, 0, 2n ** 60n, [1, 0, digest(1), key(1)]],
    "chunks that add up to less": [1, path, 0, 0, 101, [0, [ref]]],
    "chunks that add up to more": [1, path, 0, 0, 99, [0, [ref]]],
    "chunks for no bytes": [1, path, 0, 0, 0, [0, [ref]]],
    "an empty chunk": [1, path, 0, 0, 0, [0, [[digest(1), key(1), 0]]]],
    "a chunk of negative size": [1, path, 0, 0, 0, [0, [ref, [digest(1), key(1), -100]]]],
    "a chunk above the largest": [1, path, 0, 0, 2_097_153, [0, [[digest(1), key(1), 2_097_153]]]],
    "a short digest": [1, path, 0, 0, 100, [0, [[digest(1).subarray(1), key(1), 100]]]],
    "a short key": [1, path, 0, 0, 100, [0, [[digest(1), key(1).subarray(1), 100]]]],
    "more than eight inline chunks": [1, path, 0, 0, 900, [0, new Array(9).fill(ref)]],
    "another kind of content": [1, path, 0, 0, 100, [2, [ref]]],
    "a tree for no bytes": [1, path, 0, 0, 0, [1, 0, digest(1), key(1)]],
    "too deep a tree": [1, path, 0, 0, 100, [1, 4, digest(1), key(1)]],
    "a tree of negative depth": [1, path, 0, 0, 100, [1, -1, digest(1), key(1)]],
    "an empty link target": [3, path, 0, 0, new Uint8Array(0)],
    "a NUL byte in the link target": [3, path, 0, 0, Uint8Array.of(97, 0)],
    "an oversize link target": [3, path, 0, 0, new Uint8Array(8193).fill(97)],
    "nesting beyond the format": [1, path, 0, 0, 100, [0, [[digest(1), key(1), [100]]]]],
  };
  for (const [name, value] of Object.entries(malformedEntries)) {
    it(`refuses an entry with ${name}`, () => {
      expect(() => decodeEntry(encodeCbor(value))).to.throw(InvalidInputError);
    });
  }

  it("refuses an oversize entry, an entry cut short, and bytes after it", () => {
    const bytes = encodeCbor([3, path, 0, 0, new Uint8Array(MAX_ENTRY_BYTES)]);
    expect(() => decodeEntry(bytes)).to.throw(InvalidInputError, "too long");
    const good = unhex(vectors.entries[3] as string);
    expect(() => decodeEntry(good.subarray(0, -1))).to.throw(InvalidInputError, "truncated");
    expect(() => decodeEntry(new Uint8Array([...good, 0]))).to.throw(InvalidInputError, "after the end");
  });

  it("refuses to write what it would refuse to read", () => {
    const [directory, , , small] = ENTRIES as [FileEntry, FileEntry, FileEntry, FileEntry & { type: "file" }];
    const bad: FileEntry[] = [
      { ...directory, path: "../x" },
      { ...directory, path: "x\ud800" },
      { ...directory, mode: 1.5 },
      { ...directory, mode: 0o10000 },
      { ...directory, mtimeNanos: 2n ** 64n },
      { ...small, sizeBytes: small.sizeBytes - 1 },
      { ...small, sizeBytes: -1, content: { chunks: [chunk(1, -1)] } },
      { ...small, sizeBytes: 9, content: { chunks: new Array<ChunkRef>(9).fill(chunk(1, 1)) } },
      { ...small, sizeBytes: 1, content: { chunks: [{ ...chunk(1, 1), id: "bafy" }] } },
      { type: "symlink", path: "l", mode: 0, mtimeNanos: 0n, target: "" },
    ];
    for (const entry of bad) expect(() => encodeEntry(entry), entry.path).to.throw(InvalidInputError);
    expect(() => encodeList({ level: 0, refs: [] })).to.throw(InvalidInputError);
    expect(() => encodeList({ level: 4, refs: [{ id: chunk(1, 1).id, sizeBytes: 1 }] })).to.throw(InvalidInputError);
    expect(() => encodeRoot({ ...ROOT, domain: "" })).to.throw(InvalidInputError);
    expect(() => encodeRoot({ ...ROOT, entryCount: -1 })).to.throw(InvalidInputError);
    expect(() => encodeRoot({ ...ROOT, listingBytes: 499 })).to.throw(InvalidInputError);
  });

  it("holds lists to their level, their number of references and their size", () => {
    const refs = (count: number): CborValue => new Array<CborValue>(count).fill(ref);
    const list = (level: number, items: CborValue) => encodeCbor([1, level, items]);
    expect(decodeList(list(0, refs(MAX_LIST_REFS)), 0).refs.length).to.equal(MAX_LIST_REFS);
    for (const bytes of [
      list(0, refs(0)),
      list(0, refs(MAX_LIST_REFS + 1)),
      list(1, [[digest(1), 5]]), // a level other than the one referred to
      list(0, [[digest(1), 5]]), // list references where chunks belong
      encodeCbor([1, 0, refs(1), 0]),
    ]) {
      expect(() => decodeList(bytes, 0)).to.throw(InvalidInputError);
    }
    expect(() => decodeList(list(2, [[digest(1), 5]]), 1)).to.throw(InvalidInputError, "level");
    expect(() => decodeList(list(4, [[digest(1), 5]]), 4)).to.throw(InvalidInputError, "level");
    expect(() => decodeList(list(1, [[digest(1), 0]]), 1)).to.throw(InvalidInputError, "list size");
    expect(() => decodeList(new Uint8Array(MAX_SEALED_RECIPE_BYTES), 0)).to.throw(InvalidInputError, "too long");
    // The largest list there can be stays within the limit once sealed.
    const largest = new Array<CborValue>(MAX_LIST_REFS).fill([digest(1), key(1), 2_097_136]);
    expect(list(0, largest).length).to.be.below(MAX_SEALED_RECIPE_BYTES - 17);
  });

  it("refuses roots out of shape", () => {
    const domain = utf8ToBytes("public");
    const listing: CborValue = [0, [ref]];
    expect(decodeRoot(encodeCbor([1, domain, 0, 0, 100, listing])).entryCount).to.equal(0);
    const malformed: CborValue[] = [
      [1, domain, 0, 0, 100],
      [1, domain, 0, 0, 100, listing, 0],
      [1, new Uint8Array(0), 0, 0, 100, listing],
      [1, Uint8Array.of(0xff), 0, 0, 100, listing],
      [1, new Uint8Array(256).fill(97), 0, 0, 100, listing],
      [1, domain, -1, 0, 100, listing],
      [1, domain, 0, -1, 100, listing],
      [1, domain, 0, 0, 101, listing],
      [1, domain, 0, 0, -100, listing],
      [[1], domain, 0, 0, 100, listing],
    ];
    for (const value of malformed) expect(() => decodeRoot(encodeCbor(value))).to.throw(InvalidInputError);
    expect(() => decodeRoot(new Uint8Array(5000))).to.throw(InvalidInputError, "too long");
  });
});
