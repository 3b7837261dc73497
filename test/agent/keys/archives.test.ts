/** Archives that hide, lie, go on without end or never answer, of which some are always honest. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { getAddress, type HDNodeWallet, hexlify, keccak256, randomBytes, Wallet } from "ethers";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import { Archives } from "../../../offchain/agent/keys/archives.ts";
import { NbmClient } from "../../../offchain/agent/keys/nbm-client.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { headerOf, type KeyRecord, recordIdOf } from "../../../offchain/chain/ledger.ts";
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

const ABI = KeyLedger__factory.createInterface();
const LEDGER = "0x00000000000000000000000000000000000000aa";
const dataId = contentId(new Uint8Array([1, 2, 3]));
const fileKey = new Uint8Array(32).fill(9);
const us = Wallet.createRandom();
const somebody = Wallet.createRandom();
const randomAccount = () => getAddress(hexlify(randomBytes(20)));

type Entry = Record<string, unknown>;
type Page = { records: Entry[]; next: string | null };
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
    role: joined === undefined ? "recorder" : "owner",
    owner: joined?.owner ?? record.account,
    note: joined?.note ?? "0x",
  };
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
  const chain = { deployment: { contracts: { keyLedger: LEDGER } }, provider: { call } } as unknown as ChainReader;

  beforeEach(() => {
    ledger.records.clear();
    ledger.owners.clear();
    ledger.questions = 0;
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

  it("stops reading an archive that lists without end, after checking a few of its entries on chain", async () => {
    let pages = 0;
    const record = await recordOf(us);
    put(record);
    const endless: Behaviour = () => {
      pages += 1;
      const account = randomAccount();
      const invented = { ...record, account, payload: new Uint8Array([pages % 256]) };
      return { records: [entryOf(invented, { owner: us.address, note: "0x" })], next: String(pages) };
    };
    const archives = await archivesOf([endless, listing(entryOf(record))]);
    const { records, reports } = await archives.find({ account: us.address });
    expect(records.map(({ recordId }) => recordId)).to.deep.equal([recordIdOf(headerOf(record))]);
    expect(reports[0]?.error).to.include({ code: "BAD_RESPONSE", check: "end of the listing" });
    expect(pages).to.be.at.most(500);
    expect(ledger.questions).to.be.at.most(20);
  });

  it("stops reading an archive that lists entries that were not asked for, on the ledger or not", async () => {
    const foreign = await recordOf(somebody);
    put(foreign);
    const { fileTag: tag } = foreign;
    const otherFile = entryOf({ ...foreign, fileTag: keccak256(foreign.fileTag) });
    for (const [filter, entry] of [
      [{ account: us.address }, entryOf(foreign)],
      [{ account: us.address }, { ...entryOf(foreign), owner: us.address }],
      [{ account: us.address }, entryOf(foreign, { owner: somebody.address, note: "0x" })],
      [{ fileTag: tag }, otherFile],
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

  it("asks about one later owner of a file that has many, whether the record is joined at all", async () => {
    const foreign = await recordOf(somebody);
    put(foreign);
    const others = Array.from({ length: 100 }, () => randomAccount());
    for (const owner of others) ledger.owners.add(`${recordIdOf(headerOf(foreign))} ${owner}`);
    const joined = others.map((owner) => entryOf(foreign, { owner, note: "0x" }));
    const archives = await archivesOf([listing(entryOf(foreign), ...joined)]);
    const { records } = await archives.find({ fileTag: foreign.fileTag });
    expect(records.map(({ shared }) => shared)).to.deep.equal([true]);
    expect(ledger.questions).to.equal(2);
  });

  it("does not take a record for joined by owners that an archive invents, nor asks about many of them", async () => {
    const foreign = await recordOf(somebody);
    put(foreign);
    const others = Array.from({ length: 100 }, () => entryOf(foreign, { owner: randomAccount(), note: "0x" }));
    const archives = await archivesOf([listing(entryOf(foreign), ...others)]);
    const { records } = await archives.find({ fileTag: foreign.fileTag });
    expect(records.map(({ shared }) => shared)).to.deep.equal([false]);
    expect(ledger.questions).to.be.at.most(20);
  });

  it("does not blame an archive for records that their recorders made wrongly", async () => {
    const entries: Entry[] = [];
    for (let i = 0; i < 20; i += 1) {
      const wrong = { ...(await recordOf(somebody)), account: randomAccount(), payload: new Uint8Array([1]) };
      put(wrong);
      entries.push(entryOf(wrong));
    }
    const good = await recordOf(us);
    put(good);
    const archives = await archivesOf([listing(...entries, entryOf(good))]);
    const { records } = await archives.find({ fileTag: good.fileTag });
    expect(records.map(({ record }) => record.account)).to.deep.equal([us.address]);
  });
});
