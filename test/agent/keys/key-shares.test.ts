/** Rebuilding a file key from nodes that fail and lie. */
import { expect } from "chai";
import { HDNodeWallet, keccak256 } from "ethers";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import type { VerifiedRecord } from "../../../offchain/agent/keys/archives.ts";
import { fromAnySet, rebuildFromRecord } from "../../../offchain/agent/keys/key-shares.ts";
import type { NbmClient } from "../../../offchain/agent/keys/nbm-client.ts";
import type { NodeReport } from "../../../offchain/agent/keys/node-reports.ts";
import type { ShareMember } from "../../../offchain/agent/keys/share-collection.ts";
import { headerOf, recordIdOf } from "../../../offchain/chain/ledger.ts";
import { type HpkeKeyPair, hpkeKeyPairFromSeed, hpkeSeal } from "../../../offchain/core/crypto/hpke.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { shareRequestTypedData } from "../../../offchain/core/identity/typed-messages.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileTag,
  openShare,
  ownershipAddress,
  parseRecordPayload,
  resealShare,
} from "../../../offchain/core/record/key-record.ts";
import type { ShareRequestBody } from "../../../offchain/core/wire/nbm.ts";

const SIZE = 5;
const THRESHOLD = 3;
const SCOPE = { chainId: 31_337n, keyLedger: "0x00000000000000000000000000000000000000aa" };
const wallet = HDNodeWallet.fromPhrase("test test test test test test test test test test test junk");
const account = new AgentAccount(fromHex(wallet.privateKey));
const fileKey = new Uint8Array(32).fill(9);
const dataId = contentId(new Uint8Array([1, 2, 3]));
const nodeKeys = Array.from({ length: SIZE }, (_, i) => hpkeKeyPairFromSeed(new Uint8Array(32).fill(i + 1)));
const ownKeys = hpkeKeyPairFromSeed(new Uint8Array(32).fill(99));

type Reply = (index: number, request: ShareRequestBody) => Promise<{ index: number; sealed: Uint8Array }>;

async function makeRecord(): Promise<VerifiedRecord> {
  const payload = await buildRecordPayload({
    ledger: SCOPE,
    fileKey,
    dataId,
    account: account.address,
    committeeId: 1n,
    keyTime: 1000n,
    policy: committeePolicy(SIZE, THRESHOLD),
    committeeKeys: nodeKeys.map(({ publicKey }) => publicKey),
    catalogueKey: new Uint8Array(32).fill(5),
  });
  const record = {
    account: account.address,
    fileTag: toHex(fileTag(dataId)),
    committeeId: 1n,
    keyTime: 1000n,
    ownershipKey: ownershipAddress(fileKey),
    payload,
  };
  const id = recordIdOf(headerOf(record));
  return {
    recordId: id,
    record,
    payload: parseRecordPayload(payload),
    shared: false,
    source: "test",
    ownerNotes: new Map(),
  };
}

