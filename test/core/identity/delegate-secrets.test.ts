import { expect } from "chai";
import { hpkeKeyPairFromSeed, hpkeOpen, hpkeSeal } from "../../../offchain/core/crypto/hpke.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  delegateSecrets,
  openParcel,
  PARCEL_BYTES,
  sealParcel,
} from "../../../offchain/core/identity/delegate-secrets.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import vectors from "../../vectors/delegates.json" with { type: "json" };

const DEVICE = hpkeKeyPairFromSeed(new Uint8Array(32).fill(7));
const { chainId, directory, account, key, provider, dataSet } = vectors;
const SCOPE = { chainId: BigInt(chainId), directory, account, key, provider };
const secrets = delegateSecrets(fromHex(vectors.auditSeed), key);
const PARCEL = { secrets, dataSet, accountKey: fromHex(vectors.accountKey) };
const [INFO, AAD] = [fromHex(vectors.info), fromHex(vectors.aad)];

describe("secrets of a device that only writes", () => {
  it("are those of the vectors, and others for another device or account", () => {
    expect(toHex(secrets.root)).to.equal(vectors.root);
    expect(toHex(secrets.auditSeed)).to.equal(vectors.delegateAuditSeed);
    expect(toHex(secrets.snapshotKey)).to.equal(vectors.delegateSnapshotKey);
    const others = [delegateSecrets(fromHex(vectors.auditSeed), account), delegateSecrets(new Uint8Array(32), key)];
    expect(new Set([secrets, ...others].map(({ auditSeed }) => toHex(auditSeed))).size).to.equal(3);
  });

  it("pass in a parcel with the layout of the vectors", async () => {
    const sealed = await sealParcel(DEVICE.publicKey, SCOPE, PARCEL);
    expect(sealed.length).to.equal(PARCEL_BYTES).and.equal(145);
    expect(toHex(await hpkeOpen(DEVICE.privateKey, INFO, AAD, sealed))).to.equal(vectors.plaintext);
    expect(await openParcel(DEVICE.privateKey, SCOPE, sealed)).to.deep.equal(PARCEL);
  });

  for (const [name, change] of Object.entries({
    chain: { chainId: 1n },
    directory: { directory: account },
    account: { account: provider },
    delegate: { key: account },
    provider: { provider: account },
  })) {
    it(`do not open for another ${name}`, async () => {
      const sealed = await sealParcel(DEVICE.publicKey, SCOPE, PARCEL);
      await expectAsyncRejection(() => openParcel(DEVICE.privateKey, { ...SCOPE, ...change }, sealed), "INTEGRITY");
    });
  }

  it("do not open with another device's key, truncated, changed, of another version or length", async () => {
    const sealed = await sealParcel(DEVICE.publicKey, SCOPE, PARCEL);
    const other = hpkeKeyPairFromSeed(new Uint8Array(32).fill(8));
    const open =
      (bytes: Uint8Array, privateKey = DEVICE.privateKey) =>
      () =>
        openParcel(privateKey, SCOPE, bytes);
    await expectAsyncRejection(open(sealed, other.privateKey), "INTEGRITY");
    await expectAsyncRejection(open(sealed.subarray(0, 40)), "INTEGRITY");
    await expectAsyncRejection(open(sealed.map((byte, k) => (k === 60 ? byte ^ 1 : byte))), "INTEGRITY");
    const plaintext = fromHex(vectors.plaintext);
    const made = (bytes: Uint8Array) => hpkeSeal(DEVICE.publicKey, INFO, AAD, bytes);
    await expectAsyncRejection(open(await made(Uint8Array.of(2, ...plaintext.subarray(1)))), "UNKNOWN_VERSION");
    await expectAsyncRejection(open(await made(plaintext.subarray(0, 96))), "INTEGRITY");
  });
});
