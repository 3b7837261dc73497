/** Dishonest dealers and members: each is named, nobody else is blamed, and the others finish. */

import { createHash } from "node:crypto";
import { bytesToNumberLE, numberToBytesLE } from "@noble/curves/utils.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import { judgeComplaint, readComplaint, reviewDealing } from "../../../offchain/core/committee/complaint.ts";
import { checkDealing, dealShares, openShares } from "../../../offchain/core/committee/dealing.ts";
import { CommitteeFaultError } from "../../../offchain/core/committee/fault.ts";
import { encodeHead, HEAD_BYTES } from "../../../offchain/core/committee/messages.ts";
import { announceMember, RunMembers } from "../../../offchain/core/committee/receiving.ts";
import { COMMITTEE_KEYS } from "../../../offchain/core/committee/run.ts";
import { finishRun, type Settlement, type SignedBy, settleRun } from "../../../offchain/core/committee/settlement.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { u16be } from "../../../offchain/core/encoding/integers.ts";
import type { ErrorCode } from "../../../offchain/core/errors.ts";
import {
  add,
  identityElement,
  multiply,
  multiplyBase,
  randomScalar,
  ristretto255Group,
  scalarAdd,
  scalarFromNumber,
  scalarMultiply,
  scalarSubtract,
} from "../../../offchain/core/oprf/group.ts";
import { proveRelations, secondGenerator } from "../../../offchain/core/oprf/relation-proof.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import {
  evaluatePolynomial,
  lagrangeCoefficients,
  verifyCommitteeKeys,
} from "../../../offchain/core/oprf/threshold.ts";
import {
  at,
  type Committee,
  complaintsOf,
  completeRun,
  finishAll,
  type OpenRun,
  openRun,
  range,
  SCOPE,
  sharesOf,
} from "../../helpers/committee-run.ts";
import { type Deceit, deceive } from "../../helpers/dishonest-dealer.ts";
import { expectRejection } from "../../helpers/rejection.ts";

const ANNOUNCED_END = HEAD_BYTES + 32;
const PROOF_BYTES = 128;
const NOT_REDUCED = new Uint8Array(32).fill(0xff);

/** The dealings of a run with one dealer's replaced. */
function replaced({ dealings }: OpenRun, dealer: number, bytes: Uint8Array): SignedBy[] {
  return dealings.map((dealing) => (dealing.from === dealer ? { from: dealer, bytes } : dealing));
}

function overwritten(bytes: Uint8Array, offset: number, part: Uint8Array): Uint8Array {
  const changed = bytes.slice();
  changed.set(part, offset);
  return changed;
}

function flipped(bytes: Uint8Array, offset: number): Uint8Array {
  return bytes.with(offset, at([...bytes], offset) ^ 1);
}

function expectFault(
  call: () => unknown,
  party: "dealer" | "member",
  index: number,
  code: ErrorCode,
  message: RegExp,
): void {
  const error = expectRejection(call, code, message);
  expect(error).to.be.instanceOf(CommitteeFaultError);
  expect(error.party).to.equal(`${party} ${index}`);
  expect(error.details).to.deep.equal({ member: index });
}

