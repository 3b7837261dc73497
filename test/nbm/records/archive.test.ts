import { expect } from "chai";
import { id, Wallet } from "ethers";
import type { ArchivedEvent } from "../../../offchain/chain/archived-events.ts";
import { headerOf, type KeyRecord, type LedgerEvent, recordIdOf } from "../../../offchain/chain/ledger.ts";
import type { EventPage } from "../../../offchain/chain/logs.ts";
import { keyMaterialHash, toKeys } from "../../../offchain/chain/registry.ts";
import type { KeyMaterialAnswer, RecordsAnswer } from "../../../offchain/core/wire/nbm.ts";
import { Archive, type ListQuery, listStatement } from "../../../offchain/nbm/records/archive.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";

const alice = Wallet.createRandom().address;
const bob = Wallet.createRandom().address;
const tag = id("a file");

function recordOf(keyTime: bigint): KeyRecord {
  return {
    account: alice,
    fileTag: tag,
    committeeId: 1n,
    keyTime,
    ownershipKey: bob,
    payload: new Uint8Array([Number(keyTime)]),
  };
}

const idOf = (keyTime: bigint) => recordIdOf(headerOf(recordOf(keyTime)));

function recorded(blockNumber: number, keyTime: bigint, fork = "main"): LedgerEvent {
  return {
    kind: "KeyRecorded",
    recordId: idOf(keyTime),
    record: recordOf(keyTime),
    ...place(blockNumber, 0, fork),
  };
}

function added(blockNumber: number, owner: string, keyTime = 5n, fork = "main"): LedgerEvent {
  const note = new Uint8Array([9]);
  return {
    kind: "OwnerAdded",
    recordId: idOf(keyTime),
    fileTag: tag,
    owner,
    note,
    ...place(blockNumber, 1, fork),
  };
}

function place(blockNumber: number, logIndex: number, fork: string) {
  return {
    blockNumber,
    blockHash: id(`${fork} ${blockNumber}`),
    transactionHash: id(`${fork} tx ${blockNumber}`),
    logIndex,
  };
}

function page(fromBlock: number, toBlock: number, events: LedgerEvent[], atHead = true): EventPage<LedgerEvent> {
  return { fromBlock, toBlock, events, atHead, cursor: { blockNumber: toBlock, blockHash: id(`end ${toBlock}`) } };
}

