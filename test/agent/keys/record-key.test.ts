/** Which records an account relies on: its own, somebody else's that is as good, or a new one. */
import { expect } from "chai";
import { Wallet } from "ethers";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import type { FindOptions, VerifiedRecord } from "../../../offchain/agent/keys/archives.ts";
import type { RecordFilter } from "../../../offchain/agent/keys/nbm-client.ts";
import { ensureKeyOwnership, type RecordKeyContext } from "../../../offchain/agent/keys/record-key.ts";
import { SILENT } from "../../../offchain/agent/progress.ts";
import { headerOf, type KeyRecord, recordIdOf } from "../../../offchain/chain/ledger.ts";
import { KeyLedger__factory } from "../../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { hpkeKeyPairFromSeed } from "../../../offchain/core/crypto/hpke.ts";
import { isAddressEqual } from "../../../offchain/core/encoding/address.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { multiplyBase, randomScalar, ristretto255Group } from "../../../offchain/core/oprf/group.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileTag,
  openShare,
  ownershipAddress,
  parseRecordPayload,
  type RecordPayload,
  SEALED_POLICY,
  SELF_POLICY,
  type SharePolicy,
  type ShareRecipient,
} from "../../../offchain/core/record/key-record.ts";
import {
  buildSealedPayload,
  recordSecretLabel,
  verifySealedForKey,
} from "../../../offchain/core/record/sealed-record.ts";
import { sealSecret } from "../../../offchain/core/sealed-secrets/sealed-secret.ts";
import { dealKey } from "../../helpers/oprf-committee.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const ABI = KeyLedger__factory.createInterface();
const LEDGER = "0x00000000000000000000000000000000000000aa";
const REGISTRY = "0x00000000000000000000000000000000000000bb";
const OWNERS_POLICY = "0x00000000000000000000000000000000000000cc";
const SCOPE = { chainId: 1n, keyLedger: LEDGER };
const SIZE = 5;
const THRESHOLD = 3;
const dataId = contentId(new Uint8Array([1, 2, 3]));
const fileKey = new Uint8Array(32).fill(9);
const us = new AgentAccount(fromHex(Wallet.createRandom().privateKey));
const catalogueKey = new Uint8Array(32).fill(6);
const somebody = Wallet.createRandom().address;
const keys = Array.from({ length: SIZE }, (_, i) => hpkeKeyPairFromSeed(new Uint8Array(32).fill(i + 1)).publicKey);

async function recordBy(
  account: string,
  policy: SharePolicy,
  { keyTime = 1000n, secret = fileKey } = {},
): Promise<VerifiedRecord> {
  const payload = await buildRecordPayload({
    ledger: SCOPE,
    fileKey: secret,
    dataId,
    account,
    committeeId: 1n,
    keyTime,
    policy,
    committeeKeys: Array.from({ length: policy.shares }, (_, i) => keys[i % SIZE] as Uint8Array),
    catalogueKey: account === us.address ? catalogueKey : new Uint8Array(32).fill(5),
  });
  const ownershipKey = ownershipAddress(fileKey);
  const record = { account, fileTag: toHex(fileTag(dataId)), committeeId: 1n, keyTime, ownershipKey, payload };
  const recordId = recordIdOf(headerOf(record));
  const parsed = parseRecordPayload(payload);
  return { recordId, record, payload: parsed, shared: false, source: "test", ownerNotes: new Map() };
}

/** S of a committee whose shares nobody needs here, and what its members' shares verify with. */
let groupKey: Uint8Array;
let verificationShares: Uint8Array[];

