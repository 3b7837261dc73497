/** Identities: the account is the one every wallet derives, and the rest is held to vectors. */

import { expect } from "chai";
import { HDNodeWallet } from "ethers";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  type Identity,
  identityFromEntropy,
  identityFromPhrase,
  newRecoveryPhrase,
  phraseOfEntropy,
} from "../../../offchain/core/identity/identity.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import vectors from "../../vectors/identity.json" with { type: "json" };

const asText = (identity: Identity) => ({
  entropy: toHex(identity.phraseEntropy),
  account: identity.account,
  signingKey: toHex(identity.signingKey),
  hpkePrivateKey: toHex(identity.hpkePrivateKey),
  hpkePublicKey: toHex(identity.hpkePublicKey),
  auditSeed: toHex(identity.auditSeed),
  catalogueKey: toHex(identity.catalogueKey),
  snapshotKey: toHex(identity.snapshotKey),
});

describe("core/identity", () => {
  it("matches the vectors, among them the well-known account of Hardhat and anvil", () => {
    expect(vectors.identities.map(({ account }) => account)).to.include("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    for (const { phrase, ...expected } of vectors.identities) {
      expect(asText(identityFromPhrase(phrase))).to.deep.equal(expected);
    }
  });

  it("derives the account that ethers derives, for fresh phrases", () => {
    for (let count = 0; count < 16; count += 1) {
      const phrase = newRecoveryPhrase();
      const identity = identityFromPhrase(phrase);
      const wallet = HDNodeWallet.fromPhrase(phrase);
      expect(identity.account).to.equal(wallet.address);
      expect(toHex(identity.signingKey)).to.equal(wallet.privateKey);
    }
  });

  it("makes phrases of 24 words, never the same", () => {
    const [a, b] = [newRecoveryPhrase(), newRecoveryPhrase()];
    expect(a.split(" ")).to.have.length(24);
    expect(a).to.not.equal(b);
  });

  it("comes back from the entropy that a keystore holds", () => {
    const phrase = newRecoveryPhrase();
    const identity = identityFromPhrase(phrase);
    expect(asText(identityFromEntropy(identity.phraseEntropy))).to.deep.equal(asText(identity));
    expect(phraseOfEntropy(identity.phraseEntropy)).to.equal(phrase);
  });

  it("ignores case and white space", () => {
    const phrase = vectors.identities[0]?.phrase ?? "";
    const untidy = `  ${phrase.toUpperCase().replaceAll(" ", " \n\t ")} `;
    expect(asText(identityFromPhrase(untidy))).to.deep.equal(asText(identityFromPhrase(phrase)));
  });

  it("has six different secrets", () => {
    const { signingKey, hpkePrivateKey, auditSeed, catalogueKey, snapshotKey, phraseEntropy } = identityFromPhrase(
      newRecoveryPhrase(),
    );
    const all = [signingKey, hpkePrivateKey, auditSeed, catalogueKey, snapshotKey, phraseEntropy].map(toHex);
    expect(new Set(all).size).to.equal(6);
  });

  it("refuses wrong word counts, unknown words and wrong checksums, without repeating the words", () => {
    const words = newRecoveryPhrase().split(" ");
    const count = expectRejection(
      () => identityFromPhrase(words.slice(1).join(" ")),
      "INVALID_INPUT",
      /number of words/,
    );
    expect(count.received).to.equal("23 words");
    expectRejection(() => identityFromPhrase(""), "INVALID_INPUT", /number of words/);
    const typo = expectRejection(
      () => identityFromPhrase(words.with(6, "zebrra").join(" ")),
      "INVALID_INPUT",
      /word 7/,
    );
    expect(JSON.stringify(typo.toJSON())).to.not.contain("zebrra");
    const swapped = Array.from({ length: 24 }, () => "abandon").join(" ");
    const checksum = expectRejection(() => identityFromPhrase(swapped), "INVALID_INPUT", /checksum/);
    expect(JSON.stringify(checksum.toJSON())).to.not.contain("abandon");
    expectRejection(() => identityFromEntropy(new Uint8Array(31)), "INVALID_INPUT", /entropy/);
  });

  it("is gone after wiping", () => {
    const identity = identityFromPhrase(newRecoveryPhrase());
    identity.wipe();
    for (const secret of [
      identity.phraseEntropy,
      identity.signingKey,
      identity.hpkePrivateKey,
      identity.auditSeed,
      identity.catalogueKey,
      identity.snapshotKey,
    ]) {
      expect(secret.every((value) => value === 0)).to.equal(true);
    }
  });
});
