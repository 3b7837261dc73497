/** Secrets sealed, and shares made, by an independent implementation (test/vectors/derive-committee.py). */

import { expect } from "chai";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import { openSecret, verifyDecryptionShare } from "../../../offchain/core/sealed-secrets/decryption-share.ts";
import { encodeLabel, type SecretLabel } from "../../../offchain/core/sealed-secrets/label.ts";
import { checkSealed } from "../../../offchain/core/sealed-secrets/sealed-secret.ts";
import vectors from "../../vectors/sealed-secrets.json" with { type: "json" };

describe("core/sealed-secrets: vectors", () => {
  const groupPublicKey = fromHex(vectors.groupPublicKey);

  before(() => oprfReady());

  for (const { label: fields, labelBytes, payload, sealed, generations } of vectors.secrets) {
    const label: SecretLabel = {
      ledger: { chainId: BigInt(fields.chainId), keyLedger: fields.ledger },
      recordId: fromHex(fields.recordId),
      version: fields.version,
      author: fields.author,
      policy: fields.policy,
      policyDataHash: fromHex(fields.policyDataHash),
    };

    it(`a payload of ${payload.length / 2 - 1} bytes opens with the shares of both generations`, () => {
      expect(toHex(encodeLabel(label))).to.equal(labelBytes);
      const secret = checkSealed(groupPublicKey, label, fromHex(sealed));
      expect(generations).to.have.length(2);
      for (const { generation, threshold, verificationShares, shares } of generations) {
        const keys = {
          committeeId: BigInt(vectors.committeeId),
          generation,
          threshold,
          groupPublicKey,
          verificationShares: verificationShares.map((share) => fromHex(share)),
        };
        const received = Object.entries(shares).map(([index, share]) => [Number(index), fromHex(share)] as const);
        for (const [index, share] of received) verifyDecryptionShare(secret, keys, index, share);
        for (const quorum of [received.slice(0, threshold), received.slice(-threshold)]) {
          const { payload: opened, faults } = openSecret(secret, keys, new Map(quorum));
          expect(toHex(opened)).to.equal(payload);
          expect(faults.size).to.equal(0);
        }
      }
    });
  }
});
