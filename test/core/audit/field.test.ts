import { bls12_381 } from "@noble/curves/bls12-381.js";
import { expect } from "chai";
import fc from "fast-check";
import {
  bigEndianToInteger,
  DEFAULT_SLICE_ELEMENTS,
  decodeScalar,
  divideByLinear,
  encodeScalar,
  evaluatePolynomial,
  FIELD_ORDER,
  integerToBigEndian,
  power,
  readElements,
  reduce,
  SLICE_BYTES,
} from "../../../offchain/core/audit/field.ts";
import { InvalidInputError, InvalidScalarError } from "../../../offchain/core/errors.ts";
import { type FieldKernel, loadFieldKernel } from "../../../offchain/kernels/field.ts";
import { patternBytes } from "../../helpers/audit-set.ts";

const { Fr } = bls12_381.fields;
const scalar = fc.bigInt({ min: 0n, max: FIELD_ORDER - 1n });

describe("audit field", () => {
  it("has the order that noble has", () => {
    expect(FIELD_ORDER).to.equal(Fr.ORDER);
  });

  it("raises to a power as noble does", () => {
    fc.assert(
      fc.property(scalar, scalar, (base, exponent) => {
        expect(power(base, exponent)).to.equal(Fr.pow(base, exponent));
      }),
      { numRuns: 20 },
    );
    expect(power(0n, 0n)).to.equal(1n);
  });

  it("reduces negative values into the field", () => {
    expect(reduce(-1n)).to.equal(FIELD_ORDER - 1n);
    expect(reduce(FIELD_ORDER)).to.equal(0n);
  });

  it("reads and writes integers, most significant byte first", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 70 }), (bytes) => {
        expect(integerToBigEndian(bigEndianToInteger(bytes), bytes.length)).to.deep.equal(bytes);
      }),
    );
    expect(bigEndianToInteger(Uint8Array.of(1, 2))).to.equal(258n);
    expect(() => integerToBigEndian(256n, 1)).to.throw(InvalidInputError);
    expect(() => integerToBigEndian(-1n, 1)).to.throw(InvalidInputError);
  });

  it("refuses scalars that are not canonical", () => {
    expect(decodeScalar(encodeScalar(FIELD_ORDER - 1n))).to.equal(FIELD_ORDER - 1n);
    expect(() => decodeScalar(encodeScalar(FIELD_ORDER))).to.throw(InvalidScalarError);
    expect(() => decodeScalar(new Uint8Array(32).fill(0xff))).to.throw(InvalidScalarError);
    expect(() => decodeScalar(new Uint8Array(31))).to.throw(InvalidScalarError);
    expect(() => decodeScalar(new Uint8Array(33))).to.throw(InvalidScalarError);
  });

  it("reads elements of 31 bytes, least significant byte first", () => {
    const slice = new Uint8Array(62);
    slice[0] = 1;
    slice[30] = 2;
    slice[31] = 3;
    expect(readElements(slice)).to.deep.equal([1n + (2n << 240n), 3n]);
  });

  it("divides by a linear factor: p(Y) = q(Y)·(Y − a) + p(a)", () => {
    fc.assert(
      fc.property(fc.array(scalar, { minLength: 1, maxLength: 12 }), scalar, scalar, (coefficients, a, point) => {
        const { quotient, remainder } = divideByLinear(coefficients, a);
        expect(remainder).to.equal(evaluatePolynomial(coefficients, a));
        expect(evaluatePolynomial(coefficients, point)).to.equal(
          reduce(evaluatePolynomial(quotient, point) * (point - a) + remainder),
        );
      }),
    );
  });
});

