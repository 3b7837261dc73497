/** Key records with the file key sealed to the committee: who can open them, and what a wrong one comes to. */

import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import { AbiCoder, keccak256 } from "ethers";
import { kdf } from "../../../offchain/core/crypto/kdf.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import type { TallystickError } from "../../../offchain/core/errors.ts";
import { scalarFromUniform } from "../../../offchain/core/oprf/group.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import {
  fileTag,
  type KeyRecordHeader,
  openOwnKey,
  ownershipAddress,
  parseRecordPayload,
  type RecordPayload,
  rebuildFileKey,
  verifyRecordForKey,
} from "../../../offchain/core/record/key-record.ts";
import { recordSecretId } from "../../../offchain/core/record/names.ts";
import { encodeRecordPayload } from "../../../offchain/core/record/payload.ts";
import {
  buildSealedPayload,
  checkSealedKey,
  fileKeyFrom,
  type RecordSeal,
  recordSecretLabel,
  verifySealedForKey,
} from "../../../offchain/core/record/sealed-record.ts";
import { decryptionShare, openSecret } from "../../../offchain/core/sealed-secrets/decryption-share.ts";
import { encodeLabel } from "../../../offchain/core/sealed-secrets/label.ts";
import { sealSecret } from "../../../offchain/core/sealed-secrets/sealed-secret.ts";
import { type Committee, completeRun, recordKeys, sharesOf } from "../../helpers/committee-run.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import vectors from "../../vectors/sealed-secrets.json" with { type: "json" };

const account = "0x00000000000000000000000000000000DeaDBeef";
const dataId = contentId(new TextEncoder().encode("root recipe"));
const fileKey = new Uint8Array(32).fill(0x42);
const catalogueKey = new Uint8Array(32).fill(0x17);
const header: KeyRecordHeader = {
  account,
  fileTag: toHex(fileTag(dataId)),
  committeeId: 7n,
  keyTime: 1_790_000_000n,
  ownershipKey: ownershipAddress(fileKey),
};

