/** The committees, the suites and the verdicts of `npm run bench:keys`. */
import { expect } from "chai";
import { sha256 } from "#primitives";
import { BenchCommittee } from "../../scripts/bench/keys-committee.ts";
import { judgeKeys, KEY_BARS, type KeyFigure, measureBlockKeys, oprfMode } from "../../scripts/bench/keys-figures.ts";
import {
  judgeSuites,
  measureBlindRsaLibrary,
  measureSuite,
  percentiles,
  type SuiteFigure,
  suiteCommittees,
} from "../../scripts/bench/keys-suites.ts";
import { generateRsaKey } from "../helpers/rsa-key.ts";

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

  it("measures every suite with five nodes, and counts what travels", async () => {
    const figures: SuiteFigure[] = [];
    for (const committee of await suiteCommittees(5, 3)) {
      figures.push(await measureSuite(committee, 1, { batch: 4, singles: 2 }));
    }
    expect(figures.map(({ suite, quorum, wireBytes }) => [suite, quorum, wireBytes])).to.deep.equal([
      ["ristretto255-SHA512", "3 of 5", 3 * (2 * 32 + 64 / 4)],
      ["P256-SHA256", "3 of 5", 3 * (2 * 33 + 64 / 4)],
      ["rsa-blind", "5 of 5", 5 * 2 * 384],
    ]);
    for (const { clientMilliseconds, clientElementsPerSecond, nodeMilliseconds, single } of figures) {
      expect(Math.abs(clientMilliseconds * clientElementsPerSecond - 1000) < 1e-6).to.equal(true);
      expect(nodeMilliseconds).to.be.greaterThan(0);
      expect(single.p50).to.be.greaterThan(0);
      expect(single.p99).to.be.at.least(single.p50);
    }
  });

  it("measures the standard library for blind RSA, its client apart from its signer", async () => {
    const { nodeMilliseconds, clientMilliseconds, wireBytes } = await measureBlindRsaLibrary(generateRsaKey(1), 1);
    expect(nodeMilliseconds).to.be.greaterThan(clientMilliseconds);
    expect(wireBytes).to.equal(768);
  });

  it("takes percentiles by the nearest rank", () => {
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentiles(hundred)).to.deep.equal({ p50: 50, p99: 99 });
    expect(percentiles([7])).to.deep.equal({ p50: 7, p99: 7 });
    expect(() => percentiles([])).to.throw(RangeError);
  });

  it("holds the client's bar for full batches of the default suite", () => {
    const suite: SuiteFigure = {
      suite: "ristretto255-SHA512",
      quorum: "3 of 5",
      batch: 256,
      clientElementsPerSecond: 900,
      clientMilliseconds: 1000 / 900,
      nodeMilliseconds: 1,
      single: { p50: 1, p99: 2 },
      wireBytes: 193,
    };
    const met = (changed: Partial<SuiteFigure>) =>
      judgeSuites([{ ...suite, ...changed }]).map((verdict) => verdict.met);
    expect(met({})).to.deep.equal([true]);
    expect(met({ clientElementsPerSecond: 899 })).to.deep.equal([false]);
    expect(met({ batch: 1 })).to.deep.equal([false]);
    expect(met({ suite: "rsa-blind" })).to.deep.equal([false]);
  });

  it("does not meet a bar that nothing was measured for", () => {
    const verdicts = judgeKeys([{ ...blocks, mode: "oprf" }]);
    expect(verdicts.map(({ met }) => met)).to.deep.equal([false, false]);
    for (const verdict of verdicts) expect(verdict).to.not.have.property("measured");
  });
});
