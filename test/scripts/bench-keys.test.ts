/** The committee and the verdicts of `npm run bench:keys`. */
import { expect } from "chai";
import { sha256 } from "#primitives";
import { BenchCommittee } from "../../scripts/bench/keys-committee.ts";
import { judgeKeys, KEY_BARS, type KeyFigure, measureBlockKeys, oprfMode } from "../../scripts/bench/keys-figures.ts";

const figure: KeyFigure = {
  what: "file key",
  mode: "oprf",
  megabytes: 100,
  keys: 1,
  milliseconds: 70,
  nodeMilliseconds: 1,
  sha256Milliseconds: 60,
  ratio: 1.3,
};
const blocks: KeyFigure = { ...figure, what: "block keys", mode: "merkle", megabytes: 50, blockKib: 8, ratio: 2.5 };

describe("figures of bench:keys", () => {
  it("derives the same key from any batch, and different keys with another committee", async () => {
    const [one, other] = [await BenchCommittee.create(5, 3), await BenchCommittee.create(5, 3)];
    const inputs = Array.from({ length: 300 }, (_, index) => sha256(Uint8Array.of(index, index >> 8)));
    const outputs = await one.evaluate(inputs);
    expect(outputs).to.have.length(300);
    const [again] = await one.evaluate(inputs.slice(299));
    expect(again).to.deep.equal(outputs[299]);
    expect((await other.evaluate(inputs.slice(299)))[0]).to.not.deep.equal(again);
  });

  it("tells the user's time from a node's", async () => {
    const committee = await BenchCommittee.create(3, 2);
    await committee.evaluate([new Uint8Array(32)]);
    const { userMilliseconds, nodeMilliseconds } = committee.takeTimes();
    expect(userMilliseconds).to.be.greaterThan(0);
    expect(nodeMilliseconds).to.be.greaterThan(0);
    expect(committee.takeTimes()).to.deep.equal({ userMilliseconds: 0, nodeMilliseconds: 0 });
  });

  it("derives a key for each block, the last one shorter", async () => {
    const committee = await BenchCommittee.create(3, 2);
    const { keys, ratio } = await measureBlockKeys(oprfMode(committee), 0.1, 12, committee, 1);
    expect(keys).to.equal(Math.ceil(100_000 / (12 * 1024)));
    expect(ratio).to.be.greaterThan(1);
  });

  it("holds the bars that were promised, up to and with the limit", () => {
    expect(KEY_BARS.map(({ limit }) => limit)).to.deep.equal([1.3, 2.5]);
    expect(judgeKeys([figure, blocks]).map(({ met }) => met)).to.deep.equal([true, true]);
    const over = [
      { ...figure, ratio: 1.31 },
      { ...blocks, ratio: 2.51 },
    ];
    expect(judgeKeys(over).map(({ met }) => met)).to.deep.equal([false, false]);
  });

  it("does not meet a bar that nothing was measured for", () => {
    const verdicts = judgeKeys([{ ...blocks, mode: "oprf" }]);
    expect(verdicts.map(({ met }) => met)).to.deep.equal([false, false]);
    for (const verdict of verdicts) expect(verdict).to.not.have.property("measured");
  });
});
