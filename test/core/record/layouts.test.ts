/**
 * Key records and share answers made by an independent implementation (test/vectors/derive-layouts.py): they
 * open here, and what is deterministic of them is made here byte for byte.
 */

import { expect } from "chai";
import { hpkeKeyPairFromSeed } from "../../../offchain/core/crypto/hpke.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  buildRecordPayload,
  fileTag,
  type KeyRecordHeader,
  openCatalogueNote,
  openResealedShare,
  openShare,
  ownershipAddress,
  parseRecordPayload,
  rebuildFileKey,
  recordId,
  type SharePolicy,
  verifyRecordForKey,
} from "../../../offchain/core/record/key-record.ts";
import vectors from "../../vectors/record-layouts.json" with { type: "json" };

describe("key record vectors", () => {
  for (const vector of vectors.records) {
    const policy: SharePolicy = {
      ...vector.policy,
      recipients: vector.recipients === "self" ? "self" : "committee",
    };
    const header: KeyRecordHeader = {
      account: vector.account,
      fileTag: vector.fileTag,
      committeeId: BigInt(vector.committeeId),
      keyTime: BigInt(vector.keyTime),
      ownershipKey: vector.ownershipKey,
    };
    const { dataId, fileKey } = vector;
    const keys = vector.recipientSeeds.map((seed) => hpkeKeyPairFromSeed(fromHex(seed)));
    const payload = parseRecordPayload(fromHex(vector.payload));
    const openAll = async () => {
      const shares = new Map<number, Uint8Array>();
      for (const [position, { privateKey }] of keys.entries()) {
        shares.set(position + 1, await openShare(payload, header, position + 1, privateKey));
      }
      return shares;
    };

    describe(`sealed to ${policy.recipients}, (${policy.shares}, ${policy.threshold}, ${policy.privacy})`, () => {
      it("has the names of the file, the record and the ownership key", () => {
        expect(toHex(fileTag(dataId))).to.equal(vector.fileTag);
        expect(toHex(recordId(header.account, fileTag(dataId)))).to.equal(vector.recordId);
        expect(ownershipAddress(fromHex(fileKey))).to.equal(vector.ownershipKey);
      });

      it("parses, opens and rebuilds the file key", async () => {
        expect(payload.policy).to.deep.equal(policy);
        const shares = await openAll();
        expect(toHex(rebuildFileKey(payload, header, shares, dataId))).to.equal(fileKey);
        verifyRecordForKey(payload, header, fromHex(fileKey), dataId);
      });

      it("carries a catalogue note that names the data id", () => {
        const note = openCatalogueNote(fromHex(vector.catalogueKey), fromHex(vector.recordId), payload.catalogueNote);
        expect(note).to.equal(dataId);
      });

      it("is made here with the same head, note and commitments", async () => {
        const [self] = keys;
        const made = await buildRecordPayload({
          fileKey: fromHex(fileKey),
          dataId,
          account: header.account,
          committeeId: header.committeeId,
          keyTime: header.keyTime,
          policy,
          committeeKeys: keys.map(({ publicKey }) => publicKey),
          selfPublicKey: self?.publicKey ?? new Uint8Array(),
          catalogueKey: fromHex(vector.catalogueKey),
        });
        const beforeEnvelopes = 5 + 49 + 32 * policy.shares;
        expect(toHex(made.subarray(0, beforeEnvelopes))).to.equal(vector.payload.slice(0, 2 + 2 * beforeEnvelopes));
        expect(2 + 2 * made.length).to.equal(vector.payload.length);
      });

      it("is answered with a share sealed to the session key, which opens", async () => {
        const { index, account, sessionSeed, sealed } = vector.reply;
        const { privateKey } = hpkeKeyPairFromSeed(fromHex(sessionSeed));
        const share = await openResealedShare(payload, header, { index, account }, privateKey, fromHex(sealed));
        expect(toHex(share)).to.equal(toHex((await openAll()).get(index) ?? new Uint8Array()));
      });
    });
  }
});
