import { bytesToHex as hex } from "@noble/hashes/utils.js";
import { decode as decodeLoosely } from "cborg";
import { expect } from "chai";
import fc from "fast-check";
import {
  asArray,
  asBytes,
  asInt64,
  asInteger,
  type CborValue,
  decodeCbor,
  encodeCbor,
  measureItem,
} from "../../../offchain/core/encoding/cbor.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";
import { unhex } from "../../helpers/vectors.ts";

const { value: values } = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.maxSafeInteger(),
    fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n - 1n }).map(asDecoded),
    fc.uint8Array({ maxLength: 70 }),
    fc.array(tie("value"), { maxLength: 30 }),
  ),
}));

/** The decoder gives numbers where they are exact. */
function asDecoded(integer: bigint): number | bigint {
  return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer;
}

const decode = (text: string, maxDepth = 4) => decodeCbor(unhex(text), 1000, maxDepth, "value");

describe("canonical cbor", () => {
  it("returns what was encoded, and measures exactly its bytes", () => {
    fc.assert(
      fc.property(values, fc.uint8Array({ maxLength: 3 }), (value, tail) => {
        const bytes = encodeCbor(value);
        expect(decodeCbor(bytes, 1e6, 10, "value")).to.deep.equal(value);
        expect(measureItem(new Uint8Array([...bytes, ...tail]), 0, 10, "value")).to.equal(bytes.length);
        for (let cut = 0; cut < bytes.length; cut++) {
          expect(measureItem(bytes.subarray(0, cut), 0, 10, "value"), `cut at ${cut}`).to.equal(undefined);
        }
      }),
    );
  });

  it("accepts exactly the bytes that it writes itself", () => {
    let accepted = 0;
    // Few distinct bytes, so that heads of every kind meet often.
    const bytes = fc.array(
      fc.oneof(
        fc.constantFrom(0x00, 0x01, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x20, 0x40, 0x41, 0x58, 0x80, 0x81, 0x82),
        fc.nat(255),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(bytes, (list) => {
        const input = Uint8Array.from(list);
        let value: CborValue;
        try {
          value = decodeCbor(input, 1000, 3, "value");
        } catch (error) {
          expect(error).to.be.instanceOf(InvalidInputError);
          return;
        }
        accepted++;
        expect(hex(encodeCbor(value))).to.equal(hex(input));
      }),
      { numRuns: 5000 },
    );
    expect(accepted).to.be.greaterThan(100);
  });

  // RFC 8949, appendix A, within the profile.
  const examples: [string, CborValue][] = [
    ["00", 0],
    ["17", 23],
    ["1818", 24],
    ["1903e8", 1000],
    ["1a000f4240", 1_000_000],
    ["1b000000e8d4a51000", 1_000_000_000_000],
    ["1bffffffffffffffff", 18_446_744_073_709_551_615n],
    ["20", -1],
    ["3863", -100],
    ["3bffffffffffffffff", -18_446_744_073_709_551_616n],
    ["40", new Uint8Array(0)],
    ["4401020304", Uint8Array.of(1, 2, 3, 4)],
    ["80", []],
    ["8301820203820405", [1, [2, 3], [4, 5]]],
  ];
  for (const [text, value] of examples) {
    it(`reads and writes the example ${text} of RFC 8949`, () => {
      expect(decode(text)).to.deep.equal(value);
      expect(hex(encodeCbor(value))).to.equal(text);
    });
  }

  const refused: Record<string, string> = {
    "an integer in a longer form": "1817",
    "an integer in a two-byte form that one byte holds": "1900ff",
    "an integer in an eight-byte form that four hold": "1b00000000ffffffff",
    "a negative integer in a longer form": "3800",
    "a byte string with a longer head": "5800",
    "an array with a longer head": "9800",
    "an array whose item has a longer head": "811801",
    "an indefinite byte string": "5f4101ff",
    "an indefinite array": "9f01ff",
    "a break": "ff",
    "a reserved length": "1c",
    text: "6161",
    "a map": "a0",
    "a tag": "c100",
    "a bignum": "c24101",
    "a half float that equals an integer": "f93c00",
    "a double that equals an integer": "fb3ff0000000000000",
    true: "f5",
    null: "f6",
    undefined: "f7",
    "no bytes": "",
    "a truncated head": "19ff",
    "a truncated byte string": "4101".slice(0, 2),
    "a truncated array": "8201",
    "an array that claims more items than could ever come": "9bffffffffffffffff",
    "a byte string that claims more bytes than could ever come": "5bffffffffffffffff00",
    "bytes after the end": "0000",
    "arrays nested too deep": "8181818181",
  };
  for (const [name, text] of Object.entries(refused)) {
    it(`refuses ${name}`, () => {
      expect(() => decode(text)).to.throw(InvalidInputError);
    });
  }

  it("refuses deep nesting without recursion", () => {
    const bytes = new Uint8Array(1_000_000).fill(0x81);
    expect(() => decodeCbor(bytes, 2_000_000, 4, "value")).to.throw(InvalidInputError, "nested deeper than 4");
    expect(() => decodeLoosely(bytes)).to.throw(RangeError); // What the limit protects from.
  });

  it("refuses an input that is too long before looking at it", () => {
    expect(() => decodeCbor(new Uint8Array(11), 10, 4, "value"))
      .to.throw(InvalidInputError, "too long")
      .with.include({
        expected: "at most 10 bytes",
        received: "11 bytes",
      });
  });

  it("takes values for what they must be, and says which field is wrong", () => {
    const field = { what: "thing", name: "size" };
    expect(asInteger(5, 5, 5, field)).to.equal(5);
    for (const value of [4, 6, -1, 5n, [5], Uint8Array.of(5), undefined]) {
      expect(() => asInteger(value, 5, 5, field)).to.throw(InvalidInputError, "thing has a wrong size");
    }
    expect(asInt64(-1, field)).to.equal(-1n);
    expect(asInt64(2n ** 63n - 1n, field)).to.equal(2n ** 63n - 1n);
    for (const value of [2n ** 63n, -(2n ** 63n) - 1n, [], undefined]) {
      expect(() => asInt64(value, field)).to.throw(InvalidInputError, "thing has a wrong size");
    }
    const shared = Uint8Array.of(1, 2);
    const taken = asBytes(shared, 0, 2, field);
    expect(taken).to.deep.equal(shared);
    expect(taken.buffer).to.not.equal(shared.buffer);
    for (const value of [Uint8Array.of(1, 2, 3), 3, undefined]) {
      expect(() => asBytes(value, 0, 2, field)).to.throw(InvalidInputError, "thing has a wrong size");
    }
    expect(asArray([1], 1, 2, field)).to.deep.equal([1]);
    for (const value of [[], [1, 2, 3], 3, Uint8Array.of(1), undefined]) {
      expect(() => asArray(value, 1, 2, field)).to.throw(InvalidInputError, "thing has a wrong size");
    }
  });

  it("is stricter than the library alone, which reads a float as the integer it equals", () => {
    const float = "f93c00";
    expect(decodeLoosely(unhex(float), { strict: true })).to.equal(1);
    expect(() => decode(float)).to.throw(InvalidInputError, "major type 7 at byte 0");
  });
});
