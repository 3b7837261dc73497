/** HPKE: the vectors of RFC 9180, and what opens for whom. */

import { DhkemX25519HkdfSha256 } from "@hpke/core";
import { expect } from "chai";
import fc from "fast-check";
import { HPKE_OVERHEAD_BYTES, hpkeKeyPairFromSeed, hpkeOpen, hpkeSeal } from "../../../offchain/core/crypto/hpke.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { expectAsyncRejection, expectRejection } from "../../helpers/rejection.ts";
import rfc9180 from "../../vectors/rfc9180-x25519-chacha20poly1305.json" with { type: "json" };

const utf8 = new TextEncoder();

describe("core/hpke", () => {
  const info = utf8.encode("info");
  const aad = utf8.encode("aad");
  const alice = hpkeKeyPairFromSeed(new Uint8Array(32).fill(1));
  const bob = hpkeKeyPairFromSeed(new Uint8Array(32).fill(2));

  describe("RFC 9180 vector", () => {
    it("gives the recipient's and the ephemeral key pair", () => {
      const recipient = hpkeKeyPairFromSeed(fromHex(rfc9180.ikmR));
      expect(toHex(recipient.privateKey)).to.equal(rfc9180.skRm);
      expect(toHex(recipient.publicKey)).to.equal(rfc9180.pkRm);
      expect(toHex(hpkeKeyPairFromSeed(fromHex(rfc9180.ikmE)).publicKey)).to.equal(rfc9180.pkEm);
    });

    it("opens", async () => {
      const sealed = Uint8Array.of(...fromHex(rfc9180.pkEm), ...fromHex(rfc9180.ciphertext));
      const opened = await hpkeOpen(fromHex(rfc9180.skRm), fromHex(rfc9180.info), fromHex(rfc9180.aad), sealed);
      expect(toHex(opened)).to.equal(rfc9180.plaintext);
    });
  });

  it("derives key pairs as @hpke/core does", async () => {
    const kem = new DhkemX25519HkdfSha256();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 32, maxLength: 64 }), async (seed) => {
        const theirs = await kem.deriveKeyPair(seed.slice());
        const ours = hpkeKeyPairFromSeed(seed);
        const publicKey = await kem.serializePublicKey(theirs.publicKey);
        expect(ours.publicKey).to.deep.equal(new Uint8Array(publicKey));
      }),
      { numRuns: 10 },
    );
  });

  it("opens what it sealed, whatever the plaintext", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (plaintext) => {
        const sealed = await hpkeSeal(alice.publicKey, info, aad, plaintext);
        expect(sealed.length).to.equal(plaintext.length + HPKE_OVERHEAD_BYTES);
        expect(await hpkeOpen(alice.privateKey, info, aad, sealed)).to.deep.equal(plaintext);
      }),
      { numRuns: 20 },
    );
  });

  it("seals with a fresh ephemeral key each time", async () => {
    const [a, b] = [await hpkeSeal(alice.publicKey, info, aad, info), await hpkeSeal(alice.publicKey, info, aad, info)];
    expect(toHex(a.subarray(0, 32))).to.not.equal(toHex(b.subarray(0, 32)));
  });

  it("opens for no other key, info or associated data", async () => {
    const sealed = await hpkeSeal(alice.publicKey, info, aad, info);
    const refused = (call: () => Promise<unknown>) => expectAsyncRejection(call, "INTEGRITY", /does not open/);
    await refused(() => hpkeOpen(bob.privateKey, info, aad, sealed));
    await refused(() => hpkeOpen(alice.privateKey, aad, aad, sealed));
    await refused(() => hpkeOpen(alice.privateKey, info, info, sealed));
    await refused(() => hpkeOpen(alice.privateKey, info, new Uint8Array(0), sealed));
  });

  it("refuses a message with any bit flipped", async () => {
    const sealed = await hpkeSeal(alice.publicKey, info, aad, info);
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length * 8 - 1), async (bit) => {
        const flipped = sealed.with(bit >> 3, (sealed[bit >> 3] ?? 0) ^ (1 << (bit & 7)));
        await expectAsyncRejection(() => hpkeOpen(alice.privateKey, info, aad, flipped), "INTEGRITY");
      }),
      { numRuns: 40 },
    );
  });

  it("refuses truncated, oversize and empty messages", async () => {
    const sealed = await hpkeSeal(alice.publicKey, info, aad, info);
    for (const length of [0, 31, 47]) {
      const short = sealed.subarray(0, length);
      await expectAsyncRejection(() => hpkeOpen(alice.privateKey, info, aad, short), "INTEGRITY", /too short/);
    }
    for (const wrong of [sealed.subarray(0, -1), Uint8Array.of(...sealed, 0), sealed.subarray(0, 48)]) {
      await expectAsyncRejection(() => hpkeOpen(alice.privateKey, info, aad, wrong), "INTEGRITY", /does not open/);
    }
  });

  it("refuses low-order points, as public key and in a message", async () => {
    // The points of order 1, 2, 4 and 8 of RFC 7748's curve, in their canonical encodings.
    for (const point of [
      "0x0000000000000000000000000000000000000000000000000000000000000000",
      "0x0100000000000000000000000000000000000000000000000000000000000000",
      "0xe0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "0x5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "0xecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]) {
      await expectAsyncRejection(() => hpkeSeal(fromHex(point), info, aad, info), "INVALID_POINT");
      const message = Uint8Array.of(...fromHex(point), ...new Uint8Array(32));
      await expectAsyncRejection(() => hpkeOpen(alice.privateKey, info, aad, message), "INTEGRITY");
    }
  });

  it("refuses keys and seeds of wrong length", async () => {
    await expectAsyncRejection(() => hpkeSeal(new Uint8Array(31), info, aad, info), "INVALID_POINT", /31 bytes/);
    const sealed = new Uint8Array(64);
    await expectAsyncRejection(() => hpkeOpen(new Uint8Array(33), info, aad, sealed), "INVALID_INPUT", /33 bytes/);
    expectRejection(() => hpkeKeyPairFromSeed(new Uint8Array(31)), "INVALID_INPUT", /31 bytes/);
  });
});
