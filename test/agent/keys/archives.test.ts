/** Archives that hide, lie, go on without end or never answer, of which some are always honest. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { getAddress, type HDNodeWallet, hexlify, keccak256, randomBytes, Wallet, zeroPadValue } from "ethers";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import { Archives } from "../../../offchain/agent/keys/archives.ts";
import { NbmClient } from "../../../offchain/agent/keys/nbm-client.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { headerOf, type KeyRecord, recordIdOf } from "../../../offchain/chain/ledger.ts";
import { ChainUnavailableError } from "../../../offchain/chain/revert.ts";
import { KeyLedger__factory } from "../../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { hpkeKeyPairFromSeed } from "../../../offchain/core/crypto/hpke.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileTag,
  ownershipAddress,
} from "../../../offchain/core/record/key-record.ts";
import { SessionTokens } from "../../../offchain/http/sessions.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const ABI = KeyLedger__factory.createInterface();
const LEDGER = "0x00000000000000000000000000000000000000aa";
const dataId = contentId(new Uint8Array([1, 2, 3]));
const fileKey = new Uint8Array(32).fill(9);
const us = Wallet.createRandom();
const somebody = Wallet.createRandom();
const randomAccount = () => getAddress(hexlify(randomBytes(20)));

type Entry = Record<string, unknown>;
type Page = { records: Entry[]; next: string | null; more?: string };
/** What an archive says to a query; undefined: nothing, ever. */
type Behaviour = (query: URLSearchParams) => Page | undefined;

async function recordOf({ address }: HDNodeWallet): Promise<KeyRecord> {
  const keys = [1, 2, 3].map((seed) => hpkeKeyPairFromSeed(new Uint8Array(32).fill(seed)).publicKey);
  const payload = await buildRecordPayload({
    ledger: { chainId: 1n, keyLedger: address },
    fileKey,
    dataId,
    account: address,
    committeeId: 1n,
    keyTime: 1000n,
    policy: committeePolicy(3, 2),
    committeeKeys: keys,
    catalogueKey: new Uint8Array(32).fill(5),
  });
  const tag = toHex(fileTag(dataId));
  return {
    account: address,
    fileTag: tag,
    committeeId: 1n,
    keyTime: 1000n,
    ownershipKey: ownershipAddress(fileKey),
    payload,
  };
}

function entryOf(record: KeyRecord, joined?: { owner: string; note: string }): Entry {
  return {
    ...record,
    recordId: recordIdOf(headerOf(record)),
    committeeId: String(record.committeeId),
    keyTime: String(record.keyTime),
    payload: toHex(record.payload),
    blockNumber: 1,
    transactionHash: hexlify(randomBytes(32)),
    share: "valid",
    laterOwner: joined === undefined ? null : { account: joined.owner, note: joined.note },
  };
}

type EncodedLog = { topics: string[]; data: string; index: number };

function recordedLog({ fileTag: tag, account, committeeId, keyTime, ownershipKey, payload }: KeyRecord): EncodedLog {
  const values = [tag, account, committeeId, keyTime, ownershipKey, payload];
  return { ...ABI.encodeEventLog("KeyRecorded", values), index: 0 };
}

function joinedLog(record: KeyRecord, owner: string, note: string): EncodedLog {
  const values = [record.fileTag, owner, recordIdOf(headerOf(record)), note];
  return { ...ABI.encodeEventLog("OwnerAdded", values), index: 0 };
}

