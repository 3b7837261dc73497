/** Epoch arithmetic, held against its definition block by block. */

import { expect } from "chai";
import fc from "fast-check";
import {
  type EpochSchedule,
  epochAt,
  epochsBegun,
  epochsOver,
  lastWindowEnd,
  windowOf,
} from "../../../offchain/core/agreement/epochs.ts";

const schedules = fc
  .record({
    startBlock: fc.integer({ min: 0, max: 50 }),
    epochBlocks: fc.integer({ min: 1, max: 12 }),
    epochs: fc.integer({ min: 1, max: 6 }),
    window: fc.integer({ min: 0, max: 11 }),
  })
  .map(({ window, ...rest }) => ({ ...rest, windowBlocks: 1 + (window % rest.epochBlocks) }));

const all = ({ epochs }: EpochSchedule) => Array.from({ length: epochs }, (_, epoch) => epoch);

describe("core/epochs", () => {
  it("lie as the escrow counts them", () => {
    const schedule = { startBlock: 100n, epochBlocks: 20, windowBlocks: 10, epochs: 5 };
    expect(windowOf(schedule, 2)).to.deep.equal({ epoch: 2, openBlock: 140, deadlineBlock: 150 });
    expect(lastWindowEnd(schedule)).to.equal(190);
    expect([99, 100, 119, 120, 1000].map((head) => epochsBegun(schedule, head))).to.deep.equal([0, 1, 1, 2, 5]);
    expect([109, 110, 129, 130, 189, 190].map((head) => epochsOver(schedule, head))).to.deep.equal([0, 1, 1, 2, 4, 5]);
    expect([100, 101, 110, 111, 120, 121, 190, 191].map((block) => epochAt(schedule, block))).to.deep.equal([
      undefined,
      0,
      0,
      undefined,
      undefined,
      1,
      4,
      undefined,
    ]);
  });

  it("agree with their definition at every block", () => {
    fc.assert(
      fc.property(schedules, fc.integer({ min: 0, max: 150 }), (schedule, block) => {
        const windows = all(schedule).map((epoch) => windowOf(schedule, epoch));
        const begun = windows.filter(({ openBlock }) => openBlock <= block).length;
        expect(epochsBegun(schedule, block)).to.equal(begun);
        // A transaction sent now is in block + 1 at the earliest.
        const over = windows.filter(({ deadlineBlock }) => block + 1 > deadlineBlock).length;
        expect(epochsOver(schedule, block)).to.equal(over);
        const open = windows.find(({ openBlock, deadlineBlock }) => openBlock < block && block <= deadlineBlock);
        expect(epochAt(schedule, block)).to.equal(open?.epoch);
        expect(lastWindowEnd(schedule)).to.equal(Math.max(...windows.map(({ deadlineBlock }) => deadlineBlock)));
      }),
    );
  });

  it("have windows that do not overlap", () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        for (const epoch of all(schedule).slice(1)) {
          expect(windowOf(schedule, epoch - 1).deadlineBlock).to.be.at.most(windowOf(schedule, epoch).openBlock);
        }
      }),
    );
  });
});