describe("core/sealed-record", () => {
  let committee: Committee;
  let seal: RecordSeal;
  let bytes: Uint8Array;
  let payload: RecordPayload;

  before(async () => {
    await oprfReady();
    committee = completeRun({ size: 4, threshold: 3 });
    seal = {
      ledger: { chainId: 31_337n, keyLedger: "0x00000000000000000000000000000000000000aA" },
      ownersPolicy: "0x00000000000000000000000000000000000000bb",
      groupKey: recordKeys(committee).groupPublicKey,
    };
    bytes = build();
    payload = parseRecordPayload(bytes);
  });

  const build = (changes: Partial<Parameters<typeof buildSealedPayload>[0]> = {}): Uint8Array =>
    buildSealedPayload({ seal, header, fileKey, dataId, catalogueKey, ...changes });

  function openBy(indices: readonly number[], record = payload): Uint8Array {
    const keys = recordKeys(committee);
    const secret = checkSealedKey(record, header, seal);
    const shares = indices.map((index): [number, Uint8Array] => [
      index,
      decryptionShare(secret, keys, index, sharesOf(committee, index).record),
    ]);
    return openSecret(secret, keys, new Map(shares)).payload;
  }

  /** A record whose recorder sealed something else. */
  function sealing(secret: Uint8Array, over: Partial<KeyRecordHeader> = {}): RecordPayload {
    const label = recordSecretLabel(seal, { ...header, ...over });
    return { ...payload, sealedKey: sealSecret(seal.groupKey, label, secret) };
  }

  it("is 260 bytes, and survives parsing and encoding", () => {
    expect(bytes.length).to.equal(260);
    expect(toHex(encodeRecordPayload(payload))).to.equal(toHex(bytes));
    for (let length = 0; length < bytes.length; length += 1) {
      expectRejection(() => parseRecordPayload(bytes.subarray(0, length)), "INTEGRITY", /malformed/);
    }
    expectRejection(() => parseRecordPayload(Uint8Array.of(...bytes, 0)), "INTEGRITY", /length/);
  });

  it("opens with the shares of any quorum, for its recorder alone, and for whoever has the key", () => {
    for (const quorum of [
      [1, 2, 3],
      [2, 3, 4],
    ]) {
      expect(toHex(fileKeyFrom(openBy(quorum), header, dataId))).to.equal(toHex(fileKey));
    }
    const own = openOwnKey({ ledger: seal.ledger, catalogueKey }, header, payload.selfEnvelope);
    expect(own).to.deep.equal({ dataId, fileKey });
    verifySealedForKey(payload, header, seal, fileKey, dataId);
  });

  it("is the same every time but for the proof", () => {
    const again = parseRecordPayload(build());
    const beforeProof = (record: RecordPayload) => toHex((record.sealedKey ?? new Uint8Array()).subarray(0, 113));
    expect(beforeProof(again)).to.equal(beforeProof(payload));
    expect(toHex(again.selfEnvelope)).to.equal(toHex(payload.selfEnvelope));
    expect(again.sealedKey).to.not.deep.equal(payload.sealedKey);
  });

  it("has the secret id that the owners policy computes", () => {
    const { fileTag: tag, committeeId, keyTime, ownershipKey } = header;
    const types = ["address", "bytes32", "uint64", "uint64", "address"];
    const encoded = AbiCoder.defaultAbiCoder().encode(types, [
      account.toLowerCase(),
      tag,
      committeeId,
      keyTime,
      ownershipKey,
    ]);
    expect(toHex(recordSecretId(header))).to.equal(keccak256(encoded));
  });

  it("is refused under every other header, ledger, policy or committee, naming its recorder", () => {
    const headers: Partial<KeyRecordHeader>[] = [
      { fileTag: `0x${"11".repeat(32)}` },
      { committeeId: 8n },
      { keyTime: header.keyTime + 1n },
      { ownershipKey: seal.ownersPolicy },
    ];
    for (const over of headers) {
      const error = expectRejection(() => checkSealedKey(payload, { ...header, ...over }, seal), "INVALID_PROOF");
      expect(error.party).to.equal(`author ${account}`);
    }
    const thief = "0x00000000000000000000000000000000cafebabe";
    const stolen = expectRejection(() => checkSealedKey(payload, { ...header, account: thief }, seal), "INVALID_PROOF");
    expect(stolen.party).to.equal(`author ${thief}`);
    const seals: Partial<RecordSeal>[] = [
      { ledger: { ...seal.ledger, chainId: 1n } },
      { ledger: { ...seal.ledger, keyLedger: account } },
      { ownersPolicy: account },
      { groupKey: recordKeys(completeRun({ size: 4, threshold: 3 })).groupPublicKey },
    ];
    for (const over of seals) {
      expectRejection(() => checkSealedKey(payload, header, { ...seal, ...over }), "INVALID_PROOF");
    }
  });

  it("of a recorder who sealed another key, rubbish, or the key with another scalar is no record of this file", () => {
    const wrong = [
      sealing(new Uint8Array(32).fill(1)),
      // The right key, with a scalar that nobody else can compute: it could not be told from rubbish.
      sealing(fileKey.slice()),
    ];
    for (const record of wrong) {
      checkSealedKey(record, header, seal);
      const error = expectRejection(() => verifySealedForKey(record, header, seal, fileKey, dataId), "INTEGRITY");
      expect(error.party).to.equal(`recorder ${account}`);
      expect((error.cause as TallystickError).check).to.equal("element R of the sealed secret");
    }
    // Another key, with the scalar of the right one.
    const label = recordSecretLabel(seal, header);
    const uniform = kdf(fileKey, "record-seal", concatBytes(seal.groupKey, encodeLabel(label)), 64);
    const sealedKey = sealSecret(seal.groupKey, label, new Uint8Array(32).fill(1), scalarFromUniform(uniform));
    const swapped = { ...payload, sealedKey };
    expectRejection(() => verifySealedForKey(swapped, header, seal, fileKey, dataId), "INTEGRITY", /not hold the key/);
    const [rubbish] = wrong as [RecordPayload];
    const error = expectRejection(() => fileKeyFrom(openBy([1, 2, 3], rubbish), header, dataId), "INTEGRITY");
    expect(error.party).to.equal(`recorder ${account}`);
    const damaged = { ...payload, sealedKey: payload.sealedKey?.with(70, 0) ?? new Uint8Array() };
    expectRejection(() => verifySealedForKey(damaged, header, seal, fileKey, dataId), "INVALID_PROOF");
  });

  it("whose ownership key is another is not made, and not taken for this file's", () => {
    const foreign = { ...header, ownershipKey: account };
    expectRejection(() => build({ header: foreign }), "INVALID_INPUT", /ownership key/);
    expectRejection(() => build({ fileKey: new Uint8Array(31) }), "INVALID_INPUT");
    const key = new Uint8Array(32).fill(3);
    expectRejection(() => verifySealedForKey(payload, header, seal, key, dataId), "INTEGRITY");
    const other = contentId(new Uint8Array([1]));
    expectRejection(() => verifySealedForKey(payload, header, seal, fileKey, other), "INVALID_INPUT", /another file/);
    expectRejection(() => build({ dataId: other }), "INVALID_INPUT", /another file/);
  });

  it("is not taken for a record of shares, nor one of shares for this", () => {
    expectRejection(
      () => verifyRecordForKey(seal.ledger, payload, header, fileKey, dataId),
      "INVALID_INPUT",
      /not shared/,
    );
    expectRejection(() => rebuildFileKey(payload, header, new Map(), dataId), "INVALID_INPUT", /no shares/);
    const { sealedKey: _, ...without } = payload;
    expectRejection(() => checkSealedKey(without, header, seal), "INVALID_INPUT");
    expectRejection(() => encodeRecordPayload(without), "INVALID_INPUT");
  });

  describe("made by an independent implementation (test/vectors/derive-committee.py)", () => {
    const { record } = vectors;
    const theirs: KeyRecordHeader = {
      account: record.account,
      fileTag: record.fileTag,
      committeeId: BigInt(record.committeeId),
      keyTime: BigInt(record.keyTime),
      ownershipKey: record.ownershipKey,
    };
    const theirSeal: RecordSeal = {
      ledger: { chainId: BigInt(record.chainId), keyLedger: record.keyLedger },
      ownersPolicy: record.ownersPolicy,
      groupKey: fromHex(vectors.groupPublicKey),
    };

    it("has this label, opens here, and is made here byte for byte up to the proof", () => {
      expect(toHex(recordSecretId(theirs))).to.equal(record.secretId);
      expect(toHex(encodeLabel(recordSecretLabel(theirSeal, theirs)))).to.equal(record.label);
      const parsed = parseRecordPayload(fromHex(record.payload));
      verifySealedForKey(parsed, theirs, theirSeal, fromHex(record.fileKey), record.dataId);
      const made = buildSealedPayload({
        seal: theirSeal,
        header: theirs,
        fileKey: fromHex(record.fileKey),
        dataId: record.dataId,
        catalogueKey: fromHex(record.catalogueKey),
      });
      expect(toHex(made.subarray(0, -64))).to.equal(record.payload.slice(0, -128));
    });
  });
});
