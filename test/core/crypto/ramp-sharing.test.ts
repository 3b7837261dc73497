/**
 * Ramp secret sharing: against `shamir-secret-sharing` where it is Shamir's scheme, and by its own properties
 * elsewhere.
 */

import { expect } from "chai";
import fc from "fast-check";
import { combine, split } from "shamir-secret-sharing";
import { addMultiple, invert, multiply } from "../../../offchain/core/crypto/gf256.ts";
import {
  combineShares,
  MAX_SHARE_BYTES,
  type SharingParameters,
  shareLength,
  sharesOfPieces,
  splitSecret,
} from "../../../offchain/core/crypto/ramp-sharing.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import keyRecord from "../../vectors/key-record.json" with { type: "json" };

const byte = fc.integer({ min: 0, max: 255 });
const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
const nothing = new Uint8Array(0);
const IN_CONTEXT = { context: Uint8Array.of(1, 2, 3) };

/** (n, k, r) with n up to 12. */
const anyParameters: fc.Arbitrary<SharingParameters> = fc
  .integer({ min: 1, max: 12 })
  .chain((shares) => fc.tuple(fc.constant(shares), fc.integer({ min: 1, max: shares })))
  .chain(([shares, threshold]) =>
    fc.integer({ min: 0, max: threshold - 1 }).map((privacy) => ({ shares, threshold, privacy })),
  );

function indexed(shares: Uint8Array[], indices: number[]): Map<number, Uint8Array> {
  return new Map(indices.map((index) => [index, shares[index - 1] ?? nothing]));
}

function subsets(indices: number[], size: number): number[][] {
  if (size === 0) return [[]];
  return indices.flatMap((index, at) => subsets(indices.slice(at + 1), size - 1).map((rest) => [index, ...rest]));
}

/** All (n, k, r) up to a number of shares. */
function everyParameters(mostShares: number): SharingParameters[] {
  return upTo(mostShares).flatMap((shares) =>
    upTo(shares).flatMap((threshold) => upTo(threshold).map((at) => ({ shares, threshold, privacy: at - 1 }))),
  );
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, at) => at + 1);

/** Rank of a matrix over GF(2^8), by elimination. */
function rank(matrix: number[][]): number {
  const rows = matrix.map((row) => Uint8Array.from(row));
  let found = 0;
  for (let column = 0; column < (rows[0]?.length ?? 0); column += 1) {
    const at = rows.findIndex((row, position) => position >= found && row[column] !== 0);
    const pivot = rows[at];
    if (pivot === undefined) continue;
    rows[at] = rows[found] ?? pivot;
    rows[found] = pivot;
    for (const row of rows.slice(found + 1)) {
      addMultiple(row, multiply(row[column] ?? 0, invert(pivot[column] ?? 0)), pivot);
    }
    found += 1;
  }
  return found;
}

describe("core/gf256", () => {
  it("multiplies as the table of FIPS 197 says", () => {
    // §4.2: {57}·{83} = {c1}; §4.2.1: {57}·{13} = {fe} by way of {ae}, {47}, {8e}, {07}.
    for (const [a, b, product] of [
      [0x57, 0x83, 0xc1],
      [0x57, 0x02, 0xae],
      [0x57, 0x04, 0x47],
      [0x57, 0x08, 0x8e],
      [0x57, 0x10, 0x07],
      [0x57, 0x13, 0xfe],
    ] as const) {
      expect(multiply(a, b)).to.equal(product);
    }
  });

  it("is a field", () => {
    fc.assert(
      fc.property(byte, byte, byte, (a, b, c) => {
        expect(multiply(a, b)).to.equal(multiply(b, a));
        expect(multiply(a, multiply(b, c))).to.equal(multiply(multiply(a, b), c));
        expect(multiply(a, b ^ c)).to.equal(multiply(a, b) ^ multiply(a, c));
        expect(multiply(a, 1)).to.equal(a);
      }),
    );
    for (let a = 1; a < 256; a += 1) expect(multiply(a, invert(a)), String(a)).to.equal(1);
    expect(invert(0)).to.equal(0);
  });
});

