import { expect } from "chai";
import fc from "fast-check";
import { DEFAULT_SLICE_ELEMENTS, SLICE_BYTES } from "../../../offchain/core/audit/field.ts";
import {
  type AuditManifest,
  decodeManifest,
  encodeManifest,
  manifestHash,
  sliceLayout,
} from "../../../offchain/core/audit/manifest.ts";
import { contentIdFromDigest } from "../../../offchain/core/encoding/content-id.ts";
import { InvalidInputError, UnknownVersionError } from "../../../offchain/core/errors.ts";
import { hex } from "../../helpers/audit-oracle.ts";

function manifestOf(sizes: readonly number[]): AuditManifest {
  const chunks = sizes.map((sizeBytes, k) => ({ id: contentIdFromDigest(new Uint8Array(32).fill(k + 1)), sizeBytes }));
  return { version: 1, chunks };
}

describe("audit manifest", () => {
  it("has the documented layout", () => {
    const entry = (k: number, size: string) => `${k.toString(16).padStart(2, "0").repeat(32)}${size}`;
    expect(hex(encodeManifest(manifestOf([1, 0x01020304])))).to.equal(
      `0x0100000002${entry(1, "00000001")}${entry(2, "01020304")}`,
    );
    // From Python: sha256(b"tallystick/v1/audit-manifest\\0" + the bytes above).
    expect(hex(manifestHash(manifestOf([1, 0x01020304])))).to.equal(
      "0x0da1c89688de8bd2dd237c8e9f659ed0abc66a1660971cff1c848b3599da82d1",
    );
  });

  it("round trips, also from the middle of a buffer", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 2 ** 32 - 1 }), { minLength: 1, maxLength: 20 }), (sizes) => {
        const bytes = encodeManifest(manifestOf(sizes));
        const inside = new Uint8Array(bytes.length + 2);
        inside.set(bytes, 1);
        expect(decodeManifest(inside.subarray(1, -1))).to.deep.equal(manifestOf(sizes));
      }),
    );
  });

  it("hashes to something else when order, size or content changes", () => {
    const [first, second] = manifestOf([5, 6]).chunks;
    if (first === undefined || second === undefined) throw new Error("two chunks expected");
    const hashes = [[first, second], [second, first], [first], [first, { ...second, sizeBytes: 7 }]].map((chunks) =>
      hex(manifestHash({ version: 1, chunks })),
    );
    expect(new Set(hashes).size).to.equal(hashes.length);
  });

  it("refuses what is not exactly one manifest", () => {
    const bytes = encodeManifest(manifestOf([5, 6]));
    const edit = (position: number, value: number) => {
      const copy = bytes.slice();
      copy[position] = value;
      return copy;
    };
    expect(() => decodeManifest(edit(0, 2))).to.throw(UnknownVersionError);
    expect(() => decodeManifest(new Uint8Array(0))).to.throw(UnknownVersionError);
    expect(() => decodeManifest(Uint8Array.of(1))).to.throw(InvalidInputError);
    expect(() => decodeManifest(Uint8Array.of(1, 0, 0, 0, 0))).to.throw(InvalidInputError);
    expect(() => decodeManifest(edit(4, 1))).to.throw(InvalidInputError);
    expect(() => decodeManifest(bytes.slice(0, -1))).to.throw(InvalidInputError);
    expect(() => decodeManifest(Uint8Array.of(...bytes, 0))).to.throw(InvalidInputError);
    expect(() => decodeManifest(edit(bytes.length - 1, 0))).to.throw(InvalidInputError, "size");
  });

  it("is not made without chunks, with empty ones, or with ids that are none", () => {
    expect(() => encodeManifest(manifestOf([]))).to.throw(InvalidInputError);
    expect(() => encodeManifest(manifestOf([0]))).to.throw(InvalidInputError);
    expect(() => encodeManifest(manifestOf([2 ** 32]))).to.throw(InvalidInputError);
    expect(() => encodeManifest(manifestOf([1.5]))).to.throw(InvalidInputError);
    expect(() => encodeManifest({ version: 1, chunks: [{ id: "bafy", sizeBytes: 1 }] })).to.throw(InvalidInputError);
  });
});

describe("slice layout", () => {
  it("covers every byte of the set once, in order, slice by slice", () => {
    const size = fc.oneof(
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: SLICE_BYTES - 2, max: SLICE_BYTES + 2 }),
      fc.integer({ min: 1, max: 4 * SLICE_BYTES }),
    );
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 12 }), (sizes) => {
        const layout = sliceLayout(manifestOf(sizes), DEFAULT_SLICE_ELEMENTS);
        const total = sizes.reduce((sum, bytes) => sum + bytes, 0);
        expect(layout.sizeBytes).to.equal(total);
        expect(layout.sliceCount).to.equal(Math.ceil(total / SLICE_BYTES));
        let [chunk, offsetBytes] = [0, 0];
        for (let position = 0; position < layout.sliceCount; position++) {
          let sliceBytes = 0;
          for (const segment of layout.segments(position)) {
            if (offsetBytes === sizes[chunk]) [chunk, offsetBytes] = [chunk + 1, 0];
            expect([segment.chunk, segment.offsetBytes]).to.deep.equal([chunk, offsetBytes]);
            expect(segment.lengthBytes).to.be.greaterThan(0);
            offsetBytes += segment.lengthBytes;
            sliceBytes += segment.lengthBytes;
          }
          const left = total - position * SLICE_BYTES;
          expect(sliceBytes).to.equal(Math.min(SLICE_BYTES, left));
        }
        expect([chunk, offsetBytes]).to.deep.equal([sizes.length - 1, sizes.at(-1)]);
      }),
    );
  });

  it("refuses slices outside the set", () => {
    const layout = sliceLayout(manifestOf([SLICE_BYTES]), DEFAULT_SLICE_ELEMENTS);
    for (const position of [-1, 1, 0.5, Number.NaN]) {
      expect(() => layout.segments(position)).to.throw(InvalidInputError);
    }
  });
});
