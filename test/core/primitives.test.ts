import { gcmsiv } from "@noble/ciphers/aes.js";
import { bytesToHex as hex } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import type { Primitives } from "../../offchain/kernels/primitives.ts";
import * as node from "../../offchain/kernels/primitives-node.ts";
import * as web from "../../offchain/kernels/primitives-web.ts";
import { loadVectors, unhex } from "../helpers/vectors.ts";

interface AeadVector {
  key: string;
  nonce: string;
  aad: string;
  plaintext: string;
  sealed: string;
}
interface Vectors {
  sha256: { vectors: { data: string; digest: string }[] };
  hmacSha256: { vectors: { key: string; data: string; mac: string }[] };
  hkdfSha256: { vectors: { ikm: string; salt: string; info: string; length: number; okm: string }[] };
  pbkdf2Sha512: { vectors: { password: string; salt: string; iterations: number; key: string }[] };
  scrypt: { vectors: { passphrase: string; salt: string; n: number; r: number; p: number; key: string }[] };
  aes256Ctr: { vectors: { key: string; counter: string; plaintext: string; ciphertext: string }[] };
  aes256Gcm: { vectors: AeadVector[] };
  aes256GcmSiv: { vectors: AeadVector[] };
}

const vectors = loadVectors<Vectors>("primitives.json");
const implementations: Record<string, Primitives> = { node, web };
const bytes = (minLength: number, maxLength = minLength) => fc.uint8Array({ minLength, maxLength });

