/** The index of a listing, against a model that keeps everything in maps. */
import { expect } from "chai";
import fc from "fast-check";
import { ListingIndexBuilder } from "../../../offchain/agent/read/listing-index.ts";
import { comparePaths, pathFromBytes, pathToBytes } from "../../../offchain/core/recipe/path-name.ts";
import type { FileEntry } from "../../../offchain/core/recipe/recipe.ts";

/** Few names, so that folders get several entries; some that sort before and after the separator, one not UTF-8. */
const names = ["a", "a b", "a-", "a.b", "a0", "b", "é", pathFromBytes(Uint8Array.of(0xff, 0x61))];
const paths = fc.array(fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 4 }), { maxLength: 40 });

const parentOf = (path: string) => path.slice(0, Math.max(path.lastIndexOf("/"), 0));

/** A listing with every parent folder, in listing order. What has nothing below it is a file, now and then a link. */
function listingOf(wanted: readonly (readonly string[])[]): FileEntry[] {
  const all = new Set(wanted.flatMap((parts) => parts.map((_, index) => parts.slice(0, index + 1).join("/"))));
  const sorted = [...all].sort((a, b) => comparePaths(pathToBytes(a), pathToBytes(b)));
  return sorted.map((path): FileEntry => {
    const common = { path };
    if (sorted.some((other) => parentOf(other) === path)) return { type: "directory", ...common };
    if (path.endsWith("b")) return { type: "symlink", ...common, target: "a" };
    return { type: "file", ...common, sizeBytes: 0, content: { chunks: [] } };
  });
}

function indexOf(entries: readonly FileEntry[]) {
  const builder = new ListingIndexBuilder();
  for (const [position, entry] of entries.entries()) builder.push(entry, position % 3 === 0 ? undefined : position);
  return builder.finish();
}

describe("index of a listing", () => {
  it("finds every entry with its time, and nothing else", () => {
    fc.assert(
      fc.property(paths, fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 4 }), (wanted, other) => {
        const entries = listingOf(wanted);
        const index = indexOf(entries);
        for (const [position, entry] of entries.entries()) {
          const modifiedMillis = position % 3 === 0 ? undefined : position;
          expect(index.find(entry.path)).to.deep.equal({ position, entry, modifiedMillis });
        }
        const path = other.join("/");
        expect(index.find(path)?.entry.path).to.equal(entries.find((entry) => entry.path === path)?.path);
      }),
    );
  });

  it("lists of every folder the entries directly in it, in listing order", () => {
    fc.assert(
      fc.property(paths, (wanted) => {
        const entries = listingOf(wanted);
        const index = indexOf(entries);
        for (const folder of ["", ...entries.map(({ path }) => path)]) {
          const listed = [...index.children(folder === "" ? undefined : index.find(folder))];
          expect(listed.map(({ entry }) => entry.path)).to.deep.equal(
            entries.map(({ path }) => path).filter((path) => parentOf(path) === folder && path !== folder),
          );
        }
      }),
    );
  });

  it("spans several blocks, and says how much memory it takes", () => {
    const builder = new ListingIndexBuilder();
    const name = (n: number) => `${String(n).padStart(5, "0")} ${"long ".repeat(40)}`;
    const common = { type: "file", sizeBytes: 0, content: { chunks: [] } } as const;
    for (let n = 0; n < 12_000; n += 1) builder.push({ ...common, path: name(n) }, undefined);
    const index = builder.finish();
    expect(index.sizeBytes).to.be.within(12_000 * 220, 12_000 * 330);
    for (const n of [0, 4321, 4999, 5000, 11_999]) expect(index.find(name(n))?.position).to.equal(n);
    expect([...index.children()]).to.have.length(12_000);
  });
});
