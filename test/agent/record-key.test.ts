/** Which records an account relies on: its own, somebody else's that is as good, or a new one. */
import { expect } from "chai";
import { Wallet } from "ethers";
import { AgentAccount } from "../../offchain/agent/account.ts";
import type { VerifiedRecord } from "../../offchain/agent/archives.ts";
import { ensureKeyOwnership, type RecordKeyContext } from "../../offchain/agent/record-key.ts";
import { headerOf, recordDigest, recordIdOf } from "../../offchain/chain/ledger.ts";
import { KeyLedger__factory } from "../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { contentId } from "../../offchain/core/content-id.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { fromHex, toHex } from "../../offchain/core/hex.ts";
import { hpkeKeyPairFromSeed } from "../../offchain/core/hpke.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileTag,
  ownershipAddress,
  parseRecordPayload,
  type SharePolicy,
} from "../../offchain/core/key-record.ts";
import { expectAsyncRejection } from "../core/rejection.ts";

const ABI = KeyLedger__factory.createInterface();
const LEDGER = "0x00000000000000000000000000000000000000aa";
const SIZE = 5;
const THRESHOLD = 3;
const dataId = contentId(new Uint8Array([1, 2, 3]));
const fileKey = new Uint8Array(32).fill(9);
const us = new AgentAccount(fromHex(Wallet.createRandom().privateKey));
const somebody = Wallet.createRandom().address;
const keys = Array.from({ length: SIZE }, (_, i) => hpkeKeyPairFromSeed(new Uint8Array(32).fill(i + 1)).publicKey);

async function recordBy(account: string, policy: SharePolicy): Promise<VerifiedRecord> {
  const payload = await buildRecordPayload({
    fileKey,
    dataId,
    account,
    committeeId: 1n,
    keyTime: 1000n,
    policy,
    committeeKeys: Array.from({ length: policy.shares }, (_, i) => keys[i % SIZE] as Uint8Array),
    selfPublicKey: keys[0] as Uint8Array,
    catalogueKey: new Uint8Array(32).fill(5),
  });
  const ownershipKey = ownershipAddress(fileKey);
  const record = { account, fileTag: toHex(fileTag(dataId)), committeeId: 1n, keyTime: 1000n, ownershipKey, payload };
  const recordId = recordIdOf(account, record.fileTag);
  return { recordId, record, payload: parseRecordPayload(payload), source: "test", ownerNotes: new Map() };
}

describe("the key record that an account relies on", () => {
  let found: VerifiedRecord;
  /** What each node says of its share. */
  let states: string[];
  /** What nodes were asked to relay; none does. */
  let asked: Set<string>;
  let members: Uint8Array[];

  beforeEach(() => {
    states = Array(SIZE).fill("valid");
    asked = new Set();
    members = [...keys];
  });

  const call = async ({ data }: { data: string }): Promise<string> => {
    const parsed = ABI.parseTransaction({ data });
    if (parsed?.name === "isOwner") return ABI.encodeFunctionResult("isOwner", [false]);
    const known = String(parsed?.args[0]) === found.recordId;
    const digest = known ? recordDigest(headerOf(found.record)) : `0x${"00".repeat(24)}`;
    return ABI.encodeFunctionResult("recordState", [{ keyTime: known ? 1000n : 0n, digest, shared: false }]);
  };

  function context(): RecordKeyContext {
    const relay = (what: string) => async (): Promise<never> => {
      asked.add(what);
      throw new TallystickError("no relaying here", { code: "UNREACHABLE", check: what });
    };
    const nodes = states.map((share, i) => ({
      name: `node ${i + 1}`,
      url: `http://node-${i + 1}`,
      record: async () => ({ share }),
      relayRecord: relay("a record of its own"),
      relayOwner: relay("to join"),
    }));
    return {
      chain: {
        deployment: { chainId: 1, contracts: { keyLedger: LEDGER } },
        provider: { call, getBlock: async () => ({ timestamp: 2000 }) },
      },
      account: us,
      committee: {
        id: 1n,
        size: SIZE,
        threshold: THRESHOLD,
        members: members.map((hpkePublicKey, i) => ({ index: i + 1, operator: somebody, hpkePublicKey })),
      },
      nodes,
      archives: { find: async () => ({ records: [found], reports: [] }) },
      hpkePublicKey: keys[0],
      catalogueKey: new Uint8Array(32).fill(6),
    } as unknown as RecordKeyContext;
  }

  const ensure = () => ensureKeyOwnership(context(), dataId, fileKey, "committee");

  it("is somebody else's where that is as good as one of its own", async () => {
    found = await recordBy(somebody, committeePolicy(SIZE, THRESHOLD));
    await expectAsyncRejection(ensure, "UNREACHABLE");
    expect([...asked]).to.deep.equal(["to join"]);
  });

  const worse: [string, SharePolicy][] = [
    ["takes more nodes to rebuild", committeePolicy(SIZE, SIZE)],
    ["takes fewer nodes to rebuild", committeePolicy(SIZE, THRESHOLD - 1)],
    ["has fewer shares", committeePolicy(SIZE - 1, THRESHOLD)],
    ["has shares for nobody", committeePolicy(SIZE + 1, THRESHOLD)],
    ["reveals a part to fewer nodes", { ...committeePolicy(SIZE, THRESHOLD), privacy: 1 }],
  ];
  for (const [what, policy] of worse) {
    it(`is a new one where somebody else's ${what}`, async () => {
      found = await recordBy(somebody, policy);
      await expectAsyncRejection(ensure, "UNREACHABLE");
      expect([...asked]).to.deep.equal(["a record of its own"]);
    });
  }

  it("is a new one where a node says that it cannot open its share of somebody else's", async () => {
    found = await recordBy(somebody, committeePolicy(SIZE, THRESHOLD));
    states[1] = "invalid";
    await expectAsyncRejection(ensure, "UNREACHABLE");
    expect([...asked]).to.deep.equal(["a record of its own"]);
  });

  it("stays its own when n − k nodes say that they cannot open their shares: such a node may lie", async () => {
    found = await recordBy(us.address, committeePolicy(SIZE, THRESHOLD));
    states[0] = "invalid";
    states[3] = "invalid";
    expect(await ensure()).to.deep.equal({ recordId: found.recordId, role: "recorder", isNew: false });
    expect([...asked]).to.deep.equal([]);
  });

  it("is made anew when fewer than k nodes can open their shares", async () => {
    found = await recordBy(us.address, committeePolicy(SIZE, THRESHOLD));
    states = ["valid", "invalid", "invalid", "valid", "invalid"];
    await expectAsyncRejection(ensure, "UNREACHABLE");
    expect([...asked]).to.deep.equal(["a record of its own"]);
  });
});