for (const [name, primitives] of Object.entries(implementations)) {
  describe(`primitives (${name})`, () => {
    it("computes the SHA-256 of FIPS 180-4, at once and in pieces", () => {
      for (const { data, digest } of vectors.sha256.vectors) {
        expect(hex(primitives.sha256(unhex(data)))).to.equal(digest);
        const state = primitives.createSha256();
        for (const byte of unhex(data)) state.update(Uint8Array.of(byte));
        expect(hex(state.digest())).to.equal(digest);
      }
    });

    it("raises to a power modulo an odd number, as BigInt does, and as long as the modulus", () => {
      // 2^521 − 1, and the same number of bits without being prime.
      for (const modulus of [2n ** 521n - 1n, 2n ** 521n - 3n]) {
        const encoded = (value: bigint, length = 66) => unhex(value.toString(16).padStart(2 * length, "0"));
        const exponent = 2n ** 519n + 12_345n;
        const power = primitives.modularPower(encoded(exponent), encoded(modulus));
        for (const base of [2n, 3n, modulus - 2n]) {
          let expected = 1n;
          for (let bit = 520n; bit >= 0n; bit--) {
            expected = (expected * expected * ((exponent >> bit) & 1n ? base : 1n)) % modulus;
          }
          expect(hex(power(encoded(base)))).to.equal(hex(encoded(expected)));
        }
        const small = primitives.modularPower(Uint8Array.of(1), encoded(modulus));
        expect(hex(small(Uint8Array.of(7)))).to.equal(hex(encoded(7n)));
      }
    });

    it("computes the HMACs of RFC 4231", () => {
      for (const { key, data, mac } of vectors.hmacSha256.vectors) {
        expect(hex(primitives.hmacSha256(unhex(key), unhex(data)))).to.equal(mac);
      }
    });

    it("computes the HKDF outputs of RFC 5869", () => {
      for (const { ikm, salt, info, length, okm } of vectors.hkdfSha256.vectors) {
        expect(hex(primitives.hkdfSha256(unhex(ikm), unhex(salt), unhex(info), length))).to.equal(okm);
      }
    });

    it("stretches a password with PBKDF2 as the published cases say, and as the other implementation does", () => {
      for (const { password, salt, iterations, key } of vectors.pbkdf2Sha512.vectors) {
        const stretched = primitives.pbkdf2Sha512(unhex(password), unhex(salt), iterations, key.length / 2);
        expect(hex(stretched)).to.equal(key);
      }
      for (const [iterations, length] of [
        [1, 1],
        [3, 65],
        [7, 200],
      ] as const) {
        const [first, second] = [node, web].map((one) => one.pbkdf2Sha512(unhex("0a"), unhex(""), iterations, length));
        expect(hex(first ?? unhex(""))).to.equal(hex(second ?? unhex("00")));
      }
    });

    it("derives the scrypt keys of RFC 7914, and those of the other implementation for other costs", async () => {
      for (const { passphrase, salt, key, ...cost } of vectors.scrypt.vectors) {
        expect(hex(await primitives.scrypt(unhex(passphrase), unhex(salt), cost, 64))).to.equal(key);
      }
      for (const [n, r, p, length] of [
        [2, 1, 1, 1],
        [4, 3, 5, 33],
        [2, 8, 16, 100],
      ] as const) {
        const keys = [node, web].map((one) => one.scrypt(unhex("0a"), unhex("0b0c"), { n, r, p }, length));
        const [first, second] = (await Promise.all(keys)).map(hex);
        expect(first).to.equal(second);
      }
    });

    it("seals and opens the AES-256-GCM cases of NIST", () => {
      for (const { key, nonce, aad, plaintext, sealed } of vectors.aes256Gcm.vectors) {
        const parameters = [unhex(key), unhex(nonce), unhex(aad)] as const;
        expect(hex(primitives.aes256GcmSeal(...parameters, unhex(plaintext)))).to.equal(sealed);
        const memory = new Uint8Array(sealed.length / 2);
        memory.set(unhex(plaintext));
        primitives.aes256GcmSealInPlace(...parameters, memory, plaintext.length / 2);
        expect(hex(memory)).to.equal(sealed);
        const tight = memory.subarray(1);
        expect(() => primitives.aes256GcmSealInPlace(...parameters, tight, plaintext.length / 2)).to.throw(RangeError);
        expect(hex(primitives.aes256GcmOpen(...parameters, unhex(sealed)) ?? Uint8Array.of())).to.equal(plaintext);
        expect(primitives.aes256GcmOpenInPlace(...parameters, memory)).to.equal(true);
        expect(hex(memory.subarray(0, plaintext.length / 2))).to.equal(plaintext);
      }
    });

    it("enciphers and deciphers the AES-256-CTR case of NIST, and beyond the bytes that are taken at a time", () => {
      for (const { key, counter, plaintext, ciphertext } of vectors.aes256Ctr.vectors) {
        const memory = unhex(plaintext);
        primitives.aes256CtrInPlace(unhex(key), unhex(counter), memory);
        expect(hex(memory)).to.equal(ciphertext);
        primitives.aes256CtrInPlace(unhex(key), unhex(counter), memory);
        expect(hex(memory)).to.equal(plaintext);
      }
      // A counter that overflows its last 32 bits, over a length that is no number of blocks.
      const counter = unhex(`${"00".repeat(12)}fffffffe`);
      const [first, second] = [node, web].map((one) => {
        const memory = new Uint8Array(200_003);
        one.aes256CtrInPlace(new Uint8Array(32).fill(3), counter, memory);
        return hex(memory);
      });
      expect(first === second).to.equal(true);
      const none = new Uint8Array(0);
      expect(() => primitives.aes256CtrInPlace(new Uint8Array(16), counter, none)).to.throw(RangeError, "AES-256 key");
      expect(() => primitives.aes256CtrInPlace(new Uint8Array(32), none, none)).to.throw(RangeError, "counter block");
    });

    it("opens nothing that has one bit flipped anywhere, or is cut short", () => {
      const key = new Uint8Array(32).fill(1);
      const nonce = new Uint8Array(12);
      const aad = Uint8Array.of(7);
      const sealed = primitives.aes256GcmSeal(key, nonce, aad, unhex("00112233"));
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        const damaged = sealed.slice();
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(primitives.aes256GcmOpen(key, nonce, aad, damaged), `bit ${bit}`).to.equal(undefined);
        expect(primitives.aes256GcmOpenInPlace(key, nonce, aad, damaged), `bit ${bit}`).to.equal(false);
        expect(hex(damaged.subarray(0, 4))).to.not.equal("00112233");
      }
      for (let length = 0; length < sealed.length; length++) {
        const short = sealed.slice(0, length);
        expect(primitives.aes256GcmOpen(key, nonce, aad, short), `${length}`).to.equal(undefined);
        expect(primitives.aes256GcmOpenInPlace(key, nonce, aad, short), `${length}`).to.equal(false);
      }
      expect(primitives.aes256GcmOpen(key, nonce, Uint8Array.of(8), sealed)).to.equal(undefined);
    });

    it("refuses keys, nonces, lengths and counts out of range", () => {
      const none = new Uint8Array(0);
      for (const keyBytes of [0, 16, 24, 31, 33]) {
        const call = () => primitives.aes256GcmSeal(new Uint8Array(keyBytes), new Uint8Array(12), none, none);
        expect(call, `${keyBytes}`).to.throw(RangeError, "AES-256 key must be 32 bytes");
      }
      for (const nonceBytes of [0, 11, 13, 16]) {
        const call = () => primitives.aes256GcmOpen(new Uint8Array(32), new Uint8Array(nonceBytes), none, none);
        expect(call, `${nonceBytes}`).to.throw(RangeError, "nonce must be 12 bytes");
      }
      for (const length of [0, -1, 1.5, 8161, Number.NaN]) {
        expect(() => primitives.hkdfSha256(none, none, none, length), `${length}`).to.throw(RangeError, "1 to 8160");
      }
      expect(() => primitives.hkdfSha256(none, none, new Uint8Array(1025), 32)).to.throw(RangeError, "at most 1024");
      for (const count of [-1, 0.5, Number.NaN]) expect(() => primitives.randomBytes(count)).to.throw(RangeError);
    });

    it("gives as many random bytes as asked for, beyond the quota of one system call, and not the same twice", () => {
      for (const count of [0, 1, 65_536, 200_001]) expect(primitives.randomBytes(count).length).to.equal(count);
      // The last bytes come from the last of several system calls; 16 zero bytes there would be a call not made.
      expect(primitives.randomBytes(200_001).subarray(-16)).to.not.deep.equal(new Uint8Array(16));
      expect(primitives.randomBytes(32)).to.not.deep.equal(primitives.randomBytes(32));
    });

    it("compares bytes, and finds different lengths unequal", () => {
      fc.assert(
        fc.property(bytes(0, 40), bytes(0, 40), (a, b) => {
          expect(primitives.equalBytes(a, a.slice())).to.equal(true);
          expect(primitives.equalBytes(a, b)).to.equal(hex(a) === hex(b));
        }),
      );
    });

    it("returns plain byte arrays that nothing else shares", () => {
      const key = new Uint8Array(32);
      const nonce = new Uint8Array(12);
      const input = Uint8Array.of(1, 2, 3);
      const sealed = primitives.aes256GcmSeal(key, nonce, input, input);
      const opened = primitives.aes256GcmOpen(key, nonce, input, sealed) as Uint8Array;
      const results = [primitives.sha256(input), primitives.hmacSha256(key, input), sealed, opened];
      for (const result of [...results, primitives.hkdfSha256(key, input, input, 9), primitives.randomBytes(5)]) {
        expect(Object.getPrototypeOf(result)).to.equal(Uint8Array.prototype);
        expect(result.buffer.byteLength, "memory of its own").to.equal(result.length);
      }
    });
  });
}

