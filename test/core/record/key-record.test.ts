/** Key records: what the ledger carries, who can open it, and what happens when somebody lies. */

import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import { AbiCoder, computeAddress, getAddress, keccak256 } from "ethers";
import fc from "fast-check";
import { type HpkeKeyPair, hpkeKeyPairFromSeed, hpkeSeal } from "../../../offchain/core/crypto/hpke.ts";
import { domainTag } from "../../../offchain/core/crypto/kdf.ts";
import { combineShares, splitSecret } from "../../../offchain/core/crypto/ramp-sharing.ts";
import { addressOfPrivateKey, checksumAddress } from "../../../offchain/core/encoding/address.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileScope,
  fileTag,
  type KeyRecordHeader,
  type LedgerScope,
  openOwnKey,
  openResealedShare,
  openSelfEnvelope,
  openShare,
  ownershipAddress,
  ownershipKey,
  parseRecordPayload,
  payloadLength,
  type RecordPayload,
  type RecordPayloadInput,
  rebuildFileKey,
  resealShare,
  SEALED_POLICY,
  SELF_POLICY,
  type SharePolicy,
  sealSelfEnvelope,
  verifyRecordForKey,
  verifyShare,
} from "../../../offchain/core/record/key-record.ts";
import { encodeRecordPayload } from "../../../offchain/core/record/payload.ts";
import { expectAsyncRejection, expectRejection } from "../../helpers/rejection.ts";
import vectors from "../../vectors/key-record.json" with { type: "json" };

/** Where n, k and r are: after version, recipients and self envelope. */
const SHARING_AT = 83;
const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);
const account = "0x00000000000000000000000000000000DeaDBeef";
const laterOwner = "0x00000000000000000000000000000000cafebabe";
const keyTime = 1_790_000_000n;
const committeeId = 7n;
const dataId = contentId(new TextEncoder().encode("root recipe"));
const fileKey = filled(32, 0x42);
const catalogueKey = filled(32, 0x17);
const own = hpkeKeyPairFromSeed(filled(32, 0x99));
const ledger: LedgerScope = { chainId: 31_337n, keyLedger: "0x00000000000000000000000000000000000000aA" };
/** The same chain with other contracts, and the same address on another chain. */
const elsewhere: LedgerScope[] = [
  { ...ledger, keyLedger: "0x00000000000000000000000000000000000000aB" },
  { ...ledger, chainId: 1n },
];

function header(): KeyRecordHeader {
  const ownership = ownershipAddress(fileKey);
  return { account, fileTag: toHex(fileTag(dataId)), committeeId, keyTime, ownershipKey: ownership };
}

function nodeKeys(count: number): HpkeKeyPair[] {
  return Array.from({ length: count }, (_, position) => hpkeKeyPairFromSeed(filled(32, position + 1)));
}

function input(policy: SharePolicy, changes: Partial<RecordPayloadInput> = {}): RecordPayloadInput {
  const committeeKeys = nodeKeys(policy.shares).map(({ publicKey }) => publicKey);
  const fixed = { ledger, fileKey, dataId, account, committeeId, keyTime, catalogueKey };
  return { ...fixed, policy, committeeKeys, ...changes };
}

/** The shares of a record as its nodes open them. */
async function openAll(payload: RecordPayload, keys: HpkeKeyPair[]): Promise<Map<number, Uint8Array>> {
  const shares = new Map<number, Uint8Array>();
  for (const [position, { privateKey }] of keys.entries()) {
    shares.set(position + 1, await openShare(payload, ledger, header(), position + 1, privateKey));
  }
  return shares;
}

function subsets(indices: number[], size: number): number[][] {
  if (size === 0) return [[]];
  return indices.flatMap((index, at) => subsets(indices.slice(at + 1), size - 1).map((rest) => [index, ...rest]));
}

