/** What becomes of an account's transactions when the chain drops blocks that held them. */
import { expect } from "chai";
import { JsonRpcProvider } from "ethers";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import type { ChainReader } from "../../offchain/chain/deployment.ts";
import { openProvider } from "../../offchain/chain/endpoint.ts";
import { type SenderOptions, TransactionSender } from "../../offchain/chain/sender.ts";
import type { WaitingTransaction } from "../../offchain/chain/waiting.ts";
import { type Anvil, anvilKey, anvilWallet, startAnvil } from "../helpers/anvil.ts";
import { failure, until } from "../helpers/promises.ts";

const CHAIN_ID = 31_337;

describe("a transaction sender, when blocks are replaced", function () {
  this.timeout(60_000);
  let anvil: Anvil;
  let chain: ChainReader;
  let witness: JsonRpcProvider;
  /** Accounts are used once, so that nonces start from nought. */
  let account = 0;
  let receiver: string;
  let node: TransactionSender;

  before(async () => {
    anvil = await startAnvil();
    const provider = openProvider(anvil.url, BigInt(CHAIN_ID));
    const nowhere = anvilWallet(9).address;
    const contracts = {
      nodeRegistry: nowhere,
      keyLedger: nowhere,
      storageEscrow: nowhere,
      possessionVerifier: nowhere,
      randomness: nowhere,
      ownersPolicy: nowhere,
      recoveryPolicy: nowhere,
      accountDirectory: nowhere,
    };
    const place = { version: 1, chainId: CHAIN_ID, rpcUrl: anvil.url, deployedAtBlock: 0 } as const;
    const deployment = { ...place, contracts, committeeId: "0", providers: [] };
    chain = { deployment, provider, close: () => provider.destroy() };
    witness = new JsonRpcProvider(anvil.url, CHAIN_ID, { staticNetwork: true, cacheTimeout: -1 });
    // A reorganisation needs blocks to replace.
    await anvil.rpc("anvil_mine", ["0x8"]);
  });
  after(async () => {
    chain.close();
    witness.destroy();
    await anvil.kill();
  });
  beforeEach(() => {
    account += 1;
    receiver = `0x${"0".repeat(38)}${(0xa0 + account).toString(16)}`;
    node = sender();
  });
  afterEach(async () => {
    await anvil.rpc("evm_setAutomine", [true]);
  });

  function sender(options: SenderOptions = {}): TransactionSender {
    return new TransactionSender(chain, anvilKey(account), { retryDelayMs: 5, nudgeAfterSeconds: 0.2, ...options });
  }

  function transfer(value: bigint): ContractCall {
    return { to: receiver, data: "0x", value, description: "sending ether" };
  }

  const received = () => witness.getBalance(receiver);
  const pendingCount = () => witness.getTransactionCount(node.address, "pending");

  async function pooledNonces(address: string): Promise<number[]> {
    const pool = (await anvil.rpc("txpool_content")) as Record<string, Record<string, Record<string, unknown>>>;
    return Object.values(pool).flatMap((byAccount) =>
      Object.entries(byAccount)
        .filter(([account]) => account.toLowerCase() === address.toLowerCase())
        .flatMap(([, byNonce]) => Object.keys(byNonce).map(Number)),
    );
  }

  it("puts on the chain again what was mined and dropped, before what comes next", async () => {
    // The periodic repair comes too late to help.
    node = sender({ nudgeAfterSeconds: 60, receiptTimeoutSeconds: 3 });
    for (let value = 1n; value <= 3n; value += 1n) await node.send(transfer(value));
    await anvil.rpc("anvil_reorg", [3, []]);
    expect(await received()).to.equal(0n);
    const receipt = await node.send(transfer(10n));
    expect((await receipt.getTransaction()).nonce).to.equal(3);
    expect(await received()).to.equal(16n);
  });

  it("does so while others wait, without any new call", async () => {
    for (let value = 1n; value <= 3n; value += 1n) await node.send(transfer(value));
    await anvil.rpc("evm_setAutomine", [false]);
    const waiting = [node.send(transfer(10n)), node.send(transfer(20n))];
    await until("what the test waits for", async () => (await pendingCount()) === 5);
    await anvil.rpc("anvil_reorg", [3, []]);
    await anvil.rpc("evm_setAutomine", [true]);
    const receipts = await Promise.all(waiting);
    expect(receipts.map(({ status }) => status)).to.deep.equal([1, 1]);
    expect(await received()).to.equal(36n);
  });

  it("goes on through reorganisations while many calls are sent", async () => {
    await anvil.rpc("evm_setAutomine", [false]);
    const sent: Promise<unknown>[] = [];
    for (let round = 0; round < 12; round += 1) {
      sent.push(node.send(transfer(1n)), node.send(transfer(1n)));
      await new Promise((resolve) => setTimeout(resolve, 60));
      await anvil.rpc("evm_mine");
      if (round % 4 === 3) await anvil.rpc("anvil_reorg", [3, []]);
    }
    await anvil.rpc("evm_setAutomine", [true]);
    await Promise.all(sent);
    await until("what the test waits for", async () => (await received()) === 24n, 20);
  });

  it("uses up nonces whose transactions another process sent and nobody knows any more", async () => {
    const earlier = sender();
    for (let value = 1n; value <= 3n; value += 1n) await earlier.send(transfer(value));
    await anvil.rpc("evm_setAutomine", [false]);
    const waiting = node.send(transfer(10n));
    await until("what the test waits for", async () => (await pendingCount()) === 4);
    await anvil.rpc("anvil_reorg", [3, []]);
    await anvil.rpc("evm_setAutomine", [true]);
    expect((await (await waiting).getTransaction()).nonce).to.equal(3);
    expect(await received()).to.equal(10n);
  });

  it("tells a health probe of missing nonces, and repairs what was dropped when asked", async () => {
    for (let value = 1n; value <= 2n; value += 1n) await node.send(transfer(value));
    await node.checkHealth();
    expect(node.health()).to.deep.include({ waiting: 0, oldestSeconds: 0, missingNonces: [] });
    await anvil.rpc("anvil_reorg", [2, []]);
    await new Promise((resolve) => setTimeout(resolve, 250));
    await node.checkHealth();
    expect(await received()).to.equal(3n);

    const stranger = sender();
    await stranger.send(transfer(1n));
    await anvil.rpc("evm_setAutomine", [false]);
    const slow = sender({ nudgeAfterSeconds: 3 });
    const abort = new AbortController();
    const waiting = failure(slow.send(transfer(1n), abort.signal));
    await until("what the test waits for", async () => (await pendingCount()) === 4);
    await anvil.rpc("anvil_reorg", [1, []]);
    let unhealthy: unknown;
    await until("what the test waits for", async () => {
      unhealthy = await slow.checkHealth().then(
        () => undefined,
        (error: unknown) => error,
      );
      return unhealthy !== undefined;
    });
    expect(unhealthy).to.include({ code: "TIMED_OUT", check: "pending transactions" });
    expect((unhealthy as { received: string }).received).to.match(
      /^1 waiting, the oldest for \d+ s, nonces missing: 2$/,
    );
    // A gap that was seen once may be a late count: nothing is sent into it yet.
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await pooledNonces(slow.address)).to.deep.equal([3]);
    abort.abort();
    await waiting;
  });

  it("tells a health probe of a transaction that waits for more than two minutes", async () => {
    await anvil.rpc("evm_setAutomine", [false]);
    const waiting = node.send(transfer(1n));
    await until("the transaction in the pool", async () => (await pendingCount()) === 1);
    await node.checkHealth();
    const { now } = Date;
    Date.now = () => now() + 121_000;
    const unhealthy = await failure(node.checkHealth()).finally(() => {
      Date.now = now;
    });
    expect(unhealthy).to.include({ code: "TIMED_OUT", check: "pending transactions" });
    expect((unhealthy as { received: string }).received).to.match(/^1 waiting, the oldest for 12\d s$/);
    await anvil.rpc("evm_mine");
    await waiting;
  });

  it("reports what it waits for while it waits", async () => {
    await anvil.rpc("evm_setAutomine", [false]);
    const reports: WaitingTransaction[] = [];
    const telling = sender({ onWaiting: (transaction) => reports.push(transaction) });
    const sent = telling.send(transfer(1n));
    await until("what the test waits for", () => reports.length >= 2);
    expect(reports[0]).to.include({ description: "sending ether", nonce: 0 });
    expect(reports[0]?.transactionHash).to.match(/^0x[0-9a-f]{64}$/);
    expect(telling.health()).to.include({ waiting: 1 });
    await anvil.rpc("evm_mine");
    await sent;
  });
});

