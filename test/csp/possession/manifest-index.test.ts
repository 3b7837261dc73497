import { expect } from "chai";
import fc from "fast-check";
import { SLICE_BYTES } from "../../../offchain/core/audit/field.ts";
import { sliceLayout } from "../../../offchain/core/audit/manifest.ts";
import { contentIdFromDigest } from "../../../offchain/core/encoding/content-id.ts";
import { ManifestIndex } from "../../../offchain/csp/possession/manifest-index.ts";
import { PROVIDER_MIGRATIONS } from "../../../offchain/csp/tables.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";

function digest(k: number): Uint8Array {
  return new Uint8Array(32).fill(k + 1);
}

function indexed(sizes: readonly number[]) {
  const database = openDatabase(":memory:", { migrations: PROVIDER_MIGRATIONS });
  database.exec("PRAGMA foreign_keys = OFF");
  const manifests = new ManifestIndex(database);
  const chunks = sizes.map((sizeBytes, k) => ({ digest: digest(k % 100), sizeBytes }));
  const dataBytes = manifests.insert(7, chunks);
  return { manifests, chunks, dataBytes };
}

describe("manifest index", () => {
  it("finds the same pieces of chunks for every slice as the layout computed in memory", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 400_000 }), { minLength: 1, maxLength: 12 }), (sizes) => {
        const { manifests, chunks, dataBytes } = indexed(sizes);
        const layout = sliceLayout({
          version: 1,
          chunks: chunks.map((chunk) => ({ id: contentIdFromDigest(chunk.digest), sizeBytes: chunk.sizeBytes })),
        });
        expect(dataBytes).to.equal(layout.sizeBytes);
        for (let slice = 0; slice < layout.sliceCount; slice++) {
          const expected = layout.segments(slice).map(({ chunk, offsetBytes, lengthBytes }) => ({
            id: contentIdFromDigest(digest(chunk)),
            offsetBytes,
            lengthBytes,
          }));
          expect(manifests.rangesOf(7, slice * SLICE_BYTES, SLICE_BYTES)).to.deep.equal(expected);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("finds nothing beyond the end, and nothing of another preparation", () => {
    const { manifests, dataBytes } = indexed([1000, 2000]);
    expect(manifests.rangesOf(7, dataBytes, 10)).to.deep.equal([]);
    expect(manifests.rangesOf(8, 0, 10)).to.deep.equal([]);
  });

  it("spans as many chunks as a slice holds, and a chunk that is repeated", () => {
    const { manifests } = indexed(new Array(300).fill(500));
    const ranges = manifests.rangesOf(7, 250, SLICE_BYTES);
    expect(ranges.length).to.equal(255);
    expect(ranges[0]).to.include({ offsetBytes: 250, lengthBytes: 250 });
    expect(ranges.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)).to.equal(SLICE_BYTES);
    expect(new Set(ranges.map(({ id }) => id)).size).to.equal(100);
  });
});
