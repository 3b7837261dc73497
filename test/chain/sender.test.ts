import { expect } from "chai";
import { JsonRpcProvider, type TransactionReceipt } from "ethers";
import { type ContractCall, simulateCall } from "../../offchain/chain/contract-call.ts";
import { type ChainReader, connectChain, type Deployment } from "../../offchain/chain/deployment.ts";
import { registerNodeCall, requestExitCall, withdrawStakeCall } from "../../offchain/chain/registry.ts";
import { ChainRevertedError, ChainUnavailableError } from "../../offchain/chain/revert.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { type Anvil, anvilKey, anvilWallet, type FaultyProxy, startAnvil, startFaultyProxy } from "../helpers/anvil.ts";
import { deployTo } from "../helpers/contracts.ts";
import { failure, until } from "../helpers/promises.ts";

const HPKE = new Uint8Array(32).fill(7);
const STAKE_WEI = 10n ** 18n;
/** Nobody's account, so that transfers to it show in its balance. */
const SINK = "0x000000000000000000000000000000000000dEaD";

function transfer(value: bigint): ContractCall {
  return { to: SINK, data: "0x", value, description: "sending ether" };
}

describe("transaction sender", () => {
  let anvil: Anvil;
  let proxy: FaultyProxy;
  let deployment: Deployment;
  let chain: ChainReader;
  /** The same chain without the proxy, to see what really happened. */
  let witness: JsonRpcProvider;
  let snapshot: unknown;

  before(async () => {
    anvil = await startAnvil();
    deployment = await deployTo(anvil.url);
    proxy = await startFaultyProxy(anvil.url);
    chain = await connectChain(deployment, { rpcUrl: proxy.url });
    witness = new JsonRpcProvider(anvil.url, 31_337, { staticNetwork: true, cacheTimeout: -1 });
  });
  after(async () => {
    chain.close();
    witness.destroy();
    await proxy.close();
    await anvil.kill();
  });
  beforeEach(async () => {
    snapshot = await anvil.rpc("evm_snapshot");
  });
  afterEach(async () => {
    proxy.fault = () => undefined;
    await anvil.rpc("evm_setAutomine", [true]);
    await anvil.rpc("evm_revert", [snapshot]);
  });

  /** An account that anvil gave ether to; each test that sends takes another, so that nonces start from nought. */
  function sender(
    account: number,
    options: ConstructorParameters<typeof TransactionSender>[2] = {},
  ): TransactionSender {
    return new TransactionSender(chain, anvilKey(account), { retryDelayMs: 5, nudgeAfterSeconds: 0.2, ...options });
  }

  const registration = (): ContractCall =>
    registerNodeCall(deployment, { url: "http://node", hpkePublicKey: HPKE, stakeWei: STAKE_WEI });

  describe("sends", () => {
    it("a call with value and waits for its receipt", async () => {
      const node = sender(1);
      const receipt = await node.send(registration());
      expect(receipt.status).to.equal(1);
      expect(receipt.from).to.equal(node.address).and.to.equal(anvilWallet(1).address);
      expect(await witness.getBalance(deployment.contracts.nodeRegistry)).to.equal(STAKE_WEI);
    });

    it("many calls at once in the order they were given, with nonces that follow each other", async () => {
      const node = sender(2);
      const receipts = await Promise.all(Array.from({ length: 25 }, (_, i) => node.send(transfer(BigInt(i + 1)))));
      const sent = await Promise.all(receipts.map((receipt) => receipt.getTransaction()));
      expect(sent.map((transaction) => transaction.nonce)).to.deep.equal(Array.from({ length: 25 }, (_, i) => i));
      expect(sent.map((transaction) => transaction.value)).to.deep.equal(
        Array.from({ length: 25 }, (_, i) => BigInt(i + 1)),
      );
    });

    it("a call that builds on another one that is still pending", async () => {
      await anvil.rpc("evm_setAutomine", [false]);
      const node = sender(1);
      const both = [node.send(registration()), node.send(requestExitCall(deployment))];
      await until(
        "what the test waits for",
        async () => (await witness.getTransactionCount(node.address, "pending")) === 2,
      );
      await anvil.rpc("evm_mine");
      const receipts = await Promise.all(both);
      expect(receipts.map((receipt) => receipt.status)).to.deep.equal([1, 1]);
      expect(receipts[0]?.blockNumber).to.equal(receipts[1]?.blockNumber);
    });

    it("with as many confirmations as asked for", async () => {
      const node = sender(3, { confirmations: 3 });
      let done = false;
      const sent = node.send(transfer(1n)).finally(() => {
        done = true;
      });
      await until("what the test waits for", async () => (await witness.getTransactionCount(node.address)) === 1);
      await anvil.rpc("evm_mine");
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(done).to.equal(false);
      await anvil.rpc("evm_mine");
      expect(await (await sent).confirmations()).to.equal(3);
    });
  });

  describe("when a contract refuses", () => {
    it("names the error and its arguments, and leaves no gap in the nonces", async () => {
      const node = sender(4);
      const poor = registerNodeCall(deployment, { url: "http://node", hpkePublicKey: HPKE, stakeWei: 5n });
      const [first, refused, last] = await Promise.all([
        node.send(transfer(1n)),
        failure(node.send(poor)),
        node.send(transfer(2n)),
      ]);
      expect(refused).to.be.instanceOf(ChainRevertedError);
      expect((refused as ChainRevertedError).revert).to.deep.include({
        name: "StakeTooLow",
        args: { minimumWei: STAKE_WEI, receivedWei: 5n },
      });
      expect((refused as ChainRevertedError).message).to.equal(
        `registering the node was refused by the contract: StakeTooLow(minimumWei: ${STAKE_WEI}, receivedWei: 5)`,
      );
      expect((await first.getTransaction()).nonce).to.equal(0);
      expect((await last.getTransaction()).nonce).to.equal(1);
    });

    it("says so of a simulated call without sending anything", async () => {
      const error = await failure(
        simulateCall(chain, withdrawStakeCall(deployment, SINK), anvilWallet(6).address, "latest"),
      );
      expect((error as ChainRevertedError).revert).to.deep.include({
        name: "NotRegistered",
        args: { operator: anvilWallet(6).address },
      });
      expect(await simulateCall(chain, transfer(1n), anvilWallet(6).address)).to.equal("0x");
      expect(await witness.getTransactionCount(anvilWallet(6).address)).to.equal(0);
    });

    it("says that it reverted even where the endpoint cannot say why", async () => {
      const node = sender(6);
      proxy.fault = (method) => {
        if (method === "eth_estimateGas") return { result: "0x30000" };
        // What a node without old state answers.
        return method === "eth_call" ? { error: { code: -32_000, message: "missing trie node" } } : undefined;
      };
      const error = (await failure(node.send(requestExitCall(deployment)))) as ChainRevertedError;
      expect(error).to.be.instanceOf(ChainRevertedError);
      const receipt = await witness.getTransactionReceipt(String(error.details?.transactionHash));
      expect(receipt?.status).to.equal(0);
    });

    it("tells an empty account that it cannot pay", async () => {
      const pauper = new TransactionSender(chain, new Uint8Array(32).fill(9), { retryDelayMs: 5 });
      const error = (await failure(pauper.send(transfer(1n)))) as TallystickError;
      expect(error).to.be.instanceOf(TallystickError);
      expect(error).to.include({ code: "FUNDS", party: "you", received: "0 ETH" });
      expect(error.message).to.include(pauper.address);
      expect(error.expected).to.match(
        /^at least 0\.\d+ ETH: 0\.000000000000000001 ETH that it pays and at most 0\.\d+ ETH for /,
      );
      const { requiredWei, availableWei } = error.details ?? {};
      expect(availableWei).to.equal("0");
      // What the message asks for is enough.
      await anvil.rpc("anvil_setBalance", [pauper.address, `0x${BigInt(String(requiredWei)).toString(16)}`]);
      await pauper.send(transfer(1n));
    });
  });

  describe("when the endpoint misbehaves", () => {
    /** Fails the first `times` requests of a method. */
    function failFirst(method: string, times: number, fault: ReturnType<FaultyProxy["fault"]>): void {
      let left = times;
      proxy.fault = (asked) => (asked === method && left-- > 0 ? fault : undefined);
    }

    for (const method of [
      "eth_estimateGas",
      "eth_getTransactionCount",
      "eth_sendRawTransaction",
      "eth_getTransactionReceipt",
    ]) {
      for (const fault of ["drop-request", "drop-answer", "unavailable"] as const) {
        it(`sends once although ${method} meets "${fault}" twice`, async () => {
          const before = await witness.getBalance(SINK);
          const node = sender(7);
          failFirst(method, 2, fault);
          const receipt = await node.send(transfer(5n));
          expect(receipt.status).to.equal(1);
          expect((await witness.getBalance(SINK)) - before).to.equal(5n);
          expect(await witness.getTransactionCount(node.address)).to.equal(1);
        });
      }
    }

    it("accepts that the node has the transaction already", async () => {
      await anvil.rpc("evm_setAutomine", [false]);
      const before = await witness.getBalance(SINK);
      const node = sender(7);
      proxy.seen.length = 0;
      failFirst("eth_sendRawTransaction", 2, "drop-answer");
      const sent = node.send(transfer(5n));
      await until(
        "what the test waits for",
        () => proxy.seen.filter((method) => method === "eth_sendRawTransaction").length >= 3,
      );
      await anvil.rpc("evm_mine");
      expect((await (await sent).getTransaction()).nonce).to.equal(0);
      expect((await witness.getBalance(SINK)) - before).to.equal(5n);
    });

    it("sends once although the answer is lost and the receipt is late", async () => {
      const before = await witness.getBalance(SINK);
      const node = sender(7);
      let offers = 0;
      let asked = 0;
      proxy.fault = (method) => {
        if (method === "eth_sendRawTransaction") return offers++ === 0 ? "drop-answer" : undefined;
        // Endpoints behind a load balancer may know the nonce before they know the receipt.
        return method === "eth_getTransactionReceipt" && asked++ < 3 ? { result: null } : undefined;
      };
      expect((await node.send(transfer(5n))).status).to.equal(1);
      expect(asked).to.be.greaterThan(3);
      expect((await witness.getBalance(SINK)) - before).to.equal(5n);
      expect(await witness.getTransactionCount(node.address)).to.equal(1);
    });

    it("fails at an endpoint that stays unreachable, and continues later where it was", async () => {
      const node = sender(8, { retries: 2 });
      failFirst("eth_estimateGas", Number.POSITIVE_INFINITY, "drop-request");
      const error = await failure(node.send(transfer(1n)));
      expect(error).to.be.instanceOf(ChainUnavailableError);
      expect(error).to.include({ code: "CHAIN_UNAVAILABLE", retryable: true });
      expect((error as ChainUnavailableError).details).to.equal(undefined);
      expect(proxy.seen.slice(-3)).to.deep.equal(Array.from({ length: 3 }, () => "eth_estimateGas"));
      proxy.fault = () => undefined;
      expect((await (await node.send(transfer(1n))).getTransaction()).nonce).to.equal(0);
    });

    it("names the transaction when it may have been accepted", async () => {
      const node = sender(8, { retries: 1 });
      failFirst("eth_sendRawTransaction", Number.POSITIVE_INFINITY, "drop-answer");
      const error = (await failure(node.send(transfer(3n)))) as ChainUnavailableError;
      expect(error).to.be.instanceOf(ChainUnavailableError);
      const hash = String(error.details?.transactionHash);
      await until("what the test waits for", async () => (await witness.getTransactionReceipt(hash))?.status === 1);
      proxy.fault = () => undefined;
      expect((await (await node.send(transfer(1n))).getTransaction()).nonce).to.equal(1);
    });

    it("does not repeat a request that was answered with an error", async () => {
      const node = sender(8);
      proxy.seen.length = 0;
      proxy.fault = (method) =>
        method === "eth_estimateGas" ? { error: { code: -32_601, message: "method not allowed" } } : undefined;
      const error = await failure(node.send(transfer(1n)));
      expect(error).to.include({ code: "CHAIN_UNAVAILABLE", retryable: false, received: "method not allowed" });
      expect(proxy.seen).to.deep.equal(["eth_estimateGas"]);
    });
  });

  describe("with other users of its nonces", () => {
    it("finds a free one when another process has just taken it", async () => {
      const mine = sender(1);
      const theirs = sender(1);
      const receipts = await Promise.all(
        Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? mine : theirs).send(transfer(BigInt(i)))),
      );
      expect(receipts.every((receipt) => receipt.status === 1)).to.equal(true);
      expect(await witness.getTransactionCount(mine.address)).to.equal(8);
    });

    it("says that it lost its nonce when another transaction is mined in its place", async () => {
      await anvil.rpc("evm_setAutomine", [false]);
      const node = sender(2);
      const sent = failure(node.send(transfer(1n)));
      await until(
        "what the test waits for",
        async () => (await witness.getTransactionCount(node.address, "pending")) === 1,
      );
      await anvil.rpc("anvil_dropAllTransactions");
      await anvil.rpc("eth_sendRawTransaction", [
        await anvilWallet(2).signTransaction({
          type: 2,
          chainId: 31_337,
          nonce: 0,
          gasLimit: 21_000,
          maxFeePerGas: 10n ** 11n,
          maxPriorityFeePerGas: 10n ** 10n,
          to: SINK,
          value: 77n,
        }),
      ]);
      await anvil.rpc("evm_mine");
      expect(await sent).to.include({ code: "CONFLICT", check: "account nonce" });
    });
  });

  describe("while it waits", () => {
    it("offers a transaction again that the node has forgotten", async () => {
      await anvil.rpc("evm_setAutomine", [false]);
      const node = sender(3);
      const sent = node.send(transfer(1n));
      await until(
        "what the test waits for",
        async () => (await witness.getTransactionCount(node.address, "pending")) === 1,
      );
      await anvil.rpc("anvil_dropAllTransactions");
      await until(
        "what the test waits for",
        async () => (await witness.getTransactionCount(node.address, "pending")) === 1,
      );
      await anvil.rpc("evm_mine");
      expect((await sent).status).to.equal(1);
    });

    it("gives the nonce of a forgotten transaction to no other", async () => {
      await anvil.rpc("evm_setAutomine", [false]);
      const node = sender(3);
      const sent = [node.send(transfer(1n))];
      await until(
        "what the test waits for",
        async () => (await witness.getTransactionCount(node.address, "pending")) === 1,
      );
      await anvil.rpc("anvil_dropAllTransactions");
      sent.push(node.send(transfer(2n)));
      await until(
        "what the test waits for",
        async () => (await witness.getTransactionCount(node.address, "pending")) === 2,
      );
      await anvil.rpc("evm_mine");
      const transactions = await Promise.all((await Promise.all(sent)).map((receipt) => receipt.getTransaction()));
      expect(transactions.map(({ nonce, value }) => [nonce, value])).to.deep.equal([
        [0, 1n],
        [1, 2n],
      ]);
    });

    it("raises the fee of a transaction that is not mined", async () => {
      await anvil.rpc("evm_setAutomine", [false]);
      const node = sender(4);
      const before = await witness.getBalance(SINK);
      const sent = node.send(transfer(9n));
      await until("what the test waits for", async () => (await pendingHashes()).length === 1);
      const [first] = await pendingHashes();
      await until("what the test waits for", async () => (await pendingHashes())[0] !== first);
      await anvil.rpc("evm_mine");
      const receipt = await sent;
      expect(receipt.hash).to.not.equal(first);
      expect((await receipt.getTransaction()).nonce).to.equal(0);
      expect((await witness.getBalance(SINK)) - before).to.equal(9n);
    });

    it("recognises a replacement that the node accepted although its answers were lost", async () => {
      await anvil.rpc("evm_setAutomine", [false]);
      const node = sender(4, { retries: 1 });
      let first: unknown;
      proxy.fault = (method, [raw]) => {
        if (method !== "eth_sendRawTransaction") return undefined;
        first ??= raw;
        return raw === first ? undefined : "drop-answer";
      };
      const sent = node.send(transfer(9n));
      await until("what the test waits for", async () => (await pendingHashes()).length === 1);
      const [cheap] = await pendingHashes();
      await until("what the test waits for", async () => (await pendingHashes())[0] !== cheap);
      await anvil.rpc("evm_mine");
      const receipt = await sent;
      expect(receipt.hash).to.not.equal(cheap);
      expect((await receipt.getTransaction()).nonce).to.equal(0);
    });

    it("keeps waiting for the first one when a replacement is refused", async () => {
      await anvil.rpc("evm_setAutomine", [false]);
      const node = sender(4);
      let first: unknown;
      let refused = 0;
      proxy.fault = (method, [raw]) => {
        if (method !== "eth_sendRawTransaction") return undefined;
        first ??= raw;
        if (raw === first) return undefined;
        refused++;
        return { error: { code: -32_000, message: "insufficient funds for gas * price + value" } };
      };
      const sent = node.send(transfer(9n));
      await until("what the test waits for", async () => (await pendingHashes()).length === 1);
      await until("what the test waits for", () => refused >= 2);
      const [cheap] = await pendingHashes();
      await anvil.rpc("evm_mine");
      expect((await sent).hash).to.equal(cheap);
    });

    it("stops at the time limit and names the transaction", async () => {
      await anvil.rpc("evm_setAutomine", [false]);
      const node = sender(5, { receiptTimeoutSeconds: 0.3, nudgeAfterSeconds: 60 });
      const error = (await failure(node.send(transfer(1n)))) as TallystickError;
      expect(error).to.include({ code: "TIMED_OUT", check: "receipt" });
      expect([error.details?.transactionHash]).to.deep.equal(await pendingHashes());
    });

    it("stops when aborted, and does not send queued calls", async () => {
      await anvil.rpc("evm_setAutomine", [false]);
      const node = sender(6);
      const abort = new AbortController();
      const sent = failure(node.send(transfer(1n), abort.signal));
      await until(
        "what the test waits for",
        async () => (await witness.getTransactionCount(node.address, "pending")) === 1,
      );
      abort.abort(new Error("shutting down"));
      expect(await sent).to.have.property("message", "shutting down");
      expect(await failure(node.send(transfer(1n), abort.signal))).to.have.property("message", "shutting down");
      expect(await witness.getTransactionCount(node.address, "pending")).to.equal(1);
    });
  });

  async function pendingHashes(): Promise<string[]> {
    const block = (await anvil.rpc("eth_getBlockByNumber", ["pending", false])) as { transactions: string[] };
    return block.transactions;
  }
});

