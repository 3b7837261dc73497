import { bls12_381 } from "@noble/curves/bls12-381.js";
import { expect } from "chai";
import {
  addG1,
  clearCofactor,
  decodeExpandedG1,
  decodeG1,
  decodeG1FromChain,
  decodeG2FromChain,
  decodeSubgroupG1,
  encodeG1,
  encodeG1ForChain,
  encodeG2ForChain,
  expandG1,
  generatorG1,
  generatorG2,
  identityG1,
  multiplyG1,
  multiplyG2,
  multiScalarMultiply,
  negateG1,
  pairingProductIsOne,
} from "../../../offchain/core/audit/curve.ts";
import { FIELD_ORDER } from "../../../offchain/core/audit/field.ts";
import { multiplyGeneratorG1 } from "../../../offchain/core/audit/fixed-base.ts";
import { auditReady } from "../../../offchain/core/audit/ready.ts";
import { InvalidPointError } from "../../../offchain/core/errors.ts";
import { bytesOf, hex, oracleChainG1, oracleChainG2 } from "../../helpers/audit-oracle.ts";

const G1 = bls12_381.G1.Point;
const G2 = bls12_381.G2.Point;
const P = bls12_381.fields.Fp.ORDER;
const SCALARS = [1n, 2n, 255n, 256n, 2n ** 128n, FIELD_ORDER - 1n, 0x1234567890abcdef1234567890abcdefn ** 2n];

/** A point of the curve outside the subgroup: the one with x = 4 and the smaller y. */
const OUTSIDE = Uint8Array.from({ length: 48 }, (_, k) => (k === 0 ? 0x80 : k === 47 ? 4 : 0));

function edited(bytes: Uint8Array, edit: (copy: Uint8Array) => void): Uint8Array {
  const copy = bytes.slice();
  edit(copy);
  return copy;
}