describe("archives of key records", () => {
  const servers: Server[] = [];
  /** What the ledger holds, and how often it was asked. */
  const ledger = { records: new Set<string>(), owners: new Set<string>(), questions: 0 };
  const call = async ({ data }: { data: string }): Promise<string> => {
    ledger.questions += 1;
    const parsed = ABI.parseTransaction({ data });
    const [id, account] = [...(parsed?.args ?? [])].map(String);
    if (parsed?.name === "isOwner") {
      return ABI.encodeFunctionResult("isOwner", [ledger.owners.has(`${id} ${account}`)]);
    }
    return ABI.encodeFunctionResult("recordedAt", [ledger.records.has(String(id)) ? 1000 : 0]);
  };
  /** What the endpoint gives of its logs, and the topics it was asked for; undefined where it has dropped them. */
  const logs: { events: EncodedLog[] | undefined; asked: (string | null)[][] } = { events: [], asked: [] };
  const getLogs = async ({ topics }: { topics: (string | null)[] }) => {
    logs.asked.push(topics);
    if (logs.events === undefined) throw new ChainUnavailableError("reading logs", { received: "pruned" });
    const fits = (log: EncodedLog) => topics.every((topic, i) => topic === null || topic === log.topics[i]);
    return logs.events.filter(fits);
  };
  const chain = {
    deployment: { deployedAtBlock: 0, contracts: { keyLedger: LEDGER } },
    provider: { call, getLogs, getBlockNumber: async () => 9 },
  } as unknown as ChainReader;

  beforeEach(() => {
    ledger.records.clear();
    ledger.owners.clear();
    ledger.questions = 0;
    Object.assign(logs, { events: [], asked: [] });
  });
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.close();
      server.closeAllConnections();
    }
  });

  function put(record: KeyRecord): void {
    ledger.records.add(recordIdOf(headerOf(record)));
  }

  async function clientOf(behaviour: Behaviour): Promise<NbmClient> {
    const server = createServer((request, response) => {
      const page = behaviour(new URL(request.url ?? "/", "http://node").searchParams);
      if (page === undefined) return;
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(page));
    });
    servers.push(server);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve());
    });
    const sessions = new SessionTokens(new AgentAccount(fromHex(us.privateKey)), {
      chainId: 1,
      contracts: { keyLedger: LEDGER, storageEscrow: LEDGER },
    });
    return new NbmClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, LEDGER, sessions);
  }

  async function archivesOf(behaviours: readonly Behaviour[], enough = behaviours.length): Promise<Archives> {
    const clients = await Promise.all(behaviours.map(clientOf));
    return new Archives(chain, clients, { enough, graceSeconds: 0.2 });
  }

  const listing =
    (...records: Entry[]): Behaviour =>
    () => ({ records, next: null });
  const hanging: Behaviour = () => undefined;

  it("does not wait for those that never answer once enough others have", async () => {
    const record = await recordOf(us);
    put(record);
    const archives = await archivesOf([hanging, listing(entryOf(record)), listing(), hanging, listing()], 3);
    const started = Date.now();
    const { records, reports } = await archives.find({ account: us.address });
    expect(Date.now() - started).to.be.lessThan(5000);
    expect(records).to.have.length(1);
    expect(reports.map(({ error }) => error?.code)).to.deep.equal([
      "TIMED_OUT",
      undefined,
      undefined,
      "TIMED_OUT",
      undefined,
    ]);
  });

  describe("of which one lists without end", () => {
    let pages: number;
    let record: KeyRecord;
    let check: string | undefined;
    beforeEach(async () => {
      pages = 0;
      record = await recordOf(us);
      put(record);
    });

    async function expectStopped(entriesOf: (page: number) => Entry[], more?: string): Promise<void> {
      const endless: Behaviour = () => {
        pages += 1;
        return { records: entriesOf(pages), next: String(pages), ...(more === undefined ? {} : { more }) };
      };
      const archives = await archivesOf([endless, listing(entryOf(record))]);
      const { records, reports } = await archives.find({ account: us.address });
      expect(records.map(({ recordId }) => recordId)).to.deep.equal([recordIdOf(headerOf(record))]);
      expect(reports[0]?.error?.code).to.equal("BAD_RESPONSE");
      check = reports[0]?.error?.check;
      expect(ledger.questions).to.be.at.most(17);
    }

    it("stops when it has asked the chain about 16 records that it does not have", async () => {
      await expectStopped((page) => [entryOf({ ...record, keyTime: BigInt(page) })]);
      expect(check).to.equal("end of the listing");
      expect(pages).to.equal(500);
    });

    it("stops after 16 records that cannot be read, and asks the chain about none", async () => {
      await expectStopped((page) => [entryOf({ ...record, payload: new Uint8Array([page]) })]);
      expect(check).to.equal("entries of the listing");
      expect([pages, ledger.questions]).to.deep.equal([16, 1]);
    });

    it("stops after one record has come 16 times more", async () => {
      await expectStopped(() => [entryOf(record)]);
      expect(check).to.equal("entries of the listing");
      expect([pages, ledger.questions]).to.deep.equal([17, 1]);
    });

    it("stops at a page that has nothing, and one that is longer than asked for or than a page can be", async () => {
      await expectStopped(() => []);
      expect([check, pages]).to.deep.equal(["end of the listing", 1]);
      await expectStopped(() => [], "x".repeat(3 * 1024 * 1024));
      expect(check).to.equal("size of the answer");
      const many: Behaviour = () => ({ records: Array.from({ length: 17 }, () => entryOf(record)), next: null });
      const { reports } = await (await archivesOf([many])).find({ fileTag: record.fileTag });
      expect(reports[0]?.error?.check).to.equal("length of a page");
    });
  });

  it("stops reading an archive that lists entries that were not asked for, on the ledger or not", async () => {
    const foreign = await recordOf(somebody);
    put(foreign);
    const { fileTag: tag } = foreign;
    const otherFile = entryOf({ ...foreign, fileTag: keccak256(foreign.fileTag) });
    const joinable = { fileTag: tag, ownershipKey: foreign.ownershipKey, committeeId: 1n };
    for (const [filter, entry] of [
      [{ account: us.address }, entryOf(foreign)],
      [{ account: us.address }, entryOf(foreign, { owner: somebody.address, note: "0x" })],
      [{ fileTag: tag }, otherFile],
      [joinable, otherFile],
      [joinable, entryOf({ ...foreign, ownershipKey: us.address })],
      [joinable, entryOf({ ...foreign, committeeId: 2n })],
    ] as const) {
      const archives = await archivesOf([listing(entry)]);
      const { records, reports } = await archives.find(filter);
      expect(records).to.deep.equal([]);
      expect(reports[0]?.error).to.include({ code: "BAD_RESPONSE", check: "records asked for" });
    }
  });

  it("does not believe an archive that an account is an owner", async () => {
    const foreign = await recordOf(somebody);
    put(foreign);
    const archives = await archivesOf([listing(entryOf(foreign, { owner: us.address, note: "0x01" }))]);
    expect((await archives.find({ account: us.address })).records).to.deep.equal([]);
  });

  it("gives every archive's note of the account, since no contract confirms one", async () => {
    const foreign = await recordOf(somebody);
    put(foreign);
    ledger.owners.add(`${recordIdOf(headerOf(foreign))} ${us.address}`);
    const says = (note: string) => listing(entryOf(foreign, { owner: us.address, note }));
    const archives = await archivesOf([says("0xbad0"), says("0x600d")]);
    const { records } = await archives.find({ account: us.address });
    expect(records).to.have.length(1);
    expect([...(records[0]?.ownerNotes.values() ?? [])].map(toHex)).to.deep.equal(["0xbad0", "0x600d"]);
  });

  it("asks whether one account has joined a record, and takes it for unjoined when an archive invents it", async () => {
    const foreign = await recordOf(somebody);
    put(foreign);
    const entry = entryOf(foreign, { owner: randomAccount(), note: "0x" });
    const find = async () => (await archivesOf([listing(entry), listing(entry)])).find({ fileTag: foreign.fileTag });
    expect((await find()).records.map(({ shared }) => shared)).to.deep.equal([false]);
    expect(ledger.questions).to.equal(2);
    const { account } = entry.laterOwner as { account: string };
    ledger.owners.add(`${recordIdOf(headerOf(foreign))} ${account}`);
    expect((await find()).records.map(({ shared }) => shared)).to.deep.equal([true]);
    expect(ledger.questions).to.equal(4);
  });

  it("reads no more than the first 16 records where anybody can add to them", async () => {
    const asked: (string | null)[] = [];
    const made = await Promise.all(Array.from({ length: 20 }, () => recordOf(Wallet.createRandom())));
    made.forEach(put);
    const archive: Behaviour = (query) => {
      asked.push(query.get("limit"));
      return { records: made.slice(0, Number(query.get("limit"))).map((record) => entryOf(record)), next: "16" };
    };
    const { records, reports } = await (await archivesOf([archive])).find({ fileTag: made[0]?.fileTag ?? "" });
    expect(records).to.have.length(16);
    expect(reports[0]?.error).to.equal(undefined);
    expect(asked).to.deep.equal(["16"]);
  });

  it("reads as few of an account's as are asked for", async () => {
    const asked: (string | null)[] = [];
    const own = await recordOf(us);
    put(own);
    const archive: Behaviour = (query) => {
      asked.push(query.get("limit"));
      return { records: [entryOf(own)], next: null };
    };
    const filter = { fileTag: own.fileTag, account: us.address };
    expect((await (await archivesOf([archive])).find(filter, { most: 3 })).records).to.have.length(1);
    expect(asked).to.deep.equal(["3"]);
  });

  describe("that show an account none of its records of a file", () => {
    const find = async (enough?: number) => {
      const { fileTag: tag } = await recordOf(us);
      const archives = await archivesOf([listing(), hanging], enough);
      return await archives.findOrScan({ fileTag: tag, account: us.address });
    };

    it("are made up for by the chain's logs of that account, whatever strangers have recorded", async () => {
      const own = await recordOf(us);
      const foreign = await recordOf(somebody);
      put(own);
      logs.events = [foreign, own].map(recordedLog);
      for (let i = 0; i < 100; i += 1) logs.events.push(joinedLog(foreign, randomAccount(), "0x"));
      const { records, reports } = await find(1);
      expect(records.map(({ record }) => record.account)).to.deep.equal([us.address]);
      expect(reports.at(-1)).to.deep.equal({ source: "chain", records: 1 });
      // One question for the account's events: junk of others is not read.
      expect(logs.asked).to.deep.equal([[null, own.fileTag, zeroPadValue(us.address, 32).toLowerCase()]]);
    });

    it("are made up for by what others have recorded, where the account has joined that", async () => {
      const foreign = await recordOf(somebody);
      put(foreign);
      ledger.owners.add(`${recordIdOf(headerOf(foreign))} ${us.address}`);
      logs.events = [
        recordedLog(foreign),
        joinedLog(foreign, randomAccount(), "0x01"),
        joinedLog(foreign, us.address, "0x02"),
      ];
      const { records } = await find(1);
      expect(records.map(({ record }) => record.account)).to.deep.equal([somebody.address]);
      expect([...(records[0]?.ownerNotes.values() ?? [])].map(toHex)).to.deep.equal(["0x02"]);
      expect(logs.asked).to.have.length(2);
    });

    it("are believed where the endpoint has dropped its logs, if so many answer that one is honest", async () => {
      logs.events = undefined;
      const { records, reports } = await find(1);
      expect(records).to.deep.equal([]);
      expect(reports.at(-1)).to.deep.include({ source: "chain", records: 0 });
      expect(reports.at(-1)?.error?.code).to.equal("CHAIN_UNAVAILABLE");
    });

    it("are not believed there when fewer answer", async () => {
      logs.events = undefined;
      const { fileTag: tag } = await recordOf(us);
      const down = await archivesOf([listing(), () => ({ records: [], next: "1" })]);
      await expectAsyncRejection(() => down.findOrScan({ fileTag: tag, account: us.address }), "CHAIN_UNAVAILABLE");
    });
  });
});
