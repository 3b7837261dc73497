/**
 * Ramp sharing against vectors of an independent implementation (test/vectors/derive-layouts.py): k − r above 1,
 * padding, many shares.
 */

import { expect } from "chai";
import { combineShares, splitSecret } from "../../../offchain/core/crypto/ramp-sharing.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import vectors from "../../vectors/sharing.json" with { type: "json" };

describe("ramp sharing vectors", () => {
  for (const { secret, context, parameters, shares } of vectors.deterministic) {
    const { shares: n, threshold: k, privacy: r } = parameters;

    it(`(${n}, ${k}, ${r}) of ${fromHex(secret).length} bytes: shares as derived independently`, () => {
      const made = splitSecret(fromHex(secret), parameters, { context: fromHex(context) });
      expect(made.length).to.equal(n);
      for (const [index, share] of Object.entries(shares))
        expect(toHex(made[Number(index) - 1] ?? new Uint8Array())).to.equal(share);
    });

    it(`(${n}, ${k}, ${r}) of ${fromHex(secret).length} bytes: any k of them rebuild the secret`, () => {
      const made = splitSecret(fromHex(secret), parameters, { context: fromHex(context) });
      const last = new Map(made.map((share, position) => [position + 1, share] as const).slice(-k));
      expect(toHex(combineShares(last, parameters, fromHex(secret).length))).to.equal(secret);
    });
  }
});
