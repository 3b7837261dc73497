/** What the next state of a data set holds, without a chain. */

import { expect } from "chai";
import { drawsToDetect } from "../../../offchain/agent/data-sets/audit.ts";
import type { JournaledSegment } from "../../../offchain/agent/data-sets/journal.ts";
import { contentOf, nextState } from "../../../offchain/agent/data-sets/next-state.ts";
import { termsFromText, termsToText } from "../../../offchain/agent/data-sets/terms-text.ts";
import { extendContent, NO_CONTENT } from "../../../offchain/core/data-set/content.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import { FULL_SET, JOURNALED_SET } from "../ports/data-set-journal-suite.ts";

const word = (digits: string) => `0x${digits.repeat(32)}`;

const segment = (firstIndex: number, sliceCount: number): JournaledSegment => ({
  id: word("51"),
  salt: JOURNALED_SET.salt,
  firstIndex,
  sliceCount,
  taggedFrom: firstIndex,
  manifestHash: word("3a"),
  commitmentsRoot: word("c0"),
  state: "reserved",
  createdAt: 0,
});
const empty = { contentHash: NO_CONTENT };

describe("next state of a data set", () => {
  it("joins what touches, and keeps gaps of indices that were lost", () => {
    const next = nextState(empty, [{ firstIndex: 1, count: 4 }], 4, [segment(5, 2), segment(9, 1)], []);
    expect(next).to.deep.include({
      ranges: [
        { firstIndex: 1, count: 6 },
        { firstIndex: 9, count: 1 },
      ],
      highestIndex: 9,
      slices: 7,
      addedSlices: 3,
      retiredSlices: 0,
    });
  });

  it("signs for the content of every segment, in the order of their indices", () => {
    const [one, other] = [segment(1, 2), segment(3, 1)];
    const { contentHash } = nextState(empty, [], 0, [one, other], []);
    expect(contentHash).to.equal(extendContent(extendContent(NO_CONTENT, contentOf(one)), contentOf(other)));
  });

  it("does not fall below the highest index when slices are retired", () => {
    const next = nextState(empty, [{ firstIndex: 1, count: 4 }], 4, [], [{ firstIndex: 3, count: 2 }]);
    expect(next).to.include({ highestIndex: 4, slices: 2, retiredSlices: 2 });
  });

  it("keeps one slice, whatever is retired", () => {
    const live = [
      { firstIndex: 1, count: 4 },
      { firstIndex: 9, count: 1 },
    ];
    const next = nextState(empty, live, 9, [], live);
    expect(next).to.deep.include({ slices: 1, retiredSlices: 4, ranges: [{ firstIndex: 9, count: 1 }] });
    expect(nextState(empty, next.ranges, 9, [], next.ranges)).to.include({ slices: 1, retiredSlices: 0 });
  });

  it("leaves room in the list of ranges: the longest runs go first, and short ones stay", () => {
    const live = [{ firstIndex: 1, count: 1000 }];
    const holes = Array.from({ length: 40 }, (_, k) => ({ firstIndex: 10 + 20 * k, count: k < 30 ? 1 : 5 }));
    const next = nextState(empty, live, 1000, [], holes);
    expect(next.ranges).to.have.length(24);
    expect(next.retiredSlices).to.equal(10 * 5 + 13);
  });

  it("goes on retiring where that makes the list no longer", () => {
    const live = Array.from({ length: 30 }, (_, k) => ({ firstIndex: 1 + 10 * k, count: 5 }));
    const next = nextState(empty, live, 300, [], [{ firstIndex: 1, count: 5 }]);
    expect(next.ranges).to.have.length(29);
  });

  it("refuses a list that the escrow would refuse", () => {
    const live = Array.from({ length: 32 }, (_, k) => ({ firstIndex: 1 + 10 * k, count: 5 }));
    const error = expectRejection(() => nextState(empty, live, 315, [segment(400, 1)], []), "CONFLICT");
    expect(error).to.include({ check: "ranges of live slices", received: "33" });
  });
});

describe("draws of an audit", () => {
  it("find what is asked for", () => {
    expect(drawsToDetect(1_000_000, {})).to.equal(459);
    expect(drawsToDetect(10, {})).to.equal(Math.ceil(Math.log(0.01) / Math.log(0.9)));
    expect(drawsToDetect(1, {})).to.equal(1);
    expect(drawsToDetect(1000, { damage: 0.5, probability: 0.9 })).to.equal(4);
    for (const target of [{ damage: 0 }, { damage: 1.1 }, { probability: 0 }, { probability: Number.NaN }]) {
      expectRejection(() => drawsToDetect(10, target), "INVALID_INPUT");
    }
  });
});

describe("terms as text", () => {
  it("come back as they were", () => {
    const { agreed } = FULL_SET;
    if (agreed === undefined) throw new Error("no terms");
    const { terms, audit } = agreed;
    expect(termsFromText(JSON.parse(JSON.stringify(termsToText(agreed))))).to.deep.equal({ terms, audit });
  });
});
