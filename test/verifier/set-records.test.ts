/** The records of a verifier over blocks that are replaced, and over many epochs. */
import { expect } from "chai";
import fc from "fast-check";
import type { DataSetEvent } from "../../offchain/chain/escrow-events.ts";
import { encodeSchedule } from "../../offchain/core/data-set/schedule.ts";
import type { DataSetAuditTerms, DataSetTerms } from "../../offchain/core/data-set/terms.ts";
import { type Database, openDatabase } from "../../offchain/store/index/sqlite.ts";
import { SetRecords } from "../../offchain/verifier/set-records.ts";
import { VERIFIER_MIGRATIONS } from "../../offchain/verifier/tables.ts";

const EPOCH_BLOCKS = 10;
const IDS = [`0x${"11".repeat(32)}`, `0x${"22".repeat(32)}`];
const OPTIONS = {
  epochBlocks: EPOCH_BLOCKS,
  members: ["a", "b", "c"],
  self: "a",
  takeoverBlocks: 3,
  overlapBlocks: 8,
  ownVerifier: `0x${"b".repeat(40)}`,
};
const audit = { verifier: OPTIONS.ownVerifier, phase: 2, windowBlocks: 3, graceBlocks: 1, sliceElements: 4096 };
const terms = { user: "0xu", provider: "0xp", token: "0x00", mode: "every-epoch", feeCap: 7n };

type Kind = "open" | "update" | "end" | "prove" | "miss" | "breach";

/** One event; several at a place of one block. */
interface Step {
  readonly block: number;
  readonly set: number;
  readonly kind: Kind;
}

const CONTENT = `0x${"c0".repeat(32)}`;

function level(fromEpoch: number, sliceCount: number) {
  const hash = `0x${"0".repeat(64)}`;
  return { fromEpoch, fee: 5n, sliceCount, highestIndex: 9, rangesHash: hash };
}

/** @param fork names the chain, so that equal steps of two chains are events of different blocks */
function eventsOf(steps: readonly Step[], fork: string): DataSetEvent[] {
  return steps.flatMap(({ block, set, kind }, at): DataSetEvent[] => {
    const epoch = Math.floor(block / EPOCH_BLOCKS);
    const id = IDS[set] ?? "";
    const place = (offset: number) => ({
      blockNumber: block,
      blockHash: `0x${fork}${block}`,
      transactionHash: `0x${fork}${block}.${at}`,
      logIndex: 2 * at + offset,
    });
    const scheduled = (count: number): DataSetEvent => ({
      ...place(1),
      kind: "DataSetScheduled",
      id,
      schedule: encodeSchedule({
        version: BigInt(at),
        retirements: 0,
        contentHash: CONTENT,
        levels: [level(epoch + 1, count)],
      }),
      ranges: Uint8Array.of(at),
    });
    const opened = {
      ...place(0),
      kind: "DataSetOpened" as const,
      id,
      terms: terms as unknown as DataSetTerms,
      audit: audit as unknown as DataSetAuditTerms,
    };
    switch (kind) {
      case "open":
        return [opened, scheduled(9)];
      case "update":
        return [scheduled(4)];
      case "end":
        return [scheduled(0)];
      case "prove":
        return [{ ...place(0), kind: "EpochProven", id, epoch, fee: 5n, late: false }];
      case "miss": {
        const amounts = { fee: 5n, compensation: 1n, bounty: 1n };
        return [{ ...place(0), kind: "EpochMissed", id, epoch, reporter: "0xr", ...amounts }];
      }
      default:
        return [{ ...place(0), kind: "DataSetBreached", id, epoch, forfeited: 5n }];
    }
  });
}

function open(): { database: Database; records: SetRecords } {
  const database = openDatabase(":memory:", { migrations: VERIFIER_MIGRATIONS });
  return { database, records: new SetRecords(database, OPTIONS) };
}

function apply(records: SetRecords, events: DataSetEvent[], fromBlock: number, toBlock: number, hash: string): void {
  const within = events.filter(({ blockNumber }) => blockNumber >= fromBlock && blockNumber <= toBlock);
  const cursor = { blockNumber: toBlock, blockHash: hash };
  records.apply({ fromBlock, toBlock, events: within, cursor, atHead: true });
}