describe("core/key-record", () => {
  const policy = committeePolicy(5, 3);
  const keys = nodeKeys(5);
  let bytes: Uint8Array;
  let payload: RecordPayload;
  let shares: Map<number, Uint8Array>;

  const pick = (indices: number[]) => new Map([...shares].filter(([index]) => indices.includes(index)));

  before(async () => {
    bytes = await buildRecordPayload(input(policy));
    payload = parseRecordPayload(bytes);
    shares = await openAll(payload, keys);
  });

  describe("names", () => {
    it("compute the file scope as abi.encode and keccak-256 do", () => {
      const tag = fileTag(dataId);
      const encoded = AbiCoder.defaultAbiCoder().encode(
        ["address", "bytes32"],
        [getAddress(account.toLowerCase()), tag],
      );
      expect(toHex(fileScope(account, tag))).to.equal(keccak256(encoded));
    });

    it("compute addresses as ethers does", () => {
      fc.assert(
        fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (seed) => {
          const key = ownershipKey(seed);
          expect(addressOfPrivateKey(key)).to.equal(computeAddress(toHex(key)));
          expect(checksumAddress(seed.subarray(0, 20))).to.equal(getAddress(toHex(seed.subarray(0, 20))));
        }),
        { numRuns: 10 },
      );
    });

    it("match the vectors", () => {
      for (const vector of vectors.names) {
        const key = filled(32, vector.fileKeyByte);
        expect(toHex(fileTag(vector.dataId))).to.equal(vector.fileTag);
        expect(toHex(fileScope(vector.account, fileTag(vector.dataId)))).to.equal(vector.fileScope);
        expect(toHex(ownershipKey(key))).to.equal(vector.ownershipKey);
        expect(ownershipAddress(key)).to.equal(vector.ownershipAddress);
      }
    });

    it("refuse malformed accounts, tags and keys", () => {
      expectRejection(() => fileScope("0x1234", fileTag(dataId)), "INVALID_INPUT", /account/);
      expectRejection(() => fileScope(account, filled(31, 1)), "INVALID_INPUT", /file tag has 31/);
      expectRejection(() => addressOfPrivateKey(filled(32, 0)), "INVALID_INPUT", /private key/);
      expectRejection(() => addressOfPrivateKey(filled(32, 0xff)), "INVALID_INPUT", /private key/);
    });
  });

  describe("payload", () => {
    it("is 806 bytes for (5, 3, 2), 83 for the recorder alone and 260 when it is sealed", async () => {
      expect(bytes.length).to.equal(payloadLength(policy));
      expect(bytes.length).to.equal(806);
      expect((await buildRecordPayload(input(SELF_POLICY))).length).to.equal(83);
      expect(payloadLength(SEALED_POLICY)).to.equal(260);
    });

    it("has the lengths the layout says, for any policy", async () => {
      for (const [size, threshold] of [
        [1, 1],
        [2, 2],
        [3, 2],
        [9, 5],
      ] as const) {
        const any = committeePolicy(size, threshold);
        expect((await buildRecordPayload(input(any))).length).to.equal(5 + 81 + size * (32 + 48 + 64));
      }
    });

    it("survives parsing and encoding", () => {
      expect(toHex(encodeRecordPayload(payload))).to.equal(toHex(bytes));
      expect(payload.policy).to.deep.equal(policy);
    });

    it("matches the vector: parses, opens and rebuilds bytes made by an earlier build", async () => {
      const known = parseRecordPayload(Uint8Array.from(Buffer.from(vectors.payload.bytes.slice(2), "hex")));
      const opened = await openAll(known, keys);
      expect([...opened.values()].map(toHex)).to.deep.equal(vectors.payload.shares);
      expect(known.commitments.map(toHex)).to.deep.equal(vectors.payload.commitments);
      expect(toHex(known.selfEnvelope)).to.equal(vectors.payload.selfEnvelope);
      expect(toHex(rebuildFileKey(known, header(), opened, dataId))).to.equal(toHex(fileKey));
      verifyRecordForKey(ledger, known, header(), fileKey, dataId);
      for (const other of elsewhere) {
        expectRejection(
          () => verifyRecordForKey(other, known, header(), fileKey, dataId),
          "INTEGRITY",
          /does not hold/,
        );
      }
    });

    it("makes equal shares and commitments every time, and fresh envelopes", async () => {
      const again = parseRecordPayload(await buildRecordPayload(input(policy)));
      expect(again.commitments).to.deep.equal(payload.commitments);
      expect(again.envelopes[0]).to.not.deep.equal(payload.envelopes[0]);
    });

    it("of an unknown version is refused as such, whatever follows", () => {
      for (const version of [0, 2, 255]) {
        for (const unknown of [bytes.with(0, version), Uint8Array.of(version)]) {
          expectRejection(() => parseRecordPayload(unknown), "UNKNOWN_VERSION", /key record has format version/);
        }
      }
    });

    it("that is empty, truncated anywhere or oversize is refused", () => {
      for (let length = 0; length < bytes.length; length += 1) {
        expectRejection(() => parseRecordPayload(bytes.subarray(0, length)), "INTEGRITY", /malformed/);
      }
      expectRejection(() => parseRecordPayload(Uint8Array.of(...bytes, 0)), "INTEGRITY", /length/);
    });

    it("with unknown recipients or an impossible policy is refused", () => {
      expectRejection(() => parseRecordPayload(bytes.with(1, 0)), "INTEGRITY", /recipients/);
      expectRejection(() => parseRecordPayload(bytes.with(1, 4)), "INTEGRITY", /recipients/);
      for (const others of [2, 3]) {
        expectRejection(() => parseRecordPayload(bytes.with(1, others)), "INTEGRITY", /length/);
      }
      const [shareCount, threshold, privacy] = [SHARING_AT, SHARING_AT + 1, SHARING_AT + 2];
      expectRejection(() => parseRecordPayload(bytes.with(shareCount, 33)), "INTEGRITY", /policy/);
      expectRejection(() => parseRecordPayload(bytes.with(threshold, 6)), "INTEGRITY", /policy/);
      expectRejection(() => parseRecordPayload(bytes.with(threshold, 0)), "INTEGRITY", /policy/);
      expectRejection(() => parseRecordPayload(bytes.with(privacy, 3)), "INTEGRITY", /policy/);
    });

    it("of which fewer than k members learn a part is neither made nor read: several would add up", async () => {
      for (const [shares, threshold, privacy] of [
        [5, 3, 1],
        [8, 4, 0],
        [32, 32, 30],
      ] as const) {
        const ramp: SharePolicy = { shares, threshold, privacy, recipients: "shares" };
        await expectAsyncRejection(() => buildRecordPayload(input(ramp)), "INVALID_INPUT", /add up/);
        const shareBytes = Math.ceil(64 / (threshold - privacy));
        const written = new Uint8Array(5 + 81 + shares * (32 + 48 + shareBytes));
        written.set([1, 1]);
        written.set([shares, threshold, privacy], SHARING_AT);
        expectRejection(() => parseRecordPayload(written), "INTEGRITY", /policy/);
      }
    });

    it("is not made for impossible input", async () => {
      const refused = (changes: Partial<RecordPayloadInput>, message: RegExp) =>
        expectAsyncRejection(() => buildRecordPayload(input(policy, changes)), "INVALID_INPUT", message);
      await refused({ committeeKeys: keys.slice(1).map(({ publicKey }) => publicKey) }, /5 shares .* 4 committee/);
      await refused({ fileKey: filled(31, 1) }, /file key has 31 bytes/);
      await refused({ dataId: "bafy" }, /content id/);
      await refused({ account: "0x12" }, /account/);
      await refused({ keyTime: -1n }, /64-bit/);
      await refused({ catalogueKey: filled(16, 1) }, /catalogue key/);
      await refused({ policy: { ...policy, privacy: 3 } }, /\(5, 3, 3\)/);
      await refused({ policy: { ...policy, recipients: "self" } }, /no shares/);
      await refused({ policy: SEALED_POLICY, committeeKeys: [] }, /sealed to the committee/);
      await refused({ policy: SELF_POLICY }, /0 shares .* 5 committee/);
      await refused({ ledger: { ...ledger, keyLedger: "0x12" } }, /key ledger/);
      await refused({ policy: committeePolicy(33, 3), committeeKeys: [] }, /at most 32 shares/);
      const zeroKeys = [filled(32, 0), ...keys.slice(1).map(({ publicKey }) => publicKey)];
      await expectAsyncRejection(() => buildRecordPayload(input(policy, { committeeKeys: zeroKeys })), "INVALID_POINT");
    });
  });

  describe("shares", () => {
    /** Shares of one record, as its members open them. */
    async function sharesOf(changes: Partial<RecordPayloadInput>): Promise<Map<number, Uint8Array>> {
      const made = parseRecordPayload(await buildRecordPayload(input(policy, changes)));
      const { account: by, committeeId, keyTime, ledger: scope } = input(policy, changes);
      const of = { ...header(), account: by, committeeId, keyTime };
      const opened = keys.map(({ privateKey }, i) => openShare(made, scope, of, i + 1, privateKey));
      return new Map((await Promise.all(opened)).map((share, i) => [i + 1, share]));
    }

    it("of two records of a key do not add up: of other committees, times, accounts or deployments", async () => {
      const bytesOf = (rebuilt: ReadonlyMap<number, Uint8Array>) => toHex(combineShares(rebuilt, policy, 64));
      const first = await sharesOf({});
      const others: Partial<RecordPayloadInput>[] = [
        { committeeId: 8n },
        { keyTime: 1_790_000_001n },
        { account: `0x${"12".repeat(20)}` },
        { ledger: { ...ledger, chainId: 5n } },
        { ledger: { ...ledger, keyLedger: `0x${"34".repeat(20)}` } },
      ];
      for (const changes of others) {
        const second = await sharesOf(changes);
        for (const [index, share] of second) expect(share, JSON.stringify(index)).to.not.deep.equal(first.get(index));
        // Two members of one record and one of the other: k together, each group fewer.
        const mixed = new Map([...first].slice(0, 2).concat([...second].slice(2, 3)));
        expect(bytesOf(mixed)).to.not.equal(bytesOf(first));
        expect(bytesOf(second)).to.equal(bytesOf(first));
      }
      expect([...(await sharesOf({})).values()].map(toHex)).to.deep.equal([...first.values()].map(toHex));
    });

    it("rebuild the file key from any 3 of 5", () => {
      for (const quorum of subsets([1, 2, 3, 4, 5], 3)) {
        expect(rebuildFileKey(payload, header(), pick(quorum), dataId), String(quorum)).to.deep.equal(fileKey);
      }
    });

    it("rebuild from 3 right ones although the 2 others are wrong", () => {
      const mixed = new Map([...shares]).set(1, filled(64, 1)).set(4, shares.get(5) ?? filled(64, 0));
      expect(rebuildFileKey(payload, header(), mixed, dataId)).to.deep.equal(fileKey);
    });

    it("below the threshold fail with the right and the wrong ones named", () => {
      const mixed = pick([1, 2, 3]).set(2, filled(64, 2));
      const error = expectRejection(
        () => rebuildFileKey(payload, header(), mixed, dataId),
        "SHARES_MISSING",
        /2 right shares of 3 needed; wrong shares: 2/,
      );
      expect(error.details).to.deep.equal({ right: [1, 3], wrong: [2] });
      const none = expectRejection(
        () => rebuildFileKey(payload, header(), new Map(), dataId),
        "SHARES_MISSING",
        /^0 right/,
      );
      expect(none.details).to.deep.equal({ right: [], wrong: [] });
    });

    it("are told right from wrong one by one: any flipped bit, other length, other index, other record", () => {
      const scope = fileScope(account, fileTag(dataId));
      const share = shares.get(1) ?? filled(64, 0);
      expect(verifyShare(payload, scope, 1, share)).to.equal(true);
      fc.assert(
        fc.property(fc.nat(64 * 8 - 1), (bit) => {
          const flipped = share.with(bit >> 3, (share[bit >> 3] ?? 0) ^ (1 << (bit & 7)));
          expect(verifyShare(payload, scope, 1, flipped)).to.equal(false);
        }),
      );
      expect(verifyShare(payload, scope, 1, share.subarray(0, 63))).to.equal(false);
      expect(verifyShare(payload, scope, 1, Uint8Array.of(...share, 0))).to.equal(false);
      const short = sha256(concatBytes(domainTag("share"), scope, Uint8Array.of(0, 0, 0, 1), share.subarray(0, 63)));
      const committedShort = { ...payload, commitments: payload.commitments.with(0, short) };
      expect(verifyShare(committedShort, scope, 1, share.subarray(0, 63))).to.equal(false);
      expect(verifyShare(payload, scope, 2, share)).to.equal(false);
      expect(verifyShare(payload, scope, 0, share)).to.equal(false);
      expect(verifyShare(payload, scope, 6, share)).to.equal(false);
      expect(verifyShare(payload, fileScope(laterOwner, fileTag(dataId)), 1, share)).to.equal(false);
    });

    it("of a record that was made wrongly rebuild nothing, and the recorder is named", async () => {
      const wrongOwnership = { ...header(), ownershipKey: account };
      const error = expectRejection(
        () => rebuildFileKey(payload, wrongOwnership, shares, dataId),
        "INTEGRITY",
        /no key of this file/,
      );
      expect(error.party).to.equal(`recorder ${account}`);
      // Right commitments to shares of another key.
      const otherKey = filled(32, 0x43);
      const other = parseRecordPayload(await buildRecordPayload(input(policy, { fileKey: otherKey })));
      const opened = await openAll(other, keys);
      expectRejection(() => rebuildFileKey(other, header(), opened, dataId), "INTEGRITY", /no key of this file/);
    });

    it("that rebuild the right key with a wrong MAC are refused", () => {
      const scope = fileScope(account, fileTag(dataId));
      const made = splitSecret(concatBytes(fileKey, filled(32, 0)), policy, "random");
      const commitments = made.map((share, at) =>
        sha256(concatBytes(domainTag("share"), scope, Uint8Array.of(0, 0, 0, at + 1), share)),
      );
      const wrongMac = new Map(made.map((share, at) => [at + 1, share]));
      expectRejection(
        () => rebuildFileKey({ ...payload, commitments }, header(), wrongMac, dataId),
        "INTEGRITY",
        /no key of this file/,
      );
    });

    it("of another file are not taken for this one", () => {
      const otherId = contentId(filled(3, 3));
      expectRejection(() => rebuildFileKey(payload, header(), shares, otherId), "INVALID_INPUT", /another file/);
    });
  });

  describe("envelopes", () => {
    const refused = (changes: Partial<KeyRecordHeader>, index = 1, key = keys[0]) =>
      expectAsyncRejection(
        () => openShare(payload, ledger, { ...header(), ...changes }, index, key?.privateKey ?? filled(32, 0)),
        "INTEGRITY",
      );

    it("open for nobody but their recipient", async () => {
      await refused({}, 1, keys[1]);
      await refused({}, 1, own);
    });

    it("are bound to account, file, committee and time", async () => {
      await refused({ account: laterOwner });
      await refused({ fileTag: toHex(filled(32, 1)) });
      await refused({ committeeId: 8n });
      await refused({ keyTime: keyTime + 1n });
    });

    it("are bound to chain and key ledger: copied into another deployment's record they do not open", async () => {
      for (const other of elsewhere) {
        const error = await expectAsyncRejection(
          () => openShare(payload, other, header(), 1, keys[0]?.privateKey ?? filled(32, 0)),
          "INTEGRITY",
        );
        expect(error.check).to.equal("HPKE");
      }
    });

    it("are bound to their index", async () => {
      const [first, second, ...rest] = payload.envelopes;
      if (first === undefined || second === undefined) throw new Error("no envelopes");
      const swapped = { ...payload, envelopes: [second, first, ...rest] };
      const error = await expectAsyncRejection(
        () => openShare(swapped, ledger, header(), 2, keys[0]?.privateKey ?? filled(32, 0)),
        "INTEGRITY",
      );
      expect(error.check).to.equal("HPKE");
    });

    it("that hold another share than committed are found out by the node that opens them", async () => {
      const forged = { ...payload, commitments: payload.commitments.with(0, filled(32, 1)) };
      const error = await expectAsyncRejection(
        () => openShare(forged, ledger, header(), 1, keys[0]?.privateKey ?? filled(32, 0)),
        "INTEGRITY",
        /share 1 is not the one/,
      );
      expect(error.check).to.equal("share commitment");
    });

    it("do not exist beyond the number of shares", async () => {
      for (const index of [0, 6, -1, 1.5]) {
        await expectAsyncRejection(
          () => openShare(payload, ledger, header(), index, own.privateKey),
          "INVALID_INPUT",
          /no share/,
        );
      }
    });

    it("do not exist in a record for the recorder alone, whose self envelope holds the key", async () => {
      const record = parseRecordPayload(await buildRecordPayload(input(SELF_POLICY)));
      expect(record.envelopes).to.deep.equal([]);
      expectRejection(() => rebuildFileKey(record, header(), new Map(), dataId), "INVALID_INPUT", /no shares/);
      expect(openOwnKey({ ledger, catalogueKey }, header(), record.selfEnvelope)).to.deep.equal({ dataId, fileKey });
      verifyRecordForKey(ledger, record, header(), fileKey, dataId);
      expectRejection(() => verifyRecordForKey(ledger, record, header(), filled(32, 1), dataId), "INTEGRITY");
    });
  });

  describe("re-sealed shares", () => {
    const session = hpkeKeyPairFromSeed(filled(32, 0x55));
    const context = { index: 2, account: laterOwner };
    let share: Uint8Array;
    let reply: Uint8Array;

    beforeEach(async () => {
      share = shares.get(2) ?? filled(64, 0);
      reply = await resealShare(ledger, header(), context, session.publicKey, share);
    });

    it("open with the session key", async () => {
      const opened = await openResealedShare(payload, ledger, header(), context, session.privateKey, reply);
      expect(opened).to.deep.equal(share);
    });

    it("are bound to index, account, record and time", async () => {
      for (const [changedHeader, changedContext] of [
        [header(), { ...context, index: 3 }],
        [header(), { ...context, account }],
        [{ ...header(), account: laterOwner }, context],
        [{ ...header(), keyTime: 1n }, context],
      ] as const) {
        await expectAsyncRejection(
          () => openResealedShare(payload, ledger, changedHeader, changedContext, session.privateKey, reply),
          "INTEGRITY",
        );
      }
    });

    it("are bound to chain and key ledger", async () => {
      for (const other of elsewhere) {
        await expectAsyncRejection(
          () => openResealedShare(payload, other, header(), context, session.privateKey, reply),
          "INTEGRITY",
        );
      }
    });

    it("that hold a wrong share are refused", async () => {
      const lie = await resealShare(ledger, header(), context, session.publicKey, filled(64, 9));
      const error = await expectAsyncRejection(
        () => openResealedShare(payload, ledger, header(), context, session.privateKey, lie),
        "INTEGRITY",
        /share 2 is not/,
      );
      expect(error.check).to.equal("share commitment");
    });

    it("that are truncated, or sealed for another purpose, are refused", async () => {
      const open = (sealed: Uint8Array) =>
        openResealedShare(payload, ledger, header(), context, session.privateKey, sealed);
      await expectAsyncRejection(() => open(reply.subarray(0, 47)), "INTEGRITY", /too short/);
      await expectAsyncRejection(() => open(reply.subarray(0, -1)), "INTEGRITY", /does not open/);
      const foreign = await hpkeSeal(session.publicKey, domainTag("share-envelope"), new Uint8Array(0), share);
      await expectAsyncRejection(() => open(foreign), "INTEGRITY", /does not open/);
    });
  });

  describe("a record made by somebody else", () => {
    it("passes when it holds the key the caller has", () => {
      verifyRecordForKey(ledger, payload, header(), fileKey, dataId);
    });

    it("does not pass with a foreign key, commitment or ownership key", () => {
      expectRejection(
        () => verifyRecordForKey(ledger, payload, header(), filled(32, 1), dataId),
        "INTEGRITY",
        /does not hold/,
      );
      const forged = { ...payload, commitments: payload.commitments.with(3, filled(32, 1)) };
      const error = expectRejection(() => verifyRecordForKey(ledger, forged, header(), fileKey, dataId), "INTEGRITY");
      expect(error.check).to.equal("commitment of share 4");
      const otherHeader = { ...header(), ownershipKey: account };
      expectRejection(() => verifyRecordForKey(ledger, payload, otherHeader, fileKey, dataId), "INTEGRITY");
    });
  });

  describe("self envelope", () => {
    const scope = fileScope(account, fileTag(dataId));
    const context = { ledger, fileScope: scope, catalogueKey };
    const secret = { dataId, fileKey };

    it("gives data id and file key back to its account, from the payload or from a later owner's note", () => {
      expect(openSelfEnvelope(context, payload.selfEnvelope)).to.deep.equal(secret);
      const joiner = { ...context, catalogueKey: own.privateKey };
      const note = sealSelfEnvelope(joiner, secret);
      // What the ledger takes as a note.
      expect(note.length).to.equal(81).and.to.be.at.most(128);
      expect(openOwnKey(joiner, header(), note)).to.deep.equal(secret);
    });

    it("opens with no other key, for no other record or deployment, and not when a bit is flipped", () => {
      const envelope = payload.selfEnvelope;
      const sameNonce = scope.with(31, (scope[31] ?? 0) ^ 1);
      for (const changes of [
        { catalogueKey: filled(32, 1) },
        { fileScope: filled(32, 1) },
        { fileScope: sameNonce },
        ...elsewhere.map((other) => ({ ledger: other })),
      ]) {
        expectRejection(() => openSelfEnvelope({ ...context, ...changes }, envelope), "INTEGRITY");
      }
      fc.assert(
        fc.property(fc.integer({ min: 8, max: 81 * 8 - 1 }), (bit) => {
          const flipped = envelope.with(bit >> 3, (envelope[bit >> 3] ?? 0) ^ (1 << (bit & 7)));
          expectRejection(() => openSelfEnvelope(context, flipped), "INTEGRITY");
        }),
        { numRuns: 30 },
      );
    });

    it("with the key of another file is refused, whoever made it", () => {
      const wrongKey = sealSelfEnvelope(context, { dataId, fileKey: filled(32, 1) });
      const keyError = expectRejection(() => openOwnKey({ ledger, catalogueKey }, header(), wrongKey), "INTEGRITY");
      expect(keyError.check).to.equal("ownership key");
      const wrongFile = sealSelfEnvelope(context, { dataId: contentId(filled(3, 3)), fileKey });
      const fileError = expectRejection(() => openOwnKey({ ledger, catalogueKey }, header(), wrongFile), "INTEGRITY");
      expect(fileError.check).to.equal("file tag");
    });

    it("of an unknown version, truncated, oversize or empty is refused", () => {
      const envelope = payload.selfEnvelope;
      expectRejection(() => openSelfEnvelope(context, envelope.with(0, 2)), "UNKNOWN_VERSION");
      for (const other of [envelope.subarray(0, 80), Uint8Array.of(...envelope, 0), new Uint8Array(0)]) {
        const error = expectRejection(() => openSelfEnvelope(context, other), "INTEGRITY", /does not open/);
        expect(error.received).to.equal(`${other.length} bytes`);
      }
    });

    it("is not made for a malformed key", () => {
      expectRejection(() => sealSelfEnvelope(context, { dataId, fileKey: filled(31, 1) }), "INVALID_INPUT", /31 bytes/);
      const short = { ...context, catalogueKey: filled(16, 1) };
      expectRejection(() => sealSelfEnvelope(short, secret), "INVALID_INPUT", /catalogue key/);
    });
  });
});