describe("primitives on both platforms", () => {
  it("give the same public keys of secp256k1, and none for what is no private key", () => {
    const order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    // Of 1, the base point (SEC 2, section 2.4.1).
    expect(hex(node.secp256k1PublicKey(unhex("01".padStart(64, "0")), true) ?? new Uint8Array())).to.equal(
      "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    );
    const keys = [
      1n,
      2n,
      3n,
      BigInt(`0x${order}`) - 1n,
      ...Array.from({ length: 16 }, () => BigInt(`0x${hex(node.randomBytes(32))}`)),
    ];
    for (const key of keys) {
      const bytes = unhex((key % BigInt(`0x${order}`)).toString(16).padStart(64, "0"));
      for (const [isCompressed, length] of [
        [true, 33],
        [false, 65],
      ] as const) {
        const given = node.secp256k1PublicKey(bytes, isCompressed);
        expect(given?.length).to.equal(length);
        expect(given).to.deep.equal(web.secp256k1PublicKey(bytes, isCompressed));
      }
    }
    for (const text of ["00".repeat(32), order, "ff".repeat(32), "01".repeat(31), "01".repeat(33), ""]) {
      for (const { secp256k1PublicKey } of [node, web])
        expect(secp256k1PublicKey(unhex(text), true)).to.equal(undefined);
    }
  });

  it("export the same names", () => {
    expect(Object.keys(node).sort()).to.deep.equal(Object.keys(web).sort());
  });

  it("agree on every input", () => {
    fc.assert(
      fc.property(
        bytes(32),
        bytes(12),
        bytes(0, 50),
        bytes(0, 300),
        fc.integer({ min: 1, max: 200 }),
        (k, n, a, p, l) => {
          expect(node.sha256(p)).to.deep.equal(web.sha256(p));
          expect(node.hmacSha256(a, p)).to.deep.equal(web.hmacSha256(a, p));
          expect(node.hkdfSha256(k, n, a, l)).to.deep.equal(web.hkdfSha256(k, n, a, l));
          const sealed = node.aes256GcmSeal(k, n, a, p);
          expect(web.aes256GcmSeal(k, n, a, p)).to.deep.equal(sealed);
          expect(web.aes256GcmOpen(k, n, a, sealed)).to.deep.equal(p);
          expect(node.aes256GcmOpen(k, n, a, sealed)).to.deep.equal(p);
          sealed[0] = (sealed[0] ?? 0) ^ 1;
          expect(web.aes256GcmOpen(k, n, a, sealed)).to.equal(node.aes256GcmOpen(k, n, a, sealed));
        },
      ),
    );
  });

  it("take views into larger buffers at any offset", () => {
    const data = new Uint8Array(100).map((_, index) => index);
    for (let offset = 0; offset < 9; offset++) {
      const view = data.subarray(offset, offset + 50);
      expect(node.sha256(view)).to.deep.equal(web.sha256(view.slice()));
      const [key, nonce] = [view.subarray(0, 32), view.subarray(32, 44)];
      expect(web.aes256GcmSeal(key, nonce, view, view)).to.deep.equal(node.aes256GcmSeal(key, nonce, view, view));
    }
  });

  it("stand beside an AES-256-GCM-SIV that gives the results of RFC 8452", () => {
    for (const { key, nonce, aad, plaintext, sealed } of vectors.aes256GcmSiv.vectors) {
      const cipher = () => gcmsiv(unhex(key), unhex(nonce), unhex(aad));
      expect(hex(cipher().encrypt(unhex(plaintext)))).to.equal(sealed);
      expect(hex(cipher().decrypt(unhex(sealed)))).to.equal(plaintext);
    }
  });
});