describe("field kernel", () => {
  let kernel: FieldKernel;
  const slices = [
    patternBytes(SLICE_BYTES, 1),
    patternBytes(SLICE_BYTES, 2),
    new Uint8Array(SLICE_BYTES),
    new Uint8Array(SLICE_BYTES).fill(0xff),
  ];
  const largest = (1n << 256n) - 1n;

  before(async () => {
    kernel = await loadFieldKernel();
  });

  it("gives the inner product that bigints give", () => {
    const vectors = [
      Array.from({ length: DEFAULT_SLICE_ELEMENTS }, (_, j) => power(3n, BigInt(j))),
      new Array<bigint>(DEFAULT_SLICE_ELEMENTS).fill(largest),
      new Array<bigint>(DEFAULT_SLICE_ELEMENTS).fill(0n),
    ];
    for (const vector of vectors) {
      const product = kernel.sliceDotProduct(vector);
      for (const slice of slices) {
        const expected = readElements(slice).reduce((sum, element, j) => sum + element * (vector[j] ?? 0n), 0n);
        expect(product.dotProduct(slice)).to.equal(expected);
      }
    }
  });

  it("does not read beyond the last element or keep an earlier slice", () => {
    const product = kernel.sliceDotProduct(new Array<bigint>(DEFAULT_SLICE_ELEMENTS).fill(1n));
    product.dotProduct(slices[3] ?? new Uint8Array(0));
    const last = new Uint8Array(SLICE_BYTES);
    last[SLICE_BYTES - 1] = 0x80;
    expect(product.dotProduct(last)).to.equal(1n << 247n);
  });

  it("computes slices of other sizes, in blocks of 4096 elements", () => {
    for (const elements of [1024, 5120, 9216]) {
      const slice = patternBytes(31 * elements, elements);
      const coefficients = readElements(slice);
      const vector = Array.from({ length: elements }, (_, j) => power(5n, BigInt(j)));
      const expected = coefficients.reduce((sum, element, j) => sum + element * (vector[j] ?? 0n), 0n);
      expect(kernel.sliceDotProduct(vector).dotProduct(slice)).to.equal(expected);
      const accumulator = kernel.sliceAccumulator(elements);
      for (const weight of [3n, 1n << 127n]) accumulator.add(slice, weight);
      expect(accumulator.sums()).to.deep.equal(coefficients.map((element) => element * (3n + (1n << 127n))));
      expect(() => accumulator.add(slice.subarray(31), 1n)).to.throw(RangeError);
    }
  });

  it("accumulates weighted slices as bigints do, at every number of additions around a carry", () => {
    const accumulator = kernel.sliceAccumulator(DEFAULT_SLICE_ELEMENTS);
    const expected = new Array<bigint>(DEFAULT_SLICE_ELEMENTS).fill(0n);
    const weights = [(1n << 128n) - 1n, 0n, 1n, 0x123456789abcdef0123456789abcdefn];
    for (let n = 0; n < 18; n++) {
      const slice = slices[(n * 3) % 4] ?? new Uint8Array(0);
      const weight = weights[(n * 5) % 4] ?? 0n;
      accumulator.add(slice, weight);
      for (const [j, element] of readElements(slice).entries()) expected[j] = (expected[j] ?? 0n) + weight * element;
      if (n === 6 || n === 7 || n === 8 || n === 17) expect(accumulator.sums()).to.deep.equal(expected);
    }
  });

  it("does not overflow at the largest weight, the largest elements and many additions", () => {
    const accumulator = kernel.sliceAccumulator(DEFAULT_SLICE_ELEMENTS);
    const ones = new Uint8Array(SLICE_BYTES).fill(0xff);
    const weight = (1n << 128n) - 1n;
    for (let n = 0; n < 2000; n++) accumulator.add(ones, weight);
    const expected = 2000n * weight * ((1n << 248n) - 1n);
    expect(new Set(accumulator.sums())).to.deep.equal(new Set([expected]));
  });

  it("refuses what does not fit", () => {
    const product = kernel.sliceDotProduct(new Array<bigint>(DEFAULT_SLICE_ELEMENTS).fill(1n));
    expect(() => product.dotProduct(new Uint8Array(SLICE_BYTES - 1))).to.throw(RangeError);
    expect(() => product.dotProduct(new Uint8Array(SLICE_BYTES + 1))).to.throw(RangeError);
    expect(() => kernel.sliceDotProduct(new Array<bigint>(DEFAULT_SLICE_ELEMENTS).fill(largest + 1n))).to.throw(
      RangeError,
    );
    const accumulator = kernel.sliceAccumulator(DEFAULT_SLICE_ELEMENTS);
    expect(() => accumulator.add(new Uint8Array(SLICE_BYTES), 1n << 128n)).to.throw(RangeError);
    expect(() => accumulator.add(new Uint8Array(SLICE_BYTES), -1n)).to.throw(RangeError);
  });
});
