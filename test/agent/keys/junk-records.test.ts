/**
 * Strangers record junk under the tag of a known file, with thousands of later owners. A put of that file then looks in
 * the real archive service for what it can join.
 */
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { getAddress, hexlify, id, randomBytes, Wallet } from "ethers";
import { pino } from "pino";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import { Archives } from "../../../offchain/agent/keys/archives.ts";
import { NbmClient } from "../../../offchain/agent/keys/nbm-client.ts";
import { ledgerAbi } from "../../../offchain/chain/abis.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { headerOf, type KeyRecord, type LedgerEvent, recordIdOf } from "../../../offchain/chain/ledger.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  buildRecordPayload,
  fileTag,
  ownershipAddress,
  SELF_POLICY,
} from "../../../offchain/core/record/key-record.ts";
import { FailureLog } from "../../../offchain/daemon/failure-log.ts";
import { createMetrics } from "../../../offchain/daemon/metrics.ts";
import { createServer, type DaemonServer } from "../../../offchain/daemon/server.ts";
import { SessionTokens } from "../../../offchain/http/sessions.ts";
import { fetchTransport, type Transport } from "../../../offchain/http/transport.ts";
import { Archive } from "../../../offchain/nbm/records/archive.ts";
import { addNbmRoutes, type NbmServices } from "../../../offchain/nbm/routes/routes.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";

const LEDGER = "0x00000000000000000000000000000000000000aa";
const OWNERS = 5000;
const dataId = contentId(new Uint8Array([1, 2, 3]));
const tag = toHex(fileTag(dataId));
const fileKey = new Uint8Array(32).fill(9);
const ownershipKey = ownershipAddress(fileKey);
const us = Wallet.createRandom();
const randomAccount = () => getAddress(hexlify(randomBytes(20)));

async function recordOf(account: string, fields: Partial<KeyRecord> = {}): Promise<KeyRecord> {
  const header = { account, fileTag: tag, committeeId: 1n, keyTime: 1000n, ownershipKey };
  const made = { ledger: { chainId: 1n, keyLedger: LEDGER }, fileKey, dataId, policy: SELF_POLICY, committeeKeys: [] };
  return { ...header, payload: await buildRecordPayload({ ...header, ...made, catalogueKey: fileKey }), ...fields };
}

