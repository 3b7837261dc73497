/**
 * Typed data: the type strings are those of the contracts, ethers takes the objects as they are, and digests are held
 * to vectors.
 */

import { readFileSync } from "node:fs";
import { expect } from "chai";
import { id, TypedDataEncoder, verifyTypedData, Wallet } from "ethers";
import {
  addOwnerTypedData,
  auditAnswerTypedData,
  challengeKeyTypedData,
  dataSetUpdateTypedData,
  delegateEncryptionKeyTypedData,
  delegateRevocationTypedData,
  delegateSnapshotTypedData,
  delegationTypedData,
  keyRecordsTypedData,
  keyRecordTypedData,
  oprfAnswerTypedData,
  ownershipTypedData,
  recoveryApprovalTypedData,
  recoveryOpeningTypedData,
  recoveryRetirementTypedData,
  recoveryVetoTypedData,
  releaseReceiptTypedData,
  releaseRequestTypedData,
  sessionTypedData,
  shareDeliveryTypedData,
  shareHandoverTypedData,
  shareRequestTypedData,
  successionTypedData,
  type TypedData,
} from "../../../offchain/core/identity/typed-messages.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import vectors from "../../vectors/eip712.json" with { type: "json" };

const account = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const ledger = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
const word = (digit: string) => `0x${digit.repeat(64)}`;

const session = { account, audience: other, nonce: word("1"), expiresAt: 1_790_003_600n };
const shareRequest = {
  recordId: word("2"),
  account,
  sessionKey: word("3"),
  node: other,
  expiresAt: 1_790_003_600n,
};
const keyRecord = {
  account,
  fileTag: word("4"),
  committeeId: 1n,
  keyTime: 1_790_000_000n,
  ownershipKey: other,
  payloadHash: word("5"),
  deadline: 1_790_000_600n,
};
const keyRecords = { account, recordIds: [word("5"), word("6")], deadline: 1_790_000_600n };
const ownership = { recordId: word("6"), owner: account };
const addOwner = { ...ownership, noteHash: word("7"), deadline: 1_790_000_600n };
const dataSetUpdate = {
  dataSetId: word("9"),
  version: 7n,
  retirements: 2n,
  rangesHash: word("a"),
  contentHash: word("b"),
  deadlineBlock: 24_000_000n,
};

const recovery = {
  secretId: word("f"),
  path: 1n,
  proposer: account,
  requester: other,
  sessionKey: word("3"),
  number: 4n,
};

const messages: Record<string, TypedData<object>> = {
  Session: sessionTypedData(31_337n, ledger, session),
  ShareRequest: shareRequestTypedData(31_337n, ledger, shareRequest),
  ShareDelivery: shareDeliveryTypedData(31_337n, ledger, {
    recordId: word("2"),
    account,
    node: other,
    sealedHash: word("3"),
    expiresAt: 1_790_003_600n,
  }),
  ShareHandover: shareHandoverTypedData(31_337n, ledger, {
    node: other,
    successor: account,
    committeeId: 1n,
    generation: 7n,
    after: 65n,
    expiresAt: 1_790_003_600n,
  }),
  KeyRecord: keyRecordTypedData(31_337n, ledger, keyRecord),
  KeyRecords: keyRecordsTypedData(31_337n, ledger, keyRecords),
  Ownership: ownershipTypedData(31_337n, ledger, ownership),
  AddOwner: addOwnerTypedData(31_337n, ledger, addOwner),
  DataSetUpdate: dataSetUpdateTypedData(31_337n, ledger, dataSetUpdate),
  AuditAnswer: auditAnswerTypedData(31_337n, ledger, {
    dataSetId: word("9"),
    challengeId: word("c"),
    proofHash: word("d"),
  }),
  ChallengeKey: challengeKeyTypedData(31_337n, ledger, { provider: other, key: word("e") }),
  ReleaseRequest: releaseRequestTypedData(31_337n, ledger, {
    secret: word("8"),
    account,
    sessionKey: word("3"),
    node: other,
    expiresAt: 1_790_003_600n,
  }),
  ReleaseReceipt: releaseReceiptTypedData(31_337n, ledger, {
    secret: word("8"),
    recordId: word("2"),
    version: 3n,
    author: account,
    policy: other,
    policyDataHash: word("4"),
    evidenceHash: word("5"),
    account,
    sessionKey: word("3"),
    blockNumber: 24_000_000n,
    blockHash: word("b"),
    releasedAt: 1_790_000_600n,
  }),
  RecoveryOpening: recoveryOpeningTypedData(31_337n, ledger, { ...recovery, deadline: 1_790_000_600n }),
  RecoveryApproval: recoveryApprovalTypedData(31_337n, ledger, { ...recovery, guardian: other }),
  RecoveryVeto: recoveryVetoTypedData(31_337n, ledger, { secretId: word("f"), path: 1n, proposer: account }),
  RecoveryRetirement: recoveryRetirementTypedData(31_337n, ledger, {
    ledger: other,
    recordId: word("2"),
    firstVersion: 2n,
    author: account,
  }),
  Succession: successionTypedData(31_337n, ledger, {
    account,
    successor: other,
    handoverHash: word("7"),
    deadline: 1_790_000_600n,
  }),
  Delegation: delegationTypedData(31_337n, ledger, {
    account,
    key: other,
    scopes: 2n,
    expiresAt: 1_797_776_000n,
    deadline: 1_790_000_600n,
  }),
  DelegateRevocation: delegateRevocationTypedData(31_337n, ledger, { by: account, key: other }),
  DelegateEncryptionKey: delegateEncryptionKeyTypedData(31_337n, ledger, {
    account,
    key: other,
    encryptionKey: word("9"),
  }),
  DelegateSnapshot: delegateSnapshotTypedData(31_337n, ledger, {
    account,
    key: other,
    provider: account,
    position: 7n,
    time: 1_800_000_000n,
    previous: word("a"),
    sealedHash: word("b"),
  }),
  OprfAnswer: oprfAnswerTypedData(31_337n, ledger, {
    committeeId: 3n,
    generation: 1n,
    keyMaterialHash: word("e"),
    index: 2n,
    account: other,
    blinded: word("f"),
    evaluated: word("1"),
    c: word("2"),
    s: word("3"),
  }),
};