/** @param over of the header that is sealed under, where the recorder seals wrongly */
function sealedBy(account: string, { keyTime = 1000n, committeeId = 1n, over = {} } = {}): VerifiedRecord {
  const seal = { ledger: SCOPE, ownersPolicy: OWNERS_POLICY, groupKey };
  const header = {
    account,
    fileTag: toHex(fileTag(dataId)),
    committeeId,
    keyTime,
    ownershipKey: ownershipAddress(fileKey),
  };
  const key = account === us.address ? catalogueKey : new Uint8Array(32).fill(5);
  const made = { seal, header: { ...header, ...over }, fileKey, dataId, catalogueKey: key };
  const record = { ...header, payload: buildSealedPayload(made) };
  const payload = parseRecordPayload(record.payload);
  return {
    recordId: recordIdOf(headerOf(record)),
    ...{ record, payload, shared: false, source: "test", ownerNotes: new Map() },
  };
}

describe("the key record that an account relies on", () => {
  let found: VerifiedRecord;
  /** What each node says of its share. */
  let states: string[];
  /** What nodes were asked to relay; none does. */
  let asked: Set<string>;
  let members: Uint8Array[];
  /** The last record that a node was to relay. */
  let relayed: RecordPayload | undefined;
  /** Records that the ledger shows this account as a later owner of. */
  let joined: Set<string>;
  /** What archives have beside the record, and before it. */
  let others: VerifiedRecord[];
  /** Whether archives have the record. */
  let archived: boolean;
  /** The records that nodes were asked about. */
  let judged: Set<string>;
  let committeeId: bigint;
  /** What archives were asked for. */
  let filters: RecordFilter[];
  /** What a search for records of an ownership key waits for. */
  let searching: ((signal: AbortSignal | undefined) => Promise<void>) | undefined;
  /** Records that were found wrong. */
  let blamed: unknown[];

  before(async () => {
    await oprfReady();
    const key = randomScalar();
    groupKey = multiplyBase(key);
    verificationShares = dealKey(ristretto255Group, key, THRESHOLD, SIZE).map((dealt) => dealt.verificationShare);
  });
  beforeEach(() => {
    others = [];
    archived = true;
    judged = new Set();
    committeeId = 1n;
    filters = [];
    searching = undefined;
    blamed = [];
    joined = new Set();
    states = Array(SIZE).fill("valid");
    asked = new Set();
    members = [...keys];
  });

  const call = async ({ to, data }: { to: string; data: string }): Promise<string> => {
    if (isAddressEqual(to, REGISTRY)) throw new Error("the registry is not asked: keys come with the committee");
    const parsed = ABI.parseTransaction({ data });
    const asked = String(parsed?.args[0]);
    if (parsed?.name === "isOwner") return ABI.encodeFunctionResult("isOwner", [joined.has(asked)]);
    const isKnown = [found, ...others].some(({ recordId }) => recordId === asked);
    return ABI.encodeFunctionResult("recordedAt", [isKnown ? 1000n : 0n]);
  };

  function context(): RecordKeyContext {
    const relay =
      (what: string) =>
      async (request: unknown): Promise<never> => {
        asked.add(what);
        const { record } = request as { record?: { payload: string } };
        relayed = record === undefined ? undefined : parseRecordPayload(fromHex(record.payload));
        throw new TallystickError("no relaying here", { code: "UNREACHABLE", check: what });
      };
    const nodes = states.map((share, i) => ({
      name: `node ${i + 1}`,
      url: `http://node-${i + 1}`,
      record: async (recordId: string) => {
        judged.add(recordId);
        return { share: recordId === found.recordId ? share : "invalid" };
      },
      relayRecord: relay("a record of its own"),
      relayOwner: async (_id: string, request: unknown) => await relay("to join")(request),
    }));
    return {
      chain: {
        deployment: {
          chainId: 1,
          contracts: { keyLedger: LEDGER, nodeRegistry: REGISTRY, ownersPolicy: OWNERS_POLICY },
        },
        provider: { call, getBlock: async () => ({ timestamp: 2000 }) },
      },
      account: us,
      committee: {
        id: committeeId,
        size: SIZE,
        threshold: THRESHOLD,
        keys: { record: { groupPublicKey: groupKey, verificationShares } },
        members: members.map((hpkePublicKey, i) => ({ index: i + 1, operator: somebody, hpkePublicKey })),
      },
      nodes,
      archives: {
        find: async (filter: RecordFilter, { signal }: FindOptions = {}) => {
          filters.push(filter);
          if (filter.ownershipKey !== undefined) await searching?.(signal);
          const records = archived ? [...others, found] : others;
          return { records: records.filter(({ record }) => fits(filter, record)), reports: [] };
        },
      },
      catalogueKey,
      logger: { ...SILENT, warn: (facts: { recordId?: string }) => blamed.push(facts.recordId) },
    } as unknown as RecordKeyContext;
  }

  /** Of records that nobody has joined. */
  function fits({ account, ownershipKey, committeeId: id }: RecordFilter, record: KeyRecord): boolean {
    return (
      (account === undefined || record.account === account) &&
      (ownershipKey === undefined || record.ownershipKey === ownershipKey) &&
      (id === undefined || record.committeeId === id)
    );
  }

  const ensure = (recipients: ShareRecipient = "shares") => ensureKeyOwnership(context(), dataId, fileKey, recipients);
  const ensureAny = () => ensureKeyOwnership(context(), dataId, fileKey, undefined);

  it("is somebody else's where that is as good as one of its own", async () => {
    found = await recordBy(somebody, committeePolicy(SIZE, THRESHOLD));
    await expectAsyncRejection(() => ensure(), "UNREACHABLE");
    expect([...asked]).to.deep.equal(["to join"]);
  });

  const worse: [string, SharePolicy][] = [
    ["takes more nodes to rebuild", committeePolicy(SIZE, SIZE)],
    ["takes fewer nodes to rebuild", committeePolicy(SIZE, THRESHOLD - 1)],
    ["has fewer shares", committeePolicy(SIZE - 1, THRESHOLD)],
    ["has shares for nobody", committeePolicy(SIZE + 1, THRESHOLD)],
  ];
  for (const [what, policy] of worse) {
    it(`is a new one where somebody else's ${what}`, async () => {
      found = await recordBy(somebody, policy);
      await expectAsyncRejection(() => ensure(), "UNREACHABLE");
      expect([...asked]).to.deep.equal(["a record of its own"]);
    });
  }

  it("is somebody else's that it has joined before, and nobody is asked to relay", async () => {
    found = await recordBy(somebody, committeePolicy(SIZE, THRESHOLD));
    joined.add(found.recordId);
    expect(await ensure()).to.deep.equal({ recordId: found.recordId, role: "owner", isNew: false });
    expect([...asked]).to.deep.equal([]);
  });

  it("is the older one of two by somebody else where the newer one holds another key", async () => {
    found = await recordBy(somebody, committeePolicy(SIZE, THRESHOLD));
    const secret = new Uint8Array(32);
    others = [await recordBy(somebody, committeePolicy(SIZE, THRESHOLD), { keyTime: 1001n, secret })];
    joined.add(found.recordId);
    expect(await ensure()).to.deep.equal({ recordId: found.recordId, role: "owner", isNew: false });
  });

  it("is the newest good one of its own", async () => {
    const usual = committeePolicy(SIZE, THRESHOLD);
    const wrong = { keyTime: 1002n, secret: new Uint8Array(32).fill(1) };
    found = await recordBy(us.address, usual, { keyTime: 1001n });
    others = [await recordBy(us.address, usual), await recordBy(us.address, usual, wrong)];
    expect(await ensure()).to.deep.equal({ recordId: found.recordId, role: "recorder", isNew: false });
    expect([...asked]).to.deep.equal([]);
  });

  it("is its own while others' are still being looked for, which ends then", async () => {
    found = await recordBy(us.address, committeePolicy(SIZE, THRESHOLD));
    let asks: AbortSignal | undefined;
    searching = async (signal) => {
      asks = signal;
      await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    };
    expect(await ensure()).to.deep.equal({ recordId: found.recordId, role: "recorder", isNew: false });
    expect(asks?.aborted).to.equal(true);
  });

  it("is none when others' cannot be looked for, rather than a second transaction for the same key", async () => {
    found = await recordBy(somebody, committeePolicy(SIZE, THRESHOLD));
    searching = async () => {
      throw new TallystickError("no archive can be asked", { code: "CHAIN_UNAVAILABLE" });
    };
    await expectAsyncRejection(() => ensure(), "CHAIN_UNAVAILABLE");
    expect([...asked]).to.deep.equal([]);
  });

  it("is a new one where a node says that it cannot open its share of somebody else's", async () => {
    found = await recordBy(somebody, committeePolicy(SIZE, THRESHOLD));
    states[1] = "invalid";
    await expectAsyncRejection(() => ensure(), "UNREACHABLE");
    expect([...asked]).to.deep.equal(["a record of its own"]);
  });

  it("stays its own when n − k nodes say that they cannot open their shares: such a node may lie", async () => {
    found = await recordBy(us.address, committeePolicy(SIZE, THRESHOLD));
    states[0] = "invalid";
    states[3] = "invalid";
    expect(await ensure()).to.deep.equal({ recordId: found.recordId, role: "recorder", isNew: false });
    expect([...asked]).to.deep.equal([]);
  });

  it("is made without the members that have withdrawn or registered a key of low order", async () => {
    found = await recordBy(somebody, committeePolicy(SIZE, SIZE));
    members[1] = new Uint8Array(0);
    members[4] = Uint8Array.of(1, ...new Uint8Array(31));
    await expectAsyncRejection(() => ensure(), "UNREACHABLE");
    expect([...asked]).to.deep.equal(["a record of its own"]);
    const { envelopes } = relayed as RecordPayload;
    const header = { account: us.address, fileTag: toHex(fileTag(dataId)), committeeId: 1n, keyTime: 2000n };
    for (const position of envelopes.keys()) {
      const index = position + 1;
      const opened = openShare(
        relayed as RecordPayload,
        SCOPE,
        { ...header, ownershipKey: somebody },
        index,
        hpkeKeyPairFromSeed(new Uint8Array(32).fill(index)).privateKey,
      );
      const isLeft = position !== 1 && position !== 4;
      expect(await opened.then(() => true).catch(() => false), `share ${index}`).to.equal(isLeft);
    }
  });

  it("is not made when fewer than k members are left, and names them", async () => {
    found = await recordBy(somebody, committeePolicy(SIZE, SIZE));
    for (const position of [0, 2]) members[position] = new Uint8Array(0);
    members[3] = new Uint8Array(32);
    const error = await expectAsyncRejection(() => ensure(), "CONFLICT");
    for (const index of [1, 3, 4]) expect(error.received).to.contain(`member ${index} `);
    expect([...asked]).to.deep.equal([]);
  });

  describe("when the account's own is of an earlier committee, whose nodes cannot be asked", () => {
    beforeEach(async () => {
      committeeId = 2n;
      found = await recordBy(us.address, committeePolicy(SIZE, THRESHOLD));
    });

    it("is a new one, which takes nothing from those who have joined the other", async () => {
      found = { ...found, shared: true };
      await expectAsyncRejection(() => ensure(), "UNREACHABLE");
      expect([...asked]).to.deep.equal(["a record of its own"]);
    });
  });

  it("is made again where no archive shows it", async () => {
    found = await recordBy(us.address, committeePolicy(SIZE, THRESHOLD));
    archived = false;
    await expectAsyncRejection(() => ensure(), "UNREACHABLE");
    expect([...asked]).to.deep.equal(["a record of its own"]);
  });

  describe("when many have recorded the file, with shares that nodes cannot open", () => {
    const usual = committeePolicy(SIZE, THRESHOLD);
    beforeEach(async () => {
      found = await recordBy(somebody, usual);
      const useless = Array.from({ length: 10 }, () => recordBy(Wallet.createRandom().address, usual));
      others = await Promise.all(useless);
    });

    it("is one of its own after eight of theirs were looked at", async () => {
      await expectAsyncRejection(() => ensure(), "UNREACHABLE");
      expect([...asked]).to.deep.equal(["a record of its own"]);
      expect(judged.size).to.equal(8);
    });

    it("is a good one that others have joined already, wherever it stands", async () => {
      found = { ...found, shared: true };
      await expectAsyncRejection(() => ensure(), "UNREACHABLE");
      expect([...asked]).to.deep.equal(["to join"]);
      expect([...judged]).to.deep.equal([found.recordId]);
    });

    it("is a good one after any number whose ownership key is another: these are not of the file", async () => {
      others = others.map((other) => ({ ...other, record: { ...other.record, ownershipKey: somebody } }));
      await expectAsyncRejection(() => ensure(), "UNREACHABLE");
      expect([...asked]).to.deep.equal(["to join"]);
      const of = { fileTag: toHex(fileTag(dataId)) };
      expect(filters).to.deep.equal([
        { ...of, account: us.address },
        { ...of, ownershipKey: ownershipAddress(fileKey), committeeId },
      ]);
    });
  });

  it("cannot be restricted to its account later: shares that the committee has cannot be taken back", async () => {
    found = await recordBy(us.address, committeePolicy(SIZE, THRESHOLD));
    const error = await expectAsyncRejection(() => ensure("self"), "CONFLICT", /committee 1/);
    expect(error.received).to.contain(found.recordId);
    expect([...asked]).to.deep.equal([]);
  });

  it("for its account alone stays so unless the committee is asked for, which gets a new one", async () => {
    found = await recordBy(us.address, SELF_POLICY);
    const kept = { recordId: found.recordId, role: "recorder", isNew: false };
    expect(await ensureAny()).to.deep.equal(kept);
    expect(await ensure("self")).to.deep.equal(kept);
    expect([...asked]).to.deep.equal([]);
    await expectAsyncRejection(() => ensure("shares"), "UNREACHABLE");
    expect([...asked]).to.deep.equal(["a record of its own"]);
    expect((relayed as RecordPayload).policy).to.deep.equal(committeePolicy(SIZE, THRESHOLD));
  });

  it("is made for its account alone where only somebody else has recorded for the committee", async () => {
    found = await recordBy(somebody, committeePolicy(SIZE, THRESHOLD));
    await expectAsyncRejection(() => ensure("self"), "UNREACHABLE");
    expect([...asked]).to.deep.equal(["a record of its own"]);
    expect((relayed as RecordPayload).policy).to.deep.equal(SELF_POLICY);
  });

  it("is made anew when its self envelope is of another deployment", async () => {
    found = await recordBy(us.address, committeePolicy(SIZE, THRESHOLD));
    const { selfEnvelope } = parseRecordPayload(
      await buildRecordPayload({
        ledger: { ...SCOPE, chainId: 2n },
        fileKey,
        dataId,
        account: us.address,
        committeeId: 1n,
        keyTime: 1000n,
        policy: SELF_POLICY,
        committeeKeys: [],
        catalogueKey,
      }),
    );
    found = { ...found, payload: { ...found.payload, selfEnvelope } };
    await expectAsyncRejection(() => ensure(), "UNREACHABLE");
    expect([...asked]).to.deep.equal(["a record of its own"]);
  });

  describe("when keys are sealed to the committee, as they are unless shares are asked for", () => {
    it("is one of its own, which asks nothing of the nodes", async () => {
      found = sealedBy(us.address);
      states = Array(SIZE).fill("invalid");
      const kept = { recordId: found.recordId, role: "recorder", isNew: false };
      expect(await ensureAny()).to.deep.equal(kept);
      expect(await ensure("sealed")).to.deep.equal(kept);
      expect([...judged]).to.deep.equal([]);
    });

    it("is somebody else's that holds the key, and nobody's whose sealed key is of another record", async () => {
      found = sealedBy(somebody);
      await expectAsyncRejection(ensureAny, "UNREACHABLE");
      expect([...asked]).to.deep.equal(["to join"]);
      asked.clear();
      found = sealedBy(somebody, { over: { keyTime: 999n } });
      await expectAsyncRejection(ensureAny, "UNREACHABLE");
      expect([...asked]).to.deep.equal(["a record of its own"]);
    });

    it("is nobody's who sealed another key, or the right one with a scalar that others cannot compute", async () => {
      for (const secret of [new Uint8Array(32), fileKey]) {
        asked.clear();
        found = sealedBy(somebody);
        const seal = { ledger: SCOPE, ownersPolicy: OWNERS_POLICY, groupKey };
        const sealedKey = sealSecret(groupKey, recordSecretLabel(seal, found.record), secret.slice());
        found = { ...found, payload: { ...found.payload, sealedKey } };
        await expectAsyncRejection(ensureAny, "UNREACHABLE");
        expect([...asked]).to.deep.equal(["a record of its own"]);
      }
    });

    it("is a new one that opens with the key, where there is none, or one of another committee", async () => {
      found = sealedBy(us.address, { committeeId: 2n });
      await expectAsyncRejection(ensureAny, "UNREACHABLE");
      expect([...asked]).to.deep.equal(["a record of its own"]);
      expect(relayed?.policy).to.deep.equal(SEALED_POLICY);
      const header = { ...found.record, committeeId: 1n, keyTime: 2000n };
      const seal = { ledger: SCOPE, ownersPolicy: OWNERS_POLICY, groupKey };
      verifySealedForKey(relayed as RecordPayload, header, seal, fileKey, dataId);
    });

    it("is a new one of shares where these are asked for, and one of its own shares where nothing is", async () => {
      found = sealedBy(us.address);
      await expectAsyncRejection(() => ensure("shares"), "UNREACHABLE");
      expect(relayed?.policy).to.deep.equal(committeePolicy(SIZE, THRESHOLD));
      found = await recordBy(us.address, committeePolicy(SIZE, THRESHOLD));
      expect(await ensureAny()).to.deep.equal({ recordId: found.recordId, role: "recorder", isNew: false });
    });

    it("is neither judged by keys of the committee that do not belong together, nor sealed to them", async () => {
      const right = verificationShares;
      verificationShares = right.with(4, right[0] as Uint8Array);
      try {
        for (const account of [us.address, somebody]) {
          found = sealedBy(account);
          await expectAsyncRejection(ensureAny, "INVALID_POINT", /member 5/);
        }
        archived = false;
        await expectAsyncRejection(ensureAny, "INVALID_POINT", /member 5/);
      } finally {
        verificationShares = right;
      }
      expect([...asked]).to.deep.equal([]);
      expect(blamed).to.deep.equal([]);
    });

    it("is not made anew because something else failed while the one that there is was judged", async () => {
      const sealed = sealedBy(us.address);
      const failing = new Proxy(sealed.payload, {
        get: (payload, name) => {
          if (name !== "sealedKey") return Reflect.get(payload, name);
          throw new TallystickError("the chain does not answer", { code: "CHAIN_UNAVAILABLE" });
        },
      });
      found = { ...sealed, payload: failing };
      await expectAsyncRejection(ensureAny, "CHAIN_UNAVAILABLE");
      expect([...asked]).to.deep.equal([]);
      expect(blamed).to.deep.equal([]);
    });

    it("cannot be restricted to its account later", async () => {
      found = sealedBy(us.address);
      await expectAsyncRejection(() => ensure("self"), "CONFLICT", /committee 1/);
    });
  });

  it("is made anew when fewer than k nodes can open their shares", async () => {
    found = await recordBy(us.address, committeePolicy(SIZE, THRESHOLD));
    states = ["valid", "invalid", "invalid", "valid", "invalid"];
    await expectAsyncRejection(() => ensure(), "UNREACHABLE");
    expect([...asked]).to.deep.equal(["a record of its own"]);
  });
});