/** Everything that the records say. */
function stateOf(records: SetRecords): unknown {
  return {
    sets: records.list("", 10),
    epochs: IDS.map((id) => records.epochs(id, 100)),
    pending: records.pendingProofs(1000, 100).map((proofs) => proofs.map(({ event, isOurs }) => ({ event, isOurs }))),
    unproven: [0, 1, 2, 3, 4, 5, 6].map((epoch) => [...records.unproven(epoch, 70)].map(({ id }) => id)),
    cursor: records.cursor(),
  };
}

const kinds = fc.constantFrom<Kind>("open", "update", "end", "prove", "prove", "miss", "breach");
const chains = fc
  .array(fc.record({ block: fc.integer({ min: 1, max: 60 }), set: fc.integer({ min: 0, max: 1 }), kind: kinds }), {
    maxLength: 24,
  })
  .map((steps) => steps.sort((one, other) => one.block - other.block));

describe("records of data sets", () => {
  it("are those of the chain as it is, whatever was read of blocks that were replaced", () => {
    fc.assert(
      fc.property(chains, chains, fc.integer({ min: 1, max: 60 }), (old, replacing, fork) => {
        const shared = old.filter(({ block }) => block < fork);
        const before = eventsOf(old, "a");
        const after = [
          ...eventsOf(shared, "a"),
          // Places go on behind those of the shared blocks, as far as this test is concerned.
          ...eventsOf([...shared, ...replacing.filter(({ block }) => block >= fork)], "b").filter(
            ({ blockNumber }) => blockNumber >= fork,
          ),
        ];
        const reorganised = open();
        for (let from = 1; from <= 60; from += 7)
          apply(reorganised.records, before, from, Math.min(60, from + 6), "0xa");
        apply(reorganised.records, after, fork, 60, "0xb");
        const fresh = open();
        apply(fresh.records, after, 1, 60, "0xb");
        expect(stateOf(reorganised.records)).to.deep.equal(stateOf(fresh.records));
        reorganised.database.close();
        fresh.database.close();
      }),
      { numRuns: 50 },
    );
  });

  it("drop an alarm with the block of its proof", () => {
    const { records } = open();
    const steps: Step[] = [
      { block: 3, set: 0, kind: "open" },
      { block: 15, set: 0, kind: "prove" },
    ];
    apply(records, eventsOf(steps, "a"), 1, 20, "0xa");
    const [[pending] = []] = records.pendingProofs(1000, 1);
    if (pending === undefined) throw new Error("no proof");
    expect(records.raise(pending, OPTIONS.ownVerifier, "because")).to.equal(true);
    expect(records.alarms(0, 9)).to.have.length(1);
    expect(records.alarms(0, 9)[0]).to.include({ isOwnVerifier: true, reason: "because", epoch: 1 });
    expect(records.pendingProofs(1000, 1)).to.deep.equal([]);
    apply(records, [], 12, 20, "0xb");
    expect(records.alarms(0, 9)).to.deep.equal([]);
    expect(records.raise(pending, OPTIONS.ownVerifier, "because")).to.equal(false);
  });

  it("stay bounded over many epochs, and forget sets that have been over for long", () => {
    const { database, records } = open();
    apply(
      records,
      eventsOf(
        [1, 2].map((block) => ({ block, set: block - 1, kind: "open" })),
        "a",
      ),
      1,
      5,
      "0x0",
    );
    const events = () => Number(database.prepare("SELECT count(*) AS n FROM events").get()?.n);
    let most = 0;
    for (let epoch = 1; epoch <= 300; epoch++) {
      const block = epoch * EPOCH_BLOCKS + 4;
      const steps: Step[] = [{ block, set: 0, kind: "prove" }];
      if (epoch === 100) steps.push({ block, set: 1, kind: "breach" });
      apply(records, eventsOf(steps, `e${epoch}.`), block, block + 1, `0x${epoch}`);
      for (const [proof] of records.pendingProofs(block + 100, 9)) records.judge(proof?.sequence ?? 0, "valid");
      most = Math.max(most, events());
      if (epoch === 150) expect(records.find(IDS[1] ?? "")?.status).to.equal("breached");
    }
    expect(most).to.be.below(75);
    expect(records.find(IDS[1] ?? "")).to.equal(undefined);
    expect(records.find(IDS[0] ?? "")?.firstEpoch).to.equal(1);
    expect(records.activity(IDS[0] ?? "", 300)).to.deep.equal({ updates: 0, proofs: 30, liveBytes: 9 * 4096 * 31 });
  });
});
