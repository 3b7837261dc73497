/** A committee through its generations: keys, outputs and sealed secrets outlive every change of members and shares. */

import { expect } from "chai";
import fc from "fast-check";
import { COMMITTEE_KEYS, type RunParameters } from "../../../offchain/core/committee/run.ts";
import { settleRun } from "../../../offchain/core/committee/settlement.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  multiplyBase,
  ristretto255Group,
  scalarAdd,
  scalarFromNumber,
  scalarMultiply,
} from "../../../offchain/core/oprf/group.ts";
import {
  blindInputs,
  combineAndFinalize,
  evaluateBatch,
  oprfReady,
  verifyEvaluation,
} from "../../../offchain/core/oprf/ristretto255.ts";
import { lagrangeCoefficients, verifyCommitteeKeys } from "../../../offchain/core/oprf/threshold.ts";
import { decryptionShare, openSecret } from "../../../offchain/core/sealed-secrets/decryption-share.ts";
import { checkSealed, sealSecret } from "../../../offchain/core/sealed-secrets/sealed-secret.ts";
import {
  at,
  type Committee,
  complaintsOf,
  completeRun,
  finishAll,
  openRun,
  range,
  recordKeys,
  SCOPE,
  sharesOf,
} from "../../helpers/committee-run.ts";
import { expectRejection } from "../../helpers/rejection.ts";

const input = new TextEncoder().encode("input");
const payload = new TextEncoder().encode("file key, mac, time");
const label = {
  ledger: { chainId: SCOPE.chainId, keyLedger: "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512" },
  recordId: new Uint8Array(32).fill(1),
  version: 1,
  author: "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
  policy: "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0",
  policyDataHash: new Uint8Array(32).fill(2),
};

/** The first and the last quorum of a committee. */
function quorums({ generation: { size, threshold } }: Committee): number[][] {
  return [range(threshold), range(size).slice(-threshold)];
}

function evaluate(committee: Committee, quorum: number[]): string {
  const batch = blindInputs([input]);
  const { verificationShares } = committee.generation.keys.oprf;
  const parts = quorum.map((index) => {
    const share = at(verificationShares, index - 1);
    const { evaluated, proof } = evaluateBatch(sharesOf(committee, index).oprf, share, batch.blinded);
    verifyEvaluation(share, batch.blinded, evaluated, proof);
    return { index, evaluated };
  });
  return toHex(at(combineAndFinalize(batch, [input], parts, quorum.length), 0));
}

function openBy(committee: Committee, quorum: number[], sealed: Uint8Array): string {
  const keys = recordKeys(committee);
  const secret = checkSealed(keys.groupPublicKey, label, sealed);
  const shares = quorum.map(
    (index) => [index, decryptionShare(secret, keys, index, sharesOf(committee, index).record)] as const,
  );
  return toHex(openSecret(secret, keys, new Map(shares)).payload);
}

/** f(0) from points: what no party of a run can compute. */
function interpolate(points: { index: number; share: Uint8Array }[]): string {
  const weights = lagrangeCoefficients(
    ristretto255Group,
    points.map(({ index }) => index),
    0,
  );
  return toHex(
    points.reduce(
      (sum, { share }, position) => scalarAdd(sum, scalarMultiply(at(weights, position), share)),
      scalarFromNumber(0),
    ),
  );
}

