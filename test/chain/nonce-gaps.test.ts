/** Which transactions a sender offers, at which fees, to an endpoint that counts and prices as the test says. */
import { expect } from "chai";
import { makeError, Transaction } from "ethers";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import type { ChainReader } from "../../offchain/chain/deployment.ts";
import { type SenderOptions, TransactionSender } from "../../offchain/chain/sender.ts";
import { failure, until } from "../helpers/promises.ts";

const GWEI = 10n ** 9n;
const SINK = `0x${"11".repeat(20)}`;
const CALL: ContractCall = { to: SINK, data: "0x", description: "sending ether" };

describe("a transaction sender and the transactions of others", () => {
  /** What the endpoint says. */
  let counts: { latest: number; pending: number };
  let fees: { maxFeePerGas: bigint; maxPriorityFeePerGas: bigint };
  /** Highest fees of the pool by nonce, as nodes keep them: a replacement raises both by a tenth. */
  let pool: Map<number, Transaction>;
  let offered: Transaction[];

  beforeEach(() => {
    counts = { latest: 0, pending: 0 };
    fees = { maxFeePerGas: 40n * GWEI, maxPriorityFeePerGas: 2n * GWEI };
    pool = new Map();
    offered = [];
  });

  const provider = {
    destroyed: false,
    getTransactionCount: async (_account: string, tag: "latest" | "pending") => counts[tag],
    getFeeData: async () => ({ gasPrice: fees.maxFeePerGas, ...fees }),
    getTransactionReceipt: async () => null,
    getTransaction: async () => ({}),
    send: async (method: string, [raw]: [string]) => {
      if (method === "eth_estimateGas") return "0x5208";
      const transaction = Transaction.from(raw);
      offered.push(transaction);
      const earlier = pool.get(transaction.nonce);
      if (earlier !== undefined && !isRaised(earlier, transaction)) {
        throw makeError("replacement fee too low", "REPLACEMENT_UNDERPRICED", { transaction });
      }
      pool.set(transaction.nonce, transaction);
      return transaction.hash;
    },
  };
  const chain = { deployment: { chainId: 1 }, provider } as unknown as ChainReader;

  function isRaised(earlier: Transaction, later: Transaction): boolean {
    const raised = (fee: "maxFeePerGas" | "maxPriorityFeePerGas") =>
      (later[fee] ?? 0n) * 10n >= (earlier[fee] ?? 0n) * 11n;
    return raised("maxFeePerGas") && raised("maxPriorityFeePerGas");
  }

  function sender(options: SenderOptions = {}): TransactionSender {
    const times = { nudgeAfterSeconds: 0.05, receiptTimeoutSeconds: 0.5, retries: 0 };
    return new TransactionSender(chain, new Uint8Array(32).fill(7), { ...times, ...options });
  }

  const fillersOf = (node: TransactionSender) => offered.filter(({ to }) => to === node.address);

  it("leaves alone what another process has pending, also when fees have risen", async () => {
    counts = { latest: 5, pending: 6 };
    const other = Transaction.from({
      type: 2,
      chainId: 1,
      nonce: 5,
      to: SINK,
      gasLimit: 21_000,
      maxFeePerGas: 20n * GWEI,
      maxPriorityFeePerGas: GWEI / 100n,
    });
    pool.set(5, other);
    const node = sender();
    const sent = failure(node.send(CALL));
    await until("the transaction in the pool", () => pool.has(6));
    counts.pending = 7;
    expect(await sent).to.have.property("code", "TIMED_OUT");
    expect(fillersOf(node)).to.deep.equal([]);
    expect(pool.get(5)).to.equal(other);
  });

  it("pays a tenth of the usual tip for an empty transaction that uses up a nonce", async () => {
    counts = { latest: 5, pending: 6 };
    const node = sender();
    const sent = failure(node.send(CALL));
    await until("the transaction in the pool", () => pool.has(6));
    // The transaction with nonce 5 was dropped.
    counts.pending = 5;
    expect(await sent).to.have.property("code", "TIMED_OUT");
    expect(pool.get(5)).to.deep.include({
      to: node.address,
      maxPriorityFeePerGas: GWEI / 5n,
      maxFeePerGas: (38n * GWEI * 10n + 2n * GWEI) / 10n,
    });
  });

  it("raises the fee of such a transaction when it was too low", async () => {
    counts = { latest: 5, pending: 6 };
    const node = sender({ receiptTimeoutSeconds: 10 });
    const abort = new AbortController();
    const sent = failure(node.send(CALL, abort.signal));
    await until("the transaction in the pool", () => pool.has(6));
    counts.pending = 5;
    await until("the filler", () => pool.has(5));
    counts.pending = 7;
    fees = { maxFeePerGas: 80n * GWEI, maxPriorityFeePerGas: 4n * GWEI };
    await until("the replacement", () => pool.get(5)?.maxPriorityFeePerGas === (4n * GWEI) / 10n);
    abort.abort(new Error("seen enough"));
    expect(await sent).to.have.property("message", "seen enough");
  });

  it("uses up eight nonces at a time", async () => {
    counts = { latest: 0, pending: 100 };
    const node = sender();
    const sent = failure(node.send(CALL));
    await until("the transaction in the pool", () => pool.has(100));
    counts.pending = 0;
    expect(await sent).to.have.property("code", "TIMED_OUT");
    expect(node.health().missingNonces).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(new Set(fillersOf(node).map(({ nonce }) => nonce))).to.deep.equal(new Set([0, 1, 2, 3, 4, 5, 6, 7]));
  });

  it("uses up none when the endpoint's count has fallen by hundreds, and tells a health probe", async () => {
    counts = { latest: 0, pending: 2000 };
    const node = sender();
    const sent = failure(node.send(CALL));
    await until("the transaction in the pool", () => pool.has(2000));
    counts.pending = 0;
    await until("the second look at the count", () => node.health().isTooFarAhead);
    const unhealthy = (await failure(node.checkHealth())) as { received: string };
    expect(unhealthy.received).to.match(/nonces missing: 0, 1, 2, 3, 4; they are not filled/);
    expect(await sent).to.have.property("code", "TIMED_OUT");
    expect(fillersOf(node)).to.deep.equal([]);
  });

  it("pays no more than its own limit for a tip, whatever the endpoint suggests", async () => {
    fees = { maxFeePerGas: 10n ** 15n, maxPriorityFeePerGas: 10n ** 15n - 40n * GWEI };
    for (const [options, tip] of [
      [{}, 100n * GWEI],
      [{ maximumPriorityFeePerGas: 3n * GWEI }, 3n * GWEI],
    ] as const) {
      pool.clear();
      offered.length = 0;
      expect(await failure(sender(options).send(CALL))).to.have.property("code", "TIMED_OUT");
      expect(offered.map(({ maxPriorityFeePerGas }) => maxPriorityFeePerGas)).to.deep.equal([tip]);
    }
  });

  it("keeps a call and its replacements within a limit of the call's own", async () => {
    const limited = sender().send(CALL, undefined, { maximumFeePerGas: 45n * GWEI });
    expect(await failure(limited)).to.have.property("code", "TIMED_OUT");
    expect(offered.map(({ maxFeePerGas }) => maxFeePerGas)).to.deep.equal([40n * GWEI]);
    const dear = sender().send(CALL, undefined, { maximumFeePerGas: 10n * GWEI });
    expect(await failure(dear)).to.include({ code: "FUNDS", expected: "at most 10 gwei per unit of gas" });
    const raised = sender({ maximumFeePerGas: 10n * GWEI }).send(CALL, undefined, { maximumFeePerGas: 45n * GWEI });
    expect(await failure(raised)).to.include({ code: "FUNDS", expected: "at most 10 gwei per unit of gas" });
  });
});
