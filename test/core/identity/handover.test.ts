import { expect } from "chai";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { IntegrityError, UnknownVersionError } from "../../../offchain/core/errors.ts";
import { type HandoverScope, openHandover, sealHandover } from "../../../offchain/core/identity/handover.ts";
import {
  identityFromEntropy,
  identityFromPhrase,
  newRecoveryPhrase,
} from "../../../offchain/core/identity/identity.ts";
import vectors from "../../vectors/handover.json" with { type: "json" };

const { chainId, directory, account, successor } = vectors;
const scope: HandoverScope = { chainId: BigInt(chainId), directory, account, successor };
const catalogueKey = fromHex(vectors.catalogueKey);
const handover = fromHex(vectors.handover);

describe("core/identity/handover", () => {
  it("is sealed and opened as the vector says", () => {
    expect(toHex(sealHandover(scope, catalogueKey, fromHex(vectors.entropy)))).to.equal(vectors.handover);
    const opened = openHandover(scope, catalogueKey, handover);
    expect(opened.account).to.equal(account);
    expect(toHex(opened.phraseEntropy)).to.equal(vectors.entropy);
  });

  it("opens for phrases of every length", () => {
    for (const bytes of [16, 20, 24, 28, 32]) {
      const old = identityFromEntropy(new Uint8Array(bytes).fill(bytes));
      const next = identityFromPhrase(newRecoveryPhrase());
      const between = { ...scope, account: old.account, successor: next.account };
      const sealed = sealHandover(between, next.catalogueKey, old.phraseEntropy);
      expect(openHandover(between, next.catalogueKey, sealed).account).to.equal(old.account);
    }
  });

  it("opens under no other key, chain, directory or account", () => {
    const others: [HandoverScope, Uint8Array][] = [
      [scope, new Uint8Array(32)],
      [{ ...scope, chainId: 1n }, catalogueKey],
      [{ ...scope, directory: account }, catalogueKey],
      [{ ...scope, account: successor }, catalogueKey],
      [{ ...scope, successor: account }, catalogueKey],
    ];
    for (const [other, key] of others) {
      expect(() => openHandover(other, key, handover))
        .to.throw(IntegrityError)
        .with.property("check", "handover");
    }
  });

  it("refuses damaged, cut and foreign bytes", () => {
    for (let place = 1; place < handover.length; place += 1) {
      const damaged = handover.slice();
      damaged[place] = (damaged[place] ?? 0) ^ 1;
      expect(() => openHandover(scope, catalogueKey, damaged)).to.throw(IntegrityError);
    }
    for (const length of [0, 1, 17, 33, handover.length - 1]) {
      expect(() => openHandover(scope, catalogueKey, handover.subarray(0, length))).to.throw(IntegrityError);
    }
    expect(() => openHandover(scope, catalogueKey, Uint8Array.of(2, ...handover.subarray(1)))).to.throw(
      UnknownVersionError,
    );
  });

  /** Whoever has a stolen key names a successor that never was the user's, with bytes of its own making. */
  it("names the account whose phrase it should hold", () => {
    const other = identityFromPhrase(newRecoveryPhrase());
    const sealed = sealHandover(scope, catalogueKey, other.phraseEntropy);
    expect(() => openHandover(scope, catalogueKey, sealed))
      .to.throw(IntegrityError)
      .that.includes({ party: `account ${account}`, received: `the phrase of ${other.account}` });
  });
});
