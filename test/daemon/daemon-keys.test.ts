/**
 * What daemons derive from the secret of their keystore, against vectors of an independent implementation
 * (test/vectors/derive-layouts.py).
 */

import { expect } from "chai";
import { computeAddress } from "ethers";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { operatorKey } from "../../offchain/daemon/keystore-file.ts";
import { deriveNodeKeys } from "../../offchain/nbm/node-keys.ts";
import vectors from "../vectors/daemon-keys.json" with { type: "json" };

describe("daemon key vectors", () => {
  const secret = fromHex(vectors.secret);

  it("give all daemons their operator accounts", () => {
    expect(computeAddress(toHex(operatorKey(secret, "nbm")))).to.equal(vectors.nbmOperator);
    expect(computeAddress(toHex(operatorKey(secret, "csp")))).to.equal(vectors.cspOperator);
    expect(computeAddress(toHex(operatorKey(secret, "verifier")))).to.equal(vectors.verifierOperator);
  });

  it("give a node its wallet, its HPKE key and the key of its database", () => {
    const { wallet, hpkePublicKey, box } = deriveNodeKeys(secret);
    expect(wallet.address).to.equal(vectors.nbmOperator);
    expect(toHex(hpkePublicKey)).to.equal(vectors.nbmHpkePublicKey);
    const { place, plaintext, sealed } = vectors.state;
    expect(toHex(box.open(place, fromHex(sealed)))).to.equal(plaintext);
  });
});
