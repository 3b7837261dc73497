import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import { encodeCbor } from "../../../offchain/core/encoding/cbor.ts";
import { IntegrityError, InvalidInputError } from "../../../offchain/core/errors.ts";
import {
  decodeListing,
  ListingDecoder,
  ListingEncoder,
  type ListingTotals,
} from "../../../offchain/core/recipe/listing.ts";
import { comparePaths, pathToBytes } from "../../../offchain/core/recipe/path-name.ts";
import { encodeEntry, type FileEntry, MAX_ENTRY_BYTES, type SegmentRef } from "../../../offchain/core/recipe/recipe.ts";
import { failure } from "../../helpers/promises.ts";
import { inPieces } from "../../helpers/pseudo-random.ts";
import { arbitraryEntry } from "../../helpers/recipes.ts";

const folder = (path: string): FileEntry => ({ type: "directory", path });
const file = (path: string, sizeBytes = 0): FileEntry => ({
  type: "file",
  path,
  sizeBytes,
  content:
    sizeBytes === 0
      ? { chunks: [] }
      : { blob: { level: 0, id: `bafkrei${"a".repeat(52)}`, key: new Uint8Array(32), sizeBytes } },
});
const link = (path: string, target: string): FileEntry => ({
  type: "symlink",
  path,
  target,
});
/** A bundled file of 100 bytes; segments of 117. */
const bundled = (path: string, position: number, files: number, facts: Partial<SegmentRef> = {}): FileEntry => ({
  type: "file",
  path,
  sizeBytes: 100,
  content: {
    segment: {
      id: `bafkrei${"a".repeat(52)}`,
      key: new Uint8Array(32),
      bundleBytes: 117 * files,
      position,
      offset: 117 * position,
      sealedBytes: 117,
      sizeBytes: 100,
      ...facts,
    },
  },
});

function write(entries: Iterable<FileEntry>): { bytes: Uint8Array; totals: ListingTotals } {
  const encoder = new ListingEncoder();
  const bytes = new Uint8Array(Buffer.concat(Array.from(entries, (entry) => encoder.push(entry))));
  return { bytes, totals: encoder.totals };
}

async function read(bytes: Uint8Array, expected?: ListingTotals, ...pieceBytes: number[]): Promise<FileEntry[]> {
  const entries: FileEntry[] = [];
  const pieces = inPieces(bytes, ...(pieceBytes.length === 0 ? [bytes.length] : pieceBytes));
  for await (const entry of decodeListing(pieces, expected)) entries.push(entry);
  return entries;
}

/** Bytes of a sequence no encoder would write. */
function raw(...paths: [path: string, type?: "folder" | "link" | "file"][]): Uint8Array {
  const items = paths.map(([path, type]) => {
    const name = utf8ToBytes(path);
    if (type === "link") return encodeCbor([3, name, utf8ToBytes("/etc")]);
    return encodeCbor(type === "file" ? [1, name, 0, [0, []]] : [2, name]);
  });
  return new Uint8Array(Buffer.concat(items));
}

/** A listing made of arbitrary entries: sorted, each path once, missing folders added. */
function asListing(entries: readonly FileEntry[]): FileEntry[] {
  const byPath = new Map<string, FileEntry>();
  for (const entry of entries) {
    const parts = entry.path.split("/");
    const parents = parts.slice(1).map((_, depth) => parts.slice(0, depth + 1).join("/"));
    if (byPath.has(entry.path) || parents.some((parent) => byPath.get(parent)?.type === "file")) continue;
    if (parents.some((parent) => byPath.get(parent)?.type === "symlink")) continue;
    for (const parent of parents) if (!byPath.has(parent)) byPath.set(parent, folder(parent));
    byPath.set(entry.path, entry.type === "file" ? { ...entry, ...file(entry.path, 7) } : entry);
  }
  return [...byPath.values()].sort((a, b) => comparePaths(pathToBytes(a.path), pathToBytes(b.path)));
}