describe("core/sharing", () => {
  it("rebuilds from any k shares, whatever (n, k, r), secret and mode", () => {
    fc.assert(
      fc.property(
        anyParameters,
        bytes(1, 70),
        fc.constantFrom(IN_CONTEXT, "random" as const),
        fc.infiniteStream(fc.nat()),
        (parameters, secret, mode, randomness) => {
          const shares = splitSecret(secret, parameters, mode);
          expect(shares).to.have.length(parameters.shares);
          const order = upTo(parameters.shares).map((index) => ({ index, key: randomness.next().value }));
          const quorum = order.sort((a, b) => a.key - b.key).slice(0, parameters.threshold);
          const chosen = indexed(
            shares,
            quorum.map(({ index }) => index),
          );
          expect(combineShares(chosen, parameters, secret.length)).to.deep.equal(secret);
        },
      ),
      { numRuns: 300 },
    );
  });

  for (const mode of ["random", IN_CONTEXT] as const) {
    it(`rebuilds from every quorum of every (n, k, r) up to n = 6, mode ${mode}`, () => {
      // 11 bytes divide by no k − r but 1: the last piece is padded.
      const secret = Uint8Array.from(upTo(11));
      let quorums = 0;
      for (const parameters of everyParameters(6)) {
        const shares = splitSecret(secret, parameters, mode);
        for (const quorum of subsets(upTo(parameters.shares), parameters.threshold)) {
          const what = `${JSON.stringify(parameters)} from ${quorum}`;
          expect(combineShares(indexed(shares, quorum), parameters, secret.length), what).to.deep.equal(secret);
          quorums += 1;
        }
      }
      // Σ over n of Σ over k of k · C(n, k), for each r below k.
      expect(quorums).to.equal(upTo(6).reduce((sum, n) => sum + n * 2 ** (n - 1), 0));
    });
  }

  it("rebuilds with the largest number of shares", () => {
    const parameters = { shares: 255, threshold: 255, privacy: 254 };
    const shares = splitSecret(Uint8Array.of(1, 2), parameters, IN_CONTEXT);
    expect(combineShares(indexed(shares, upTo(255)), parameters, 2)).to.deep.equal(Uint8Array.of(1, 2));
  });

  it("makes shares of ⌈secret/(k − r)⌉ bytes", () => {
    for (const [threshold, privacy, secretBytes, expected] of [
      [3, 2, 64, 64],
      [5, 2, 64, 22],
      [5, 0, 64, 13],
      [1, 0, 1, 1],
      [4, 1, 1, 1],
    ] as const) {
      const parameters = { shares: 9, threshold, privacy };
      expect(shareLength(parameters, secretBytes)).to.equal(expected);
      const shares = splitSecret(new Uint8Array(secretBytes), parameters, "random");
      expect(shares.every((share) => share.length === expected)).to.equal(true);
    }
  });

  describe("with r = k − 1", () => {
    it("agrees with shamir-secret-sharing both ways for any (n, k), secret, quorum and mode", async () => {
      const shape = fc.integer({ min: 2, max: 24 }).chain((n) =>
        fc.record({
          n: fc.constant(n),
          k: fc.integer({ min: 2, max: n }),
          order: fc.shuffledSubarray(upTo(n), { minLength: n }),
          secret: bytes(1, 48),
          mode: fc.constantFrom(IN_CONTEXT, "random" as const),
        }),
      );
      await fc.assert(
        fc.asyncProperty(shape, async ({ n, k, order, secret, mode }) => {
          const parameters = { shares: n, threshold: k, privacy: k - 1 };
          const quorum = order.slice(0, k);
          const ours = splitSecret(secret, parameters, mode);
          const forThem = quorum.map((index) => Uint8Array.of(...(ours[index - 1] ?? nothing), index));
          expect(await combine(forThem)).to.deep.equal(secret);
          const theirs = await split(secret, n, k);
          const forUs = quorum.map((index) => theirs[index - 1] ?? nothing);
          const shares = new Map(forUs.map((share) => [share.at(-1) ?? 0, share.subarray(0, -1)]));
          // Their indices are drawn from all that the field has.
          expect(combineShares(shares, { ...parameters, shares: 255 }, secret.length)).to.deep.equal(secret);
        }),
        { numRuns: 60 },
      );
    });

    it("made the shares of the key record vectors, by shamir-secret-sharing", async () => {
      const theirs = keyRecord.payload.shares.map((share, at) => Uint8Array.of(...fromHex(share), at + 1));
      const secret = await combine([theirs[4], theirs[0], theirs[2]].map((share) => share ?? nothing));
      expect(toHex(secret.subarray(0, 32))).to.equal(keyRecord.payload.fileKey);
    });
  });

  describe("privacy", () => {
    /** Row j: what random piece i contributes to share j, found by sharing unit vectors. */
    function randomPart({ shares, threshold, privacy }: SharingParameters): number[][] {
      const columns = upTo(privacy).map((random) => {
        const pieces = upTo(threshold).map((at) => Uint8Array.of(at === threshold - privacy + random ? 1 : 0));
        return sharesOfPieces(pieces, shares).map((share) => share[0] ?? 0);
      });
      return upTo(shares).map((_, at) => columns.map((column) => column[at] ?? 0));
    }

    it("masks any r shares with r independent random pieces, for all (n, k, r) up to n = 7", () => {
      for (const shares of upTo(7)) {
        for (const threshold of upTo(shares)) {
          for (let privacy = 1; privacy < threshold; privacy += 1) {
            const matrix = randomPart({ shares, threshold, privacy });
            for (const known of subsets(upTo(shares), privacy)) {
              const rows = known.map((index) => matrix[index - 1] ?? []);
              expect(rank(rows), `(${shares}, ${threshold}, ${privacy}) shares ${known}`).to.equal(privacy);
            }
          }
        }
      }
    });

    it("does not mask r + 1 shares of a ramp: the threshold is not understated", () => {
      const matrix = randomPart({ shares: 6, threshold: 5, privacy: 2 });
      expect(rank(matrix.slice(0, 3))).to.equal(2);
    });

    it("gives any r = 1 share the same distribution for every secret, counted over all random pieces", () => {
      // (3, 3, 1): two secret pieces of one byte each.
      for (const secret of [
        [0, 0],
        [1, 255],
        [0x57, 0x83],
      ] as const) {
        const counts = upTo(3).map(() => new Set<number>());
        for (let random = 0; random < 256; random += 1) {
          const pieces = [...secret, random].map((value) => Uint8Array.of(value));
          for (const [at, share] of sharesOfPieces(pieces, 3).entries()) counts[at]?.add(share[0] ?? 0);
        }
        expect(counts.map((seen) => seen.size)).to.deep.equal([256, 256, 256]);
      }
    });

    /**
     * Shares of a secret for all values of two random pieces at once: position t holds the shares for the pieces t >> 8
     * and t & 255.
     */
    function sharesForAllPieces(secret: readonly number[], shares: number): Uint8Array[] {
      const fill = (of: (at: number) => number) => Uint8Array.from({ length: 65_536 }, (_, at) => of(at));
      const pieces = [...secret.map((value) => fill(() => value)), fill((at) => at >> 8), fill((at) => at & 255)];
      return sharesOfPieces(pieces, shares);
    }

    for (const [threshold, secrets] of [
      [3, [[0], [1], [2], [0x53], [0x80], [255]]],
      [
        4,
        [
          [0, 0],
          [0, 1],
          [0x57, 0x83],
          [255, 254],
        ],
      ],
      [
        5,
        [
          [0, 0, 0],
          [1, 0, 255],
          [9, 8, 7],
        ],
      ],
    ] as const) {
      it(`gives any 2 shares of (5, ${threshold}, 2) one distribution for every secret: each pair just once`, () => {
        for (const secret of secrets) {
          const shares = sharesForAllPieces(secret, 5);
          for (const [one, other] of subsets([0, 1, 2, 3, 4], 2)) {
            const counts = new Uint8Array(65_536);
            for (let at = 0; at < 65_536; at += 1) {
              const pair = ((shares[one ?? 0]?.[at] ?? 0) << 8) | (shares[other ?? 0]?.[at] ?? 0);
              counts[pair] = (counts[pair] ?? 0) + 1;
            }
            expect(
              counts.every((count) => count === 1),
              `secret ${secret}, shares ${one}, ${other}`,
            ).to.equal(true);
          }
        }
      });
    }

    it("lets 3 shares of (5, 5, 2) tell some secrets apart, which is what a ramp pays with", () => {
      const triples = (secret: readonly number[]) => {
        const [first, second, third] = sharesForAllPieces(secret, 5);
        return new Set(Array.from(first ?? nothing, (value, at) => `${value},${second?.[at]},${third?.[at]}`));
      };
      const [one, other] = [triples([0, 0, 0]), triples([1, 0, 0])];
      expect(one.size).to.equal(65_536);
      expect([...one].filter((triple) => other.has(triple))).to.have.length(0);
    });

    it("draws a fresh piece for each of r, and for each sharing, in mode random", () => {
      const parameters = { shares: 4, threshold: 4, privacy: 3 };
      const secret = new Uint8Array(16);
      const drawn = [1, 2].flatMap(() => {
        const shares = splitSecret(secret, parameters, "random");
        // As a sharing without privacy, the same polynomial has all of its coefficients for a secret.
        const all = combineShares(indexed(shares, upTo(4)), { ...parameters, privacy: 0 }, 64);
        expect(all.subarray(0, 16)).to.deep.equal(secret);
        return [1, 2, 3].map((piece) => toHex(all.subarray(16 * piece, 16 * (piece + 1))));
      });
      expect(new Set([...drawn, toHex(secret)]).size).to.equal(7);
    });
  });

  describe("deterministic", () => {
    const parameters = { shares: 5, threshold: 3, privacy: 2 };
    const secret = Uint8Array.from(upTo(64));

    it("gives equal secrets equal shares, also when more shares are made", () => {
      const shares = splitSecret(secret, parameters, IN_CONTEXT);
      expect(splitSecret(secret, parameters, IN_CONTEXT)).to.deep.equal(shares);
      const more = splitSecret(secret, { ...parameters, shares: 7 }, IN_CONTEXT);
      expect(more.slice(0, 5)).to.deep.equal(shares);
    });

    it("gives different secrets, contexts, thresholds and privacies different shares", () => {
      const first = (changed: Uint8Array, p: SharingParameters, randomness = IN_CONTEXT) =>
        toHex(splitSecret(changed, p, randomness)[0] ?? nothing);
      const all = [
        first(secret, parameters),
        first(secret.with(63, 0), parameters),
        first(secret, parameters, { context: Uint8Array.of(1, 2, 4) }),
        first(secret, parameters, { context: new Uint8Array() }),
        first(secret, { ...parameters, threshold: 4, privacy: 3 }),
        first(secret, { ...parameters, privacy: 1 }),
      ];
      expect(new Set(all).size).to.equal(6);
    });

    it("masks with pieces that are neither zero nor equal", () => {
      const pieces = [new Uint8Array(64), new Uint8Array(64), new Uint8Array(64)];
      expect(splitSecret(new Uint8Array(64), parameters, IN_CONTEXT)).to.not.deep.equal(sharesOfPieces(pieces, 5));
      const [one, two, three] = splitSecret(new Uint8Array(64), parameters, IN_CONTEXT);
      expect(new Set([one, two, three].map((share) => toHex(share ?? nothing))).size).to.equal(3);
    });
  });

  describe("refuses", () => {
    const parameters = { shares: 5, threshold: 3, privacy: 2 };
    const secret = Uint8Array.from(upTo(16));
    const shares = splitSecret(secret, parameters, "random");

    it("impossible parameters", () => {
      for (const [n, k, r] of [
        [0, 0, 0],
        [5, 0, 0],
        [5, 6, 0],
        [5, 3, 3],
        [5, 3, -1],
        [256, 3, 2],
        [5.5, 3, 2],
        [5, Number.NaN, 0],
      ] as const) {
        const impossible = { shares: n, threshold: k, privacy: r };
        expectRejection(() => splitSecret(secret, impossible, "random"), "INVALID_INPUT", /is impossible/);
      }
    });

    it("empty and oversize secrets", () => {
      expectRejection(() => splitSecret(nothing, parameters, "random"), "INVALID_INPUT", /0 bytes/);
      const oversize = new Uint8Array(MAX_SHARE_BYTES + 1);
      expectRejection(() => splitSecret(oversize, parameters, "random"), "INVALID_INPUT", /8161 bytes/);
    });

    it("too few shares", () => {
      const error = expectRejection(
        () => combineShares(indexed(shares, [1, 5]), parameters, 16),
        "SHARES_MISSING",
        /2 shares cannot rebuild what takes 3/,
      );
      expect(error.expected).to.equal("at least 3");
    });

    it("indices out of range and shares of wrong length", () => {
      for (const index of [0, 6, 256, -1, 1.5]) {
        const wrong = indexed(shares, [1, 2, 3]).set(index, new Uint8Array(16));
        expectRejection(() => combineShares(wrong, parameters, 16), "INVALID_INPUT", /no share index/);
      }
      for (const length of [0, 15, 17]) {
        const wrong = indexed(shares, [1, 2, 3]).set(2, new Uint8Array(length));
        expectRejection(() => combineShares(wrong, parameters, 16), "INVALID_INPUT", /share 2 has/);
      }
    });

    it("surplus shares that disagree, and padding that is not zero", () => {
      const wrong = indexed(shares, [1, 2, 3, 4]).set(3, shares[3] ?? nothing);
      expectRejection(() => combineShares(wrong, parameters, 16), "INTEGRITY", /belong together/);
      expect(combineShares(indexed(shares, [1, 2, 3, 4, 5]), parameters, 16)).to.deep.equal(secret);
      const ramp = { shares: 3, threshold: 2, privacy: 0 };
      const padded = splitSecret(Uint8Array.of(1, 2, 3), ramp, "random");
      const spoiled = (padded[1] ?? nothing).map((value, at) => (at === 1 ? value ^ 1 : value));
      const error = expectRejection(() => combineShares(indexed(padded, [1]).set(2, spoiled), ramp, 3), "INTEGRITY");
      expect(error.check).to.equal("padding of the secret");
    });
  });
});
