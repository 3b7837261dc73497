/** Endpoints that limit, refuse and word things differently, in front of a chain that works. */
import { expect } from "chai";
import { FetchRequest } from "ethers";
import type { ChainReader, Deployment } from "../../offchain/chain/deployment.ts";
import { connectChain } from "../../offchain/chain/deployment.ts";
import { type EndpointProvider, openProvider } from "../../offchain/chain/endpoint.ts";
import { chainLogs } from "../../offchain/chain/logs.ts";
import { ChainUnavailableError, readChain } from "../../offchain/chain/revert.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import {
  type Anvil,
  anvilKey,
  anvilWallet,
  type Fault,
  type FaultyProxy,
  startAnvil,
  startFaultyProxy,
} from "../helpers/anvil.ts";
import { collect, failure, until } from "../helpers/promises.ts";

const NOWHERE = "0x000000000000000000000000000000000000dEaD";
const CHAIN_ID = 31_337;

describe("an RPC endpoint", () => {
  let anvil: Anvil;
  let proxy: FaultyProxy;
  let provider: EndpointProvider;
  let chain: ChainReader;

  before(async () => {
    anvil = await startAnvil();
    await anvil.rpc("anvil_mine", ["0x200"]);
    proxy = await startFaultyProxy(anvil.url);
  });
  after(async () => {
    await proxy.close();
    await anvil.kill();
  });
  beforeEach(() => {
    provider = openProvider(proxy.url, BigInt(CHAIN_ID));
    chain = { deployment: deploymentAt(proxy.url), provider, close: () => provider.destroy() };
  });
  afterEach(() => {
    proxy.fault = () => undefined;
    proxy.seen.length = 0;
    chain.close();
  });

  const sender = () => new TransactionSender(chain, anvilKey(1), { retryDelayMs: 5 });
  const transfer = { to: NOWHERE, data: "0x", value: 1n, description: "sending ether" };

  /** Fails the first requests of a method. */
  function failFirst(method: string, times: number, fault: Fault): void {
    let left = times;
    proxy.fault = (asked) => (asked === method && left-- > 0 ? fault : undefined);
  }

  describe("that limits the range of logs", () => {
    const said = "query returned more than 10000 results";
    const forms: [string, Fault][] = [
      ["error -32005 in a 200 answer", { error: { code: -32_005, message: said } }],
      ["error -32005 without a reason", { error: { code: -32_005, message: "limit exceeded" } }],
      ["error -32602", { error: { code: -32_602, message: "Log response size exceeded" } }],
      ["error -32000", { error: { code: -32_000, message: "block range is too wide" } }],
      ["error -32614", { error: { code: -32_614, message: "eth_getLogs is limited to a 10,000 range" } }],
      ["HTTP 400 with a JSON-RPC error", { status: 400, body: { error: { code: -32_600, message: said } } }],
      [
        "HTTP 400 with an error of another request",
        { status: 400, body: { id: null, error: { code: -32_600, message: said } } },
      ],
      [
        "HTTP 413 with a JSON-RPC error",
        { status: 413, body: { error: { code: -32_602, message: "block range too large" } } },
      ],
      ["HTTP 413 with text", { status: 413, body: "eth_getLogs is limited to a 1000 range" }],
      ["HTTP 400 without a body", { status: 400, body: "" }],
      ["HTTP 400 with HTML", { status: 400, body: "<html><body>Bad Request</body></html>" }],
    ];
    /** Refuses spans above a limit, and counts. */
    function limitSpan(limit: number, refusal: Fault): { refused: number; answered: number } {
      const count = { refused: 0, answered: 0 };
      proxy.fault = (method, [filter]) => {
        if (method !== "eth_getLogs") return undefined;
        const { fromBlock, toBlock } = filter as { fromBlock: string; toBlock: string };
        const isShort = Number(toBlock) - Number(fromBlock) + 1 <= limit;
        count[isShort ? "answered" : "refused"] += 1;
        return isShort ? undefined : refusal;
      };
      return count;
    }

    for (const [form, refusal] of forms) {
      it(`is asked for fewer blocks: ${form}`, async () => {
        const count = limitSpan(300, refusal);
        await collect(chainLogs(chain, { address: NOWHERE }, 0, 511));
        expect(count).to.deep.equal({ refused: 1, answered: 2 });
      });
    }

    it("is asked for what it was seen to answer, and seldom for more", async () => {
      const count = limitSpan(20, { status: 400, body: { error: { code: -32_600, message: said } } });
      // 512, 256, 128, 64 and 32 are refused, 16 is not; then larger spans are tried, ever more rarely.
      await collect(chainLogs(chain, { address: NOWHERE }, 0, 511));
      expect(count.refused).to.be.within(5, 8);
      count.answered = 0;
      for (let scan = 0; scan < 3; scan += 1) await collect(chainLogs(chain, { address: NOWHERE }, 0, 511));
      expect(count.refused).to.be.at.most(9);
      // Nearly the longest span that is allowed.
      expect(count.answered / 3).to.be.at.most(28);
    });

    it("is asked for more again where the logs become sparse", async () => {
      let longest = 0;
      proxy.fault = (method, [filter]) => {
        if (method !== "eth_getLogs") return undefined;
        const { fromBlock, toBlock } = filter as { fromBlock: string; toBlock: string };
        const blocks = Number(toBlock) - Number(fromBlock) + 1;
        if (Number(fromBlock) < 64 && blocks > 8) return { error: { code: -32_005, message: said } };
        longest = Math.max(longest, blocks);
        return undefined;
      };
      await collect(chainLogs(chain, { address: NOWHERE }, 0, 511));
      expect(longest).to.be.greaterThan(12);
    });

    it("is quoted when it refuses a single block, and other scans are not slowed down", async () => {
      proxy.fault = (method) =>
        method === "eth_getLogs"
          ? { status: 400, body: { error: { code: -32_000, message: "history is pruned" } } }
          : undefined;
      const error = await failure(collect(chainLogs(chain, { address: NOWHERE }, 0, 511)));
      expect(error).to.include({ code: "CHAIN_UNAVAILABLE", received: "history is pruned", retryable: false });
      proxy.fault = () => undefined;
      proxy.seen.length = 0;
      await collect(chainLogs(chain, { address: NOWHERE }, 0, 511));
      expect(proxy.seen).to.deep.equal(["eth_getLogs"]);
    });

    it("is not asked for less when it refuses the key, or does not know the method", async () => {
      const refusals: Fault[] = [
        { status: 401, body: "invalid project id" },
        { status: 403, body: { error: { code: -32_000, message: "origin not allowed" } } },
        { error: { code: -32_601, message: "the method eth_getLogs does not exist/is not available" } },
      ];
      for (const refusal of refusals) {
        proxy.seen.length = 0;
        proxy.fault = (method) => (method === "eth_getLogs" ? refusal : undefined);
        const error = await failure(collect(chainLogs(chain, { address: NOWHERE }, 0, 511)));
        expect(error).to.include({ code: "CHAIN_UNAVAILABLE", retryable: false });
        expect(proxy.seen).to.deep.equal(["eth_getLogs"]);
      }
    });
  });

  describe("that limits the rate", () => {
    const forms: [string, Fault][] = [
      ["error -32005", { error: { code: -32_005, message: "limit exceeded" } }],
      ["error -32007", { error: { code: -32_007, message: "50/second request limit reached" } }],
      ["error -32097", { error: { code: -32_097, message: "slow down" } }],
      [
        "error 429 in a 200 answer",
        { error: { code: 429, message: "exceeded its compute units per second capacity" } },
      ],
      ["words in a 200 answer", { error: { code: -32_000, message: "Too Many Requests" } }],
      ["HTTP 429 with text", { status: 429, body: "rate limit" }],
      [
        "HTTP 429 with a JSON-RPC error",
        { status: 429, body: { error: { code: -32_000, message: "daily request count" } } },
      ],
    ];
    const methods = [
      "eth_estimateGas",
      "eth_getTransactionCount",
      "eth_sendRawTransaction",
      "eth_getTransactionReceipt",
    ];
    for (const [form, refusal] of forms) {
      it(`is asked again later, whatever was asked: ${form}`, async () => {
        const faults = new Map(methods.map((method) => [method, refusal]));
        proxy.fault = (method) => {
          const fault = faults.get(method);
          faults.delete(method);
          return fault;
        };
        expect((await sender().send(transfer)).status).to.equal(1);
        expect(faults.size).to.equal(0);
      });
    }

    it("is given the time it asks for", async () => {
      failFirst("eth_blockNumber", 1, { status: 429, headers: { "retry-after": "1" }, body: "slow down" });
      const started = Date.now();
      await provider.getBlockNumber();
      expect(Date.now() - started).to.be.within(1000, 4000);
    });

    it("is given up when it asks for an hour, with the time in the error", async () => {
      proxy.fault = () => ({ status: 429, headers: { "retry-after": "3600" }, body: "quota" });
      const error = await failure(readChain("reading the block number", () => provider.getBlockNumber()));
      expect(error).to.be.instanceOf(ChainUnavailableError);
      expect(error).to.include({ check: "RPC rate limit", retryable: true, retryAfterSeconds: 3600 });
      expect(proxy.seen).to.deep.equal(["eth_blockNumber"]);
    });

    it("is not taken for the refusal of a transaction that was sent", async () => {
      // A limited rate is an answer: the endpoint is not silent.
      const times = { receiptTimeoutSeconds: 0.5, unreachableAfterSeconds: 0.03 };
      const impatient = new TransactionSender(chain, anvilKey(2), { ...times, retryDelayMs: 5 });
      proxy.fault = (method) =>
        method === "eth_getTransactionReceipt"
          ? {
              status: 200,
              headers: { "retry-after": "600" },
              body: { error: { code: -32_005, message: "rate limit" } },
            }
          : undefined;
      const error = (await failure(impatient.send(transfer))) as TallystickError;
      expect(error).to.include({ code: "TIMED_OUT", check: "receipt" });
      expect(error.details?.transactionHash).to.match(/^0x[0-9a-f]{64}$/);
    });

    it("is told from a refusal for every other answer to the request for the receipt", async () => {
      failFirst("eth_getTransactionReceipt", 3, { error: { code: -32_603, message: "internal error" } });
      const impatient = new TransactionSender(chain, anvilKey(1), { unreachableAfterSeconds: 0.03, retryDelayMs: 5 });
      expect((await impatient.send(transfer)).status).to.equal(1);
    });
  });

  describe("that knows no pending block", () => {
    const forms: [string, Fault][] = [
      ["error -32602", { error: { code: -32_602, message: "invalid argument 1: unsupported" } }],
      ["words", { error: { code: -32_000, message: "pending block is not available" } }],
      ["HTTP 400", { status: 400, body: "unknown block tag" }],
    ];
    for (const [form, refusal] of forms) {
      it(`is asked for the latest one, and remembered: ${form}`, async () => {
        const asked: string[] = [];
        proxy.fault = (method, params) => {
          if (params.at(-1) !== "pending") return undefined;
          asked.push(method);
          return refusal;
        };
        const node = sender();
        const receipts = [await node.send(transfer), await node.send(transfer)];
        expect(receipts.map(({ status }) => status)).to.deep.equal([1, 1]);
        expect(asked).to.deep.equal(["eth_estimateGas", "eth_getTransactionCount"]);
        const data = { to: NOWHERE, data: "0x", blockTag: "pending" };
        expect(await provider.call(data)).to.equal("0x");
        expect(asked).to.have.length(3);
      });
    }

    it("does not count transactions of another process: the next nonce is found all the same", async () => {
      proxy.fault = (_, params) =>
        params.at(-1) === "pending" ? { error: { code: -32_602, message: "invalid block tag" } } : undefined;
      await anvil.rpc("evm_setAutomine", [false]);
      try {
        const wallet = anvilWallet(3);
        for (const nonce of [0, 1]) {
          const fees = { maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 10n ** 11n };
          const fields = { type: 2, chainId: CHAIN_ID, nonce, gasLimit: 21_000, to: NOWHERE, value: 1n, ...fees };
          await anvil.rpc("eth_sendRawTransaction", [await wallet.signTransaction(fields)]);
        }
        const sent = new TransactionSender(chain, anvilKey(3), { retryDelayMs: 5 }).send(transfer);
        const pending = () => anvil.rpc("eth_getTransactionCount", [wallet.address, "pending"]);
        await until("the third transaction is pending", async () => (await pending()) === "0x3");
        await anvil.rpc("evm_mine");
        expect((await (await sent).getTransaction()).nonce).to.equal(2);
      } finally {
        await anvil.rpc("evm_setAutomine", [true]);
      }
    });

    it("is told from a contract that refuses", async () => {
      proxy.fault = (method) =>
        method === "eth_call" ? { error: { code: -32_000, message: "execution reverted: pending block" } } : undefined;
      await failure(provider.call({ to: NOWHERE, data: "0x", blockTag: "pending" }));
      expect(proxy.seen).to.deep.equal(["eth_call"]);
    });
  });

  describe("whose address holds a key", () => {
    const KEY = "0123456789abcdef0123456789abcdef";
    const faults: [string, Fault][] = [
      ["HTTP 502", { status: 502, body: `bad gateway: /v3/${KEY}` }],
      ["HTTP 401", { status: 401, body: `invalid project id ${KEY}` }],
      ["a JSON-RPC error that quotes it", { error: { code: -32_000, message: `no method at http://host/v3/${KEY}` } }],
      ["no JSON", { status: 200, body: `<html>${KEY}</html>` }],
      ["a broken connection", "drop-request"],
    ];
    for (const [form, fault] of faults) {
      it(`does not show it in any part of an error: ${form}`, async () => {
        const keyed = openProvider(`${proxy.url}/v3/${KEY}?token=${KEY}`, BigInt(CHAIN_ID));
        proxy.fault = () => fault;
        const error = await failure(readChain("reading the block number", () => keyed.getBlockNumber()));
        keyed.destroy();
        expect(error).to.be.instanceOf(TallystickError).and.to.have.property("code", "CHAIN_UNAVAILABLE");
        expect(everythingIn(error)).to.not.contain(KEY);
      });
    }

    it("does not show it when the transport's own error quotes the address", async () => {
      FetchRequest.registerGetUrl(async ({ url }) => {
        throw Object.assign(new Error(`cannot connect to ${url}`), { code: "ECONNREFUSED", url });
      });
      try {
        const keyed = openProvider(`${proxy.url}/v3/${KEY}?token=${KEY}`, BigInt(CHAIN_ID));
        const error = await failure(readChain("reading the block number", () => keyed.getBlockNumber()));
        keyed.destroy();
        expect(error).to.have.property("code", "CHAIN_UNAVAILABLE");
        expect(everythingIn(error)).to.contain("cannot connect").and.to.not.contain(KEY);
      } finally {
        FetchRequest.registerGetUrl(FetchRequest.createGetUrlFunc());
      }
    });

    it("does not show it when the chain is another one", async () => {
      const rpcUrl = `${proxy.url}/v3/${KEY}`;
      const error = await failure(connectChain({ ...deploymentAt(rpcUrl), chainId: 5 }));
      expect(error).to.include({ code: "NO_DEPLOYMENT", check: "chain id" });
      expect((error as Error).message).to.contain(new URL(proxy.url).host);
      expect(everythingIn(error)).to.not.contain(KEY);
    });

    it("does not show it when nothing answers in time", async () => {
      proxy.fault = () => new Promise(() => undefined);
      const keyed = openProvider(`${proxy.url}/v3/${KEY}`, BigInt(CHAIN_ID), 0.2);
      const error = await failure(readChain("reading the block number", () => keyed.getBlockNumber()));
      keyed.destroy();
      expect(error).to.be.instanceOf(ChainUnavailableError);
      expect(everythingIn(error)).to.not.contain(KEY);
    });
  });
});

/** Message, stack, properties and causes of an error, as a logger would print them. */
function everythingIn(error: unknown): string {
  const texts: string[] = [];
  const visit = (value: unknown, depth: number): void => {
    if (typeof value === "string") texts.push(value);
    if (typeof value !== "object" || value === null || depth > 8) return;
    for (const name of Object.getOwnPropertyNames(value)) visit((value as Record<string, unknown>)[name], depth + 1);
  };
  visit(error, 0);
  return texts.join("\n");
}

function deploymentAt(rpcUrl: string): Deployment {
  const contracts = {
    nodeRegistry: NOWHERE,
    keyLedger: NOWHERE,
    storageEscrow: NOWHERE,
    possessionVerifier: NOWHERE,
    randomness: NOWHERE,
    ownersPolicy: NOWHERE,
    recoveryPolicy: NOWHERE,
    accountDirectory: NOWHERE,
  };
  return { version: 1, chainId: CHAIN_ID, rpcUrl, contracts, deployedAtBlock: 0, committeeId: "0", providers: [] };
}
