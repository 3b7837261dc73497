/** What `status` asks an owner to act on. */

import { expect } from "chai";
import type { DataSetView } from "../../offchain/agent/data-sets/data-set-view.ts";
import { warningsOf } from "../../offchain/agent/status.ts";

const NOTICE_EPOCHS = 2;
const sound = {
  id: `0x${"1d".repeat(32)}`,
  status: "running",
  slices: 4,
  runwayEpochs: 32,
  missedEpochs: 0,
  terms: { breachLimit: 3 },
} as DataSetView;

describe("warnings about data sets", () => {
  const warnings = (...changed: Partial<DataSetView>[]) =>
    warningsOf(
      changed.map((one) => ({ ...sound, ...one })),
      NOTICE_EPOCHS,
    );

  it("are none while all is well, and after everything was settled", () => {
    expect(warnings()).to.deep.equal([]);
    expect(warnings({}, { status: "closed", runwayEpochs: 0, missedEpochs: 2 })).to.deep.equal([]);
    // A set that holds nothing costs nothing.
    const movedTo = { id: `0x${"2e".repeat(32)}`, provider: `0x${"3f".repeat(20)}`, blockNumber: 9 };
    expect(warnings({ status: "closed", movedTo })).to.deep.equal([]);
    expect(warnings({ slices: 0, runwayEpochs: Number.POSITIVE_INFINITY })).to.deep.equal([]);
  });

  it("come ten epochs before the balance does not cover the notice period any more", () => {
    expect(warnings({ runwayEpochs: NOTICE_EPOCHS + 10 })).to.deep.equal([]);
    const [warning, ...others] = warnings({ runwayEpochs: NOTICE_EPOCHS + 9 });
    expect(others).to.deep.equal([]);
    expect(warning).to.match(/^data set 0x1d1d1d1d is paid for 11 more epochs: .*data-set top-up/);
  });

  for (const [what, changed, expected] of [
    [
      "that ends",
      { status: "ending", lastEpoch: 17 },
      /^data set 0x1d1d1d1d ends after epoch 17: put what is to be kept/,
    ],
    ["that is over", { status: "over", lastEpoch: 17 }, /^data set 0x1d1d1d1d has ended: .*data-set settle/],
    [
      "that was moved while it goes on",
      { movedTo: { id: `0x${"2e".repeat(32)}`, provider: `0x${"3f".repeat(20)}`, blockNumber: 9 } },
      /^data set 0x1d1d1d1d was moved to data set 0x2e2e2e2e, .*: .*migrate 0x1d1d1d1d --to 0x(3f){20}` again/,
    ],
    ["that was breached", { status: "breached" }, /^data set 0x1d1d1d1d was breached/],
    ["with an epoch that nobody proved", { overdueEpoch: 7 }, /^data set 0x1d1d1d1d: epoch 7 .*data-set settle/],
    ["with misses", { missedEpochs: 1 }, /^data set 0x1d1d1d1d: its provider has missed 1 of 3 epochs that end it$/],
  ] as [string, Partial<DataSetView>, RegExp][]) {
    it(`name a data set ${what}, and no other`, () => {
      const told = warnings({}, { ...changed });
      expect(told).to.have.length(1);
      expect(told[0]).to.match(expected);
    });
  }
});
