/** Keystores that wallets open: vectors, every form of a signature, and what must not open one. */
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { bytesToNumberBE, numberToBytesBE } from "@noble/curves/utils.js";
import { expect } from "chai";
import { TypedDataEncoder, Wallet } from "ethers";
import fc from "fast-check";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  addKeystoreSlot,
  type KeystoreJson,
  keystoreOpeners,
  openKeystore,
  removeKeystoreSlot,
  sealKeystore,
} from "../../../offchain/core/identity/keystore.ts";
import {
  KEYSTORE_STATEMENT,
  type KeystoreMessage,
  keystoreDigest,
  keystoreMessage,
} from "../../../offchain/core/identity/keystore-message.ts";
import type { WalletKey } from "../../../offchain/core/identity/wallet-key.ts";
import {
  openByWallet,
  setUpWallet,
  type WalletSigner,
  walletKeyOf,
} from "../../../offchain/core/identity/wallet-signature.ts";
import { expectAsyncRejection, expectRejection } from "../../helpers/rejection.ts";
import vectors from "../../vectors/keystore.json" with { type: "json" };

const ONE = `0x${"01".repeat(32)}`;
const CHEAP = { n: 2, r: 1, p: 1 };
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const secret = Uint8Array.from({ length: 32 }, (_, position) => position);

/** ethers shares no code with the module under test for typed data. */
async function signWith(signer: Wallet, { domain, types, message }: KeystoreMessage): Promise<string> {
  const { EIP712Domain: _domain, ...own } = types;
  const fields = Object.fromEntries(Object.entries(own).map(([name, list]) => [name, list.map((one) => ({ ...one }))]));
  return await signer.signTypedData(domain, fields, message);
}

/** The same signature with the other s, in place. */
function flip(signature: Uint8Array): void {
  const high = (ORDER - bytesToNumberBE(signature.subarray(32, 64))) % ORDER;
  signature.set(numberToBytesBE(high, 32), 32);
  signature[64] = 55 - (signature[64] ?? 0);
}

/** A valid signature, as a signer makes it that draws its nonce. */
function signWithNonce({ privateKey }: Wallet, digest: Uint8Array, nonce: bigint): string {
  const point = secp256k1.Point.BASE.multiply(nonce).toAffine();
  const r = point.x % ORDER;
  const { Fn } = secp256k1.Point;
  const s = Fn.mul(Fn.inv(nonce), (bytesToNumberBE(digest) + r * BigInt(privateKey)) % ORDER);
  const bytes = [numberToBytesBE(r, 32), numberToBytesBE(s, 32), [27 + Number(point.y & 1n)]];
  return toHex(Uint8Array.from(bytes.flatMap((piece) => [...piece])));
}

function signerOf(...wallets: Wallet[]): WalletSigner {
  return {
    accounts: () => Promise.resolve(wallets.map(({ address }) => address)),
    sign: async (account, message) => {
      const found = wallets.find(({ address }) => address === account);
      if (found === undefined) throw new Error(`no key of ${account}`);
      return await signWith(found, message);
    },
  };
}