describe("a listing of records with junk of strangers", () => {
  const archive = new Archive(openDatabase(":memory:", { migrations: NBM_MIGRATIONS }));
  const ledger = { records: new Set<string>(), owners: new Set<string>(), questions: 0 };
  const spent = { bytes: 0, requests: 0 };
  let server: DaemonServer;
  let archives: Archives;
  let block = 0;

  const call = async ({ data }: { data: string }): Promise<string> => {
    ledger.questions += 1;
    const parsed = ledgerAbi().parseTransaction({ data });
    const [recordId, account] = [...(parsed?.args ?? [])].map(String);
    return parsed?.name === "isOwner"
      ? ledgerAbi().encodeFunctionResult("isOwner", [ledger.owners.has(`${recordId} ${account}`)])
      : ledgerAbi().encodeFunctionResult("recordedAt", [ledger.records.has(String(recordId)) ? 1000 : 0]);
  };
  const chain = { deployment: { contracts: { keyLedger: LEDGER } }, provider: { call } } as unknown as ChainReader;

  /** Records, with so many owners, on the ledger and in the archive. */
  function put(record: KeyRecord, owners: readonly string[] = []): void {
    block += 1;
    const recordId = recordIdOf(headerOf(record));
    const place = { blockNumber: block, blockHash: id(`block ${block}`), transactionHash: id(`sent ${block}`) };
    const made: LedgerEvent = { ...place, logIndex: 0, kind: "KeyRecorded", recordId, record };
    const joined = owners.map((owner, i): LedgerEvent => {
      ledger.owners.add(`${recordId} ${owner}`);
      const note = new Uint8Array(128);
      return { ...place, logIndex: i + 1, kind: "OwnerAdded", recordId, fileTag: tag, owner, note };
    });
    ledger.records.add(recordId);
    const cursor = { blockNumber: block, blockHash: place.blockHash };
    archive.apply({ fromBlock: block, toBlock: block, atHead: true, events: [made, ...joined], cursor }, new Map());
  }

  before(async () => {
    const logger = pino({ level: "silent" });
    server = createServer({ logger, metrics: createMetrics("nbm"), failures: new FailureLog(logger) });
    const nothing = { require: () => async () => undefined };
    const follower = { refresh: async () => true };
    addNbmRoutes(server, { archive, follower, sessions: nothing } as unknown as NbmServices);
    await server.listen({ host: "127.0.0.1", port: 0 });
    const transport: Transport = async (request) => {
      const answer = await fetchTransport()(request);
      spent.bytes += answer.body.length;
      spent.requests += 1;
      return answer;
    };
    const sessions = new SessionTokens(new AgentAccount(fromHex(us.privateKey)), {
      chainId: 1,
      contracts: { keyLedger: LEDGER, storageEscrow: LEDGER },
    });
    const url = `http://127.0.0.1:${(server.server.address() as AddressInfo).port}`;
    archives = new Archives(chain, [new NbmClient(url, LEDGER, sessions, { transport })]);
  });
  after(async () => {
    await server?.close();
  });
  beforeEach(() => {
    ledger.questions = 0;
    Object.assign(spent, { bytes: 0, requests: 0 });
  });

  const joinable = () => archives.find({ fileTag: tag, ownershipKey, committeeId: 1n });

  it("costs a put one small page, one row for each record that it could join", async () => {
    const payload = randomBytes(16_384);
    for (let i = 0; i < 20; i += 1) put(await recordOf(randomAccount(), { ownershipKey: randomAccount(), payload }));
    for (let i = 0; i < 20; i += 1) put(await recordOf(randomAccount(), { committeeId: 2n, payload }));
    const owners = Array.from({ length: OWNERS }, randomAccount);
    put(await recordOf(randomAccount(), { ownershipKey: randomAccount() }), owners);
    const good = await recordOf(randomAccount());
    put(good, owners);
    const { records } = await joinable();
    expect(records.map(({ record, shared }) => [record.account, shared])).to.deep.equal([[good.account, true]]);
    expect(spent.requests).to.equal(1);
    expect(spent.bytes).to.be.lessThan(2048);
    expect(ledger.questions).to.equal(2);
  });

  it("costs no more than 16 records where strangers copy the ownership key", async () => {
    for (let i = 0; i < 300; i += 1) put(await recordOf(randomAccount()));
    const { records } = await joinable();
    expect(records).to.have.length(16);
    expect(spent.requests).to.equal(1);
    expect(spent.bytes).to.be.lessThan(32 * 1024);
    expect(ledger.questions).to.be.at.most(17);
  });

  it("shows an account its own records of the file only, with its own note", async () => {
    const own = await recordOf(us.address);
    put(own);
    const foreign = await recordOf(randomAccount());
    put(foreign, [...Array.from({ length: OWNERS }, randomAccount), us.address]);
    Object.assign(spent, { bytes: 0, requests: 0 });
    const { records } = await archives.find({ fileTag: tag, account: us.address });
    const shown = records.map(({ record, ownerNotes }) => [record.account, ownerNotes.size]);
    expect(shown).to.deep.equal([
      [own.account, 0],
      [foreign.account, 1],
    ]);
    expect(spent.requests).to.equal(1);
    expect(spent.bytes).to.be.lessThan(4096);
  });

  it("costs an archive no more time than without the junk", async () => {
    const query = { fileTag: tag, ownershipKey, committeeId: "1", after: 0, limit: 16 };
    const started = performance.now();
    for (let i = 0; i < 100; i += 1) archive.list(query);
    // Reading the 10,000 rows of junk each time would take some seconds.
    expect(performance.now() - started).to.be.lessThan(1000);
  });
});