describe("core/committee: dishonest parties", () => {
  let first: Committee;
  let generation: OpenRun;
  let handover: OpenRun;

  before(async () => {
    await oprfReady();
    first = completeRun({ size: 4, threshold: 2 });
    generation = openRun({ size: 4, threshold: 2 });
    handover = openRun({ size: 5, threshold: 3 }, first);
  });

  /** The shares of dealer 3 in the handover, and random further coefficients. */
  function ownPolynomials(threshold = 3): Uint8Array[][] {
    const { oprf, record } = sharesOf(first, 3);
    return [oprf, record].map((share) => [share, ...range(threshold - 1).map(() => randomScalar())]);
  }

  /** Dealer 3 is left out and named, nobody else is, and the keys are whole. */
  function expectSettled(run: OpenRun, settlement: Settlement, code: ErrorCode, message: RegExp): void {
    const { generation: made, qualified, faults } = settlement;
    expect(qualified).to.deep.equal([1, 2, 4]);
    expect(faults.map(({ party }) => party)).to.deep.equal(["dealer 3"]);
    expect(at(faults, 0).code).to.equal(code);
    expect(at(faults, 0).message).to.match(message);
    for (const purpose of COMMITTEE_KEYS) {
      const { groupPublicKey, verificationShares } = made.keys[purpose];
      verifyCommitteeKeys(ristretto255Group, groupPublicKey, verificationShares, made.threshold);
      if (run === handover) {
        expect(toHex(groupPublicKey)).to.equal(toHex(first.generation.keys[purpose].groupPublicKey));
      }
    }
  }

  /** All members come to that end, with key shares that fit. */
  function expectLeftOut(run: OpenRun, dealings: SignedBy[], complaints: SignedBy[], code: ErrorCode, message: RegExp) {
    const results = finishAll(run, dealings, complaints);
    expectSettled(run, at(results, 0), code, message);
    for (const { transcript } of results) expect(toHex(transcript)).to.equal(toHex(at(results, 0).transcript));
  }

  it("a member that makes its own share of a key zero, with what the others dealt to it, is named", () => {
    const { members, secrets, dealings } = generation;
    const [member, dealer] = [3, 4];
    const others = dealings.filter(({ from }) => from !== dealer);
    const shares = others.map(({ from, bytes }) => {
      const dealing = checkDealing(members, from, bytes);
      const opened = openShares(members, member, at(secrets, member - 1), dealing);
      if (opened === undefined) throw new Error(`no shares of dealer ${from}`);
      return opened;
    });
    for (const [position, purpose] of COMMITTEE_KEYS.entries()) {
      const sum = shares.map((each) => each[purpose]).reduce((total, share) => scalarAdd(total, share));
      const polynomials = [0, 1].map(() => range(members.run.threshold).map(() => randomScalar()));
      const polynomial = at(polynomials, position);
      // f(3) is to be −sum.
      const value = evaluatePolynomial(ristretto255Group, polynomial, member);
      polynomial[0] = scalarSubtract(at(polynomial, 0), scalarAdd(sum, value));
      const bytes = deceive(members, dealer, { polynomials });
      const all = [...others, { from: dealer, bytes }];
      for (const settle of [() => settleRun(members, all, []), () => finishRun(members, 1, at(secrets, 0), all, [])]) {
        expectFault(settle, "member", member, "INVALID_POINT", new RegExp(`its share of the ${purpose} key zero`));
      }
    }
  });

  describe("a dealer whose dealing is bad for everybody to see", () => {
    function expectRefused(run: OpenRun, bytes: Uint8Array, code: ErrorCode, message: RegExp): void {
      expectFault(() => checkDealing(run.members, 3, bytes), "dealer", 3, code, message);
      expectFault(() => reviewDealing(run.members, 1, at(run.secrets, 0), 3, bytes), "dealer", 3, code, message);
      expectSettled(run, settleRun(run.members, replaced(run, 3, bytes), []), code, message);
    }

    const good = (run: OpenRun) => at(run.dealings, 2).bytes;

    it("truncates, extends or empties it", () => {
      for (const change of [
        (bytes: Uint8Array) => bytes.subarray(0, -1),
        (bytes: Uint8Array) => concatBytes(bytes, Uint8Array.of(0)),
        () => new Uint8Array(0),
      ]) {
        expectRefused(handover, change(good(handover)), "BAD_RESPONSE", /bytes/);
      }
    });

    it("speaks another version", () => {
      expectRefused(generation, good(generation).with(0, 2), "UNKNOWN_VERSION", /another version/);
    });

    it("sends a dealing of another dealer, generation, committee, registry or chain", () => {
      const others = [
        at(handover.dealings, 1).bytes,
        at(openRun({ size: 5, threshold: 3, generation: 3 }, first).dealings, 2).bytes,
      ];
      for (const [offset, length] of [
        [1, 8],
        [9, 20],
        [29, 8],
        [37, 4],
        [41, 4],
        [45, 2],
        [47, 2],
        [49, 2],
      ] as const) {
        others.push(flipped(good(handover), offset + length - 1));
      }
      for (const other of others) expectRefused(handover, other, "BAD_RESPONSE", /another committee, generation/);
    });

    it("deals to other announcements: those of an earlier attempt", () => {
      const again = openRun({ size: 5, threshold: 3 }, first);
      expectRefused(handover, at(again.dealings, 2).bytes, "BAD_RESPONSE", /other announcements/);
    });

    it("swaps the two keys", () => {
      const swapped = overwritten(good(handover), ANNOUNCED_END + 64, Uint8Array.of(2));
      expectRefused(handover, swapped, "BAD_RESPONSE", /another key/);
    });

    it("commits to the identity or to no element", () => {
      for (const offset of [0, 32, 65, 65 + 32]) {
        const place = ANNOUNCED_END + offset;
        expectRefused(handover, overwritten(good(handover), place, identityElement()), "INVALID_POINT", /identity/);
        expectRefused(handover, overwritten(good(handover), place, NOT_REDUCED), "INVALID_POINT", /canonical/);
      }
    });

    it("has scalars in its proof that are not reduced, or not those of its statement", () => {
      const bytes = good(generation);
      for (const position of range(4)) {
        const place = bytes.length - PROOF_BYTES + 32 * (position - 1);
        expectRefused(generation, overwritten(bytes, place, NOT_REDUCED), "INVALID_PROOF", /not reduced/);
        expectRefused(generation, overwritten(bytes, place, scalarFromNumber(9)), "INVALID_PROOF", /does not verify/);
      }
    });

    it("has sealed shares or commitments that were changed after it was proven", () => {
      const bytes = good(generation);
      const otherCommitment = overwritten(bytes, ANNOUNCED_END + 65 + 32, multiplyBase(scalarFromNumber(9)));
      for (const changed of [flipped(bytes, bytes.length - PROOF_BYTES - 1), otherCommitment]) {
        expectRefused(generation, changed, "INVALID_PROOF", /does not verify/);
      }
    });

    it("deals another constant term than its share: a random one, λ times its share, another member's", () => {
      const own = ownPolynomials();
      const [lambda] = lagrangeCoefficients(ristretto255Group, [3, 4], 0);
      const wrong = [
        randomScalar(),
        scalarMultiply(lambda ?? randomScalar(), sharesOf(first, 3).oprf),
        sharesOf(first, 2).oprf,
        sharesOf(first, 3).record,
      ];
      for (const constant of wrong) {
        const polynomials = [[constant, ...at(own, 0).slice(1)], at(own, 1)];
        expectRefused(
          handover,
          deceive(handover.members, 3, { polynomials }),
          "INVALID_PROOF",
          /its share of the oprf/,
        );
      }
      const polynomials = [at(own, 0), [randomScalar(), ...at(own, 1).slice(1)]];
      expectRefused(
        handover,
        deceive(handover.members, 3, { polynomials }),
        "INVALID_PROOF",
        /its share of the record/,
      );
      // The helper deals well when it is not told otherwise.
      checkDealing(handover.members, 3, deceive(handover.members, 3, { polynomials: own }));
    });

    it("knows not what it commits to: the parts of others taken off (rogue key)", () => {
      const others = [1, 2, 4].map((dealer) => at(generation.dealings, dealer - 1).bytes);
      const sum = others
        .map((bytes) => bytes.subarray(ANNOUNCED_END + 65, ANNOUNCED_END + 97))
        .reduce((total, term) => add(total, term), identityElement());
      const minusOne = scalarSubtract(scalarFromNumber(0), scalarFromNumber(1));
      const polynomials = [0, 1].map(() => [randomScalar(), randomScalar()]);
      const commitments = polynomials.map((polynomial) => polynomial.map(multiplyBase));
      commitments[0] = [multiply(minusOne, sum), at(at(commitments, 0), 1)];
      expectRefused(
        generation,
        deceive(generation.members, 3, { polynomials, commitments }),
        "INVALID_PROOF",
        /does not verify/,
      );
    });

    it("copies the ephemeral key of another dealer, to have its shares revealed by a complaint", () => {
      const victim = at(generation.dealings, 0).bytes;
      const [e, twin] = [0, 32].map((offset) => victim.slice(ANNOUNCED_END + offset, ANNOUNCED_END + offset + 32));
      const ephemeral: [Uint8Array, Uint8Array] = [e ?? victim, twin ?? victim];
      expectRefused(generation, deceive(generation.members, 3, { ephemeral }), "INVALID_PROOF", /does not verify/);
      // Nor with a shift that the copier knows.
      const shift = randomScalar();
      const shifted: [Uint8Array, Uint8Array] = [
        add(ephemeral[0], multiplyBase(shift)),
        add(ephemeral[1], multiply(shift, secondGenerator())),
      ];
      expectRefused(
        generation,
        deceive(generation.members, 3, { ephemeral: shifted }),
        "INVALID_PROOF",
        /does not verify/,
      );
    });

    it("sends two different dealings, in either order", () => {
      const second = dealShares(generation.members, 3);
      const both = [...generation.dealings, { from: 3, bytes: second }];
      for (const dealings of [both, [...both].reverse()]) {
        expectLeftOut(generation, dealings, [], "BAD_RESPONSE", /two different dealings/);
      }
      // The same one twice is a repetition of the transport.
      const repeated = [...generation.dealings, at(generation.dealings, 2)];
      expect(settleRun(generation.members, repeated, []).qualified).to.deep.equal([1, 2, 3, 4]);
    });
  });

  describe("a dealer who seals wrong shares", () => {
    function expectComplaint(run: OpenRun, deceit: Deceit, victims: number[]): void {
      const bytes = deceive(run.members, 3, deceit);
      checkDealing(run.members, 3, bytes);
      const dealings = replaced(run, 3, bytes);
      const complaints = complaintsOf(run, dealings);
      expect(complaints.map(({ from }) => from)).to.deep.equal(victims);
      expectLeftOut(run, dealings, complaints.slice(0, 1), "INVALID_PROOF", /does not fit its commitments/);
      const reversed = settleRun(run.members, dealings, [...complaints].reverse());
      expectSettled(run, reversed, "INVALID_PROOF", /does not fit its commitments/);
      // Whoever was given a wrong share cannot finish without saying so.
      const victim = at(victims, 0);
      expectRejection(
        () => finishRun(run.members, victim, at(run.secrets, victim - 1), dealings, []),
        "INVALID_INPUT",
        /share of dealer 3 is wrong, and no complaint says so/,
      );
    }

    it("random ones for one member, of one key or both", () => {
      for (const run of [generation, handover]) {
        const polynomials = run === handover ? ownPolynomials() : [0, 1].map(() => [randomScalar(), randomScalar()]);
        for (const wrong of [[0], [1], [0, 1]]) {
          const sharesFor = (member: number, honest: Uint8Array[]) =>
            honest.map((share, key) => (member === 2 && wrong.includes(key) ? randomScalar() : share));
          expectComplaint(run, { polynomials, sharesFor }, [2]);
        }
      }
    });

    it("the share of another node", () => {
      const polynomials = ownPolynomials();
      const sharesFor = (member: number, honest: Uint8Array[]) =>
        member === 4 ? polynomials.map((polynomial) => evaluatePolynomial(ristretto255Group, polynomial, 5)) : honest;
      expectComplaint(handover, { polynomials, sharesFor }, [4]);
    });

    it("shares of another generation, for everybody", () => {
      const polynomials = ownPolynomials();
      const other = ownPolynomials();
      const sharesFor = (member: number) =>
        other.map((polynomial) => evaluatePolynomial(ristretto255Group, polynomial, member));
      expectComplaint(handover, { polynomials, sharesFor }, [1, 2, 3, 4, 5]);
    });

    it("scalars that are not reduced: a right one plus the group order, and no scalar at all", () => {
      const polynomials = ownPolynomials();
      for (const wrong of [plusOrder, () => NOT_REDUCED]) {
        const sharesFor = (member: number, honest: Uint8Array[]) =>
          honest.map((share, key) => (member === 1 && key === 0 ? wrong(share) : share));
        expectComplaint(handover, { polynomials, sharesFor }, [1]);
      }
    });

    it("of a polynomial of another degree", () => {
      const own = ownPolynomials(4);
      const commitments = own.map((polynomial) => polynomial.slice(0, 3).map(multiplyBase));
      expectComplaint(handover, { polynomials: own, commitments }, [1, 2, 3, 4, 5]);
    });

    it("is judged by anybody from public messages, and reveals what it sealed to one member", () => {
      const polynomials = ownPolynomials();
      const sharesFor = (member: number, honest: Uint8Array[]) =>
        member === 2 ? [randomScalar(), at(honest, 1)] : honest;
      const bytes = deceive(handover.members, 3, { polynomials, sharesFor });
      const dealing = checkDealing(handover.members, 3, bytes);
      const complaint = reviewDealing(handover.members, 2, at(handover.secrets, 1), 3, bytes) ?? new Uint8Array();
      const onlooker = new RunMembers(handover.members.run, handover.announcements);
      const fault = judgeComplaint(onlooker, 2, readComplaint(onlooker, 2, complaint), dealing);
      expect([fault.party, fault.member]).to.deep.equal(["dealer 3", 3]);
    });
  });

  describe("a member", () => {
    /** A founded complaint of member 2 about dealer 3, and the dealings. */
    function founded(): { dealings: SignedBy[]; complaint: Uint8Array } {
      const polynomials = ownPolynomials();
      const sharesFor = (member: number, honest: Uint8Array[]) =>
        member === 2 ? honest.map(() => randomScalar()) : honest;
      const dealings = replaced(handover, 3, deceive(handover.members, 3, { polynomials, sharesFor }));
      return { dealings, complaint: at(complaintsOf(handover, dealings), 0).bytes };
    }

    function expectUnfounded(
      dealings: SignedBy[],
      from: number,
      complaint: Uint8Array,
      code: ErrorCode,
      message: RegExp,
    ): void {
      const { qualified, faults } = settleRun(handover.members, dealings, [{ from, bytes: complaint }]);
      expect(qualified).to.deep.equal([1, 2, 3, 4]);
      expect(faults.map(({ party }) => party)).to.deep.equal([`member ${from}`]);
      expect(at(faults, 0).code).to.equal(code);
      expect(at(faults, 0).message).to.match(message);
    }

    /** A complaint of member 2 with a right proof, about any dealing. */
    function complain(dealer: number, dealing: Uint8Array, secret = at(handover.secrets, 1)): Uint8Array {
      const bad = founded();
      const p = secret.subarray(HEAD_BYTES);
      const ephemeral = dealing.subarray(ANNOUNCED_END, ANNOUNCED_END + 32);
      const shared = multiply(p, ephemeral);
      const statement = concatBytes(bad.complaint.subarray(0, HEAD_BYTES), u16be(dealer), hashOf(dealing), shared);
      const relations = [[{ element: multiplyBase(p) }, { base: ephemeral, element: shared }]];
      return concatBytes(
        statement,
        proveRelations({ label: "committee-complaint", context: statement, relations }, [p]),
      );
    }

    it("who complains about a right share is named, and the dealer stays", () => {
      const dealing = at(handover.dealings, 0).bytes;
      expectUnfounded(handover.dealings, 2, complain(1, dealing), "INVALID_PROOF", /share of dealer 1 that is right/);
    });

    it("who reveals another element than the one of the dealing is named", () => {
      const { dealings, complaint } = founded();
      const shared = HEAD_BYTES + 34;
      const other = overwritten(complaint, shared, multiplyBase(randomScalar()));
      expectUnfounded(dealings, 2, other, "INVALID_PROOF", /does not verify/);
      expectUnfounded(dealings, 2, overwritten(complaint, shared, identityElement()), "INVALID_POINT", /identity/);
      expectUnfounded(dealings, 2, overwritten(complaint, shared, NOT_REDUCED), "INVALID_POINT", /canonical/);
    });

    it("who proves with another receiving key than the announced one is named", () => {
      const other = concatBytes(at(handover.secrets, 1).subarray(0, HEAD_BYTES), randomScalar());
      const complaint = complain(1, at(handover.dealings, 0).bytes, other);
      expectUnfounded(handover.dealings, 2, complaint, "INVALID_PROOF", /does not verify/);
    });

    it("whose proof has scalars that are not reduced is named", () => {
      const { dealings, complaint } = founded();
      for (const place of [complaint.length - 64, complaint.length - 32]) {
        expectUnfounded(dealings, 2, overwritten(complaint, place, NOT_REDUCED), "INVALID_PROOF", /not reduced/);
      }
    });

    it("who sends the complaint of another member, generation or dealing is named", () => {
      const { dealings, complaint } = founded();
      expectUnfounded(dealings, 4, complaint, "BAD_RESPONSE", /another committee, generation/);
      expectUnfounded(dealings, 2, complaint.with(44, 9), "BAD_RESPONSE", /another committee, generation/);
      expectUnfounded(dealings, 2, flipped(complaint, HEAD_BYTES + 2), "BAD_RESPONSE", /about another dealing/);
      expectUnfounded(dealings, 2, complaint.with(HEAD_BYTES + 1, 9), "BAD_RESPONSE", /dealer 9, whom/);
      expectUnfounded(dealings, 2, complaint.subarray(1), "UNKNOWN_VERSION", /another version/);
      expectUnfounded(dealings, 2, complaint.subarray(0, -1), "BAD_RESPONSE", /bytes/);
    });

    it("who sends a wrong complaint and then a right one has the dealer left out, in either order", () => {
      const { dealings, complaint } = founded();
      const wrong = overwritten(complaint, HEAD_BYTES + 34, multiplyBase(randomScalar()));
      const both = [wrong, complaint].map((bytes) => ({ from: 2, bytes }));
      for (const complaints of [both, [...both].reverse()]) {
        expect(settleRun(handover.members, dealings, complaints).qualified).to.deep.equal([1, 2, 4]);
      }
    });

    it("who announces no element, the identity, without proof, or for another run is named", () => {
      const { run } = handover.members;
      const announce = (change: (good: Uint8Array) => Uint8Array) => () => {
        const announcements = new Map(handover.announcements);
        announcements.set(4, change(announcements.get(4) ?? new Uint8Array()));
        return new RunMembers(run, announcements);
      };
      const stranger = openRun({ size: 5, threshold: 3, generation: 3 }, first, []).announcements;
      for (const [change, code, message] of [
        [(good: Uint8Array) => good.subarray(0, -1), "BAD_RESPONSE", /bytes/],
        [(good: Uint8Array) => good.with(0, 9), "UNKNOWN_VERSION", /another version/],
        [() => stranger.get(4) ?? new Uint8Array(), "BAD_RESPONSE", /another committee, generation/],
        [() => handover.announcements.get(3) ?? new Uint8Array(), "BAD_RESPONSE", /another committee, generation/],
        [(good: Uint8Array) => overwritten(good, HEAD_BYTES, identityElement()), "INVALID_POINT", /identity/],
        [(good: Uint8Array) => overwritten(good, HEAD_BYTES, NOT_REDUCED), "INVALID_POINT", /canonical/],
        [(good: Uint8Array) => overwritten(good, HEAD_BYTES, multiplyBase(randomScalar())), "INVALID_PROOF", /verify/],
        [(good: Uint8Array) => overwritten(good, HEAD_BYTES + 32, NOT_REDUCED), "INVALID_PROOF", /not reduced/],
      ] as const) {
        expectFault(announce(change), "member", 4, code, message);
      }
    });
  });

  describe("a caller", () => {
    it("with fewer dealers than needed is told who was left out and why", () => {
      const dealings = handover.dealings.filter(({ from }) => from === 3 || from === 4);
      expect(settleRun(handover.members, dealings, []).qualified).to.deep.equal([3, 4]);
      const bad = replaced({ ...handover, dealings }, 3, at(handover.dealings, 0).bytes);
      const error = expectRejection(() => settleRun(handover.members, bad, []), "QUORUM_FAILED", /1 of 2 dealers/);
      expect(error.details).to.have.property("qualified").that.deep.equals([4]);
      expect(JSON.stringify(error.details)).to.match(/"party":"dealer 3"/);
      expectRejection(() => settleRun(handover.members, [], []), "QUORUM_FAILED", /0 of 2/);
    });

    it("with announcements missing or too many", () => {
      const { run } = handover.members;
      const fewer = new Map([...handover.announcements].filter(([member]) => member !== 2));
      expectRejection(() => new RunMembers(run, fewer), "INVALID_INPUT", /member 2 is missing/);
      const more = new Map(handover.announcements).set(6, at([...handover.announcements.values()], 0));
      expectRejection(() => new RunMembers(run, more), "INVALID_INPUT", /6 announcements for 5 members/);
    });

    it("with senders that the run does not have, or more complaints than there can be", () => {
      const { members, dealings } = handover;
      const [{ bytes }] = [at(dealings, 0)];
      expectRejection(() => settleRun(members, [{ from: 5, bytes }], []), "INVALID_INPUT", /no dealer 5/);
      expectRejection(() => settleRun(members, dealings, [{ from: 6, bytes }]), "INVALID_INPUT", /no member 6/);
      const many = range(21).map(() => ({ from: 1, bytes }));
      expectRejection(() => settleRun(members, dealings, many), "INVALID_INPUT", /21 complaints/);
      expectRejection(() => announceMember(members.run, 6), "INVALID_INPUT", /no member 6/);
      expectRejection(() => dealShares(members, 5, at(first.shares, 0)), "INVALID_INPUT", /no dealer 5/);
    });

    it("with a receiving key of another member, run, version or announcement", () => {
      const finish = (secret: Uint8Array) => () => finishRun(handover.members, 1, secret, handover.dealings, []);
      const own = at(handover.secrets, 0);
      finish(own)();
      expectRejection(finish(at(handover.secrets, 1)), "INVALID_INPUT", /not of this run and member/);
      expectRejection(finish(own.subarray(0, -1)), "INVALID_INPUT", /not of this run and member/);
      expectRejection(finish(own.with(0, 2)), "UNKNOWN_VERSION");
      const again = announceMember(handover.members.run, 1).secret;
      expectRejection(finish(again), "INVALID_INPUT", /not that of the announcement/);
    });

    it("with shares where none are dealt, or none where they are", () => {
      expectRejection(() => dealShares(handover.members, 1), "INVALID_INPUT", /needs its shares of generation 1/);
      expectRejection(() => dealShares(generation.members, 1, at(first.shares, 0)), "INVALID_INPUT", /takes no shares/);
    });
  });

  it("names the registry's chain and committee in every message", () => {
    const head = encodeHead(handover.members.run, 1);
    expect(toHex(head.subarray(1, 37))).to.equal(
      `0x0000000000007a69${SCOPE.registry.slice(2).toLowerCase()}0000000000000007`,
    );
  });
});

function hashOf(dealing: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(dealing).digest());
}

/** The same residue as an integer of 256 bits that is not reduced. */
function plusOrder(share: Uint8Array): Uint8Array {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const value = bytesToNumberLE(share) + order;
  return numberToBytesLE(value, 32);
}
