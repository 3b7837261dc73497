/** Keystores: what opens, what does not, and that a hostile document cannot exhaust the machine. */

import { expect } from "chai";
import fc from "fast-check";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  DEFAULT_SCRYPT_COST,
  type KeystoreJson,
  openKeystore,
  sealKeystore,
} from "../../../offchain/core/identity/keystore.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import vectors from "../../vectors/keystore.json" with { type: "json" };

const cheap = { n: 16, r: 1, p: 1 };

/** The one slot of a document. */
function slotOf({ slots: [slot] }: KeystoreJson) {
  if (slot?.opener !== "passphrase") throw new Error("no slot of a passphrase");
  return slot;
}
const secret = Uint8Array.from({ length: 32 }, (_, position) => position);

describe("core/keystore", () => {
  let keystore: KeystoreJson;
  /** The document with other fields in its one slot. */
  const withSlot = (change: object) => ({ ...keystore, slots: [{ ...slotOf(keystore), ...change }] });
  const withKdf = (change: object) => withSlot({ kdf: { ...slotOf(keystore).kdf, ...change } });
  const withCipher = (change: object) => withSlot({ cipher: { ...slotOf(keystore).cipher, ...change } });

  beforeEach(async () => {
    keystore = await sealKeystore(secret, "correct horse", "user", cheap);
  });

  it("opens with its passphrase, also after JSON encoding", async () => {
    const read: unknown = JSON.parse(JSON.stringify(keystore));
    expect(await openKeystore(read, "correct horse")).to.deep.equal(secret);
    expect(await openKeystore(read, "correct horse", "user")).to.deep.equal(secret);
  });

  it("opens documents of an independent implementation", async () => {
    for (const vector of vectors.keystores) {
      expect(toHex(await openKeystore(vector.keystore, vector.passphrase))).to.equal(vector.secret);
    }
  });

  it("holds any secret under any passphrase", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 100 }),
        fc.string({ minLength: 1, unit: "binary" }),
        async (anySecret, passphrase) => {
          const sealed = await sealKeystore(anySecret, passphrase, "csp", cheap);
          expect(await openKeystore(sealed, passphrase)).to.deep.equal(anySecret);
        },
      ),
      { numRuns: 8 },
    );
  });

  it("accepts a passphrase in any Unicode normalisation", async () => {
    const composed = await sealKeystore(secret, "caf\u00e9", "user", cheap);
    expect(await openKeystore(composed, "cafe\u0301")).to.deep.equal(secret);
  });

  it("draws a new salt and nonce each time", async () => {
    const again = await sealKeystore(secret, "correct horse", "user", cheap);
    expect(slotOf(again).kdf.salt).to.not.equal(slotOf(keystore).kdf.salt);
    expect(slotOf(again).cipher.nonce).to.not.equal(slotOf(keystore).cipher.nonce);
    expect(slotOf(again).sealed).to.not.equal(slotOf(keystore).sealed);
  });

  it("costs 128 MiB and 2^17 rounds unless told otherwise, and writes that down", async () => {
    expect(DEFAULT_SCRYPT_COST).to.deep.equal({ n: 131_072, r: 8, p: 1 });
    const { kdf } = slotOf(await sealKeystore(secret, "x", "nbm"));
    expect([kdf.name, kdf.n, kdf.r, kdf.p]).to.deep.equal(["scrypt", 131_072, 8, 1]);
  });

  it("does not show the secret", () => {
    expect(JSON.stringify(keystore)).to.not.contain(toHex(secret).slice(2, 18));
  });

  describe("does not open", () => {
    const wrong = (json: unknown, passphrase = "correct horse") =>
      expectAsyncRejection(() => openKeystore(json, passphrase), "WRONG_PASSPHRASE", /does not open/);

    it("with another passphrase", async () => {
      await wrong(keystore, "correct horses");
      await wrong(keystore, "Correct horse");
    });

    it("when any field was changed", async () => {
      const flip = (text: string) => (text.endsWith("0") ? `${text.slice(0, -1)}1` : `${text.slice(0, -1)}0`);
      await wrong({ ...keystore, kind: "nbm" });
      const { sealed, cipher, kdf } = slotOf(keystore);
      await wrong(withSlot({ sealed: flip(sealed) }));
      await wrong(withSlot({ sealed: sealed.slice(0, -2) }));
      await wrong(withCipher({ nonce: flip(cipher.nonce) }));
      await wrong(withKdf({ salt: flip(kdf.salt) }));
      await wrong(withKdf({ n: 32 }));
      await wrong(withKdf({ r: 2 }));
      await wrong(withKdf({ p: 2 }));
    });
  });

  describe("refuses", () => {
    const refused = (json: unknown, message: RegExp) =>
      expectAsyncRejection(() => openKeystore(json, "correct horse"), "INVALID_INPUT", message);

    it("an unknown version, by number or by name", async () => {
      for (const version of [0, 1, "3"]) {
        await expectAsyncRejection(() => openKeystore({ ...keystore, version }, "x"), "UNKNOWN_VERSION", /keystore/);
      }
    });

    it("documents that are none, lack a field, or have one too many", async () => {
      const { slots: _slots, ...incomplete } = keystore;
      const { sealed: _sealed, ...unsealed } = slotOf(keystore);
      for (const json of [
        null,
        7,
        "{}",
        [],
        {},
        incomplete,
        { ...keystore, extra: 1 },
        { ...keystore, slots: [] },
        { ...keystore, slots: [unsealed] },
        { ...keystore, slots: Array(9).fill(slotOf(keystore)) },
        withSlot({ extra: 1 }),
      ]) {
        await refused(json, /malformed/);
      }
    });

    it("fields of wrong form, and says which", async () => {
      await refused({ ...keystore, kind: "Root 1" }, /malformed at \/kind/);
      await refused(withSlot({ opener: "token" }), /malformed at \/slots\/0\/opener/);
      await refused(withSlot({ sealed: "0xZZ" }), /malformed at \/slots\/0\/sealed/);
      await refused(withSlot({ sealed: `0x${"00".repeat(2000)}` }), /malformed at \/slots\/0\/sealed/);
      await refused(withKdf({ name: "pbkdf2" }), /malformed at \/slots\/0\/kdf\/name/);
      await refused(withKdf({ salt: "0x00" }), /malformed at \/slots\/0\/kdf\/salt/);
      await refused(withCipher({ nonce: 1 }), /malformed at \/slots\/0\/cipher\/nonce/);
      await refused({ ...keystore, slots: [slotOf(keystore), slotOf(keystore)] }, /malformed at \/slots: two open/);
    });

    it("costs that would exhaust memory or time, or are no scrypt parameters", async () => {
      for (const cost of [
        { n: 2 ** 24, r: 8 },
        { n: 2 ** 17, r: 1024 },
        { n: 100 },
        { n: 2 ** 60 },
        { p: 16, r: 2 ** 30 },
      ]) {
        await refused(withKdf(cost), /out of range/);
      }
      await refused(withKdf({ p: 17 }), /malformed at \/slots\/0\/kdf\/p/);
      await refused(withKdf({ n: 0 }), /malformed at \/slots\/0\/kdf\/n/);
      await expectAsyncRejection(
        () => sealKeystore(secret, "x", "user", { n: 3, r: 1, p: 1 }),
        "INVALID_INPUT",
        /out of range/,
      );
    });

    it("a keystore of another kind than asked for", async () => {
      const error = await expectAsyncRejection(
        () => openKeystore(keystore, "correct horse", "nbm"),
        "INVALID_INPUT",
        /of kind user/,
      );
      expect([error.expected, error.received]).to.deep.equal(["nbm", "user"]);
    });

    it("an empty passphrase and secrets that do not fit", async () => {
      await expectAsyncRejection(() => sealKeystore(secret, "", "user", cheap), "INVALID_INPUT", /empty/);
      await expectAsyncRejection(() => openKeystore(keystore, ""), "INVALID_INPUT", /empty/);
      for (const length of [0, 1025]) {
        await expectAsyncRejection(
          () => sealKeystore(new Uint8Array(length), "x", "user", cheap),
          "INVALID_INPUT",
          /cannot hold/,
        );
      }
      const largest = slotOf(await sealKeystore(new Uint8Array(1024), "x", "user", cheap));
      expect(fromHex(largest.sealed)).to.have.length(1040);
    });
  });
});