describe("core/eip712", () => {
  for (const [contract, names] of Object.entries({
    KeyLedger: ["KeyRecord", "KeyRecords", "Ownership", "AddOwner"],
    OprfDisputes: ["OprfAnswer"],
    AccountDirectory: ["Succession", "Delegation", "DelegateRevocation"],
  })) {
    it(`has the type strings that ${contract} hashes`, () => {
      const file = new URL(`../../../contracts/${contract}.sol`, import.meta.url);
      // Solidity joins literals that follow each other.
      const source = readFileSync(file, "utf8").replace(/"\s+"/g, "");
      for (const name of names) {
        const { types } = messages[name] ?? { types: {} };
        expect(source).to.contain(`"${TypedDataEncoder.from(types).encodeType(name)}"`);
      }
    });
  }

  it("has the type strings and digests of the vectors", () => {
    expect(Object.keys(messages).sort()).to.deep.equal(Object.keys(vectors.messages).sort());
    for (const [name, { type, digest }] of Object.entries(vectors.messages)) {
      const typed = messages[name];
      if (typed === undefined) throw new Error(`no message ${name}`);
      expect(typed.primaryType).to.equal(name);
      expect(TypedDataEncoder.from(typed.types).encodeType(name)).to.equal(type);
      expect(TypedDataEncoder.hash(typed.domain, typed.types, { ...typed.message }), name).to.equal(digest);
    }
  });

  it("is signed and verified by ethers as it is", async () => {
    const wallet = new Wallet(id("somebody"));
    for (const { domain, types, message } of Object.values(messages)) {
      const signature = await wallet.signTypedData(domain, types, { ...message });
      expect(verifyTypedData(domain, types, { ...message }, signature)).to.equal(wallet.address);
    }
  });

  it("has a contract in the domain of every message", () => {
    const without = Object.entries(messages).filter(([, { domain }]) => domain.verifyingContract === undefined);
    expect(without.map(([name]) => name)).to.deep.equal([]);
  });

  it("is another digest on another chain and for another contract", () => {
    const digest = ({ domain, types, message }: TypedData<object>) =>
      TypedDataEncoder.hash(domain, types, { ...message });
    const all = [
      keyRecordTypedData(31_337n, ledger, keyRecord),
      keyRecordTypedData(1n, ledger, keyRecord),
      keyRecordTypedData(31_337n, other, keyRecord),
      keyRecordTypedData(31_337n, ledger, { ...keyRecord, deadline: 1n }),
    ].map(digest);
    expect(new Set(all).size).to.equal(4);
  });

  it("refuses malformed fields by name", () => {
    const refused = (call: () => unknown, name: string) =>
      expectRejection(call, "INVALID_INPUT", new RegExp(`field ${name} `));
    refused(() => sessionTypedData(1n, ledger, { ...session, account: "0x12" }), "account");
    refused(() => sessionTypedData(1n, ledger, { ...session, audience: "alice.eth" }), "audience");
    refused(() => sessionTypedData(1n, ledger, { ...session, nonce: word("1").slice(0, -2) }), "nonce");
    refused(() => sessionTypedData(1n, ledger, { ...session, expiresAt: -1n }), "expiresAt");
    refused(() => sessionTypedData(1n, ledger, { ...session, expiresAt: 1n << 64n }), "expiresAt");
    refused(() => keyRecordTypedData(1n, "0x", keyRecord), "verifyingContract");
    refused(() => ownershipTypedData(1n, ledger, { ...ownership, recordId: word("8").slice(0, 50) }), "recordId");
    const words = { ...keyRecords, recordIds: [word("5"), "0x12"] };
    expectRejection(() => keyRecordsTypedData(1n, ledger, words), "INVALID_INPUT", /recordIds\[1\]/);
    const noList: unknown = { ...keyRecords, recordIds: word("5") };
    refused(() => keyRecordsTypedData(1n, ledger, noList as typeof keyRecords), "recordIds");
    const numeric: unknown = { ...addOwner, deadline: 5 };
    refused(() => addOwnerTypedData(1n, ledger, numeric as typeof addOwner), "deadline");
  });
});
