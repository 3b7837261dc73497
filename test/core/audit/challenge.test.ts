import { expect } from "chai";
import fc from "fast-check";
import {
  type AuditChallenge,
  challengeId,
  evaluateChallenge,
  expandChallenge,
} from "../../../offchain/core/audit/challenge.ts";
import { power, reduce } from "../../../offchain/core/audit/field.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";
import { hex, oracleChallenge } from "../../helpers/audit-oracle.ts";
import { TEBIBYTE_SLICES } from "../../helpers/audit-set.ts";

const SEED = new Uint8Array(32).fill(7);
const BASE: AuditChallenge = { seed: SEED, sampleCount: 20, firstIndex: 1, sliceCount: 1000 };

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
        fc.integer({ min: 1, max: 2 ** 40 }),
        fc.integer({ min: 1, max: 2 ** 40 }),
        (seed, sampleCount, firstIndex, sliceCount) => {
          const challenge = { seed, sampleCount, firstIndex, sliceCount };
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
    const { indices } = expandChallenge({ ...BASE, firstIndex: 50, sliceCount: 3 });
    expect(indices.every((index) => index >= 50 && index <= 52)).to.equal(true);
    const ids = [
      BASE,
      { ...BASE, seed: new Uint8Array(32) },
      { ...BASE, sampleCount: 21 },
      { ...BASE, firstIndex: 2 },
      { ...BASE, sliceCount: 1001 },
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

  describe("refuses", () => {
    const hostile: [string, Partial<AuditChallenge>][] = [
      ["a seed of another length", { seed: new Uint8Array(31) }],
      ["index 0, which would need no proof", { firstIndex: 0 }],
      ["a negative first index", { firstIndex: -1 }],
      ["an empty range", { sliceCount: 0 }],
      ["half a slice", { sliceCount: 1.5 }],
      ["no samples", { sampleCount: 0 }],
      ["more samples than the contract can name", { sampleCount: 65_536 }],
      ["a range beyond exact integers", { firstIndex: Number.MAX_SAFE_INTEGER }],
      ["a count that is no number", { sliceCount: Number.NaN }],
    ];
    for (const [name, change] of hostile) {
      it(name, () => {
        expect(() => expandChallenge({ ...BASE, ...change })).to.throw(InvalidInputError);
      });
    }
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
        const { indices } = expandChallenge({ seed: numberedSeed(n), sampleCount: SAMPLES, firstIndex: 1, sliceCount });
        damages.forEach(([, damaged], k) => {
          if (indices.some((index) => damaged(index - 1, sliceCount))) found[k] = (found[k] ?? 0) + 1;
        });
      }
      // Expected 297.05 ± 1.7; four standard deviations below are 290.
      for (const [k, [place]] of damages.entries()) expect(found[k], place).to.be.at.least(290);
    });
  }

  it("draws every slice equally often", () => {
    const counts = new Array<number>(64).fill(0);
    for (let n = 0; n < 100; n++) {
      const challenge = { seed: numberedSeed(n), sampleCount: 640, firstIndex: 5, sliceCount: 64 };
      for (const index of expandChallenge(challenge).indices) counts[index - 5] = (counts[index - 5] ?? 0) + 1;
    }
    // Chi-squared with 63 degrees of freedom: 0.1 % of uniform samples exceed 103.
    const expected = 1000;
    const chiSquared = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    expect(chiSquared).to.be.below(103);
  });
});
