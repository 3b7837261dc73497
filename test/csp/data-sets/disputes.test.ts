/** How a provider finds the disputes of its sets, told by endpoints that lag, fail, or replace their blocks. */
import { expect } from "chai";
import { getAddress, type Log } from "ethers";
import { pino } from "pino";
import { escrowAbi } from "../../../offchain/chain/abis.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { DisputeWatch } from "../../../offchain/csp/data-sets/disputes.ts";
import { FailureLog } from "../../../offchain/daemon/failure-log.ts";
import type { DataSetRow } from "../../../offchain/store/index/data-set-index.ts";
import { AGREED } from "../agreed-set.ts";

const ESCROW = getAddress(`0x${"22".repeat(20)}`);
const DISPUTER = getAddress(`0x${"33".repeat(20)}`);
const HASH = `0x${"44".repeat(32)}`;
const idOf = (row: number) => `0x${row.toString(16).padStart(64, "0")}`;

function rowOf(id: number, mode: "every-epoch" | "on-demand" = "on-demand"): DataSetRow {
  return { id, agreed: { ...AGREED, id: idOf(id), terms: { ...AGREED.terms, mode } } } as DataSetRow;
}

/** An endpoint with the disputes of its state and the logs of its blocks. */
class Endpoint {
  readonly disputes = new Map<string, number>();
  logs: Log[] = [];
  isDown = false;
  hasLogs = true;
  reads = 0;
  mostAtOnce = 0;
  #underWay = 0;
  scans: [number, number][] = [];