describe("the fee cap of a transaction sender", () => {
  const GWEI = 10n ** 9n;
  let anvil: Anvil;
  let chain: ChainReader;

  before(async () => {
    anvil = await startAnvil(["--base-fee", "100000000000"]);
    const provider = openProvider(anvil.url, BigInt(CHAIN_ID));
    const nowhere = anvilWallet(9).address;
    const contracts = {
      nodeRegistry: nowhere,
      keyLedger: nowhere,
      storageEscrow: nowhere,
      possessionVerifier: nowhere,
      randomness: nowhere,
      ownersPolicy: nowhere,
      recoveryPolicy: nowhere,
      accountDirectory: nowhere,
    };
    const place = { version: 1, chainId: CHAIN_ID, rpcUrl: anvil.url, deployedAtBlock: 0 } as const;
    chain = {
      deployment: { ...place, contracts, committeeId: "0", providers: [] },
      provider,
      close: () => provider.destroy(),
    };
  });
  after(async () => {
    chain.close();
    await anvil.kill();
  });

  const transfer = { to: anvilWallet(9).address, data: "0x", value: 1n, description: "sending ether" };
  const sender = (account: number, maximumFeePerGas?: bigint) =>
    new TransactionSender(chain, anvilKey(account), {
      nudgeAfterSeconds: 0.1,
      receiptTimeoutSeconds: 1,
      ...(maximumFeePerGas === undefined ? {} : { maximumFeePerGas }),
    });

  it("keeps a transaction from being sent at a higher base fee, and names both figures", async () => {
    const node = sender(1, 50n * GWEI);
    expect(await failure(node.send(transfer))).to.include({
      code: "FUNDS",
      check: "fee cap",
      expected: "at most 50 gwei per unit of gas",
      received: "100 gwei",
      retryable: true,
    });
    expect(await chain.provider.getTransactionCount(node.address, "pending")).to.equal(0);
  });

  it("is 500 gwei unless told otherwise", async () => {
    await anvil.rpc("anvil_setNextBlockBaseFeePerGas", [`0x${(10_000n * GWEI).toString(16)}`]);
    await anvil.rpc("evm_mine");
    expect(await failure(sender(2).send(transfer))).to.include({ check: "fee cap", received: "10000 gwei" });
    await anvil.rpc("anvil_setNextBlockBaseFeePerGas", [`0x${(100n * GWEI).toString(16)}`]);
    await anvil.rpc("evm_mine");
  });

  it("bounds the fee of the first offer and of every later one", async () => {
    const cap = 150n * GWEI;
    await anvil.rpc("evm_setAutomine", [false]);
    const node = sender(3, cap);
    const error = await failure(node.send(transfer));
    expect(error).to.have.property("code", "TIMED_OUT");
    const pool = (await anvil.rpc("txpool_content")) as {
      pending: Record<string, Record<string, { maxFeePerGas: string }>>;
    };
    const offered = Object.values(pool.pending).flatMap((byNonce) => Object.values(byNonce));
    expect(offered.map(({ maxFeePerGas }) => BigInt(maxFeePerGas))).to.deep.equal([cap]);
    await anvil.rpc("evm_setAutomine", [true]);
  });
});