describe("archive", () => {
  const none = new Map<LedgerEvent, "valid">();
  let archive: Archive;
  beforeEach(() => {
    archive = new Archive(openDatabase(":memory:", { migrations: NBM_MIGRATIONS }));
  });

  it("knows for how long an account has owned a record, as its recorder or later", () => {
    let now = 1000;
    archive = new Archive(openDatabase(":memory:", { migrations: NBM_MIGRATIONS }), () => now);
    archive.apply(page(0, 2, [recorded(1, 5n), added(2, bob)]), none);
    now = 1059;
    for (const account of [alice, bob]) expect(archive.hasOwnedFor(account, 60)).to.equal(false);
    now = 1060;
    for (const account of [alice, bob]) expect(archive.hasOwnedFor(account, 60)).to.equal(true);
    expect(archive.hasOwnedFor(Wallet.createRandom().address, 0)).to.equal(false);
  });

  it("has every record of a file by its id, and lists all of them", () => {
    archive.apply(page(0, 3, [recorded(1, 5n), recorded(2, 7n), recorded(3, 6n)]), none);
    expect(archive.find(idOf(7n))?.record.payload).to.deep.equal(new Uint8Array([7]));
    expect(archive.find(idOf(5n))?.record.payload).to.deep.equal(new Uint8Array([5]));
    expect(archive.find(idOf(8n))).to.equal(undefined);
    const { records, next } = archive.list({ account: alice, after: 0, limit: 10 });
    expect(records.map(({ payload, laterOwner }) => [payload, laterOwner])).to.deep.equal([
      ["0x05", null],
      ["0x07", null],
      ["0x06", null],
    ]);
    expect(next).to.equal(null);
  });

  it("lists each record once, with the asked account's note, or who joined it first", () => {
    const carol = Wallet.createRandom().address;
    archive.apply(page(0, 4, [recorded(1, 5n), added(2, bob), recorded(3, 6n), added(4, carol)]), none);
    const listed = (query: Partial<ListQuery>) =>
      archive.list({ ...query, after: 0, limit: 10 }).records.map(({ payload, laterOwner }) => [payload, laterOwner]);
    expect(listed({ account: bob })).to.deep.equal([["0x05", { account: bob, note: "0x09" }]]);
    expect(listed({ account: carol, fileTag: tag })).to.deep.equal([["0x05", { account: carol, note: "0x09" }]]);
    const both = [
      ["0x05", { account: bob, note: "0x" }],
      ["0x06", null],
    ];
    for (const query of [{}, { fileTag: tag }, { fileTag: tag, ownershipKey: bob, committeeId: "1" }]) {
      expect(listed(query)).to.deep.equal(both);
    }
    for (const query of [{ ownershipKey: carol }, { committeeId: "2" }, { fileTag: id("another file") }]) {
      expect(listed({ fileTag: tag, ...query })).to.deep.equal([]);
      expect(listed({ account: bob, ...query })).to.deep.equal([]);
    }
  });

  it("replaces what a reorganisation took back, and keeps the rest as it was", () => {
    archive.apply(page(0, 4, [recorded(1, 5n), recorded(3, 6n), added(4, bob)]), none);
    const before = archive.list({ account: alice, after: 0, limit: 10 });
    expect(before.records.map(({ payload }) => payload)).to.deep.equal(["0x05", "0x06"]);
    archive.apply(page(1, 3, [recorded(1, 5n), recorded(3, 8n, "fork")]), none);
    expect(archive.find(idOf(6n))).to.equal(undefined);
    expect(archive.find(idOf(8n))?.record.keyTime).to.equal(8n);
    expect(archive.list({ account: bob, after: 0, limit: 10 }).records).to.deep.equal([]);
    expect(archive.totals()).to.deep.equal({ records: 2, owners: 0 });
    expect(archive.cursor()?.blockNumber).to.equal(3);
  });

  it("leaves blocks after a page alone unless the page ends at the head", () => {
    archive.apply(page(0, 9, [recorded(1, 5n), added(9, bob)]), none);
    archive.apply(page(0, 4, [recorded(1, 5n)], false), none);
    expect(archive.totals()).to.deep.equal({ records: 1, owners: 1 });
    archive.apply(page(5, 7, []), none);
    expect(archive.totals()).to.deep.equal({ records: 1, owners: 0 });
  });

  it("has key material by its hash, which a reorganisation does not take away", () => {
    const element = (fill: number) => new Uint8Array(32).fill(fill);
    const of = (fill: number) => ({
      groupPublicKey: element(fill),
      verificationShares: [element(fill + 1), element(fill + 2)],
    });
    const keys = { oprf: of(1), record: of(4) };
    const hash = keyMaterialHash(keys);
    const event: ArchivedEvent = {
      ...{ kind: "GenerationActivated", id: 1n, generation: 1, keyMaterialHash: hash, keys },
      ...place(2, 0, "main"),
    };
    archive.apply({ ...page(0, 3, [recorded(1, 5n)]), events: [recorded(1, 5n), event] }, none);
    archive.apply(page(0, 4, []), none);
    expect(toKeys(archive.keyMaterial(hash) as KeyMaterialAnswer)).to.deep.equal(keys);
    expect(archive.keyMaterial(id("other"))).to.equal(undefined);
    expect(archive.totals()).to.deep.equal({ records: 0, owners: 0 });
  });

  /** What a listing shows page by page. */
  function pages(query: Partial<ListQuery>, limit: number): RecordsAnswer["records"][] {
    const seen: RecordsAnswer["records"][] = [];
    for (let after = 0; ; ) {
      const { records, next } = archive.list({ ...query, after, limit });
      seen.push(records);
      if (next === null) return seen;
      after = Number(next);
    }
  }

  it("pages through a listing without loss or repetition", () => {
    const times = [5n, 6n, 7n, 8n, 9n, 10n, 11n];
    const events = times.flatMap((time, i) => [recorded(2 * i, time), added(2 * i, bob, time)]);
    archive.apply(page(0, 20, events), none);
    for (const query of [{ fileTag: tag }, { account: bob }, { account: alice }]) {
      const seen = pages(query, 3);
      expect(seen.map(({ length }) => length)).to.deep.equal([3, 3, 1]);
      expect(seen.flat().map(({ keyTime }) => keyTime)).to.deep.equal(times.map(String));
    }
  });

  it("ends a page with the record that makes it a megabyte", () => {
    const payload = new Uint8Array(16_384);
    const events = Array.from({ length: 150 }, (_, i) => {
      const record = { ...recordOf(BigInt(i)), payload };
      return { ...recorded(i, 5n), recordId: recordIdOf(headerOf(record)), record } as LedgerEvent;
    });
    archive.apply(page(0, 200, events), none);
    expect(pages({ fileTag: tag }, 200).map(({ length }) => length)).to.deep.equal([64, 64, 22]);
  });

  it("answers by an index, whatever else is archived, and asks the table for no sorting", () => {
    const database = openDatabase(":memory:", { migrations: NBM_MIGRATIONS });
    const plans: [Omit<ListQuery, "after" | "limit">, string][] = [
      [{ account: alice }, "ledger_events_by_account (account=? AND"],
      [{ account: alice, fileTag: tag }, "ledger_events_by_file (account=? AND file_tag=? AND"],
      [{ fileTag: tag }, "ledger_records_by_tag (file_tag=? AND"],
      [
        { fileTag: tag, ownershipKey: bob, committeeId: "1" },
        "ledger_records_by_key (file_tag=? AND ownership_key=? AND committee_id=? AND",
      ],
    ];
    for (const [query, index] of plans) {
      const { text, values } = listStatement({ ...query, after: 0, limit: 10 });
      const plan = database.prepare(`EXPLAIN QUERY PLAN ${text}`).all(...values, 10);
      const steps = plan.map(({ detail }) => String(detail));
      expect(steps.filter((step) => /^SCAN|TEMP B-TREE/.test(step))).to.deep.equal([]);
      expect(steps.join("; ")).to.contain(index);
    }
  });
});