describe("listing", () => {
  it("returns the entries that were written, however its bytes are split", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(arbitraryEntry, { maxLength: 30 }).map(asListing),
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 }),
        async (entries, pieceBytes) => {
          const { bytes, totals } = write(entries);
          expect(totals.entryCount).to.equal(entries.length);
          expect(await read(bytes, totals, ...pieceBytes)).to.deep.equal(entries);
        },
      ),
    );
  });

  it("may be empty", async () => {
    const { bytes, totals } = write([]);
    expect(bytes.length).to.equal(0);
    expect(totals).to.deep.equal({ entryCount: 0, totalBytes: 0 });
    expect(await read(bytes, totals)).to.deep.equal([]);
  });

  it("counts entries and the bytes of files", () => {
    const { totals } = write([folder("a"), file("a/b", 10), link("a/c", "b"), file("d", 5)]);
    expect(totals).to.deep.equal({ entryCount: 4, totalBytes: 15 });
  });

  const refused: Record<string, [FileEntry[], string]> = {
    "a path twice": [[folder("a"), folder("a")], "names a path twice"],
    "a folder again after what is in it": [[folder("a"), file("a/b"), folder("a")], "not in path order"],
    "names out of order": [[file("b"), file("a")], "not in path order"],
    "a name with a dash before the folder's content": [[folder("a"), file("a-b"), file("a/b")], "not in path order"],
    "an entry without its folder": [[file("a/b")], "outside the folders"],
    "an entry whose grandfather alone is there": [[folder("a"), file("a/b/c")], "outside the folders"],
    "an entry below a file": [[file("a"), file("a/b")], "outside the folders"],
    "an entry below a link that leads elsewhere": [[link("a", "/etc"), file("a/passwd")], "outside the folders"],
    "an entry below a neighbour with the same beginning": [[folder("a"), file("ab/c")], "outside the folders"],
    "an entry below a folder that was left": [
      [folder("a"), folder("a/b"), folder("a/c"), file("a/c/b/x")],
      "outside the",
    ],
  };
  for (const [name, [entries, message]] of Object.entries(refused)) {
    it(`refuses ${name}, when writing and when reading`, async () => {
      expect(() => write(entries)).to.throw(InvalidInputError, message);
      const bytes = raw(
        ...entries.map(
          ({ path, type }) =>
            [path, type === "directory" ? "folder" : type === "file" ? "file" : "link"] as [
              string,
              "folder" | "file" | "link",
            ],
        ),
      );
      expect(await failure(read(bytes)))
        .to.be.instanceOf(InvalidInputError)
        .with.property("message")
        .that.contains(message);
    });
  }

  it("refuses a path that leads out as soon as it is read", async () => {
    const bytes = raw(["a"], ["../b"]);
    const decoder = new ListingDecoder();
    const entries = decoder.push(bytes);
    expect(entries.next().value).to.include({ path: "a" });
    expect(() => entries.next()).to.throw(InvalidInputError, "leads elsewhere");
  });

  it("gives an entry as soon as its last byte is there", () => {
    const decoder = new ListingDecoder();
    const bytes = raw(["a"], ["b"]);
    const length = bytes.length / 2;
    expect([...decoder.push(bytes.subarray(0, length - 1))]).to.deep.equal([]);
    expect([...decoder.push(bytes.subarray(length - 1, length + 1))].map(({ path }) => path)).to.deep.equal(["a"]);
    expect([...decoder.push(bytes.subarray(length + 1))].map(({ path }) => path)).to.deep.equal(["b"]);
    expect(decoder.finish()).to.deep.equal({ entryCount: 2, totalBytes: 0 });
  });

  it("refuses to end within an entry", async () => {
    const { bytes } = write([folder("a"), file("a/b", 10)]);
    for (let cut = bytes.length - 1; cut > bytes.length - 20; cut--) {
      expect(await failure(read(bytes.subarray(0, cut)))).to.be.instanceOf(IntegrityError);
    }
  });

  it("refuses to be another listing than the root describes", async () => {
    const { bytes, totals } = write([file("a", 10), file("b", 5)]);
    for (const expected of [
      { ...totals, entryCount: 1 },
      { ...totals, entryCount: 3 },
      { ...totals, totalBytes: 14 },
    ]) {
      expect(await failure(read(bytes, expected)))
        .to.be.instanceOf(IntegrityError)
        .with.property("check", "listing totals");
    }
  });

  it("refuses an entry that promises more bytes than an entry may have, without waiting for them", () => {
    const promises = { "a path of a terabyte": "8202 5b0000010000000000", "a billion fields": "9a3b9aca00" };
    for (const [name, head] of Object.entries(promises)) {
      const decoder = new ListingDecoder();
      const start = Uint8Array.from(Buffer.from(head.replaceAll(" ", ""), "hex"));
      let taken = 0;
      const feed = () => {
        for (const piece of [start, ...new Array<Uint8Array>(100).fill(new Uint8Array(1024))]) {
          taken += piece.length;
          for (const _ of decoder.push(piece)) throw new Error("no entry was expected");
        }
      };
      expect(feed, name).to.throw(InvalidInputError);
      expect(taken, name).to.be.at.most(MAX_ENTRY_BYTES + 2048);
    }
  });

  it("takes the files of a bundle in order, with other entries between, and bundle after bundle", async () => {
    const entries = [
      bundled("a", 0, 2),
      folder("b"),
      file("b/large", 5_000_000),
      bundled("b/x", 1, 2),
      bundled("c", 0, 1),
      bundled("d", 0, 3),
      bundled("e", 1, 3),
      bundled("f", 2, 3),
    ];
    const { bytes, totals } = write(entries);
    expect(await read(bytes, totals)).to.deep.equal(entries);
  });

  const otherId = { id: `bafkrei${"a".repeat(51)}e` };
  const disordered: Record<string, FileEntry[]> = {
    "a bundle that does not begin with its first file": [bundled("a", 1, 2)],
    "a first file that is not at the start": [bundled("a", 0, 3, { offset: 117 })],
    "a file of a bundle left out": [bundled("a", 0, 3), bundled("b", 2, 3)],
    "a file of a bundle twice": [bundled("a", 0, 2), bundled("b", 0, 2)],
    "a gap within a bundle": [bundled("a", 0, 3), bundled("b", 1, 3, { offset: 118 })],
    "two files of a bundle that overlap": [bundled("a", 0, 3), bundled("b", 1, 3, { offset: 116 })],
    "a file of another bundle within one": [bundled("a", 0, 3), bundled("b", 1, 3, otherId)],
    "a bundle of two lengths": [bundled("a", 0, 3), bundled("b", 1, 2)],
    "a bundle over more entries than a writer holds back": [
      bundled("a", 0, 2),
      ...Array.from({ length: 4095 }, (_, n) => file(`b${String(n).padStart(4, "0")}`)),
      bundled("c", 1, 2),
    ],
  };
  for (const [name, entries] of Object.entries(disordered)) {
    it(`refuses ${name}`, async () => {
      expect(() => write(entries)).to.throw(InvalidInputError, "does not follow the one before it");
      const bytes = new Uint8Array(Buffer.concat(entries.map(encodeEntry)));
      expect(await failure(read(bytes))).to.be.instanceOf(InvalidInputError);
    });
  }

  it("refuses to end within a bundle", async () => {
    const { bytes } = write([bundled("a", 0, 2)]);
    expect(await failure(read(bytes)))
      .to.be.instanceOf(IntegrityError)
      .with.property("message", "listing ends in the middle of a bundle");
  });

  it("refuses totals that cannot be counted", () => {
    const half = 2 ** 52;
    expect(() => write([file("a", half), file("b", half), file("c", half)])).to.throw(
      InvalidInputError,
      "can be counted",
    );
  });

  it("is read in bounded memory, however many entries it has", async () => {
    const count = 40_000;
    const encoder = new ListingEncoder();
    async function* source(): AsyncGenerator<Uint8Array> {
      for (let index = 0; index < count; index++) yield encoder.push(file(`file ${String(index).padStart(7, "0")}`, 3));
    }
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    let entries = 0;
    for await (const _ of decodeListing(source())) {
      entries++;
      if (entries % 10_000 !== 0) continue;
      collectGarbage();
      // 10,000 entries kept would be 5 MB more each time.
      expect(process.memoryUsage().heapUsed - before, `after ${entries} entries`).to.be.below(3e6);
    }
    expect(entries).to.equal(count);
    expect(encoder.totals.totalBytes).to.equal(3 * count);
  });
});
