/**
 * Key records and share answers made by an independent implementation (test/vectors/derive-layouts.py): they
 * open here, and what is deterministic of them is made here byte for byte.
 */

import { expect } from "chai";
import { hpkeKeyPairFromSeed } from "../../../offchain/core/crypto/hpke.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  buildRecordPayload,
  fileScope,
  fileTag,
  type KeyRecordHeader,
  openOwnKey,
  openResealedShare,
  openShare,
  ownershipAddress,
  parseRecordPayload,
  rebuildFileKey,
  type SharePolicy,
  verifyRecordForKey,
} from "../../../offchain/core/record/key-record.ts";
import { openShareDelivery, sealShareDelivery } from "../../../offchain/core/record/share-delivery.ts";
import vectors from "../../vectors/record-layouts.json" with { type: "json" };

describe("key record vectors", () => {
  for (const vector of vectors.records) {
    const policy: SharePolicy = {
      ...vector.policy,
      recipients: vector.recipients === "self" ? "self" : "shares",
    };
    const header: KeyRecordHeader = {
      account: vector.account,
      fileTag: vector.fileTag,
      committeeId: BigInt(vector.committeeId),
      keyTime: BigInt(vector.keyTime),
      ownershipKey: vector.ownershipKey,
    };
    const { dataId, fileKey } = vector;
    const ledger = { chainId: BigInt(vector.chainId), keyLedger: vector.keyLedger };
    const keys = vector.recipientSeeds.map((seed) => hpkeKeyPairFromSeed(fromHex(seed)));
    const payload = parseRecordPayload(fromHex(vector.payload));
    const openAll = async () => {
      const shares = new Map<number, Uint8Array>();
      for (const [position, { privateKey }] of keys.entries()) {
        shares.set(position + 1, await openShare(payload, ledger, header, position + 1, privateKey));
      }
      return shares;
    };

    describe(`sealed to ${policy.recipients}, (${policy.shares}, ${policy.threshold}, ${policy.privacy})`, () => {
      it("has the names of the file, its scope and the ownership key", () => {
        expect(toHex(fileTag(dataId))).to.equal(vector.fileTag);
        expect(toHex(fileScope(header.account, fileTag(dataId)))).to.equal(vector.fileScope);
        expect(ownershipAddress(fromHex(fileKey))).to.equal(vector.ownershipKey);
      });

      it("parses, opens and rebuilds the file key", async () => {
        expect(payload.policy).to.deep.equal(policy);
        const shares = await openAll();
        if (shares.size > 0) expect(toHex(rebuildFileKey(payload, header, shares, dataId))).to.equal(fileKey);
        verifyRecordForKey(ledger, payload, header, fromHex(fileKey), dataId);
      });

      it("carries a self envelope with data id and file key", () => {
        const context = { ledger, catalogueKey: fromHex(vector.catalogueKey) };
        const opened = openOwnKey(context, header, payload.selfEnvelope);
        expect([opened.dataId, toHex(opened.fileKey)]).to.deep.equal([dataId, fileKey]);
      });

      it("is made here with the same head, self envelope and commitments", async () => {
        const made = await buildRecordPayload({
          ledger,
          fileKey: fromHex(fileKey),
          dataId,
          account: header.account,
          committeeId: header.committeeId,
          keyTime: header.keyTime,
          policy,
          committeeKeys: keys.map(({ publicKey }) => publicKey),
          catalogueKey: fromHex(vector.catalogueKey),
        });
        const beforeEnvelopes = 5 + 81 + 32 * policy.shares;
        expect(toHex(made.subarray(0, beforeEnvelopes))).to.equal(vector.payload.slice(0, 2 + 2 * beforeEnvelopes));
        expect(2 + 2 * made.length).to.equal(vector.payload.length);
      });

      it("is answered with a share sealed to the session key, which opens", async () => {
        for (const { index, account, sessionSeed, sealed } of vector.replies) {
          const { privateKey } = hpkeKeyPairFromSeed(fromHex(sessionSeed));
          const asked = { index, account };
          const share = await openResealedShare(payload, ledger, header, asked, privateKey, fromHex(sealed));
          expect(toHex(share)).to.equal(toHex((await openAll()).get(index) ?? new Uint8Array()));
        }
        expect(vector.replies).to.have.length(policy.shares > 0 ? 1 : 0);
      });

      it("is delivered to the member that holds a share in the place of another one, which opens it", async () => {
        for (const { recipientSeed, sealed, ...context } of vector.deliveries) {
          const { privateKey, publicKey } = hpkeKeyPairFromSeed(fromHex(recipientSeed));
          const right = (await openAll()).get(context.index) ?? new Uint8Array();
          const share = await openShareDelivery(payload, ledger, header, context, privateKey, fromHex(sealed));
          expect(toHex(share)).to.equal(toHex(right));
          const made = await sealShareDelivery(ledger, header, context, publicKey, right);
          expect(made.length).to.equal(fromHex(sealed).length);
          expect(await openShareDelivery(payload, ledger, header, context, privateKey, made)).to.deep.equal(right);
        }
        expect(vector.deliveries).to.have.length(policy.shares > 0 ? 1 : 0);
      });
    });
  }
});