describe("key shares: a file key out of nodes that fail and lie", () => {
  let found: VerifiedRecord;

  /** What an honest node does, and checks. */
  const honestly: Reply = async (index, request) => {
    const typed = shareRequestTypedData(SCOPE.chainId, SCOPE.keyLedger, {
      recordId: found.recordId,
      account: request.account,
      sessionKey: request.sessionKey,
      node: operatorOf(index),
      expiresAt: BigInt(request.expiresAt),
    });
    expect(await account.sign(typed)).to.equal(request.signature);
    const keys = nodeKeys[index - 1] as HpkeKeyPair;
    const share = await openShare(found.payload, SCOPE, found.record, index, keys.privateKey);
    const context = { index, account: request.account };
    return { index, sealed: await resealShare(SCOPE, found.record, context, fromHex(request.sessionKey), share) };
  };
  const down: Reply = async (index) => {
    throw new TallystickError(`node ${index} cannot be reached`, { code: "UNREACHABLE", retryable: true });
  };
  /** A share that is not the recorded one, sealed as it should be. */
  const wrongShare: Reply = async (index, request) => {
    const share = new Uint8Array(64).fill(index);
    const context = { index, account: request.account };
    return { index, sealed: await resealShare(SCOPE, found.record, context, fromHex(request.sessionKey), share) };
  };
  const garbage: Reply = async (index) => ({ index, sealed: new Uint8Array(112).fill(7) });
  const forSomebodyElse: Reply = async (index) => ({
    index,
    sealed: await hpkeSeal(ownKeys.publicKey, new Uint8Array(), new Uint8Array(), new Uint8Array(64)),
  });
  const anothersIndex: Reply = async (index, request) =>
    await honestly((index % SIZE) + 1, { ...request }).catch(() => ({ index: 99, sealed: new Uint8Array(112) }));

  const operatorOf = (index: number) => `0x${keccak256(Uint8Array.of(index)).slice(2, 42)}`;
  const members = (replies: readonly Reply[], stakes: readonly bigint[] = []): ShareMember[] =>
    replies.map((reply, position) => {
      const index = position + 1;
      const client = { share: async (_id: string, request: ShareRequestBody) => await reply(index, request) };
      return {
        index,
        operator: operatorOf(index),
        stakeWei: stakes[position] ?? 1n,
        exitAt: 0,
        url: `http://node-${index}`,
        client: client as unknown as NbmClient,
      };
    });
  const rebuild = async (replies: readonly Reply[], stakes?: readonly bigint[]) =>
    await rebuildFromRecord(found, dataId, { id: 1n }, members(replies, stakes), {
      account,
      ledger: SCOPE,
    });

  before(async () => {
    found = await makeRecord();
  });

  it("asks k nodes when they are honest", async () => {
    const { fileKey: rebuilt, nodes } = await rebuild(Array(SIZE).fill(honestly));
    expect(rebuilt).to.deep.equal(fileKey);
    expect(nodes.map(({ answer }) => answer).sort()).to.deep.equal([
      "not asked",
      "not asked",
      "right",
      "right",
      "right",
    ]);
  });

  it("asks the assigned nodes first, and the next ones in place of those that fail", async () => {
    // So much more than 1 that the order of the draws does not matter.
    const [most, more] = [2n ** 127n, 2n ** 62n];
    const stakes = [1n, most, more, most, most];
    const answersOf = async (replies: readonly Reply[]) =>
      (await rebuild(replies, stakes)).nodes.map(({ answer }) => answer);
    const honest: Reply[] = Array(SIZE).fill(honestly);
    expect(await answersOf(honest)).to.deep.equal(["not asked", "right", "not asked", "right", "right"]);
    expect(await answersOf(honest.with(3, down))).to.deep.equal([
      "not asked",
      "right",
      "right",
      "UNREACHABLE",
      "right",
    ]);
  });

  const lies: [string, Reply, string][] = [
    ["is down", down, "UNREACHABLE"],
    ["sends a wrong share, well sealed", wrongShare, "INTEGRITY"],
    ["sends garbage", garbage, "INTEGRITY"],
    ["seals to another key", forSomebodyElse, "INTEGRITY"],
    ["answers with another member's share", anothersIndex, "BAD_RESPONSE"],
  ];
  for (const [what, lie, code] of lies) {
    it(`does without any two of five when each of them ${what}, and names them`, async () => {
      for (const [a, b] of [
        [0, 1],
        [1, 4],
        [2, 3],
      ]) {
        const replies = Array.from({ length: SIZE }, (_, i) => (i === a || i === b ? lie : honestly));
        const { fileKey: rebuilt, nodes } = await rebuild(replies);
        expect(rebuilt).to.deep.equal(fileKey);
        for (const { index, answer } of nodes) {
          const honest = index - 1 !== a && index - 1 !== b;
          expect(answer).to.be.oneOf(honest ? ["right"] : [code, "not asked"]);
        }
      }
    });
  }

  it("asks others when two of five never answer, and says so of them", async () => {
    const never: Reply = () => new Promise(() => {});
    const started = Date.now();
    for (const [a, b] of [
      [0, 1],
      [2, 4],
    ]) {
      const replies = Array.from({ length: SIZE }, (_, i) => (i === a || i === b ? never : honestly));
      const { fileKey: rebuilt, nodes } = await rebuild(replies);
      expect(rebuilt).to.deep.equal(fileKey);
      for (const { index, answer } of nodes) {
        expect(answer).to.be.oneOf(index - 1 === a || index - 1 === b ? ["TIMED_OUT", "not asked"] : ["right"]);
      }
    }
    expect(Date.now() - started).to.be.lessThan(30_000);
  });

  it("says what every node answered when fewer than k are right", async () => {
    let error: unknown;
    await rebuild([down, honestly, wrongShare, honestly, garbage]).catch((failure: unknown) => {
      error = failure;
    });
    expect(error).to.include({ code: "SHARES_MISSING", check: "right shares", retryable: true });
    const { details } = error as TallystickError;
    const answers = ((details?.nodes ?? []) as NodeReport[]).map(({ answer }) => answer);
    expect(answers).to.deep.equal(["UNREACHABLE", "right", "INTEGRITY", "right", "INTEGRITY"]);
  });

  for (const code of ["NOT_OWNER", "NOT_DELEGATED", "OUT_OF_SCOPE", "ACCOUNT_REPLACED"] as const) {
    it(`says ${code}, and not to wait, when so many nodes do that no k are left`, async () => {
      const no: Reply = async () => {
        throw new TallystickError("no", { code, check: "revocation", expected: "none", hint: "make a new key" });
      };
      const error = await rebuild([no, no, down, no, honestly]).catch((failure: unknown) => failure);
      expect(error).to.include({ code, party: "committee 1", check: "revocation", hint: "make a new key" });
      expect(error).to.include({ retryable: false });
      // Two nodes, which may lie, do not make it so.
      const few = await rebuild([no, no, down, honestly, honestly]).catch((failure: unknown) => failure);
      expect(few).to.include({ code: "SHARES_MISSING", retryable: true });
    });
  }

  it("goes on with other sets of members where one lacks shares or refuses, and tells a refusal at last", async () => {
    const no: Reply = async () => {
      throw new TallystickError("no owner", { code: "NOT_OWNER" });
    };
    const replaced: Reply = async () => {
      throw new TallystickError("replaced", { code: "ACCOUNT_REPLACED" });
    };
    const all = (reply: Reply): Reply[] => Array(SIZE).fill(reply);
    let asked = 0;
    const tried = async (...sets: Reply[][]) => {
      asked = 0;
      const places = async function* () {
        for (const replies of sets) yield members(replies);
      };
      return await fromAnySet(places(), async (some) => {
        asked += 1;
        return await rebuildFromRecord(found, dataId, { id: 1n }, some, { account, ledger: SCOPE });
      });
    };
    expect((await tried(all(no), all(down), all(honestly))).fileKey).to.deep.equal(fileKey);
    const refused = async (...sets: Reply[][]) => await tried(...sets).catch((failure: unknown) => failure);
    expect(await refused(all(down), all(no))).to.include({ code: "NOT_OWNER", party: "committee 1" });
    expect(asked).to.equal(2);
    expect(await refused(all(down), all(down))).to.include({ code: "SHARES_MISSING" });
    expect(await refused(all(replaced), all(honestly))).to.include({ code: "ACCOUNT_REPLACED" });
    expect(asked).to.equal(1);
  });

  it("says that this computer's clock is wrong when every node refuses for that reason", async () => {
    const early: Reply = async () => {
      const details = { nowSeconds: Math.floor(Date.now() / 1000) + 3000 };
      throw new TallystickError("the share request has expired", {
        code: "INVALID_SIGNATURE",
        check: "clock",
        details,
      });
    };
    const error = await rebuild([early, early, down, early, early]).catch((failure: unknown) => failure);
    expect(error).to.include({ code: "INVALID_SIGNATURE", party: "you", check: "clock" });
    expect((error as Error).message).to.equal("this computer's clock is 50 minutes behind the key nodes'");
  });

  it("refuses a record whose right shares rebuild another key", async () => {
    const other = { ...found, record: { ...found.record, ownershipKey: ownershipAddress(new Uint8Array(32).fill(8)) } };
    const saved = found;
    found = other;
    try {
      let error: unknown;
      await rebuild(Array(SIZE).fill(honestly)).catch((failure: unknown) => {
        error = failure;
      });
      expect(error).to.include({ code: "INTEGRITY", check: "MAC of the file key" });
    } finally {
      found = saved;
    }
  });
});
