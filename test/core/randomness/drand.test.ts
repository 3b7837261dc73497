import { bls12_381 } from "@noble/curves/bls12-381.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import {
  checkDrandSignature,
  drandEvidence,
  drandKeyForChain,
  drandKeyFromChain,
  drandRoundAt,
  drandRoundTime,
} from "../../../offchain/core/randomness/drand.ts";
import { QUICKNET, QUICKNET_ROUND, QUICKNET_SIGNATURE, testNetwork } from "../../helpers/drand.ts";
import { expectRejection } from "../../helpers/rejection.ts";

describe("drand: rounds and signatures", () => {
  it("takes a published signature of quicknet, for its round only", () => {
    expect(checkDrandSignature(QUICKNET, QUICKNET_ROUND, QUICKNET_SIGNATURE, "relay")).to.have.length(128);
    const error = expectRejection(
      () => checkDrandSignature(QUICKNET, QUICKNET_ROUND + 1n, QUICKNET_SIGNATURE, "relay"),
      "INVALID_SIGNATURE",
      /not the network's over round 1001/,
    );
    expect(error.party).to.equal("relay");
  });

  it("knows quicknet by the hash of its parameters", () => {
    const groupHash = hexToBytes("f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e");
    const times = new Uint8Array(12);
    new DataView(times.buffer).setUint32(0, Number(QUICKNET.periodSeconds));
    new DataView(times.buffer).setBigInt64(4, QUICKNET.genesisTime);
    const hashed = sha256(concatBytes(times, QUICKNET.publicKey, groupHash, utf8ToBytes("quicknet")));
    expect(bytesToHex(hashed)).to.equal(QUICKNET.chainHash);
  });

  it("refuses signatures that are no point of G1, or the identity", () => {
    const network = testNetwork("one");
    const signature = network.sign(7n);
    const compressed = (flags: number, x: number): Uint8Array => {
      const bytes = new Uint8Array(48);
      bytes[0] = flags;
      bytes[47] = x;
      return bytes;
    };
    const malformed: Record<string, Uint8Array> = {
      "off the curve": compressed(0x80, 1),
      "on the curve, not in the subgroup": compressed(0x80, 4),
      "the identity": compressed(0xc0, 0),
      "the identity with something behind it": compressed(0xc0, 1),
      "a coordinate above p": new Uint8Array(48).fill(0xff).fill(0x9f, 0, 1),
      "without the flag of compression": compressed(0x00, 4),
      "too short": signature.slice(1),
      "too long": Uint8Array.from([...signature, 0]),
      empty: new Uint8Array(0),
    };
    for (const [name, bytes] of Object.entries(malformed)) {
      const error = expectRejection(() => checkDrandSignature(network, 7n, bytes, "relay"), "INVALID_POINT");
      expect(error.check, name).to.equal("signature encoding");
    }
    expect(checkDrandSignature(network, 7n, signature, "relay")).to.have.length(128);
  });

  it("refuses the signature of another network", () => {
    const signature = testNetwork("other").sign(7n);
    expectRejection(() => checkDrandSignature(testNetwork("one"), 7n, signature, "relay"), "INVALID_SIGNATURE");
  });

  it("writes points in the form of the chain, and reads keys back", () => {
    const { publicKey, sign } = testNetwork("one");
    const key = bls12_381.G2.Point.fromBytes(publicKey).toAffine();
    const words = bytesToHex(drandKeyForChain(publicKey)).match(/.{128}/g) ?? [];
    expect(words.map((word) => BigInt(`0x${word}`))).to.deep.equal([key.x.c0, key.x.c1, key.y.c0, key.y.c1]);
    expect(drandKeyFromChain(drandKeyForChain(publicKey))).to.deep.equal(publicKey);
    const point = bls12_381.G1.Point.fromBytes(sign(9n)).toAffine();
    const form = bytesToHex(checkDrandSignature(testNetwork("one"), 9n, sign(9n), "relay")).match(/.{128}/g) ?? [];
    expect(form.map((word) => BigInt(`0x${word}`))).to.deep.equal([point.x, point.y]);
    expectRejection(() => drandKeyFromChain(new Uint8Array(256)), "INVALID_POINT");
    expectRejection(() => drandKeyFromChain(new Uint8Array(255)), "INVALID_POINT");
    expectRejection(() => drandKeyForChain(new Uint8Array(96)), "INVALID_POINT");
  });

  it("puts round, signature and header one after another", () => {
    const evidence = drandEvidence(258n, new Uint8Array(128).fill(7), Uint8Array.of(1, 2, 3));
    expect(bytesToHex(evidence)).to.equal(`0000000000000102${"07".repeat(128)}010203`);
    expectRejection(() => drandEvidence(1n, new Uint8Array(48), new Uint8Array(0)), "INVALID_INPUT");
  });

  it("gives a block the first round that is published at least the margin after it", () => {
    expect(drandRoundAt(QUICKNET, QUICKNET.genesisTime - 30n)).to.equal(1n);
    expect(drandRoundAt(QUICKNET, QUICKNET.genesisTime - 29n)).to.equal(2n);
    expect(drandRoundAt(QUICKNET, 0n)).to.equal(1n);
    fc.assert(
      fc.property(
        fc.bigInt(0n, 1n << 34n),
        fc.bigInt(0n, 1n << 34n),
        fc.bigInt(1n, 100n),
        fc.bigInt(0n, 1000n),
        (timestamp, genesisTime, periodSeconds, marginSeconds) => {
          const network = { ...QUICKNET, genesisTime, periodSeconds, marginSeconds };
          const round = drandRoundAt(network, timestamp);
          expect(drandRoundTime(network, round) >= timestamp + marginSeconds).to.equal(true);
          if (round > 1n) expect(drandRoundTime(network, round - 1n) < timestamp + marginSeconds).to.equal(true);
        },
      ),
    );
  });
});
