import { expect } from "chai";
import { concat, keccak256, toBeHex, zeroPadValue } from "ethers";
import fc from "fast-check";
import {
  type AuditChallenge,
  challengeForChain,
  challengeId,
  evaluateChallenge,
  expandChallenge,
  type SliceRange,
} from "../../../offchain/core/audit/challenge.ts";
import { power, reduce } from "../../../offchain/core/audit/field.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";
import { simulateDetection } from "../../helpers/audit-detection.ts";
import { hex, oracleChallenge } from "../../helpers/audit-oracle.ts";
import { TEBIBYTE_SLICES } from "../../helpers/audit-set.ts";

const SEED = new Uint8Array(32).fill(7);
const BASE: AuditChallenge = { seed: SEED, sampleCount: 20, ranges: [{ firstIndex: 1, count: 1000 }] };

/** Up to `limit` ranges; gaps of 0 give ranges that touch. */
function rangesUpTo(limit: number): fc.Arbitrary<SliceRange[]> {
  const steps = fc.tuple(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 1, max: 5000 }));
  return fc.array(steps, { minLength: 1, maxLength: limit }).map((list) => {
    let next = 1;
    return list.map(([gap, count]) => {
      const firstIndex = next + gap;
      next = firstIndex + count;
      return { firstIndex, count };
    });
  });
}

function numberedSeed(number: number): Uint8Array {
  const seed = new Uint8Array(32);
  new DataView(seed.buffer).setUint32(0, number);
  return seed;
}

describe("audit challenge", () => {
  it("expands as the independent implementation does", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.integer({ min: 1, max: 40 }),
        fc.oneof(
          rangesUpTo(32),
          fc
            .tuple(fc.integer({ min: 1, max: 2 ** 40 }), fc.integer({ min: 1, max: 2 ** 40 }))
            .map(([firstIndex, count]) => [{ firstIndex, count }]),
        ),
        (seed, sampleCount, ranges) => {
          const challenge = { seed, sampleCount, ranges };
          const expected = oracleChallenge(challenge);
          expect(hex(challengeId(challenge))).to.equal(expected.id);
          const { indices, weights, z } = expandChallenge(challenge);
          expect({ indices, weights, z }).to.deep.equal({
            indices: expected.indices,
            weights: expected.weights,
            z: expected.z,
          });
        },
      ),
      { numRuns: 30 },
    );
  });

  it("stays inside the range and changes with every part of the challenge", () => {
    const { indices } = expandChallenge({ ...BASE, ranges: [{ firstIndex: 50, count: 3 }] });
    expect(indices.every((index) => index >= 50 && index <= 52)).to.equal(true);
    const ids = [
      BASE,
      { ...BASE, seed: new Uint8Array(32) },
      { ...BASE, sampleCount: 21 },
      { ...BASE, ranges: [{ firstIndex: 2, count: 1000 }] },
      { ...BASE, ranges: [{ firstIndex: 1, count: 1001 }] },
      { ...BASE, ranges: [...BASE.ranges, { firstIndex: 1001, count: 1 }] },
    ].map((challenge) => hex(challengeId(challenge)));
    expect(new Set(ids).size).to.equal(ids.length);
  });

  it("evaluates v as a sum of powers", () => {
    const expanded = expandChallenge(BASE);
    const point = 123_456_789n;
    const expected = expanded.indices.reduce(
      (sum, index, t) => reduce(sum + (expanded.weights[t] ?? 0n) * power(point, BigInt(index))),
      0n,
    );
    expect(evaluateChallenge(expanded, point)).to.equal(expected);
  });

  it("draws from 1 to 16 ranges what a list of their indices holds at the offset", () => {
    fc.assert(
      fc.property(rangesUpTo(16), fc.uint8Array({ minLength: 32, maxLength: 32 }), (ranges, seed) => {
        const listed = ranges.flatMap(({ firstIndex, count }) =>
          Array.from({ length: count }, (_, k) => firstIndex + k),
        );
        const challenge = { seed, sampleCount: 25, ranges };
        const id = challengeId(challenge);
        const expected = Array.from({ length: 25 }, (_, t) => {
          const hash = BigInt(keccak256(concat([id, zeroPadValue(toBeHex(t), 32)])));
          return listed[Number((hash % 2n ** 128n) % BigInt(listed.length))];
        });
        expect(expandChallenge(challenge).indices).to.deep.equal(expected);
      }),
      { numRuns: 50 },
    );
  });

  describe("refuses", () => {
    const one = (firstIndex: number, count: number) => ({ ranges: [{ firstIndex, count }] });
    const several = (...ranges: [number, number][]) => ({
      ranges: ranges.map(([firstIndex, count]) => ({ firstIndex, count })),
    });
    const hostile: [string, Partial<AuditChallenge>][] = [
      ["a seed of another length", { seed: new Uint8Array(31) }],
      ["index 0, which would need no proof", one(0, 1000)],
      ["a negative first index", one(-1, 1000)],
      ["an empty range", one(1, 0)],
      ["half a slice", one(1, 1.5)],
      ["no samples", { sampleCount: 0 }],
      ["more samples than the contract can name", { sampleCount: 65_536 }],
      ["an index of 2^48", one(2, 2 ** 48 - 1)],
      ["a count that is no number", one(1, Number.NaN)],
      ["no ranges", { ranges: [] }],
      ["33 ranges", several(...Array.from({ length: 33 }, (_, k): [number, number] => [2 * k + 1, 1]))],
      ["ranges that overlap", several([1, 10], [10, 5])],
      ["one range twice", several([1, 10], [1, 10])],
      ["ranges that descend", several([20, 10], [1, 10])],
      ["several ranges with 2^31 slices", several([1, 1], [3, 2 ** 31 - 1])],
    ];
    for (const [name, change] of hostile) {
      it(name, () => {
        expect(() => expandChallenge({ ...BASE, ...change })).to.throw(InvalidInputError);
        expect(() => challengeForChain({ ...BASE, ...change })).to.throw(InvalidInputError);
      });
    }

    it("nothing at the limits", () => {
      const most = Array.from({ length: 32 }, (_, k): [number, number] => [2 * k + 1, 1]);
      for (const change of [one(1, 2 ** 48 - 1), several([1, 1], [3, 2 ** 31 - 2]), several(...most)]) {
        expect(expandChallenge({ ...BASE, ...change }).indices.length).to.equal(20);
      }
    });
  });
});

