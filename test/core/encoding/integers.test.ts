import { expect } from "chai";
import fc from "fast-check";
import { putUint32, u16be, u32be, u64be, uint32At } from "../../../offchain/core/encoding/integers.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });

describe("integers of fixed length", () => {
  it("are what a DataView reads, most significant byte first", () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 65_535 }), (value) => view(u16be(value)).getUint16(0) === value));
    fc.assert(fc.property(uint32, (value) => view(u32be(value)).getUint32(0) === value));
    fc.assert(fc.property(fc.bigInt(0n, 2n ** 64n - 1n), (value) => view(u64be(value)).getBigUint64(0) === value));
  });

  it("are read from and written to any place of a view, and nowhere else", () => {
    const property = fc.property(
      fc.uint8Array({ minLength: 12, maxLength: 20 }),
      fc.nat(7),
      uint32,
      (all, at, value) => {
        const bytes = all.subarray(1);
        expect(uint32At(bytes, at)).to.equal(view(bytes).getUint32(at));
        const expected = all.slice();
        view(expected).setUint32(at + 1, value);
        putUint32(bytes, at, value);
        expect(all).to.deep.equal(expected);
        expect(uint32At(bytes, at)).to.equal(value);
      },
    );
    fc.assert(property);
  });

  it("are refused when they do not fit", () => {
    for (const value of [-1, 65_536, 0.5, Number.NaN]) expect(() => u16be(value)).to.throw(InvalidInputError);
    for (const value of [-1, 2 ** 32, 0.5, Number.NaN]) expect(() => u32be(value)).to.throw(InvalidInputError);
    for (const value of [-1n, 2n ** 64n]) expect(() => u64be(value)).to.throw(InvalidInputError);
  });
});
