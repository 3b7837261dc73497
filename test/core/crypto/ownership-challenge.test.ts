import { expect } from "chai";
import fc from "fast-check";
import {
  CHALLENGE_PLACES,
  challengeAnswer,
  challengePositions,
  PLACE_BYTES,
  positionCount,
  prepareChallenges,
} from "../../../offchain/core/crypto/ownership-challenge.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { loadVectors } from "../../helpers/vectors.ts";

interface Vectors {
  secret: string;
  provider: string;
  vectors: { sizeBytes: number; digest: string; nonce: string; positions: number[]; answer: string }[];
}

const secret = new Uint8Array(32).fill(1);
const provider = new Uint8Array(20).fill(2);
const digest = new Uint8Array(32).fill(3);
const nonce = (fill: number) => new Uint8Array(16).fill(fill);

describe("ownership challenges", () => {
  it("match the vectors", () => {
    const loaded = loadVectors<Vectors>("ownership-challenge.json");
    for (const vector of loaded.vectors) {
      const object = pseudoRandomBytes("ownership vector", vector.sizeBytes);
      const drawn = fromHex(`0x${vector.nonce}`);
      const positions = challengePositions(
        fromHex(`0x${loaded.secret}`),
        fromHex(`0x${vector.digest}`),
        vector.sizeBytes,
        drawn,
      );
      expect(positions).to.deep.equal(vector.positions);
      const answer = challengeAnswer(fromHex(`0x${loaded.provider}`), drawn, object, positions);
      expect(toHex(answer)).to.equal(`0x${vector.answer}`);
    }
  });

  it("have 20 disjoint places inside the object, one in each twentieth of it, or none below 640 bytes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 21 }), fc.integer({ min: 0, max: 255 }), (sizeBytes, fill) => {
        const positions = challengePositions(secret, digest, sizeBytes, nonce(fill));
        expect(positions.length).to.equal(positionCount(sizeBytes));
        expect(positions.length).to.equal(sizeBytes < 640 ? 0 : CHALLENGE_PLACES);
        for (const [k, at] of positions.entries()) {
          expect(at).to.be.at.least(Math.floor((k * sizeBytes) / CHALLENGE_PLACES));
          expect(at + PLACE_BYTES).to.be.at.most(Math.floor(((k + 1) * sizeBytes) / CHALLENGE_PLACES));
        }
      }),
    );
  });

  it("reach every place of an object, the first and the last byte included", () => {
    const starts = new Set<number>();
    for (let k = 0; k < 256; k++) for (const at of challengePositions(secret, digest, 700, nonce(k))) starts.add(at);
    // 35 bytes in each section: four places to start in each.
    expect(starts.size).to.equal(4 * CHALLENGE_PLACES);
    expect(starts.has(0) && starts.has(700 - PLACE_BYTES)).to.equal(true);
  });

  it("depend on the secret, the object, its size and the nonce; answers on the provider too", () => {
    const object = pseudoRandomBytes("object", 5000);
    const base = challengePositions(secret, digest, 5000, nonce(1));
    for (const other of [
      challengePositions(new Uint8Array(32), digest, 5000, nonce(1)),
      challengePositions(secret, new Uint8Array(32), 5000, nonce(1)),
      challengePositions(secret, digest, 5001, nonce(1)),
      challengePositions(secret, digest, 5000, nonce(2)),
    ]) {
      expect(other).not.to.deep.equal(base);
    }
    const answer = challengeAnswer(provider, nonce(1), object, base);
    expect(challengeAnswer(new Uint8Array(20), nonce(1), object, base)).not.to.deep.equal(answer);
    expect(challengeAnswer(provider, nonce(2), object, base)).not.to.deep.equal(answer);
    for (const at of base) {
      const changed = object.slice();
      changed[at + PLACE_BYTES - 1] = (changed[at + PLACE_BYTES - 1] ?? 0) ^ 1;
      expect(challengeAnswer(provider, nonce(1), changed, base)).not.to.deep.equal(answer);
    }
  });

  it("cover a small object as a whole", () => {
    const object = pseudoRandomBytes("object", 639);
    const answer = challengeAnswer(provider, nonce(1), object, []);
    for (const at of [0, 300, 638]) {
      const changed = object.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(challengeAnswer(provider, nonce(1), changed, [])).not.to.deep.equal(answer);
    }
  });

  it("are prepared with fresh nonces and with answers that fit them", () => {
    const object = pseudoRandomBytes("object", 5000);
    const prepared = prepareChallenges(provider, secret, digest, object, 8);
    expect(new Set(prepared.map((one) => toHex(one.nonce))).size).to.equal(8);
    for (const one of prepared) {
      const positions = challengePositions(secret, digest, 5000, one.nonce);
      expect(challengeAnswer(provider, one.nonce, object, positions)).to.deep.equal(one.answer);
    }
  });

  it("refuse positions that do not fit the object: too few, too many, outside, not whole", () => {
    const object = pseudoRandomBytes("object", 5000);
    const right = challengePositions(secret, digest, 5000, nonce(1));
    for (const wrong of [
      [],
      right.slice(1),
      [...right, 0],
      [...right.slice(1), 5000 - PLACE_BYTES + 1],
      [...right.slice(1), -1],
      [...right.slice(1), 1.5],
    ]) {
      expect(() => challengeAnswer(provider, nonce(1), object, wrong)).to.throw(InvalidInputError);
    }
    expect(() => challengeAnswer(provider, nonce(1), object.subarray(0, 639), right)).to.throw(InvalidInputError);
  });
});
