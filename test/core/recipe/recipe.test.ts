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
  packageList: string;
  upperList: string;
}

const vectors = loadVectors<Vectors>("recipe.json");
const digest = (n: number) => sha256(utf8ToBytes(`object ${n}`));
const key = (n: number) => sha256(utf8ToBytes(`key ${n}`));
const chunk = (n: number, sizeBytes: number, sealedBytes = sizeBytes + 17): ChunkRef => ({
  id: contentIdFromDigest(digest(n)),
  key: key(n),
  sizeBytes,
  sealedBytes,
});
/** References to packages, as they are read. */
const packages = Array.from({ length: 4 }, (_, n): ChunkRef => {
  return { ...chunk(n, 1000 + n, 1017), key: new Uint8Array(0), stub: 300 * n };
});
const bundle = { id: contentIdFromDigest(digest(7)), key: key(7), bundleBytes: 5000 };

const ENTRIES: FileEntry[] = [
  { type: "directory", path: "Straße" },
  {
    type: "file",
    path: "Straße/bundled",
    sizeBytes: 1000,
    content: { segment: { ...bundle, position: 0, offset: 0, sealedBytes: 417, sizeBytes: 1000 } },
  },
  {
    type: "file",
    path: "Straße/bundled, too",
    sizeBytes: 4566,
    content: { segment: { ...bundle, position: 1, offset: 417, sealedBytes: 4583, sizeBytes: 4566 } },
  },
  { type: "file", path: "Straße/empty", sizeBytes: 0, content: { chunks: [] } },
  {
    type: "file",
    path: "Straße/large",
    sizeBytes: 10 * 2 ** 30,
    content: { blob: { level: 1, id: contentIdFromDigest(digest(9)), key: key(9), sizeBytes: 10 * 2 ** 30 } },
  },
  {
    type: "file",
    path: "Straße/middle",
    sizeBytes: 1_050_000,
    content: { chunks: [chunk(1, 1_000_000), chunk(2, 50_000, 12_345)] },
  },
  { type: "symlink", path: "link-\udcff\udcfe", target: "../outside/\udc80" },
];
const ROOT: RootRecipe = {
  version: 1,
  domain: "public",
  keyMode: "merkle",
  entryCount: ENTRIES.length,
  totalBytes: 1000 + 4566 + 10 * 2 ** 30 + 1_050_000,
  listingBytes: 500,
  listing: { chunks: [chunk(3, 500)] },
};

