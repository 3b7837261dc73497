import { expect } from "chai";
import { getAddress, JsonRpcProvider, ZeroAddress } from "ethers";
import type { AgentContext } from "../../../offchain/agent/context.ts";
import type { VerifiedRecord } from "../../../offchain/agent/keys/archives.ts";
import { openFileKey } from "../../../offchain/agent/keys/file-key.ts";
import { SILENT } from "../../../offchain/agent/progress.ts";
import { directoryAbi, ledgerAbi } from "../../../offchain/chain/abis.ts";
import { headerOf, recordIdOf } from "../../../offchain/chain/ledger.ts";
import { hpkeKeyPairFromSeed } from "../../../offchain/core/crypto/hpke.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileScope,
  fileTag,
  ownershipAddress,
  parseRecordPayload,
  SELF_POLICY,
  sealSelfEnvelope,
} from "../../../offchain/core/record/key-record.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const SCOPE = { chainId: 1n, keyLedger: "0x00000000000000000000000000000000000000aa" };
const us = "0x00000000000000000000000000000000DeaDBeef";
const somebody = "0x00000000000000000000000000000000cafebabe";
const catalogueKey = new Uint8Array(32).fill(6);
const dataId = contentId(new Uint8Array([1, 2, 3]));
const fileKey = new Uint8Array(32).fill(9);

