import { expect } from "chai";
import fc from "fast-check";
import { sliceElementsFor } from "../../../offchain/agent/data-sets/slice-size.ts";
import { sliceBytes } from "../../../offchain/core/audit/field.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";

const GIB = 2 ** 30;
const OFFER = { sliceElements: [1024, 8192, 32_768], maximumIndex: 262_144 };

describe("the size of slices", () => {
  it("is the default one where it is offered, and otherwise the nearest to it", () => {
    expect(sliceElementsFor(OFFER)).to.equal(8192);
    expect(sliceElementsFor({ ...OFFER, sliceElements: [1024] })).to.equal(1024);
    expect(sliceElementsFor({ ...OFFER, sliceElements: [1024, 65_536, 4096] })).to.equal(4096);
  });

  for (const [expected, elements] of [
    [1, 1024],
    [200 * 1024 ** 2, 1024],
    [GIB, 8192],
    [7 * GIB, 8192],
    [9 * GIB, 32_768],
    // The default size would be nearer, but the highest index leaves no room.
    [100 * GIB, 32_768],
    [1024 * GIB, 32_768],
  ] as const) {
    it(`suits a set of ${expected} bytes: ${elements} elements`, () => {
      expect(sliceElementsFor(OFFER, expected)).to.equal(elements);
    });
  }

  it("keeps the set below the provider's highest index where one does", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 45 }), fc.integer({ min: 1, max: 2 ** 20 }), (bytes, maximumIndex) => {
        const elements = sliceElementsFor({ ...OFFER, maximumIndex }, bytes);
        const fits = (size: number) => sliceBytes(size) * maximumIndex >= bytes;
        expect(OFFER.sliceElements).to.include(elements);
        expect(fits(elements)).to.equal(OFFER.sliceElements.some(fits));
      }),
    );
  });

  it("is refused for sizes that are none", () => {
    for (const bytes of [0, -1, 1.5, Number.NaN, 2 ** 60]) {
      expect(() => sliceElementsFor(OFFER, bytes)).to.throw(InvalidInputError, "no number of bytes");
    }
  });
});
