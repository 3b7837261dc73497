/** Arithmetic of byte ranges, against a model that looks at every position. */
import { expect } from "chai";
import fc from "fast-check";
import { parseRangeSpec, resolveRange, withinSize } from "../../../offchain/agent/read/byte-range.ts";
import { expectRejection } from "../../helpers/rejection.ts";

const resolved = (text: string, size: number) => {
  const spec = parseRangeSpec(text);
  return spec === undefined ? "invalid" : (resolveRange(spec, size) ?? "not satisfiable");
};

describe("byte ranges", () => {
  // The examples of RFC 9110, section 14.1.2, and the borders around them.
  for (const [text, size, expected] of [
    ["0-499", 10_000, { start: 0, end: 500 }],
    ["500-999", 10_000, { start: 500, end: 1000 }],
    ["-500", 10_000, { start: 9500, end: 10_000 }],
    ["9500-", 10_000, { start: 9500, end: 10_000 }],
    ["0-0", 10_000, { start: 0, end: 1 }],
    ["-1", 10_000, { start: 9999, end: 10_000 }],
    ["9999-20000", 10_000, { start: 9999, end: 10_000 }],
    ["10000-", 10_000, "not satisfiable"],
    ["10000-10001", 10_000, "not satisfiable"],
    ["-0", 10_000, "not satisfiable"],
    ["-20000", 10_000, { start: 0, end: 10_000 }],
    ["0-", 0, "not satisfiable"],
    ["-5", 0, { start: 0, end: 0 }],
    ["5-4", 10_000, "invalid"],
    ["9007199254740993-9007199254740992", 10_000, "invalid"],
    [`0-${"9".repeat(400)}`, 10_000, { start: 0, end: 10_000 }],
    [`${"9".repeat(400)}-`, 10_000, "not satisfiable"],
    [`-${"9".repeat(400)}`, 10_000, { start: 0, end: 10_000 }],
    ["-", 10_000, "invalid"],
    ["", 10_000, "invalid"],
    ["1", 10_000, "invalid"],
    ["a-b", 10_000, "invalid"],
    ["0-1,3-4", 10_000, "invalid"],
    ["0x1-0x2", 10_000, "invalid"],
    [" 0-1", 10_000, "invalid"],
    ["+1-2", 10_000, "invalid"],
    ["1.5-2", 10_000, "invalid"],
    ["٣-٤", 10_000, "invalid"],
  ] as const) {
    it(`reads ${JSON.stringify(text.slice(0, 40))} of ${size} bytes`, () => {
      expect(resolved(text, size)).to.deep.equal(expected);
    });
  }

  it("selects exactly the positions that the text names and the file has", () => {
    const position = fc.nat(60);
    fc.assert(
      fc.property(fc.option(position), fc.option(position), fc.nat(50), (first, last, size) => {
        const text = `${first ?? ""}-${last ?? ""}`;
        const positions = Array.from({ length: size }, (_, index) => index);
        const isNamed = (index: number): boolean =>
          first === null ? index >= size - (last ?? 0) : index >= first && index <= (last ?? size);
        const named = positions.filter(isNamed);
        const range = resolved(text, size);
        if (first === null && last === null) expect(range).to.equal("invalid");
        else if (first !== null && last !== null && last < first) expect(range).to.equal("invalid");
        else if (typeof range === "string") expect(named).to.deep.equal([]);
        else expect(positions.slice(range.start, range.end)).to.deep.equal(named);
      }),
    );
  });

  it("clips a range of the program's own form as Array.slice does", () => {
    fc.assert(
      fc.property(fc.nat(60), fc.option(fc.nat(60), { nil: undefined }), fc.nat(50), (start, length, size) => {
        const positions = Array.from({ length: size }, (_, index) => index);
        const end = length === undefined ? undefined : start + length;
        const range = withinSize(end === undefined ? { start } : { start, end }, size);
        expect(positions.slice(range.start, range.end)).to.deep.equal(positions.slice(start, end));
        expect(range.end).to.be.at.most(size).and.at.least(range.start);
      }),
    );
  });

  for (const [what, range] of [
    ["a negative start", { start: -1 }],
    ["a fraction", { start: 0.5 }],
    ["an end before the start", { start: 5, end: 4 }],
    ["what is no number", { end: Number.NaN }],
    ["infinity", { end: Number.POSITIVE_INFINITY }],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(expectRejection(() => withinSize(range, 10), "INVALID_INPUT").check).to.equal("range");
    });
  }
});