describe("transaction sender, when the chain node dies", () => {
  it("reports it while it waits, with the hash of the transaction", async () => {
    const anvil = await startAnvil(["--no-mining"]);
    const chain = await connectTo(anvil.url);
    const node = new TransactionSender(chain, anvilKey(1), { unreachableAfterSeconds: 0.5, retryDelayMs: 5 });
    const sent = failure(node.send(transfer(1n)));
    const witness = new JsonRpcProvider(anvil.url, 31_337, { staticNetwork: true, cacheTimeout: -1 });
    await until(
      "what the test waits for",
      async () => (await witness.getTransactionCount(node.address, "pending")) === 1,
    );
    witness.destroy();
    await anvil.kill();
    const error = (await sent) as ChainUnavailableError;
    expect(error).to.be.instanceOf(ChainUnavailableError);
    expect(error.details?.transactionHash).to.match(/^0x[0-9a-f]{64}$/);
    chain.close();
  });

  it("carries on with a node that comes back without its pending transactions", async () => {
    const first = await startAnvil(["--no-mining"]);
    const chain = await connectTo(first.url);
    const node = new TransactionSender(chain, anvilKey(1), { nudgeAfterSeconds: 0.2, retryDelayMs: 50, retries: 8 });
    const witness = new JsonRpcProvider(first.url, 31_337, { staticNetwork: true, cacheTimeout: -1 });
    const sent: Promise<TransactionReceipt>[] = [node.send(transfer(1n)), node.send(transfer(2n))];
    await until(
      "what the test waits for",
      async () => (await witness.getTransactionCount(node.address, "pending")) === 2,
    );
    await first.kill();
    const second = await startAnvil([], first.port);
    const receipts = await Promise.all(sent);
    expect(receipts.map((receipt) => receipt.status)).to.deep.equal([1, 1]);
    expect(await witness.getBalance(SINK)).to.equal(3n);
    witness.destroy();
    chain.close();
    await second.kill();
  });

  /** The sender needs a chain, not the contracts. */
  async function connectTo(rpcUrl: string): Promise<ChainReader> {
    const provider = new JsonRpcProvider(rpcUrl, 31_337, { staticNetwork: true, cacheTimeout: -1, batchMaxCount: 1 });
    const nowhere = {
      nodeRegistry: SINK,
      keyLedger: SINK,
      storageEscrow: SINK,
      possessionVerifier: SINK,
      randomness: SINK,
      ownersPolicy: SINK,
      recoveryPolicy: SINK,
      accountDirectory: SINK,
    };
    return {
      deployment: {
        version: 1,
        chainId: 31_337,
        rpcUrl,
        contracts: nowhere,
        deployedAtBlock: 0,
        committeeId: "0",
        providers: [],
      },
      provider,
      close: () => provider.destroy(),
    };
  }
});