describe("audit curve", () => {
  let some: Uint8Array;

  it("reads points of G1 in the form of the chain, the identity included, and nothing else", async () => {
    await auditReady();
    for (const scalar of SCALARS) {
      const point = multiplyG1(generatorG1(), scalar);
      expect(decodeG1FromChain(encodeG1ForChain(point), "proof element").isEqual(point)).to.equal(true);
    }
    expect(decodeG1FromChain(new Uint8Array(128), "proof element").isZero()).to.equal(true);
    const good = encodeG1ForChain(generatorG1());
    for (const [wrong, check] of [
      [good.subarray(1), "length"],
      [edited(good, (copy) => copy.set([1], 64)), "field element"],
      [edited(good, (copy) => copy.fill(0xff, 16, 64)), "field element"],
      [edited(good, (copy) => copy.set([(copy[127] ?? 0) ^ 1], 127)), "curve membership"],
    ] as [Uint8Array, string][]) {
      expect(() => decodeG1FromChain(wrong, "proof element"))
        .to.throw(InvalidPointError)
        .with.property("check", check);
    }
  });

  before(async () => {
    await auditReady();
    some = encodeG1(multiplyG1(generatorG1(), 12_345n));
  });

  it("encodes points of G1 as noble does, compressed, expanded and for the chain", () => {
    for (const scalar of SCALARS) {
      const ours = multiplyG1(generatorG1(), scalar);
      const theirs = G1.BASE.multiply(scalar);
      expect(encodeG1(ours)).to.deep.equal(theirs.toBytes(true));
      expect(expandG1(ours)).to.deep.equal(theirs.toBytes(false));
      expect(hex(encodeG1ForChain(ours))).to.equal(oracleChainG1(theirs));
      expect(decodeExpandedG1(expandG1(ours), "point").isEqual(ours)).to.equal(true);
      expect(decodeSubgroupG1(encodeG1(ours), "point").isEqual(ours)).to.equal(true);
    }
    expect(encodeG1ForChain(identityG1())).to.deep.equal(new Uint8Array(128));
  });

  it("encodes points of G2 for the chain as noble does", () => {
    for (const scalar of SCALARS) {
      const ours = multiplyG2(generatorG2(), scalar);
      expect(hex(encodeG2ForChain(ours))).to.equal(oracleChainG2(G2.BASE.multiply(scalar)));
      expect(decodeG2FromChain(encodeG2ForChain(ours), "key").isEqual(ours)).to.equal(true);
    }
  });

  it("multiplies the generator by a table as without it", () => {
    for (const scalar of [0n, ...SCALARS]) {
      expect(multiplyGeneratorG1(scalar).isEqual(multiplyG1(generatorG1(), scalar))).to.equal(true);
    }
  });

  it("sums scalar multiples as noble does, over a piece boundary and with zeros", () => {
    const scalars = Array.from({ length: 2051 }, (_, k) => (k % 7 === 0 ? 0n : BigInt(k) ** 20n % FIELD_ORDER));
    const points = scalars.map((_, k) => multiplyGeneratorG1(BigInt(k + 1)));
    const exponent = scalars.reduce((sum, scalar, k) => (sum + scalar * BigInt(k + 1)) % FIELD_ORDER, 0n);
    expect(multiScalarMultiply(points, scalars).isEqual(multiplyGeneratorG1(exponent))).to.equal(true);
    expect(multiScalarMultiply([], []).isZero()).to.equal(true);
    expect(() => multiScalarMultiply(points, [1n])).to.throw(RangeError);
  });

  it("projects onto the subgroup: leaves its points alone and removes every other component", () => {
    const point = multiplyGeneratorG1(99n);
    const outside = decodeG1(OUTSIDE, "outside");
    expect(outside.isValidOrder()).to.equal(false);
    expect(clearCofactor(point).isEqual(point)).to.equal(true);
    const inside = clearCofactor(outside);
    expect(inside.isValidOrder()).to.equal(true);
    // outside − its projection has no component in the subgroup, so it must vanish, alone and in a sum.
    const remainder = addG1(outside, negateG1(inside));
    expect(remainder.isZero()).to.equal(false);
    expect(clearCofactor(remainder).isZero()).to.equal(true);
    const mixed = multiScalarMultiply([addG1(point, remainder), point], [FIELD_ORDER - 5n, 7n]);
    expect(clearCofactor(mixed).isEqual(multiplyGeneratorG1(2n * 99n))).to.equal(true);
  });

  it("evaluates pairing products, also with the identity", () => {
    const point = multiplyGeneratorG1(5n);
    const key = multiplyG2(generatorG2(), 3n);
    expect(pairingProductIsOne([])).to.equal(true);
    expect(pairingProductIsOne([[identityG1(), key]])).to.equal(true);
    expect(pairingProductIsOne([[point, key]])).to.equal(false);
    expect(
      pairingProductIsOne([
        [multiplyGeneratorG1(15n), generatorG2()],
        [negateG1(point), key],
      ]),
    ).to.equal(true);
  });

  describe("refuses as a point of G1", () => {
    const hostile: [string, () => Uint8Array][] = [
      ["nothing", () => new Uint8Array(0)],
      ["one byte too few", () => some.slice(1)],
      ["one byte too many", () => Uint8Array.of(...some, 0)],
      ["zeros", () => new Uint8Array(48)],
      ["ones", () => new Uint8Array(48).fill(0xff)],
      ["a point without the compression flag", () => edited(some, (copy) => (copy[0] = (copy[0] ?? 0) & 0x7f))],
      ["a point with the identity flag", () => edited(some, (copy) => (copy[0] = (copy[0] ?? 0) | 0x40))],
      ["the identity with a sign", () => Uint8Array.from({ length: 48 }, (_, k) => (k === 0 ? 0xe0 : 0))],
      [
        "the identity followed by a one",
        () => Uint8Array.from({ length: 48 }, (_, k) => (k === 0 ? 0xc0 : k === 47 ? 1 : 0)),
      ],
      ["x not on the curve", () => Uint8Array.from({ length: 48 }, (_, k) => (k === 0 ? 0x80 : k === 47 ? 1 : 0))],
      ["x = p + 4", () => edited(bytesOf(`0x${(P + 4n).toString(16)}`), (copy) => (copy[0] = (copy[0] ?? 0) | 0x80))],
    ];
    for (const [name, make] of hostile) {
      it(name, () => {
        expect(() => decodeG1(make(), "tag")).to.throw(InvalidPointError, "tag");
      });
    }

    it("the identity, where points are stored", () => {
      const identity = encodeG1(identityG1());
      expect(decodeG1(identity, "proof").isZero()).to.equal(true);
      expect(() => decodeExpandedG1(identity, "tag")).to.throw(InvalidPointError, "length");
      expect(() => decodeExpandedG1(new Uint8Array(96), "tag")).to.throw(InvalidPointError, "curve");
    });

    it("a point outside the subgroup, where that matters", () => {
      expect(() => decodeSubgroupG1(OUTSIDE, "sigma")).to.throw(InvalidPointError, "subgroup");
    });

    it("expanded points off the curve or not reduced", () => {
      const expanded = expandG1(generatorG1());
      expect(() =>
        decodeExpandedG1(
          edited(expanded, (copy) => (copy[95] = (copy[95] ?? 0) ^ 1)),
          "tag",
        ),
      ).to.throw(InvalidPointError);
      expect(() => decodeExpandedG1(new Uint8Array(96).fill(0xff), "tag")).to.throw(InvalidPointError, "field");
    });
  });

  describe("refuses as a key in G2", () => {
    const valid = () => encodeG2ForChain(generatorG2());
    /** A point of the twist outside the subgroup: the first x = k + 0i with a y. */
    const outside = (): Uint8Array => {
      const { Fp2 } = bls12_381.fields;
      for (let k = 1n; ; k++) {
        const x = Fp2.fromBigTuple([k, 0n]);
        const square = Fp2.add(Fp2.mul(Fp2.sqr(x), x), Fp2.fromBigTuple([4n, 4n]));
        const y = safeSquareRoot(square);
        if (y !== undefined) return bytesOf(oracleChainG2(G2.fromAffine({ x, y })));
      }
    };
    const safeSquareRoot = (square: { c0: bigint; c1: bigint }) => {
      const { Fp2 } = bls12_381.fields;
      try {
        return Fp2.sqrt(square);
      } catch (error) {
        if (error instanceof Error && error.message.includes("square root")) return undefined;
        throw error;
      }
    };
    const hostile: [string, () => Uint8Array, string][] = [
      ["a wrong length", () => valid().slice(1), "length"],
      ["the identity", () => new Uint8Array(256), "identity"],
      ["a point off the curve", () => edited(valid(), (copy) => (copy[255] = (copy[255] ?? 0) ^ 1)), "curve"],
      ["a field element with something in front", () => edited(valid(), (copy) => (copy[64] = 1)), "field"],
      ["a field element not reduced", () => edited(valid(), (copy) => copy.fill(0xff, 16, 64)), "field"],
      ["a point outside the subgroup", outside, "subgroup"],
    ];
    for (const [name, make, check] of hostile) {
      it(name, () => {
        expect(() => decodeG2FromChain(make(), "audit key X")).to.throw(InvalidPointError, check);
      });
    }
  });
});