describe("core/keystore of a wallet", () => {
  const wallet = new Wallet(`0x${"11".repeat(32)}`);
  const other = new Wallet(`0x${"22".repeat(32)}`);
  let key: WalletKey;
  let keystore: KeystoreJson;

  beforeEach(async () => {
    key = await setUpWallet(signerOf(wallet));
    keystore = await sealKeystore(secret, key, "user");
  });

  const signatureFor = async (signer: Wallet, json: KeystoreJson) => {
    const [opener] = keystoreOpeners(json).wallets;
    if (opener === undefined) throw new Error("no wallet");
    return await signWith(signer, keystoreMessage(opener));
  };

  for (const vector of vectors.wallets) {
    it(`opens the vector of ${vector.wallet} by every form of its signature`, async () => {
      const opener = { wallet: vector.wallet, challenge: vector.challenge };
      expect(toHex(keystoreDigest(opener))).to.equal(vector.digest);
      expect(keystoreOpeners(vector.keystore).wallets).to.deep.equal([opener]);
      const forms = { usual: vector.signature, ...vector.otherForms };
      expect(Object.keys(forms)).to.have.length(5);
      for (const [form, signature] of Object.entries(forms)) {
        const opened = await openKeystore(vector.keystore, walletKeyOf([opener], signature));
        expect(toHex(opened), form).to.equal(vector.secret);
      }
      expect(await signWith(new Wallet(vector.privateKey), keystoreMessage(opener))).to.equal(vector.signature);
    });
  }

  it("has a message that names product, purpose, wallet and keystore, and no chain or contract", async () => {
    const [opener] = keystoreOpeners(keystore).wallets;
    const message = keystoreMessage({ wallet: wallet.address.toLowerCase(), challenge: opener?.challenge ?? "" });
    expect(message.domain).to.deep.equal({ name: "Tallystick", version: "1" });
    expect(message.message).to.deep.equal({ statement: KEYSTORE_STATEMENT, ...opener });
    const { EIP712Domain: _domain, OpenKeystore } = message.types;
    const own = { OpenKeystore: OpenKeystore.map((field) => ({ ...field })) };
    expect(TypedDataEncoder.hash(message.domain, own, message.message)).to.equal(
      toHex(keystoreDigest({ wallet: wallet.address, challenge: opener?.challenge ?? "" })),
    );
    expect(JSON.parse(JSON.stringify(TypedDataEncoder.getPayload(message.domain, own, message.message)))).to.deep.equal(
      {
        ...message,
        message: { ...message.message, wallet: wallet.address.toLowerCase() },
      },
    );
  });

  it("opens with one more signature of the wallet, also after JSON encoding", async () => {
    const read: unknown = JSON.parse(JSON.stringify(keystore));
    const again = await openByWallet(keystoreOpeners(read).wallets, signerOf(other, wallet));
    expect(await openKeystore(read, again, "user")).to.deep.equal(secret);
  });

  it("holds any secret for any wallet, whatever form its signature has", async () => {
    const word = fc.uint8Array({ minLength: 32, maxLength: 32 }).filter((bytes) => bytes[0] !== 0 && bytes[0] !== 255);
    await fc.assert(
      fc.asyncProperty(
        word,
        fc.uint8Array({ minLength: 1, maxLength: 100 }),
        fc.boolean(),
        fc.boolean(),
        async (privateKey, anySecret, isHigh, isSmall) => {
          const one = new Wallet(toHex(privateKey));
          const sealed = await sealKeystore(anySecret, await setUpWallet(signerOf(one), one.address), "user");
          const bytes = fromHex(await signatureFor(one, sealed));
          if (isHigh) flip(bytes);
          bytes[64] = (bytes[64] ?? 0) - (isSmall ? 27 : 0);
          const opened = await openKeystore(sealed, walletKeyOf(keystoreOpeners(sealed).wallets, toHex(bytes)));
          expect(opened).to.deep.equal(anySecret);
        },
      ),
      { numRuns: 12 },
    );
  });

  it("seals other keystores with other keys by the same signature", async () => {
    const next = await sealKeystore(new Uint8Array(16).fill(7), key, "user");
    expect(await openKeystore(next, key)).to.deep.equal(new Uint8Array(16).fill(7));
    expect(await openKeystore(keystore, key)).to.deep.equal(secret);
    const salts = [keystore, next].map(({ slots: [slot] }) => fromHex(slot?.kdf.salt ?? ""));
    expect(toHex(key.slotKey(salts[0] ?? secret))).to.not.equal(toHex(key.slotKey(salts[1] ?? secret)));
  });

  it("shows neither secret nor signature, and a wiped key opens nothing", async () => {
    const signature = await signatureFor(wallet, keystore);
    const shown = JSON.stringify([keystore, key, { ...key }]);
    expect(shown).to.not.contain(toHex(secret).slice(2, 18));
    expect(shown).to.not.contain(signature.slice(2, 18));
    key.wipe();
    await expectAsyncRejection(() => openKeystore(keystore, key), "WRONG_WALLET");
  });

  describe("refuses", () => {
    const openers = () => keystoreOpeners(keystore).wallets;

    it("the signature of another account, and says which one", async () => {
      const foreign = await signatureFor(other, keystore);
      const error = expectRejection(() => walletKeyOf(openers(), foreign), "WRONG_WALLET", /not open with this wallet/);
      expect([error.expected, error.received]).to.deep.equal([wallet.address, other.address]);
    });

    it("a signature for another keystore", async () => {
      const another = await sealKeystore(secret, await setUpWallet(signerOf(wallet)), "user");
      const signature = await signatureFor(wallet, another);
      expectRejection(() => walletKeyOf(openers(), signature), "WRONG_WALLET");
      const foreignKey = walletKeyOf(keystoreOpeners(another).wallets, signature);
      const error = await expectAsyncRejection(() => openKeystore(keystore, foreignKey), "WRONG_WALLET");
      expect(error.check).to.equal("slots of the keystore");
    });

    it("signatures that are truncated, of a contract, or out of range", async () => {
      const signature = await signatureFor(wallet, keystore);
      const [r, s] = [signature.slice(2, 66), signature.slice(66, 130)];
      const order = ORDER.toString(16);
      const zero = "0".repeat(64);
      for (const text of [
        signature.slice(0, -4),
        signature.slice(0, -1),
        signature.slice(2),
        `0x${r}`,
        `0x${r}${s}02`,
        `0x${r}${s}1d`,
        `0x${order}${s}1b`,
        `0x${r}${order}1b`,
        `0x${zero}${s}1b`,
        `0x${r}${zero}1b`,
        `0x${r}${zero}`,
      ]) {
        const error = expectRejection(() => walletKeyOf(openers(), text), "INVALID_SIGNATURE");
        expect(JSON.stringify(error), text).to.not.contain(r.slice(0, 16));
      }
      for (const text of ["0x", `${signature}00`, `0x${"00".repeat(256)}`]) {
        expectRejection(() => walletKeyOf(openers(), text), "WALLET_UNSUITABLE", /contract wallet/);
      }
    });

    it("a wallet that signs at random, when it is set up", async () => {
      // A key has a signature for every nonce; both of these recover to the account.
      let nonce = 0;
      const random: WalletSigner = {
        accounts: () => Promise.resolve([wallet.address]),
        sign: async (_account, message) => {
          nonce += 1;
          return signWithNonce(wallet, keystoreDigest(message.message), BigInt(nonce) * 0x1234567n);
        },
      };
      const error = await expectAsyncRejection(() => setUpWallet(random), "WALLET_UNSUITABLE", /differently each time/);
      expect(error.hint).to.contain("hardware wallet");
      const [opener] = openers();
      const one = await random.sign(wallet.address, keystoreMessage(opener ?? { wallet: "", challenge: "" }));
      const late = walletKeyOf(openers(), one);
      const later = await expectAsyncRejection(() => openKeystore(keystore, late), "WRONG_WALLET", /has signed/);
      expect(later.hint).to.contain("signs differently than when it was added");
    });

    it("a wallet that signs with another account than the one selected, and one that has no such account", async () => {
      const confused: WalletSigner = {
        accounts: () => Promise.resolve([wallet.address]),
        sign: async (_account, message) => await signWith(other, message),
      };
      await expectAsyncRejection(() => setUpWallet(confused), "WRONG_WALLET");
      await expectAsyncRejection(() => openByWallet(openers(), confused), "WRONG_WALLET");
      for (const attempt of [
        () => setUpWallet(signerOf(other), wallet.address),
        () => openByWallet(openers(), signerOf(other)),
      ]) {
        const error = await expectAsyncRejection(attempt, "WRONG_WALLET");
        expect([error.expected, error.received]).to.deep.equal([wallet.address, other.address]);
      }
    });

    it("a document any of whose fields was changed", async () => {
      const [slot] = keystore.slots;
      if (slot?.opener !== "wallet") throw new Error("no slot of a wallet");
      const flipped = (text: string) => (text.endsWith("0") ? `${text.slice(0, -1)}1` : `${text.slice(0, -1)}0`);
      const changed = (change: object) => ({ ...keystore, slots: [{ ...slot, ...change }] });
      for (const json of [
        { ...keystore, kind: "claim" },
        changed({ sealed: flipped(slot.sealed) }),
        changed({ sealed: slot.sealed.slice(0, -2) }),
        changed({ challenge: flipped(slot.challenge) }),
        changed({ wallet: flipped(slot.wallet) }),
        changed({ kdf: { ...slot.kdf, salt: flipped(slot.kdf.salt) } }),
        changed({ cipher: { ...slot.cipher, nonce: flipped(slot.cipher.nonce) } }),
      ]) {
        await expectAsyncRejection(() => openKeystore(json, key), "WRONG_WALLET");
      }
      for (const json of [changed({ challenge: "0x00" }), changed({ wallet: wallet.address }), changed({ extra: 1 })]) {
        await expectAsyncRejection(() => openKeystore(json, key), "INVALID_INPUT", /malformed at \/slots\/0\//);
      }
    });
  });

  describe("beside a passphrase and other wallets", () => {
    it("opens with each, replaces the slot of the same wallet, and loses one with the key of another", async () => {
      const first = await addKeystoreSlot(keystore, key, "a passphrase", CHEAP);
      const otherKey = await setUpWallet(signerOf(other));
      const all = await addKeystoreSlot(first, "a passphrase", otherKey);
      expect(keystoreOpeners(all)).to.deep.equal({
        passphrase: true,
        wallets: [key, otherKey].map(({ wallet: account, challenge }) => ({ wallet: account, challenge })),
      });
      for (const one of [key, "a passphrase", otherKey]) expect(await openKeystore(all, one)).to.deep.equal(secret);

      const fresh = await setUpWallet(signerOf(wallet));
      const renewed = await addKeystoreSlot(all, key, fresh);
      expect(renewed.slots).to.have.length(3);
      expect(await openKeystore(renewed, fresh)).to.deep.equal(secret);
      await expectAsyncRejection(() => openKeystore(renewed, key), "WRONG_WALLET");

      const changed = await addKeystoreSlot(all, "a passphrase", "another one", CHEAP);
      expect(await openKeystore(changed, "another one")).to.deep.equal(secret);
      await expectAsyncRejection(() => openKeystore(changed, "a passphrase"), "WRONG_PASSPHRASE");

      const left = await removeKeystoreSlot(all, otherKey, "passphrase");
      const error = await expectAsyncRejection(() => openKeystore(left, "a passphrase"), "WRONG_PASSPHRASE");
      expect(error.expected).to.equal(`wallet ${wallet.address} or wallet ${other.address}`);
      const last = await removeKeystoreSlot(left, otherKey, wallet.address);
      expect(keystoreOpeners(last).wallets.map((one) => one.wallet)).to.deep.equal([other.address]);
      await expectAsyncRejection(() => removeKeystoreSlot(last, otherKey, other.address), "CONFLICT");
      await expectAsyncRejection(() => removeKeystoreSlot(all, otherKey, new Wallet(ONE).address), "NOT_FOUND");
    });

    it("changes nothing for whoever cannot open it, and has room for eight", async () => {
      const otherKey = await setUpWallet(signerOf(other));
      await expectAsyncRejection(() => addKeystoreSlot(keystore, otherKey, "mine", CHEAP), "WRONG_WALLET");
      const two = await addKeystoreSlot(keystore, key, "a passphrase", CHEAP);
      await expectAsyncRejection(() => removeKeystoreSlot(two, "guess", wallet.address), "WRONG_PASSPHRASE");
      let full = two;
      for (let count = 2; count < 8; count++) {
        const one = new Wallet(toHex(new Uint8Array(32).fill(count + 64)));
        full = await addKeystoreSlot(full, key, await setUpWallet(signerOf(one)));
      }
      await expectAsyncRejection(() => addKeystoreSlot(full, key, otherKey), "INVALID_INPUT", /no room/);
      expect((await addKeystoreSlot(full, key, "another passphrase", CHEAP)).slots).to.have.length(8);
    });
  });
});
