/** What a verifier says about balances that change, also by blocks that are replaced and endpoints that lag. */
import { expect } from "chai";
import { pino } from "pino";
import { escrowAbi } from "../../offchain/chain/abis.ts";
import type { ChainReader } from "../../offchain/chain/deployment.ts";
import type { DataSetEvent } from "../../offchain/chain/escrow-events.ts";
import { encodeSchedule } from "../../offchain/core/data-set/schedule.ts";
import type { DataSetAuditTerms, DataSetTerms } from "../../offchain/core/data-set/terms.ts";
import { openDatabase } from "../../offchain/store/index/sqlite.ts";
import { OwnerWatch } from "../../offchain/verifier/owner-watch.ts";
import { SetRecords } from "../../offchain/verifier/set-records.ts";
import { VERIFIER_MIGRATIONS } from "../../offchain/verifier/tables.ts";

const EPOCH_BLOCKS = 10;
const ID = `0x${"11".repeat(32)}`;
const USER = `0x${"a1".repeat(20)}`;
const NATIVE = `0x${"00".repeat(20)}`;
const VERIFIER = `0x${"b0".repeat(20)}`;

/** What the contract says at a block. */
interface Told {
  head: number;
  available: bigint;
  rate: bigint;
  paidThrough: number;
  generation: number;
}

function watched() {
  const database = openDatabase(":memory:", { migrations: VERIFIER_MIGRATIONS });
  const records = new SetRecords(database, {
    epochBlocks: EPOCH_BLOCKS,
    members: ["a"],
    self: "a",
    takeoverBlocks: 3,
    overlapBlocks: 8,
    ownVerifier: VERIFIER,
  });
  const told: Told = { head: 55, available: 0n, rate: 5n, paidThrough: 2, generation: 0 };
  const tags: unknown[] = [];
  const call = async ({ data, blockTag }: { data: string; blockTag: unknown }) => {
    tags.push(blockTag);
    const name = escrowAbi().parseTransaction({ data })?.name ?? "";
    if (name === "booksOf") return escrowAbi().encodeFunctionResult(name, [[1, false, 0, 0, 0, 2, 0, 0]]);
    if (name === "endEpochOf") return escrowAbi().encodeFunctionResult(name, [0]);
    const { available, rate, paidThrough, generation } = told;
    return escrowAbi().encodeFunctionResult(name, [[available, rate, paidThrough, generation]]);
  };
  const provider = { call, resolveName: async (name: string) => name, getBlockNumber: async () => told.head };
  const deployment = { contracts: { storageEscrow: VERIFIER } };
  const chain = { deployment, provider: Object.assign(provider, { provider }) } as unknown as ChainReader;
  const clock = { epochBlocks: EPOCH_BLOCKS, noticeEpochs: 2 };
  const logger = pino({ level: "silent" });
  return { records, told, tags, owners: new OwnerWatch({ chain, records, clock, warningEpochs: 5, logger }) };
}

/** Puts the set, and what happens to its balance, into the records. */
function apply(records: SetRecords, block: number, ...events: DataSetEvent[]): void {
  const cursor = { blockNumber: block, blockHash: `0x${block}` };
  records.apply({ fromBlock: block, toBlock: block, events, cursor, atHead: true });
}

const place = (blockNumber: number, logIndex: number) => ({
  blockNumber,
  blockHash: `0x${blockNumber}`,
  transactionHash: `0x${blockNumber}.${logIndex}`,
  logIndex,
});

function opening(block: number): DataSetEvent[] {
  const contentHash = `0x${"c0".repeat(32)}`;
  const level = { fromEpoch: 1, fee: 5n, sliceCount: 9, highestIndex: 9, rangesHash: contentHash };
  const schedule = encodeSchedule({ version: 1n, retirements: 0, contentHash, levels: [level] });
  const terms = { user: USER, provider: VERIFIER, token: NATIVE, mode: "every-epoch" } as unknown as DataSetTerms;
  const audit = { verifier: VERIFIER, phase: 2, windowBlocks: 3, graceBlocks: 1 } as unknown as DataSetAuditTerms;
  return [
    { ...place(block, 0), kind: "DataSetOpened", id: ID, terms, audit },
    { ...place(block, 1), kind: "DataSetScheduled", id: ID, schedule, ranges: Uint8Array.of(1) },
  ];
}

describe("the watch over balances", () => {
  it("takes back that a balance is used up when it is not, by a deposit that it did not see", async () => {
    const { records, told, owners } = watched();
    apply(records, 5, ...opening(5));
    // The chain as an endpoint shows it that lags, or whose block is replaced: nothing was deposited since epoch 2.
    expect(await owners.round(55)).to.equal(true);
    expect(records.find(ID)).to.include({ lastEpoch: 2, warning: "ended" });
    // The deposit came in epoch 2; its event makes the balance be read again.
    Object.assign(told, { available: 1000n, head: 56 });
    const deposited = { kind: "Deposited", token: NATIVE, user: USER, from: USER, amount: 1000n } as const;
    apply(records, 56, { ...place(56, 0), ...deposited } as unknown as DataSetEvent);
    await owners.round(56);
    expect(records.find(ID)).to.include({ lastEpoch: undefined, warning: undefined });
    expect([...records.endedBefore(99)]).to.deep.equal([]);
    // And in the next epoch without any event.
    Object.assign(told, { available: 0n, head: 65 });
    await owners.round(65);
    expect(records.find(ID)).to.include({ lastEpoch: 2, warning: "ended" });
    Object.assign(told, { available: 1000n, head: 75 });
    await owners.round(75);
    expect(records.find(ID)).to.include({ lastEpoch: undefined, warning: undefined });
  });

  it("reads everything at one block, which is not behind the events", async () => {
    const { records, told, tags, owners } = watched();
    apply(records, 5, ...opening(5));
    told.head = 54;
    expect(await owners.round(55)).to.equal(false);
    expect([tags, records.find(ID)?.warning]).to.deep.equal([[], undefined]);
    told.head = 57;
    expect(await owners.round(55)).to.equal(true);
    expect(new Set(tags)).to.deep.equal(new Set([57]));
    expect(tags.length).to.equal(3);
  });
});
