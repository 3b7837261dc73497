/** Which members of a committee a user asks first. */
import { expect } from "chai";
import fc from "fast-check";
import {
  type AssignableMember,
  type Assignment,
  assignedOrder,
  assignmentEpoch,
} from "../../../offchain/core/assignment/assignment.ts";
import { surprisal } from "../../../offchain/core/assignment/ranking.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";
import vectors from "../../vectors/assignment.json" with { type: "json" };

const addresses = fc.uint8Array({ minLength: 20, maxLength: 20 }).map(toHex);
const stakes = fc.bigInt({ min: 1n, max: 2n ** 128n - 1n });
const committees = fc
  .uniqueArray(fc.record({ operator: addresses, stakeWei: stakes, exitAt: fc.constant(0) }), {
    minLength: 2,
    maxLength: 32,
    selector: ({ operator }) => operator,
  })
  .map((members): AssignableMember[] => members);
const assignments: fc.Arbitrary<Assignment> = fc.record({
  committeeId: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
  user: addresses,
  epoch: fc.nat(),
});

const operatorsOf = (members: readonly AssignableMember[]) => members.map(({ operator }) => operator);
const userNumber = (index: number) => `0x${index.toString(16).padStart(40, "0")}`;

/** Members with stakes of so many ether. */
function members(...ether: number[]): AssignableMember[] {
  return ether.map((stake, position) => ({
    operator: `0x${(position + 1).toString(16).padStart(2, "0").repeat(20)}`,
    stakeWei: BigInt(stake) * 10n ** 18n,
    exitAt: 0,
  }));
}

