/** The identity as a sealed secret: its bytes, who can check it, and what a wrong one comes to. */

import { wordlist } from "@scure/bip39/wordlists/english.js";
import { expect } from "chai";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { type Identity, identityFromEntropy, identityFromPhrase } from "../../../offchain/core/identity/identity.ts";
import {
  holdsIdentity,
  IDENTITY_RECORD_ID,
  type IdentityPlace,
  identityLabel,
  identityOfSecret,
  recoveryWords,
  sealIdentity,
} from "../../../offchain/core/identity/identity-secret.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import { decryptionShare, openSecret } from "../../../offchain/core/sealed-secrets/decryption-share.ts";
import { encodeLabel } from "../../../offchain/core/sealed-secrets/label.ts";
import { checkSealed, sealSecret } from "../../../offchain/core/sealed-secrets/sealed-secret.ts";
import { type Committee, completeRun, recordKeys, sharesOf } from "../../helpers/committee-run.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import vectors from "../../vectors/sealed-secrets.json" with { type: "json" };

const SOMEBODY = "test test test test test test test test test test test junk";

describe("core/identity-secret", () => {
  let committee: Committee;
  let groupKey: Uint8Array;
  let identity: Identity;
  let place: IdentityPlace;

  before(async () => {
    await oprfReady();
    committee = completeRun({ size: 3, threshold: 2 });
    groupKey = recordKeys(committee).groupPublicKey;
    identity = identityFromEntropy(new Uint8Array(32).fill(7));
    place = {
      ledger: { chainId: 31_337n, keyLedger: "0x00000000000000000000000000000000000000aa" },
      recoveryPolicy: "0x00000000000000000000000000000000000000bb",
      account: identity.account,
      version: 1,
      planHash: new Uint8Array(32).fill(9),
    };
  });

  it("has the bytes of the specification", () => {
    const { identity: vector, groupPublicKey } = vectors;
    const owner = identityFromEntropy(fromHex(vector.entropy));
    const at: IdentityPlace = {
      ledger: { chainId: BigInt(vector.chainId), keyLedger: vector.keyLedger },
      recoveryPolicy: vector.recoveryPolicy,
      account: vector.account,
      version: vector.version,
      planHash: fromHex(vector.planHash),
    };
    expect(toHex(IDENTITY_RECORD_ID)).to.equal(vector.recordId);
    expect(toHex(encodeLabel(identityLabel(at)))).to.equal(vector.label);
    const sealed = fromHex(vector.sealed);
    const secret = checkSealed(fromHex(groupPublicKey), identityLabel(at), sealed);
    expect(holdsIdentity(secret, owner)).to.equal(true);
    // All but the proof, which is random.
    const own = sealIdentity(fromHex(groupPublicKey), at, owner);
    expect(toHex(own.subarray(0, -64))).to.equal(toHex(sealed.subarray(0, -64)));
    expect(identityOfSecret(fromHex(vector.payload), vector.account).account).to.equal(vector.account);
    const words = vector.wordIndices.map((index) => wordlist[index]).join(" ");
    expect(recoveryWords(vector.account, vector.requester, fromHex(vector.sessionKey))).to.equal(words);
  });

  for (const bytes of [16, 20, 24, 28, 32]) {
    it(`comes back from k shares with an entropy of ${bytes} bytes`, () => {
      const owner = identityFromEntropy(new Uint8Array(bytes).fill(bytes));
      const at = { ...place, account: owner.account };
      const secret = checkSealed(groupKey, identityLabel(at), sealIdentity(groupKey, at, owner));
      const keys = recordKeys(committee);
      const shares = new Map(
        [1, 3].map(
          (index) => [index, decryptionShare(secret, keys, index, sharesOf(committee, index).record)] as const,
        ),
      );
      const opened = identityOfSecret(openSecret(secret, keys, shares).payload, owner.account);
      expect(toHex(opened.phraseEntropy)).to.equal(toHex(owner.phraseEntropy));
    });
  }

  it("is checked by its owner alone, and by nobody else", () => {
    const secret = checkSealed(groupKey, identityLabel(place), sealIdentity(groupKey, place, identity));
    expect(holdsIdentity(secret, identity)).to.equal(true);
    expect(holdsIdentity(secret, identityFromPhrase(SOMEBODY))).to.equal(false);
    // Bytes that anybody can seal under the label of the account.
    const label = identityLabel(place);
    const other = checkSealed(
      groupKey,
      label,
      sealSecret(groupKey, label, Uint8Array.of(1, ...identity.phraseEntropy)),
    );
    expect(holdsIdentity(other, identity)).to.equal(false);
  });

  it("opens under its own version, plan, account and policy only", () => {
    const sealed = sealIdentity(groupKey, place, identity);
    const others: Partial<IdentityPlace>[] = [
      { version: 2 },
      { planHash: new Uint8Array(32).fill(8) },
      { account: identityFromPhrase(SOMEBODY).account },
      { recoveryPolicy: place.ledger.keyLedger },
      { ledger: { ...place.ledger, chainId: 1n } },
    ];
    for (const other of others) {
      expectRejection(() => checkSealed(groupKey, identityLabel({ ...place, ...other }), sealed), "INVALID_PROOF");
    }
  });

  it("names the author when what was sealed is not the identity of the account", () => {
    const { account } = identity;
    const stranger = identityFromPhrase(SOMEBODY);
    const payloads: [Uint8Array, string][] = [
      [Uint8Array.of(1, ...stranger.phraseEntropy), "INTEGRITY"],
      [Uint8Array.of(1), "INTEGRITY"],
      [Uint8Array.of(1, ...new Uint8Array(17)), "INTEGRITY"],
      [new Uint8Array(), "INTEGRITY"],
      [Uint8Array.of(2, ...identity.phraseEntropy), "UNKNOWN_VERSION"],
    ];
    for (const [payload, code] of payloads) {
      const error = expectRejection(() => identityOfSecret(payload, account), code as "INTEGRITY");
      if (code === "INTEGRITY") expect(error.party).to.equal(`author ${account}`);
    }
  });

  it("has other words for another account, requester or session key", () => {
    const [a, b] = [identity.account, identityFromPhrase(SOMEBODY).account];
    const key = new Uint8Array(32).fill(1);
    const words = [recoveryWords(a, b, key), recoveryWords(b, a, key), recoveryWords(a, a, key)];
    words.push(recoveryWords(a, b, new Uint8Array(32).fill(2)));
    expect(new Set(words).size).to.equal(4);
    for (const text of words) expect(text.split(" ")).to.have.length(6);
  });
});