describe("recipe", () => {
  it("has the bytes that an independent implementation of the specification writes", () => {
    expect(ENTRIES.map((entry) => hex(encodeEntry(entry)))).to.deep.equal(vectors.entries);
    expect(hex(encodeRoot(ROOT))).to.equal(vectors.root);
    const chunks = Array.from({ length: 10 }, (_, n) => chunk(n, 1000 + n, 1017));
    expect(hex(encodeList({ level: 0, refs: chunks }))).to.equal(vectors.chunkList);
    expect(hex(encodeList({ level: 0, refs: packages }))).to.equal(vectors.packageList);
    const lists = Array.from({ length: 3 }, (_, n) => ({ id: contentIdFromDigest(digest(n)), sizeBytes: 2 ** 40 + n }));
    expect(hex(encodeList({ level: 2, refs: lists }))).to.equal(vectors.upperList);
  });

  it("refuses a position beyond the largest stub file, and writes no stub in place of it", () => {
    const list = (stub: unknown) => encodeCbor([1, 0, [[digest(1), stub, 1000, 1017]]] as never);
    expect(decodeList(list(65_535), 0).refs[0]).to.include({ stub: 65_535 });
    for (const stub of [65_536, -1, new Uint8Array(64), new Uint8Array(0)]) {
      expect(() => decodeList(list(stub), 0), String(stub)).to.throw(InvalidInputError);
    }
    const looked = packages.map((ref) => ({ ...ref, key: new Uint8Array(64).fill(1) }));
    expect(hex(encodeList({ level: 0, refs: looked }))).to.equal(vectors.packageList);
  });

  it("reads those bytes", () => {
    expect(vectors.entries.map((entry) => decodeEntry(unhex(entry)))).to.deep.equal(ENTRIES);
    expect(decodeRoot(unhex(vectors.root))).to.deep.equal(ROOT);
    const list = decodeList(unhex(vectors.chunkList), 0);
    expect(list.refs[9]).to.deep.equal(chunk(9, 1009, 1017));
    expect(decodeList(unhex(vectors.packageList), 0).refs).to.deep.equal(packages);
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
  const ref: CborValue = [digest(1), key(1), 100, 117];
  const segment = (...rest: number[]): CborValue => [2, digest(1), key(1), ...rest];
  const malformedEntries: Record<string, CborValue> = {
    "another type": [4, path],
    "a negative type": [-1, path],
    "a missing field": [2],
    "an additional field": [2, path, 0],
    "a mode and a time, as only metadata has them": [2, path, 0o755, 0],
    "a file's fields on a folder": [2, path, 100, [0, [ref]]],
    "a path that is a number": [2, 5],
    "a path that leads out": [2, utf8ToBytes("../a")],
    "a path that is absolute": [2, utf8ToBytes("/a")],
    "an empty path": [2, new Uint8Array(0)],
    "a NUL byte in the path": [2, utf8ToBytes("a\0")],
    "a negative size": [1, path, -100, [0, [ref]]],
    "a size beyond what can be counted": [1, path, 2n ** 60n, [1, 0, digest(1), key(1)]],
    "chunks that add up to less": [1, path, 101, [0, [ref]]],
    "chunks that add up to more": [1, path, 99, [0, [ref]]],
    "chunks for no bytes": [1, path, 0, [0, [ref]]],
    "an empty chunk": [1, path, 0, [0, [[digest(1), key(1), 0, 17]]]],
    "a chunk of negative size": [1, path, 0, [0, [ref, [digest(1), key(1), -100, 18]]]],
    "a chunk above the largest": [1, path, 2_097_136, [0, [[digest(1), key(1), 2_097_136, 2_097_153]]]],
    "a sealed chunk longer than a stored one": [1, path, 100, [0, [[digest(1), key(1), 100, 118]]]],
    "a sealed chunk too short for a frame": [1, path, 100, [0, [[digest(1), key(1), 100, 17]]]],
    "a chunk without its sealed size": [1, path, 100, [0, [[digest(1), key(1), 100]]]],
    "a short digest": [1, path, 100, [0, [[digest(1).subarray(1), key(1), 100, 117]]]],
    "a short key": [1, path, 100, [0, [[digest(1), key(1).subarray(1), 100, 117]]]],
    "more than eight inline chunks": [1, path, 900, [0, new Array(9).fill(ref)]],
    "another kind of content": [1, path, 100, [3, [ref]]],
    "a tree for no bytes": [1, path, 0, [1, 0, digest(1), key(1)]],
    "too deep a tree": [1, path, 100, [1, 4, digest(1), key(1)]],
    "a tree of negative depth": [1, path, 100, [1, -1, digest(1), key(1)]],
    "a bundle for no bytes": [1, path, 0, segment(5000, 0, 0, 18)],
    "a bundled file above the threshold": [1, path, 131_073, segment(500_000, 0, 0, 1000)],
    "a bundled file longer than a stored one": [1, path, 100, segment(5000, 0, 0, 118)],
    "a bundled file too short for a frame": [1, path, 100, segment(5000, 0, 0, 17)],
    "a bundled file that reaches beyond its bundle": [1, path, 100, segment(5000, 0, 4884, 117)],
    "a bundle above the largest object": [1, path, 100, segment(2_097_153, 0, 0, 117)],
    "a position beyond the span of a bundle": [1, path, 100, segment(5000, 4096, 0, 117)],
    "a negative offset in its bundle": [1, path, 100, segment(5000, 0, -1, 117)],
    "a bundle without a length": [1, path, 100, segment(5000, 0, 0)],
    "an empty link target": [3, path, new Uint8Array(0)],
    "a NUL byte in the link target": [3, path, Uint8Array.of(97, 0)],
    "an oversize link target": [3, path, new Uint8Array(8193).fill(97)],
    "nesting beyond the format": [1, path, 100, [0, [[digest(1), key(1), [100], 117]]]],
  };
  for (const [name, value] of Object.entries(malformedEntries)) {
    it(`refuses an entry with ${name}`, () => {
      expect(() => decodeEntry(encodeCbor(value))).to.throw(InvalidInputError);
    });
  }

  it("refuses an oversize entry, an entry cut short, and bytes after it", () => {
    const bytes = encodeCbor([3, path, new Uint8Array(MAX_ENTRY_BYTES)]);
    expect(() => decodeEntry(bytes)).to.throw(InvalidInputError, "too long");
    const good = unhex(vectors.entries[5] as string);
    expect(() => decodeEntry(good.subarray(0, -1))).to.throw(InvalidInputError, "truncated");
    expect(() => decodeEntry(new Uint8Array([...good, 0]))).to.throw(InvalidInputError, "after the end");
  });

  it("refuses to write what it would refuse to read", () => {
    const [directory] = ENTRIES as [FileEntry];
    const small = ENTRIES[5] as FileEntry & { type: "file" };
    const bundled = ENTRIES[1] as FileEntry & { type: "file" };
    const bad: FileEntry[] = [
      { ...directory, path: "../x" },
      { ...directory, path: "x\ud800" },
      { ...bundled, sizeBytes: bundled.sizeBytes + 1 },
      { ...small, sizeBytes: small.sizeBytes - 1 },
      { ...small, sizeBytes: -1, content: { chunks: [chunk(1, -1, 18)] } },
      { ...small, sizeBytes: 9, content: { chunks: new Array<ChunkRef>(9).fill(chunk(1, 1)) } },
      { ...small, sizeBytes: 1, content: { chunks: [{ ...chunk(1, 1), id: "bafy" }] } },
      { type: "symlink", path: "l", target: "" },
    ];
    for (const entry of bad) expect(() => encodeEntry(entry), entry.path).to.throw(InvalidInputError);
    expect(() => encodeList({ level: 0, refs: [] })).to.throw(InvalidInputError);
    expect(() => encodeList({ level: 4, refs: [{ id: chunk(1, 1).id, sizeBytes: 1 }] })).to.throw(InvalidInputError);
    expect(() => encodeRoot({ ...ROOT, domain: "" })).to.throw(InvalidInputError);
    expect(() => encodeRoot({ ...ROOT, entryCount: -1 })).to.throw(InvalidInputError);
    expect(() => encodeRoot({ ...ROOT, listingBytes: 499 })).to.throw(InvalidInputError);
    const bundledListing = { listing: bundled.content, listingBytes: 1000 } as unknown as Partial<RootRecipe>;
    expect(() => encodeRoot({ ...ROOT, ...bundledListing })).to.throw(InvalidInputError, "bundle");
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
    const largest = new Array<CborValue>(MAX_LIST_REFS).fill([digest(1), key(1), 2_097_135, 2_097_152]);
    expect(list(0, largest).length).to.be.below(MAX_SEALED_RECIPE_BYTES - 17);
  });

  it("refuses roots out of shape", () => {
    const domain = utf8ToBytes("public");
    const listing: CborValue = [0, [ref]];
    expect(decodeRoot(encodeCbor([1, domain, 0, 0, 0, 100, listing])).keyMode).to.equal("oprf");
    const malformed: CborValue[] = [
      [1, domain, 0, 0, 0, 100],
      [1, domain, 0, 0, 100, listing],
      [1, domain, 0, 0, 0, 100, listing, 0],
      [1, new Uint8Array(0), 0, 0, 0, 100, listing],
      [1, Uint8Array.of(0xff), 0, 0, 0, 100, listing],
      [1, new Uint8Array(256).fill(97), 0, 0, 0, 100, listing],
      [1, domain, 3, 0, 0, 100, listing],
      [1, domain, -1, 0, 0, 100, listing],
      [1, domain, 0, -1, 0, 100, listing],
      [1, domain, 0, 0, -1, 100, listing],
      [1, domain, 0, 0, 0, 101, listing],
      [1, domain, 0, 0, 0, -100, listing],
      [1, domain, 0, 0, 0, 100, [2, digest(1), key(1), 5000, 0, 0, 117]],
      [[1], domain, 0, 0, 0, 100, listing],
    ];
    for (const value of malformed) expect(() => decodeRoot(encodeCbor(value))).to.throw(InvalidInputError);
    expect(() => decodeRoot(new Uint8Array(5000))).to.throw(InvalidInputError, "too long");
  });
});