describe("assignment of a committee's members to users", () => {
  it("is that of the vectors", () => {
    for (const { draw, surprisal: expected } of vectors.surprisals) {
      expect(surprisal(BigInt(draw))).to.equal(BigInt(expected));
    }
    for (const { committeeId, user, epoch, members: listed, order } of vectors.cases) {
      for (const member of listed) expect(surprisal(BigInt(member.draw))).to.equal(BigInt(member.surprisal));
      const candidates = listed.map(({ operator, weight }) => ({ operator, stakeWei: BigInt(weight), exitAt: 0 }));
      const ranking = assignedOrder({ committeeId: BigInt(committeeId), user, epoch }, candidates);
      expect(operatorsOf(ranking)).to.deep.equal(order);
    }
  });

  it("changes its epoch at midnight UTC", () => {
    expect([86_399.9, 86_400, 1_790_000_000].map(assignmentEpoch)).to.deep.equal([0, 1, 20_717]);
  });

  it("follows from the members alone, in whatever order they are listed and addresses are written", () => {
    fc.assert(
      fc.property(committees, assignments, fc.nat(), (committee, assignment, turn) => {
        const order = operatorsOf(assignedOrder(assignment, committee));
        expect([...order].sort()).to.deep.equal(operatorsOf(committee).sort());
        const shift = turn % committee.length;
        const turned = [...committee.slice(shift), ...committee.slice(0, shift)].reverse();
        const loud = turned.map((member) => ({ ...member, operator: `0x${member.operator.slice(2).toUpperCase()}` }));
        const user = `0x${assignment.user.slice(2).toUpperCase()}`;
        const again = operatorsOf(assignedOrder({ ...assignment, user }, loud));
        expect(again.map((operator) => operator.toLowerCase())).to.deep.equal(order);
      }),
    );
  });

  it("keeps the order of all others when a member leaves, joins, or changes its stake", () => {
    fc.assert(
      fc.property(committees, assignments, fc.nat(), stakes, (committee, assignment, which, stakeWei) => {
        const changed = committee[which % committee.length] as AssignableMember;
        const others = (listed: readonly AssignableMember[]) =>
          operatorsOf(assignedOrder(assignment, listed)).filter((operator) => operator !== changed.operator);
        const without = committee.filter((member) => member !== changed);
        const before = others(committee);
        expect(others(without)).to.deep.equal(before);
        expect(others([...without, { ...changed, stakeWei }])).to.deep.equal(before);
        expect(others([...without, { ...changed, exitAt: 1 }])).to.deep.equal(before);
      }),
    );
  });

  it("moves a member whose stake grows only towards the front", () => {
    fc.assert(
      fc.property(
        committees,
        assignments,
        fc.nat(),
        fc.bigInt({ min: 1n, max: 2n ** 64n }),
        (all, assignment, which, more) => {
          const grown = all[which % all.length] as AssignableMember;
          const placeWith = (stakeWei: bigint) => {
            const listed = all.map((member) => (member === grown ? { ...member, stakeWei } : member));
            return operatorsOf(assignedOrder(assignment, listed)).indexOf(grown.operator);
          };
          expect(placeWith(grown.stakeWei + more)).to.be.at.most(placeWith(grown.stakeWei));
        },
      ),
    );
  });

  it("puts members that leave, or have left, behind all others", () => {
    fc.assert(
      fc.property(committees, assignments, fc.nat(), (committee, assignment, count) => {
        const leaving = committee.slice(0, 1 + (count % (committee.length - 1)));
        const listed = committee.map((member, position) => {
          if (!leaving.includes(member)) return member;
          return position % 2 === 0 ? { ...member, exitAt: 1 } : { ...member, stakeWei: 0n };
        });
        const last = operatorsOf(assignedOrder(assignment, listed)).slice(-leaving.length);
        expect(last.sort()).to.deep.equal(operatorsOf(leaving).sort());
      }),
    );
  });

  it("gives each member users in proportion to its stake, and the second place as if the first were not there", () => {
    const committee = members(1, 2, 3, 4);
    const users = 6000;
    const firsts = new Map<string, number>();
    const seconds = new Map<string, number>();
    const first = committee[3]?.operator ?? "";
    for (let index = 0; index < users; index += 1) {
      const order = operatorsOf(assignedOrder({ committeeId: 1n, user: userNumber(index), epoch: 7 }, committee));
      const [leader = "", next = ""] = order;
      firsts.set(leader, (firsts.get(leader) ?? 0) + 1);
      if (leader === first) seconds.set(next, (seconds.get(next) ?? 0) + 1);
    }
    // Within five standard deviations of a binomial distribution.
    const expectShare = (count: number, total: number, share: number) => {
      const deviations = (count / total - share) / Math.sqrt((share * (1 - share)) / total);
      expect(Math.round(deviations), `${count} of ${total}`).to.be.within(-5, 5);
    };
    committee.forEach(({ operator }, position) => {
      expectShare(firsts.get(operator) ?? 0, users, (position + 1) / 10);
      if (position < 3) expectShare(seconds.get(operator) ?? 0, firsts.get(first) ?? 0, (position + 1) / 6);
    });
  });

  it("draws anew in each epoch and for each committee", () => {
    const committee = members(1, 1, 1, 1);
    const leaders = (assignmentOf: (index: number) => Assignment) =>
      new Set(Array.from({ length: 100 }, (_, index) => assignedOrder(assignmentOf(index), committee)[0]?.operator))
        .size;
    const user = userNumber(1);
    expect(leaders((epoch) => ({ committeeId: 1n, user, epoch }))).to.equal(4);
    expect(leaders((index) => ({ committeeId: BigInt(index), user, epoch: 1 }))).to.equal(4);
  });

  it("refuses what is no address", () => {
    const [member] = members(1) as [AssignableMember];
    const assignment = { committeeId: 1n, user: userNumber(1), epoch: 1 };
    expect(() => assignedOrder({ ...assignment, user: "0x12" }, [member])).to.throw(InvalidInputError, /user/);
    expect(() => assignedOrder(assignment, [{ ...member, operator: "0x12" }])).to.throw(InvalidInputError, /operator/);
  });
});