  get chain(): ChainReader {
    const provider = {
      resolveName: async (name: string) => name,
      call: async ({ data }: { data: string }) => {
        this.reads += 1;
        if (this.isDown) throw new Error("down");
        this.#underWay += 1;
        this.mostAtOnce = Math.max(this.mostAtOnce, this.#underWay);
        await new Promise(setImmediate);
        this.#underWay -= 1;
        const block = this.disputes.get(String(escrowAbi().decodeFunctionData("disputeOf", data)[0])) ?? 0;
        const disputer = block === 0 ? `0x${"00".repeat(20)}` : DISPUTER;
        return escrowAbi().encodeFunctionResult("disputeOf", [[disputer, block, block === 0 ? 0 : 7]]);
      },
      getLogs: async ({ fromBlock, toBlock }: { fromBlock: number; toBlock: number }) => {
        if (!this.hasLogs) throw new Error("no logs");
        this.scans.push([fromBlock, toBlock]);
        return this.logs.filter(({ blockNumber }) => blockNumber >= fromBlock && blockNumber <= toBlock);
      },
    };
    const deployment = { deployedAtBlock: 1, contracts: { storageEscrow: ESCROW } };
    return { deployment, provider: Object.assign(provider, { provider }) } as unknown as ChainReader;
  }

  log(name: "DisputeOpened" | "DisputeAnswered" | "DisputeUpheld" | "EpochProven", set: number, block: number): void {
    const values = {
      DisputeOpened: [idOf(set), DISPUTER, block + 1, 7],
      DisputeAnswered: [idOf(set), DISPUTER, 7],
      DisputeUpheld: [idOf(set), DISPUTER, 7],
      EpochProven: [idOf(set), 5, 1, false],
    }[name];
    const { data, topics } = escrowAbi().encodeEventLog(name, values as never);
    const place = { blockNumber: block, blockHash: HASH, transactionHash: HASH, index: 0 };
    this.logs.push({ address: ESCROW, data, topics, ...place } as unknown as Log);
  }

  /** A dispute in a block, in state and logs. */
  dispute(set: number, block: number): void {
    this.disputes.set(idOf(set), block + 1);
    this.log("DisputeOpened", set, block);
  }
}

describe("disputes that a provider watches", () => {
  function watch() {
    const endpoint = new Endpoint();
    const logger = pino({ level: "silent" });
    const disputes = new DisputeWatch({ chain: endpoint.chain, logger, failures: new FailureLog(logger) });
    const open = (row: DataSetRow) => disputes.of(row)?.challengeBlock;
    return { endpoint, disputes, open };
  }
  const [one, two] = [rowOf(1), rowOf(2)];

  it("are found at the start without any event, and ask nothing for sets that are proven in every epoch", async () => {
    const { endpoint, disputes, open } = watch();
    await disputes.round(1000, [rowOf(3, "every-epoch"), { id: 4 } as DataSetRow]);
    expect([endpoint.reads, endpoint.scans]).to.deep.equal([0, []]);
    endpoint.disputes.set(idOf(1), 20);
    await disputes.round(1000, [one, two]);
    expect([open(one), open(two), endpoint.reads]).to.deep.equal([20, undefined, 2]);
  });

  it("are found by their events, once they are over are known to be, and are not read again in between", async () => {
    const { endpoint, disputes, open } = watch();
    await disputes.round(1000, [one, two]);
    endpoint.dispute(1, 1001);
    await disputes.round(1001, [one, two]);
    expect([open(one), open(two), endpoint.reads]).to.deep.equal([1002, undefined, 3]);
    for (const head of [1001, 1002, 1030]) await disputes.round(head, [one, two]);
    expect(endpoint.reads).to.equal(3);
    endpoint.disputes.clear();
    endpoint.log("DisputeAnswered", 1, 1031);
    endpoint.log("EpochProven", 1, 1031);
    const answered = await disputes.round(1031, [one, two]);
    expect(answered.map(({ row, epoch }) => [row.id, epoch])).to.deep.equal([[1, 5]]);
    expect([open(one), endpoint.reads]).to.deep.equal([undefined, 4]);
    endpoint.dispute(1, 1070);
    await disputes.round(1071, [one, two]);
    endpoint.disputes.clear();
    endpoint.log("DisputeUpheld", 1, 1072);
    await disputes.round(1072, [one, two]);
    expect(open(one)).to.equal(undefined);
  });

  it("are read again until the state of an endpoint that lags says what the event says", async () => {
    const { endpoint, disputes, open } = watch();
    await disputes.round(1000, [one]);
    endpoint.log("DisputeOpened", 1, 1001);
    await disputes.round(1001, [one]);
    expect(open(one)).to.equal(undefined);
    endpoint.disputes.set(idOf(1), 1002);
    await disputes.round(1002, [one]);
    expect(open(one)).to.equal(1002);
  });

  it("are read again after a failure, also when the event is not in the scanned blocks any more", async () => {
    const { endpoint, disputes, open } = watch();
    endpoint.isDown = true;
    endpoint.disputes.set(idOf(1), 20);
    await disputes.round(1000, [one]);
    expect(open(one)).to.equal(undefined);
    endpoint.isDown = false;
    await disputes.round(1000, [one]);
    expect(open(one)).to.equal(20);
    endpoint.disputes.set(idOf(1), 1006);
    endpoint.log("DisputeOpened", 1, 1005);
    endpoint.isDown = true;
    for (const head of [1005, 3000]) await disputes.round(head, [one]);
    endpoint.isDown = false;
    await disputes.round(3001, [one]);
    expect(endpoint.scans.at(-1)?.[0]).to.be.greaterThan(1005);
    expect(open(one)).to.equal(1006);
  });

  it("are read from the state while an endpoint gives no logs, once per block", async () => {
    const { endpoint, disputes, open } = watch();
    await disputes.round(1000, [one, two]);
    endpoint.hasLogs = false;
    endpoint.dispute(2, 1002);
    await disputes.round(1003, [one, two]);
    expect([open(two), endpoint.reads]).to.deep.equal([1003, 4]);
    await disputes.round(1003, [one, two]);
    expect(endpoint.reads).to.equal(4);
    endpoint.hasLogs = true;
    endpoint.scans = [];
    await disputes.round(1004, [one, two]);
    // From where they were missing.
    expect(endpoint.scans).to.deep.equal([[1000 - 128, 1004]]);
  });

  it("are found within 32 blocks when the logs are incomplete, by a few reads at a time", async () => {
    const { endpoint, disputes, open } = watch();
    const rows = Array.from({ length: 100 }, (_, k) => rowOf(k + 1));
    await disputes.round(1000, rows);
    endpoint.disputes.set(idOf(1), 1002);
    await disputes.round(1031, rows);
    expect([open(one), endpoint.reads]).to.deep.equal([undefined, 100]);
    await disputes.round(1032, rows);
    expect([open(one), endpoint.reads]).to.deep.equal([1002, 200]);
    expect(endpoint.mostAtOnce).to.equal(8);
  });

  it("are another one after a reorganisation, which the scan reaches back for", async () => {
    const { endpoint, disputes, open } = watch();
    await disputes.round(1000, [one]);
    endpoint.dispute(1, 1001);
    await disputes.round(1010, [one]);
    endpoint.logs = [];
    endpoint.dispute(1, 1004);
    await disputes.round(1011, [one]);
    expect(open(one)).to.equal(1005);
    expect(endpoint.scans.at(-1)).to.deep.equal([1010 - 128, 1011]);
    // The head of another endpoint.
    await disputes.round(990, [one]);
    expect(endpoint.scans.at(-1)).to.deep.equal([990 - 128, 990]);
  });

  it("are forgotten with their sets, and of new sets read at once", async () => {
    const { endpoint, disputes, open } = watch();
    endpoint.disputes.set(idOf(1), 20);
    await disputes.round(1000, [one]);
    await disputes.round(1000, [two]);
    expect(open(one)).to.equal(undefined);
    endpoint.disputes.set(idOf(1), 30);
    await disputes.round(1000, [one, two]);
    expect(open(one)).to.equal(30);
  });
});