describe("core/committee: life cycle", () => {
  before(() => oprfReady());

  /** Everything that the committee promised in an earlier generation still holds. */
  function expectSameKeys(first: Committee, later: Committee, sealed: Uint8Array): void {
    const output = evaluate(first, range(first.generation.threshold));
    for (const purpose of COMMITTEE_KEYS) {
      const { groupPublicKey, verificationShares } = later.generation.keys[purpose];
      expect(toHex(groupPublicKey)).to.equal(toHex(first.generation.keys[purpose].groupPublicKey));
      verifyCommitteeKeys(ristretto255Group, groupPublicKey, verificationShares, later.generation.threshold);
    }
    for (const quorum of quorums(later)) {
      expect(evaluate(later, quorum)).to.equal(output);
      expect(openBy(later, quorum, sealed)).to.equal(toHex(payload));
    }
  }

  function begin(size: number, threshold: number): { first: Committee; sealed: Uint8Array } {
    const first = completeRun({ size, threshold });
    return { first, sealed: sealSecret(first.generation.keys.record.groupPublicKey, label, payload) };
  }

  describe("key generation", () => {
    for (const [size, threshold] of [
      [1, 1],
      [2, 2],
      [5, 3],
    ] as const) {
      it(`gives ${threshold} of ${size} two different keys that every quorum uses alike`, () => {
        const { first, sealed } = begin(size, threshold);
        expectSameKeys(first, first, sealed);
        const { oprf, record } = first.generation.keys;
        expect(toHex(oprf.groupPublicKey)).to.not.equal(toHex(record.groupPublicKey));
        for (const purpose of COMMITTEE_KEYS) {
          const all = range(size).map((index) => ({ index, share: sharesOf(first, index)[purpose] }));
          const whole = interpolate(all.slice(0, threshold));
          expect(interpolate(all.slice(-threshold))).to.equal(whole);
          expect(toHex(multiplyBase(Buffer.from(whole.slice(2), "hex")))).to.equal(
            toHex(first.generation.keys[purpose].groupPublicKey),
          );
        }
      });
    }

    it("leaves all members, and whoever watches, with the same public keys and transcript", () => {
      const run = openRun({ size: 4, threshold: 2 });
      const watched = settleRun(run.members, run.dealings, []);
      for (const result of finishAll(run, [...run.dealings].reverse())) {
        const { shares, ...settlement } = result;
        expect(settlement).to.deep.equal(watched);
        expect(shares).to.have.length(109);
      }
    });

    it("finishes with k of n dealers: one that crashed is missed by nobody", () => {
      const committee = completeRun({ size: 5, threshold: 3 }, undefined, [1, 3, 5]);
      const output = evaluate(committee, [1, 2, 3]);
      expect(evaluate(committee, [2, 4, 5])).to.equal(output);
    });
  });

  describe("handover", () => {
    it("refreshes 3 of 5: other shares of the same keys", () => {
      const { first, sealed } = begin(5, 3);
      const second = completeRun({ size: 5, threshold: 3 }, first);
      expectSameKeys(first, second, sealed);
      for (const index of range(5)) {
        for (const purpose of COMMITTEE_KEYS) {
          expect(sharesOf(second, index)[purpose]).to.not.deep.equal(sharesOf(first, index)[purpose]);
        }
      }
    });

    it("goes from 3 of 5 to 5 of 9 and back to 2 of 3", () => {
      const { first, sealed } = begin(5, 3);
      const second = completeRun({ size: 9, threshold: 5 }, first);
      expectSameKeys(first, second, sealed);
      expectSameKeys(first, completeRun({ size: 3, threshold: 2 }, second), sealed);
    });

    it("replaces two that are gone: the other three deal", () => {
      const { first, sealed } = begin(5, 3);
      expectSameKeys(first, completeRun({ size: 5, threshold: 3 }, first, [1, 3, 4]), sealed);
    });

    it("outlives all five first members, who go one by one", () => {
      const { first, sealed } = begin(5, 3);
      let committee = first;
      // In each generation the member whose turn it is has gone without dealing, and a newcomer has its position.
      for (const gone of range(5)) {
        const dealers = range(5).filter((dealer) => dealer !== gone);
        committee = completeRun({ size: 5, threshold: 3 }, committee, dealers);
      }
      expect(committee.generation.generation).to.equal(6);
      expectSameKeys(first, committee, sealed);
    });

    it("keeps the keys through any sizes, thresholds and quorums of dealers", () => {
      const shape = fc
        .integer({ min: 1, max: 6 })
        .chain((size) => fc.record({ size: fc.constant(size), threshold: fc.integer({ min: 1, max: size }) }));
      const step = fc.record({ shape, seed: fc.nat() });
      fc.assert(
        fc.property(shape, fc.array(step, { minLength: 1, maxLength: 3 }), (start, steps) => {
          const { first, sealed } = begin(start.size, start.threshold);
          let committee = first;
          for (const { shape: next, seed } of steps) {
            const { size, threshold } = committee.generation;
            const count = threshold + (seed % (size - threshold + 1));
            const dealers = range(size)
              .map((dealer) => ({ dealer, key: Math.imul(dealer, seed | 1) >>> 0 }))
              .sort((one, other) => one.key - other.key)
              .slice(0, count)
              .map(({ dealer }) => dealer);
            committee = completeRun(next, committee, dealers);
          }
          expectSameKeys(first, committee, sealed);
        }),
        { numRuns: 15 },
      );
    });

    it("gives no key to k − 1 shares of one generation with any of the next", () => {
      const first = completeRun({ size: 5, threshold: 3 });
      const second = completeRun({ size: 5, threshold: 3 }, first);
      const whole = {
        oprf: interpolate([1, 2, 3].map((index) => ({ index, share: sharesOf(first, index).oprf }))),
        record: interpolate([1, 2, 3].map((index) => ({ index, share: sharesOf(first, index).record }))),
      };
      const two = fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 2 });
      fc.assert(
        fc.property(two, two, fc.constantFrom(...COMMITTEE_KEYS), (old, young, purpose) => {
          const stolen = [
            ...old.map((index) => ({ index, share: sharesOf(first, index)[purpose], of: 1 })),
            ...young.map((index) => ({ index, share: sharesOf(second, index)[purpose], of: 2 })),
          ];
          // Every way of taking them for points of one polynomial, with up to all four of them.
          for (let chosen = 1; chosen < 1 << stolen.length; chosen += 1) {
            const points = stolen.filter((_, position) => (chosen >> position) & 1);
            if (new Set(points.map(({ index }) => index)).size !== points.length) continue;
            expect(interpolate(points)).to.not.equal(whole[purpose]);
          }
        }),
        { numRuns: 40 },
      );
      // The check above can fail: three shares of one generation are enough.
      expect(interpolate([2, 3, 5].map((index) => ({ index, share: sharesOf(second, index).oprf })))).to.equal(
        whole.oprf,
      );
    });

    it("refuses decryption shares of two generations together", () => {
      const { first, sealed } = begin(3, 2);
      const second = completeRun({ size: 3, threshold: 2 }, first);
      const secret = checkSealed(recordKeys(first).groupPublicKey, label, sealed);
      const old = decryptionShare(secret, recordKeys(first), 1, sharesOf(first, 1).record);
      const young = decryptionShare(secret, recordKeys(second), 2, sharesOf(second, 2).record);
      const both = new Map([
        [1, old],
        [2, young],
      ]);
      for (const committee of [first, second]) {
        const error = expectRejection(() => openSecret(secret, recordKeys(committee), both), "SHARES_MISSING");
        expect(error.details?.wrong).to.deep.equal([committee === first ? 2 : 1]);
      }
    });

    it("refuses shares of another generation, member or committee as a dealer's", () => {
      const first = completeRun({ size: 3, threshold: 2 });
      const second = completeRun({ size: 3, threshold: 2 }, first);
      expectRejection(
        () => openRun({ size: 3, threshold: 2, generation: 3 }, { ...second, shares: first.shares }),
        "INVALID_INPUT",
        /not of this committee, generation and member/,
      );
      const swapped = { ...second, shares: [at(second.shares, 1), at(second.shares, 0), at(second.shares, 2)] };
      expectRejection(() => openRun({ size: 3, threshold: 2 }, swapped), "INVALID_INPUT", /not of this committee/);
      const elsewhere = { ...SCOPE, committeeId: 8n };
      expectRejection(
        () => openRun({ size: 3, threshold: 2, scope: elsewhere }, second),
        "INVALID_INPUT",
        /not of this committee/,
      );
      const other = completeRun({ size: 3, threshold: 2 });
      expectRejection(
        () => openRun({ size: 3, threshold: 2, generation: 2 }, { ...first, shares: other.shares }),
        "INVALID_INPUT",
        /not that of its verification share/,
      );
    });
  });

  it("refuses impossible runs", () => {
    const possible = { ...SCOPE, generation: 1, size: 3, threshold: 2 };
    const first = completeRun({ size: 3, threshold: 2 });
    const run = (change: Partial<RunParameters>) => () => openRunOf({ ...possible, ...change });
    for (const change of [{ size: 0 }, { size: 256 }, { threshold: 0 }, { threshold: 4 }, { size: 2.5 }]) {
      expectRejection(run(change), "INVALID_INPUT", /impossible/);
    }
    expectRejection(run({ generation: 2 }), "INVALID_INPUT", /only the first generation/);
    expectRejection(run({ generation: 0 }), "INVALID_INPUT", /cannot have a key/);
    expectRejection(run({ registry: "0x12" }), "INVALID_INPUT", /registry/);
    expectRejection(run({ chainId: -1n }), "INVALID_INPUT", /64-bit/);
    expectRejection(run({ previous: first.generation }), "INVALID_INPUT", /cannot make generation 1/);
    const { keys } = first.generation;
    const crossed = { ...first.generation, keys: { oprf: keys.record, record: { ...keys.oprf, ...mixed(keys) } } };
    expectRejection(run({ generation: 2, previous: crossed }), "INVALID_POINT", /does not fit/);
    expectRejection(
      run({ generation: 2, previous: { ...first.generation, size: 4 } }),
      "INVALID_INPUT",
      /3 verification shares/,
    );
  });

  it("finds nothing to complain about in honest dealings", () => {
    const run = openRun({ size: 3, threshold: 2 });
    expect(complaintsOf(run, run.dealings)).to.deep.equal([]);
  });
});

function mixed(keys: Committee["generation"]["keys"]) {
  return { groupPublicKey: keys.record.groupPublicKey };
}

function openRunOf({ chainId, registry, committeeId, generation, size, threshold, previous }: RunParameters) {
  const scope = { chainId, registry, committeeId };
  const before = previous === undefined ? undefined : { generation: previous, shares: [] };
  return openRun({ size, threshold, generation, scope }, before, []);
}