async function recordBy(
  account: string,
  policy = committeePolicy(3, 2),
  { committeeId, keyTime } = { committeeId: 1n, keyTime: 1000n },
): Promise<VerifiedRecord> {
  const keys = Array.from({ length: policy.shares }, (_, i) => new Uint8Array(32).fill(i + 1));
  const payload = await buildRecordPayload({
    ledger: SCOPE,
    fileKey,
    dataId,
    account,
    committeeId,
    keyTime,
    policy,
    committeeKeys: keys.map((seed) => hpkeKeyPairFromSeed(seed).publicKey),
    catalogueKey: account === us ? catalogueKey : new Uint8Array(32),
  });
  const tag = fileTag(dataId);
  const ownershipKey = ownershipAddress(fileKey);
  const record = { account, fileTag: toHex(tag), committeeId, keyTime, ownershipKey, payload };
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

describe("the key of a data id", () => {
  let committeeAsked: number;

  const open = async (found: VerifiedRecord, source?: "self" | "committee") => {
    const context = {
      account: { address: us },
      identity: { account: us, catalogueKey },
      predecessors: async () => [],
      deployment: { chainId: 1, contracts: { keyLedger: SCOPE.keyLedger } },
      archives: async () => ({
        find: async () => ({ records: [found], reports: [] }),
        findOrScan: async () => ({ records: [found], reports: [] }),
      }),
      committeeById: async () => {
        committeeAsked += 1;
        throw new TallystickError("the committee was asked", { code: "UNREACHABLE" });
      },
      logger: SILENT,
    } as unknown as AgentContext;
    return await openFileKey(context, dataId, source);
  };
  const damaged = (found: VerifiedRecord): VerifiedRecord => {
    const selfEnvelope = found.payload.selfEnvelope.map((byte, i) => (i === 40 ? byte ^ 1 : byte));
    return { ...found, payload: { ...found.payload, selfEnvelope } };
  };

  beforeEach(() => {
    committeeAsked = 0;
  });

  it("comes from the recorder's self envelope, and no node is asked", async () => {
    const found = await recordBy(us);
    const opened = await open(found);
    const { recordId } = found;
    const how = { source: "self", role: "recorder", owner: us };
    expect(opened).to.deep.equal({ fileKey, nodes: [], recordId, found, ...how });
    expect(committeeAsked).to.equal(0);
  });

  it("comes from a later owner's note, whichever archive gives a right one", async () => {
    const found = await recordBy(somebody);
    const envelope = { ledger: SCOPE, fileScope: fileScope(somebody, fileTag(dataId)), catalogueKey };
    const note = sealSelfEnvelope(envelope, { dataId, fileKey });
    const ownerNotes = new Map([
      ["liar", new Uint8Array(81).fill(1)],
      ["other", new Uint8Array(3)],
      ["honest", note],
    ]);
    const opened = await open({ ...found, ownerNotes });
    expect(opened).to.include({ source: "self", role: "owner" });
    expect(opened.fileKey).to.deep.equal(fileKey);
  });

  it("is asked of the committee when the envelope is damaged, or when only the committee is wanted", async () => {
    const found = await recordBy(us);
    await expectAsyncRejection(() => open(damaged(found)), "UNREACHABLE", /committee was asked/);
    await expectAsyncRejection(() => open(found, "committee"), "UNREACHABLE", /committee was asked/);
    expect(committeeAsked).to.equal(2);
  });

  it("is lost with the envelope where the record has no shares, or no node is to be asked", async () => {
    await expectAsyncRejection(
      async () => open(damaged(await recordBy(us, SELF_POLICY))),
      "INTEGRITY",
      /self envelope/,
    );
    await expectAsyncRejection(async () => open(damaged(await recordBy(us)), "self"), "INTEGRITY", /self envelope/);
    expect(committeeAsked).to.equal(0);
  });

  it("of a device is looked for in what it recorded first, whatever its thief records later", async () => {
    const device = getAddress(`0x${"de".repeat(20)}`);
    // Committee k has the k-th record of the ledger; the thief dates its own ones back, and into the future.
    const made = await Promise.all(
      Array.from({ length: 40 }, (_, k) =>
        recordBy(device, committeePolicy(3, 2), { committeeId: BigInt(k + 1), keyTime: k % 2 === 0 ? 1n : 9000n }),
      ),
    );
    const recordedAt = new Map(made.map(({ recordId, record }) => [recordId, 5000n + record.committeeId]));
    const provider = new (class extends JsonRpcProvider {
      override async call({ data }: { data?: unknown }): Promise<string> {
        const isLedger = ledgerAbi().parseTransaction({ data: String(data) }) !== null;
        const abi = isLedger ? ledgerAbi() : directoryAbi();
        const { name = "", args = [] } = abi.parseTransaction({ data: String(data) }) ?? {};
        const answers: Record<string, unknown> = {
          delegatesOf: [device],
          delegationOf: [us, 1, 2, true],
          replacementOf: [ZeroAddress, 0, 0],
          recordedAt: recordedAt.get(String(args[0])) ?? 0n,
        };
        return abi.encodeFunctionResult(name, [answers[name]]);
      }
    })("http://127.0.0.1:9", 1, { staticNetwork: true });
    const asked: (number | undefined)[] = [];
    const tried: bigint[] = [];
    const contracts = { keyLedger: SCOPE.keyLedger, accountDirectory: somebody };
    const nothing = { records: [], reports: [] };
    const context = {
      account: { address: us },
      identity: { account: us, catalogueKey },
      ...{ predecessors: async () => [], delegation: async () => undefined, logger: SILENT },
      deployment: { chainId: 1, contracts },
      chain: async () => ({ provider, deployment: { chainId: 1, contracts } }),
      archives: async () => ({
        find: async ({ account }: { account?: string }, { most }: { most?: number } = {}) => {
          if (account !== device) return nothing;
          asked.push(most);
          return { records: made.toReversed(), reports: [] };
        },
        findOrScan: async () => nothing,
      }),
      committeeById: async (committeeId: bigint) => {
        tried.push(committeeId);
        throw new TallystickError("the committee was asked", { code: "UNREACHABLE" });
      },
    } as unknown as AgentContext;
    await expectAsyncRejection(() => openFileKey(context, dataId), "UNREACHABLE");
    expect(tried).to.deep.equal(Array.from({ length: 16 }, (_, k) => BigInt(k + 1)));
    expect(asked).to.deep.equal([16]);
  });
});
