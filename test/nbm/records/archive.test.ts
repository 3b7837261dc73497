import { expect } from "chai";
import { id, Wallet } from "ethers";
import { headerOf, type KeyRecord, type LedgerEvent, recordIdOf } from "../../../offchain/chain/ledger.ts";
import type { EventPage } from "../../../offchain/chain/logs.ts";
import { Archive } from "../../../offchain/nbm/records/archive.ts";
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
    expect(records.map(({ payload, role }) => [payload, role])).to.deep.equal([
      ["0x05", "recorder"],
      ["0x07", "recorder"],
      ["0x06", "recorder"],
    ]);
    expect(next).to.equal(null);
  });

  it("lists later owners with their note and the record that they joined", () => {
    archive.apply(page(0, 3, [recorded(1, 5n), added(2, bob), recorded(3, 6n)]), none);
    const [entry] = archive.list({ account: bob, after: 0, limit: 10 }).records;
    expect(entry).to.include({ role: "owner", owner: bob, account: alice, note: "0x09", payload: "0x05" });
    expect(archive.list({ fileTag: tag, after: 0, limit: 10 }).records.map(({ role }) => role)).to.deep.equal([
      "recorder",
      "owner",
      "recorder",
    ]);
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

  it("pages through a listing without loss or repetition", () => {
    const owners = Array.from({ length: 7 }, () => Wallet.createRandom().address);
    archive.apply(page(0, 20, [recorded(1, 5n), ...owners.map((owner, i) => added(2 + i, owner))]), none);
    const seen: string[] = [];
    let after = 0;
    for (;;) {
      const { records, next } = archive.list({ fileTag: tag, after, limit: 3 });
      seen.push(...records.map(({ owner }) => owner));
      if (next === null) break;
      after = Number(next);
    }
    expect(seen).to.deep.equal([alice, ...owners]);
  });
});
