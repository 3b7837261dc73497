/** Which nodes are asked to relay an entry, in which order, and when another one is asked. */

import { expect } from "chai";
import type { NbmClient } from "../../../offchain/agent/keys/nbm-client.ts";
import type { NodeReport } from "../../../offchain/agent/keys/node-reports.ts";
import { relayEntry, relayOrder, type SendEntry, untilConfirmed } from "../../../offchain/agent/keys/relay-entry.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { assignedOrder } from "../../../offchain/core/assignment/assignment.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { walletOf } from "../../helpers/ledger-records.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const SENT = { transactionHash: `0x${"0a".repeat(32)}`, blockNumber: 7 };
const TIMES = { silenceSeconds: 0.2, lookSeconds: 0.05 };
const NEVER = { silenceSeconds: 60, lookSeconds: 60 };

describe("relaying an entry", () => {
  const nodes = [1, 2, 3].map((number) => ({ url: `http://node-${number}`, name: `node ${number}` }) as NbmClient);
  let asked: string[];
  let signals: AbortSignal[];
  let done: boolean;
  let looks: number;

  beforeEach(() => {
    [asked, signals, done, looks] = [[], [], false, 0];
  });

  const isDone = async () => {
    looks += 1;
    return done;
  };
  const relays = async () => {
    done = true;
    return SENT;
  };
  const refuses = async (): Promise<never> => {
    throw new TallystickError("no budget", { code: "RATE_LIMITED", party: "node", check: "relay budget" });
  };
  /** Until it is not needed any more. */
  const hangs = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const by =
    (...answers: ((signal: AbortSignal) => Promise<typeof SENT>)[]): SendEntry =>
    async (node, signal) => {
      const answer = answers[nodes.indexOf(node)] ?? relays;
      asked.push(node.name);
      signals.push(signal);
      return await answer(signal);
    };

  it("asks one node when that relays", async () => {
    expect(await relayEntry({ nodes }, by(relays), isDone, NEVER)).to.deep.equal(SENT);
    expect(asked).to.deep.equal(["node 1"]);
  });

  it("asks one after the other while they fail, or say what the ledger does not show", async () => {
    const says = async () => SENT;
    expect(await relayEntry({ nodes }, by(refuses, says, relays), isDone, NEVER)).to.deep.equal(SENT);
    expect(asked).to.deep.equal(["node 1", "node 2", "node 3"]);
  }).timeout(10_000);

  it("asks another one beside a node that is silent, and leaves that one when the entry is there", async () => {
    const began = performance.now();
    expect(await relayEntry({ nodes }, by(hangs), isDone, TIMES)).to.deep.equal(SENT);
    expect(performance.now() - began).to.be.within(150, 2000);
    expect(asked).to.deep.equal(["node 1", "node 2"]);
    expect(signals.every(({ aborted }) => aborted)).to.equal(true);
  });

  it("takes the answer of a node that was slow, though another one was asked meanwhile", async () => {
    const slow = async () => {
      await new Promise((resolve) => setTimeout(resolve, 350));
      return await relays();
    };
    expect(await relayEntry({ nodes }, by(slow, hangs), isDone, TIMES)).to.deep.equal(SENT);
    expect(asked).to.deep.equal(["node 1", "node 2"]);
  });

  it("ends when the ledger shows the entry, though the node that relayed it does not say so", async () => {
    const silently = async (signal: AbortSignal) => {
      done = true;
      return await hangs(signal);
    };
    const relayed = await relayEntry({ nodes }, by(silently), isDone, { silenceSeconds: 60, lookSeconds: 0.05 });
    expect(relayed).to.deep.equal({});
    expect(asked).to.deep.equal(["node 1"]);
    expect(looks).to.equal(1);
  }).timeout(10_000);

  it("asks no other node when one failed after it had relayed", async () => {
    const breaks = async () => {
      done = true;
      return await refuses();
    };
    expect(await relayEntry({ nodes }, by(breaks), isDone, NEVER)).to.deep.equal({});
    expect(asked).to.deep.equal(["node 1"]);
  });

  it("fails with the error of the last one when none relays, and without nodes", async () => {
    const failing = relayEntry({ nodes }, by(refuses, refuses, refuses), isDone, NEVER);
    const error = await expectAsyncRejection(() => failing, "RATE_LIMITED");
    expect(error.check).to.equal("relay budget");
    expect(asked).to.have.length(3);
    await expectAsyncRejection(() => relayEntry({ nodes: [] }, by(), isDone), "QUORUM_FAILED");
  });

  it("asks those that have just answered before those that have not been asked, and those that failed last", () => {
    const assignment = { committeeId: 3n, user: walletOf(9).address, epoch: 20_000 };
    const members = [1, 2, 3, 4, 5, 6].map((index) => ({
      ...{ index, operator: walletOf(index).address, url: index === 6 ? "" : `http://node-${index}` },
      ...{ stakeWei: BigInt(index), exitAt: 0 },
    }));
    const assigned = assignedOrder(assignment, members).filter(({ index }) => index !== 6);
    const order = (reports: readonly NodeReport[]) =>
      relayOrder(assignment, members, reports).map(({ index }) => index);
    const indices = assigned.map(({ index }) => index);
    expect(order([])).to.deep.equal(indices);
    const [first, second, third, fourth, fifth] = assigned;
    const reports = [
      { ...first, answer: "UNREACHABLE" },
      { ...third, answer: "right" },
      { ...fourth, answer: "not asked" },
      { ...fifth, answer: "right" },
    ] as NodeReport[];
    expect(order(reports)).to.deep.equal([third, fifth, second, fourth, first].map((member) => member?.index));
  });

  it("waits until so many blocks are upon the entry as transactions of the account need", async () => {
    let head = 10;
    const looked: number[] = [];
    const provider = { getBlockNumber: async () => head };
    const at = (since: number) => async (block: number) => {
      looked.push(block);
      head += 1;
      return block >= since;
    };
    const chain = { provider } as unknown as ChainReader;
    const times = { patienceSeconds: 0.5, lookSeconds: 0.01 };
    await untilConfirmed(chain, 1, at(10), times);
    expect(looked).to.deep.equal([]);
    await untilConfirmed(chain, 3, at(10), times);
    expect(looked).to.deep.equal([8, 9, 10]);
    const never = () => untilConfirmed(chain, 3, async () => false, times);
    expect(await expectAsyncRejection(never, "TIMED_OUT")).to.include({ retryable: true });
  });
});
