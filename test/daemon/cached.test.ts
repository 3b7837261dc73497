import { expect } from "chai";
import { cachedFor } from "../../offchain/daemon/cached.ts";
import { failure } from "../helpers/promises.ts";

describe("an answer that is given again", () => {
  it("is asked for once per span of time, however many ask at the same time", async () => {
    let now = 0;
    let asked = 0;
    const read = cachedFor(
      100,
      async () => {
        asked += 1;
        return asked;
      },
      () => now,
    );
    expect(await Promise.all([read(), read(), read()])).to.deep.equal([1, 1, 1]);
    now = 99;
    expect(await read()).to.equal(1);
    now = 100;
    expect(await read()).to.equal(2);
  });

  it("may be a failure, which passes as well", async () => {
    let now = 0;
    let asked = 0;
    const read = cachedFor(
      100,
      async () => {
        asked += 1;
        if (asked === 1) throw new Error("down");
        return asked;
      },
      () => now,
    );
    expect(await failure(read())).to.have.property("message", "down");
    expect(await failure(read())).to.have.property("message", "down");
    expect(asked).to.equal(1);
    now = 100;
    expect(await read()).to.equal(2);
  });
});
