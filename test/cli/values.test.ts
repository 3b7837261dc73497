import { expect } from "chai";
import { InvalidArgumentError } from "commander";
import { sizeInBytes } from "../../offchain/cli/values.ts";

describe("sizes on the command line", () => {
  const size = sizeInBytes("--expected-size");

  for (const [text, bytes] of [
    ["1", 1],
    ["2048B", 2048],
    ["1K", 1024],
    ["500MiB", 500 * 1024 ** 2],
    ["1.5 GiB", 1.5 * 1024 ** 3],
    ["2TiB", 2 * 1024 ** 4],
  ] as const) {
    it(`are bytes, with units of 1024: ${text}`, () => {
      expect(size(text)).to.equal(bytes);
    });
  }

  it("are refused in any other form", () => {
    for (const text of ["", "0", "-1", "GiB", "1 EiB", "1e9", "0x10", "1GiBB", "0.0001", "999999999999999T"]) {
      expect(() => size(text), text).to.throw(InvalidArgumentError, "--expected-size takes a size");
    }
  });
});
