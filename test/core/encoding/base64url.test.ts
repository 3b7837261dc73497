import { expect } from "chai";
import fc from "fast-check";
import { fromBase64Url, toBase64Url } from "../../../offchain/core/encoding/base64url.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";

describe("core/base64url", () => {
  it("has the text that Node makes, and comes back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = toBase64Url(bytes);
        expect(text).to.equal(Buffer.from(bytes).toString("base64url"));
        expect(fromBase64Url(text)).to.deep.equal(bytes);
      }),
    );
  });

  it("refuses padding, the other alphabet, impossible lengths and spare bits that are set", () => {
    for (const text of ["Zg==", "ab+/", "A", "AAAAA", "Zh", "Z g", "Zg\n"]) {
      expect(() => fromBase64Url(text, "the token"), text).to.throw(InvalidInputError, "the token is not base64url");
    }
  });
});
