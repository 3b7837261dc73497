/** How a group of verifiers shares its duties. */
import { createHash } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { checkersOf, dueBlock, LARGE_BYTES, rankingOf, rankOf } from "../../offchain/verifier/group.ts";

const ids = fc.uniqueArray(fc.stringMatching(/^[a-z0-9._-]{1,12}$/), { minLength: 1, maxLength: 9 });
const duties = fc.record({
  dataSet: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toHex),
  epoch: fc.nat({ max: 2 ** 32 - 1 }),
});

describe("duties of a group of verifiers", () => {
  it("are ranked the same by all members, in whatever order each lists them, and each has one rank", () => {
    fc.assert(
      fc.property(ids, duties, fc.nat(), (members, duty, turn) => {
        const ranking = rankingOf(members, duty);
        expect([...ranking].sort()).to.deep.equal([...members].sort());
        const shift = turn % members.length;
        const turned = [...members.slice(shift), ...members.slice(0, shift)].reverse();
        expect(rankingOf(turned, duty)).to.deep.equal(ranking);
        expect(members.map((id) => rankOf(members, id, duty)).sort()).to.deep.equal(members.map((_, rank) => rank));
      }),
    );
  });

  it("are ranked by SHA-256 over id, data set and epoch", () => {
    const weight = (id: string) =>
      createHash("sha256")
        .update(id)
        .update(Buffer.from("ab".repeat(32), "hex"))
        .update(Buffer.from("0000000000000102", "hex"))
        .digest("hex");
    const members = ["one", "two", "three", "four"];
    const expected = [...members].sort((a, b) => (weight(a) < weight(b) ? 1 : -1));
    expect(rankingOf(members, { dataSet: `0x${"ab".repeat(32)}`, epoch: 0x102 })).to.deep.equal(expected);
  });

  it("stay where they are when another member leaves", () => {
    fc.assert(
      fc.property(ids, duties, fc.nat(), (members, duty, which) => {
        const left = members[which % members.length];
        const before = rankingOf(members, duty).filter((id) => id !== left);
        const after = rankingOf(
          members.filter((id) => id !== left),
          duty,
        );
        expect(after).to.deep.equal(before);
      }),
    );
  });

  it("are spread evenly", () => {
    const members = ["a", "b", "c", "d"];
    const firsts = new Map<string, number>();
    for (let epoch = 0; epoch < 4000; epoch++) {
      const [first = ""] = rankingOf(members, { dataSet: `0x${"ab".repeat(32)}`, epoch });
      firsts.set(first, (firsts.get(first) ?? 0) + 1);
    }
    // Five standard deviations of a binomial distribution around 1000.
    for (const id of members) expect(firsts.get(id)).to.be.within(863, 1137);
  });

  it("come to each member in turn, so that some member acts in time whoever else is gone", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat({ max: 8 }), fc.integer({ min: 1, max: 50 }), (from, rank, takeover) => {
        expect(dueBlock(from, 0, takeover)).to.equal(from);
        expect(dueBlock(from, rank + 1, takeover) - dueBlock(from, rank, takeover)).to.equal(takeover);
      }),
    );
  });

  it("let more members check sets that change more, and all of them the largest", () => {
    const quiet = { updates: 0, proofs: 30, liveBytes: 2 ** 30 };
    expect(checkersOf(quiet, 5)).to.equal(1);
    expect(checkersOf({ ...quiet, updates: 1 }, 5)).to.equal(2);
    expect(checkersOf({ ...quiet, proofs: 0, updates: 3 }, 5)).to.equal(1);
    expect(checkersOf({ ...quiet, proofs: 0, updates: 4 }, 5)).to.equal(2);
    expect(checkersOf({ ...quiet, updates: 4 }, 1)).to.equal(1);
    expect(checkersOf({ ...quiet, liveBytes: LARGE_BYTES }, 5)).to.equal(5);
    const activity = fc.record({ updates: fc.nat(60), proofs: fc.nat(30), liveBytes: fc.nat(2 ** 30) });
    fc.assert(
      fc.property(activity, fc.integer({ min: 1, max: 9 }), (each, members) => {
        const checkers = checkersOf(each, members);
        expect(checkers).to.be.within(1, members);
        expect(checkersOf({ ...each, updates: each.updates + 1 }, members)).to.be.at.least(checkers);
      }),
    );
  });
});
