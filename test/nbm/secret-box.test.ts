import { expect } from "chai";
import { IntegrityError } from "../../offchain/core/errors.ts";
import { SecretBox } from "../../offchain/nbm/secret-box.ts";

describe("secrets at rest", () => {
  const box = new SecretBox(new Uint8Array(32).fill(7));
  const secret = new TextEncoder().encode("a key share");

  it("opens what it sealed, and seals differently each time", () => {
    const first = box.seal("row 1", secret);
    expect(box.open("row 1", first)).to.deep.equal(secret);
    expect(box.seal("row 1", secret)).not.to.deep.equal(first);
    expect(Buffer.from(first).includes(Buffer.from(secret))).to.equal(false);
  });

  it("refuses a value that was moved, altered, cut short, or sealed under another keystore", () => {
    const sealed = box.seal("row 1", secret);
    const flipped = sealed.map((byte, position) => (position === 14 ? byte ^ 1 : byte));
    const other = new SecretBox(new Uint8Array(32).fill(8));
    for (const attempt of [
      () => box.open("row 2", sealed),
      () => box.open("row 1", flipped),
      () => box.open("row 1", sealed.subarray(0, 20)),
      () => box.open("row 1", new Uint8Array(0)),
      () => other.open("row 1", sealed),
    ]) {
      expect(attempt).to.throw(IntegrityError);
    }
  });
});
