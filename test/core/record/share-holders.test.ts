/** Who holds the shares of a record while the members of its committee come and go. */

import { expect } from "chai";
import fc from "fast-check";
import { type MemberGeneration, predecessorsOf, shareLines } from "../../../offchain/core/record/share-holders.ts";

const at = (members: string, activatedAt = 0): MemberGeneration => ({ activatedAt, members: [...members] });
/** The holders of each share, first to last, with a star where nobody has it. */
const told = (generations: readonly MemberGeneration[], shares = 5, keyTime = 1_000_000n): string =>
  shareLines(generations, keyTime, shares)
    .map(({ holders, holder }) => `${holders.join("")}${holder === undefined ? "*" : ""}`)
    .join(" ");
const named = (...members: string[]) => members.map((each, place) => at(each, place + 1));
const since = (...members: string[]) => told([at(members[0] ?? ""), ...named(...members.slice(1))], 5, 0n);

describe("the holders of a record's shares", () => {
  it("are the members of the generation that was active at the key time", () => {
    const generations = [at("abcde", 100), at("fghij", 200), at("klmno", 300)];
    expect(told(generations, 5, 250n)).to.equal("fk gl hm in jo");
    expect(told(generations, 5, 200n)).to.equal("fk gl hm in jo");
    expect(told(generations, 5, 300n)).to.equal("k l m n o");
    // A recorder whose clock is behind the first activation had its keys all the same.
    expect(told(generations, 5, 99n)).to.equal("afk bgl chm din ejo");
  });

  it("keep their shares through a refresh, and when their indices change", () => {
    expect(since("abcde", "abcde")).to.equal("a b c d e");
    expect(since("abcde", "edcba")).to.equal("a b c d e");
    expect(since("abcde", "fabcd")).to.equal("a b c d ef");
  });

  it("are succeeded by the new member at their index, or by the next new one", () => {
    expect(since("abcde", "abXde")).to.equal("a b cX d e");
    expect(since("abcde", "XabcY")).to.equal("a b c dX eY");
    expect(since("abcde", "abXde", "abYde", "aZYde")).to.equal("a bZ cXY d e");
  });

  it("are nobody while the committee has fewer members, and come back with more", () => {
    expect(since("abcde", "abc")).to.equal("a b c d* e*");
    expect(since("abcde", "abc", "abcXYZ")).to.equal("a b c dX eY");
    expect(told([at("abc", 0)], 5)).to.equal("a b c * *");
  });

  it("do not change for a member that comes back when another one has its share", () => {
    expect(since("abcde", "Xbcde", "Xacde")).to.equal("aX b* c d e");
    expect(since("abcde", "bcde", "bcdeX", "bcdea")).to.equal("aXa b c d e");
  });

  const operator = fc.constantFrom(..."abcdefghijklm");
  const histories = fc
    .array(fc.uniqueArray(operator, { minLength: 1, maxLength: 7 }), { minLength: 1, maxLength: 8 })
    .map((all) => all.map((members, place) => ({ members, activatedAt: place })));
  const shares = fc.integer({ min: 1, max: 7 });

  it("never gives an operator two shares of a record, at whatever times", () => {
    fc.assert(
      fc.property(histories, shares, (generations, count) => {
        const owned = shareLines(generations, 0n, count).flatMap(({ index, holders }) =>
          [...new Set(holders)].map((holder) => ({ index, holder })),
        );
        expect(new Set(owned.map(({ holder }) => holder)).size).to.equal(owned.length);
      }),
    );
  });

  it("names as predecessors whoever held a share before its holder, whenever the record was made", () => {
    fc.assert(
      fc.property(histories, fc.nat({ max: 9 }), (generations, time) => {
        const made = generations[Math.min(time, generations.length - 1)] as MemberGeneration;
        for (const { holders, holder } of shareLines(generations, BigInt(time), made.members.length)) {
          if (holder === undefined) continue;
          const known = predecessorsOf(generations, holder);
          for (const before of holders) if (before !== holder) expect(known).to.include(before);
        }
      }),
    );
    expect([...predecessorsOf(named("abcde", "abXde", "abYde"), "Y")]).to.deep.equal(["X", "c"]);
    expect([...predecessorsOf(named("abcde", "abXde"), "a")]).to.deep.equal([]);
  });

  it("names predecessors in bounded time, whatever became of a committee: those of the latest records", () => {
    let looks = 0;
    const often = Array.from({ length: 20_000 }, (_, place) => ({
      activatedAt: place,
      get members() {
        looks += 1;
        return place === 19_999 ? ["z"] : [`${place % 2 === 0 ? "x" : "y"}`];
      },
    }));
    expect([...predecessorsOf(often, "z")]).to.have.members(["x", "y"]);
    expect(looks).to.be.lessThan(500_000);
    // A refresh changes no member, so it takes none of that time.
    looks = 0;
    const refreshed = [at("a"), ...Array.from({ length: 20_000 }, () => at("b", 1)), at("c", 2)];
    expect([...predecessorsOf(refreshed, "c")]).to.deep.equal(["b", "a"]);
  });

  it("gives a share away only when its holder has left, to a member of that generation", () => {
    fc.assert(
      fc.property(histories, shares, (generations, count) => {
        let before = shareLines(generations.slice(0, 1), 0n, count);
        for (let length = 2; length <= generations.length; length += 1) {
          const { members } = generations[length - 1] as MemberGeneration;
          const now = shareLines(generations.slice(0, length), 0n, count);
          for (const [place, line] of now.entries()) {
            const past = before[place]?.holders ?? [];
            expect(line.holders.slice(0, past.length)).to.deep.equal(past);
            const [taken, ...more] = line.holders.slice(past.length);
            expect(more).to.deep.equal([]);
            if (taken !== undefined) {
              expect(members).to.include(taken);
              expect(members).not.to.include(past.at(-1));
            }
            expect(line.holder).to.equal(members.includes(line.holders.at(-1) ?? "") ? line.holders.at(-1) : undefined);
          }
          // No share is left to nobody while a member is there that never held one.
          const isIdle = members.some((member) => now.every(({ holders }) => !holders.includes(member)));
          if (isIdle) expect(now.every(({ holder }) => holder !== undefined)).to.equal(true);
          before = now;
        }
      }),
    );
  });
});