describe("detection by sampling", () => {
  const SAMPLES = 460;

  it("finds 1 % damage with 99 %, by the formula, for a set of any size", () => {
    // Draws are independent and with repetition, so a set with a damaged part d escapes with (1 − d)^samples.
    expect(1 - 0.99 ** SAMPLES).to.be.at.least(0.99);
    expect(1 - 0.99 ** (SAMPLES - 2)).to.be.below(0.99);
  });

  // Challenges are made from numbered seeds, so the counts are the same in every run.
  const sets = [
    { name: "12.7 MB", sliceCount: 100 },
    { name: "1.27 GB", sliceCount: 10_000 },
    { name: "1 TiB", sliceCount: TEBIBYTE_SLICES },
  ];
  const damages: [string, (offset: number, sliceCount: number) => boolean][] = [
    ["at the start", (offset, sliceCount) => offset < sliceCount / 100],
    ["at the end", (offset, sliceCount) => offset >= sliceCount - Math.ceil(sliceCount / 100)],
    ["spread evenly", (offset) => offset % 100 === 37],
  ];
  for (const { name, sliceCount } of sets) {
    it(`finds 1 % damage of ${name} in 300 challenges with about 99 %, wherever it is`, () => {
      const challenges = 300;
      const found = damages.map(() => 0);
      for (let n = 0; n < challenges; n++) {
        const { indices } = expandChallenge({
          seed: numberedSeed(n),
          sampleCount: SAMPLES,
          ranges: [{ firstIndex: 1, count: sliceCount }],
        });
        damages.forEach(([, damaged], k) => {
          if (indices.some((index) => damaged(index - 1, sliceCount))) found[k] = (found[k] ?? 0) + 1;
        });
      }
      // Expected 297.05 ± 1.7; four standard deviations below are 290.
      for (const [k, [place]] of damages.entries()) expect(found[k], place).to.be.at.least(290);
    });
  }

  // The full number of audits is in test/long/audit-detection.test.ts.
  it("detects damage as often as the formula says, in several ranges", () => {
    for (const found of simulateDetection(1000)) {
      expect(Math.abs(found.rate - found.expected), found.name).to.be.at.most(3 * found.standardError);
    }
  });

  it("draws every slice equally often", () => {
    const counts = new Array<number>(64).fill(0);
    for (let n = 0; n < 100; n++) {
      const challenge = { seed: numberedSeed(n), sampleCount: 640, ranges: [{ firstIndex: 5, count: 64 }] };
      for (const index of expandChallenge(challenge).indices) counts[index - 5] = (counts[index - 5] ?? 0) + 1;
    }
    // Chi-squared with 63 degrees of freedom: 0.1 % of uniform samples exceed 103.
    const expected = 1000;
    const chiSquared = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    expect(chiSquared).to.be.below(103);
  });
});
