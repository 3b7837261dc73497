/** How a provider has the randomness of a challenge block recorded: once, and what becomes of what goes wrong. */
import { expect } from "chai";
import { pino } from "pino";
import type { ContractCall } from "../../../offchain/chain/contract-call.ts";
import { type EvidenceSource, randomnessEvidence, recordRandomnessCall } from "../../../offchain/chain/randomness.ts";
import { ChainRevertedError, ChainUnavailableError } from "../../../offchain/chain/revert.ts";
import { type CallOptions, TransactionSender } from "../../../offchain/chain/sender.ts";
import { IntegrityError, TallystickError } from "../../../offchain/core/errors.ts";
import { ChallengeRandomness } from "../../../offchain/csp/data-sets/challenge-randomness.ts";
import { failureOf } from "../../../offchain/csp/data-sets/randomness-failures.ts";
import { createCspMetrics } from "../../../offchain/csp/metrics.ts";
import { FailureLog } from "../../../offchain/daemon/failure-log.ts";
import { createMetrics } from "../../../offchain/daemon/metrics.ts";
import type { ProviderIndex } from "../../../offchain/store/index/provider-index.ts";
import { anvilKey } from "../../helpers/anvil.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { until } from "../../helpers/promises.ts";

const RETRY_SECONDS = 0.2;
const PREVRANDAO: EvidenceSource = { kind: "prevrandao" };
const reverted = (name: string) => new ChainRevertedError("recording", { name, args: {}, data: "0x" });

describe("randomness of challenge blocks", function () {
  this.timeout(60_000);
  let local: LocalChain;
  let block: number;
  const open: ChallengeRandomness[] = [];

  before(async () => {
    local = await startLocalChain({ randomness: { kind: "prevrandao" } });
  });
  after(() => local.stop());
  beforeEach(async () => {
    await local.mine(2);
    block = (await local.chain.provider.getBlockNumber()) - 1;
  });
  afterEach(async () => {
    await rpc("evm_setAutomine", true);
    await local.mine(1);
    for (const one of open.splice(0)) await one.close();
  });

  const rpc = (method: string, ...params: unknown[]): Promise<unknown> => local.chain.provider.send(method, params);
  const source = () => local.deployment.contracts.randomness;

  /** @param broken what sending throws in place of the real sender */
  function subject(broken?: () => Error | Promise<Error>, options: { maximumFeePerGas?: bigint } = {}) {
    const real = new TransactionSender(local.chain, anvilKey(3), options);
    const sent: string[] = [];
    const sender = {
      address: real.address,
      send: async (call: ContractCall, signal: AbortSignal, callOptions: CallOptions) => {
        sent.push(call.data);
        const error = await broken?.();
        if (error !== undefined) throw error;
        return await real.send(call, signal, callOptions);
      },
    } as unknown as TransactionSender;
    const lines: Record<string, unknown>[] = [];
    const logger = pino({ level: "info" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const metrics = createCspMetrics(createMetrics("csp"), {} as ProviderIndex, async () => 0n);
    const randomness = new ChallengeRandomness({
      chain: local.chain,
      sender,
      evidenceOf: async () => PREVRANDAO,
      metrics,
      logger,
      failures: new FailureLog(logger),
      retrySeconds: RETRY_SECONDS,
    });
    open.push(randomness);
    const value = () => randomness.valueAt(source(), block);
    const known = () => until("it is known", async () => (await value()) !== undefined, 20);
    const failed = async (reason: string) => {
      const { values } = await metrics.randomnessFailed.get();
      return values.find(({ labels }) => labels.reason === reason)?.value ?? 0;
    };
    return { randomness, value, known, sent, lines, failed };
  }

  /** What a stranger sends. @param fees of the transaction */
  async function byStranger(fees: object = {}): Promise<void> {
    const evidence = await randomnessEvidence(local.chain, PREVRANDAO, BigInt(block));
    const { to, data } = recordRandomnessCall(source(), BigInt(block), evidence);
    await local.account(7).sendTransaction({ to, data, gasLimit: 200_000, ...fees });
  }

  it("is recorded once, however often it is asked for meanwhile", async () => {
    await rpc("evm_setAutomine", false);
    const { value, known, sent } = subject();
    expect(await Promise.all(Array.from({ length: 20 }, value))).to.deep.equal(Array(20).fill(undefined));
    await until("it is sent", async () => sent.length > 0, 20);
    // For several periods, in which its own transaction waits.
    for (const end = performance.now() + 6000 * RETRY_SECONDS; performance.now() < end; ) await value();
    await local.mine(1);
    await known();
    expect(sent).to.have.length(1);
  });

  it("is not sent while another party's transaction is pending", async () => {
    await rpc("evm_setAutomine", false);
    await byStranger();
    const { value, known, sent } = subject();
    await value();
    await new Promise((resolve) => setTimeout(resolve, 500 * RETRY_SECONDS));
    await local.mine(1);
    await known();
    expect(sent).to.deep.equal([]);
  });

  it("is sent after one period when that transaction waits, with gas for being first", async () => {
    await rpc("evm_setAutomine", false);
    const { maxFeePerGas } = await local.chain.provider.getFeeData();
    await byStranger({ maxFeePerGas: (maxFeePerGas ?? 0n) / 2n, maxPriorityFeePerGas: 0n });
    const { value, known, sent, lines } = subject();
    await until("it is sent", async () => {
      await value();
      return sent.length > 0;
    });
    await until(
      "it is in the pool",
      async () => (await rpc("eth_getBlockTransactionCountByNumber", "pending")) === "0x2",
    );
    await local.mine(1);
    await known();
    const done = () => lines.find(({ msg }) => msg === "randomness recorded");
    await until("it is mined", () => done() !== undefined, 20);
    // It came first in the block, so it recorded the value; the stranger's found it known.
    const receipt = await local.chain.provider.getTransactionReceipt(String(done()?.transactionHash));
    expect([receipt?.status, receipt?.index, receipt?.logs.length]).to.deep.equal([1, 0, 1]);
  });

  it("is tried again after what passes, and not after a refusal that is final", async () => {
    for (const [error, attempts] of [
      [reverted("HeaderMismatch"), 3],
      [new ChainUnavailableError("recording"), 3],
      [reverted("BlockTooOld"), 1],
      [reverted("WrongSignature"), 1],
    ] as const) {
      const { value, sent, lines, failed } = subject(() => error);
      const rounds = async () => {
        await value();
        return sent.length >= 3;
      };
      const begun = performance.now();
      if (attempts > 1) await until("three attempts are made", rounds, 20);
      else for (const end = performance.now() + 5000 * RETRY_SECONDS; performance.now() < end; ) await rounds();
      expect(sent.length, error.message).to.be.at.least(attempts);
      // One at once, and then one per period.
      expect(performance.now() - begun).to.be.at.least(1000 * RETRY_SECONDS * (attempts - 1));
      if (attempts === 1) {
        expect(sent).to.have.length(1);
        expect(await failed("refused")).to.equal(1);
        expect(
          lines.map(({ msg }) => String(msg)).filter((msg) => msg.startsWith("RANDOMNESS REFUSED")),
        ).to.have.length(1);
      }
      // However often it fails, the log says so once.
      const said = lines.filter(({ msg }) => String(msg).startsWith("the randomness of a challenge block"));
      expect(said, error.message).to.have.length(1);
    }
  });

  it("is taken from whoever recorded it, also after a refusal that is final", async () => {
    const { value, known, sent } = subject(() => reverted("BlockTooOld"));
    await value();
    await until("it is refused", async () => sent.length === 1, 20);
    await byStranger();
    await known();
  });

  it("counts as recorded when another party was faster than the transaction that is refused", async () => {
    // Between the look at the pending state and the transaction.
    const { value, known, sent, failed, lines } = subject(async () => {
      await byStranger();
      return reverted("BlockTooOld");
    });
    await value();
    await until("it is refused", async () => sent.length === 1, 20);
    await known();
    expect([await failed("refused"), lines.filter(({ level }) => level === 50)]).to.deep.equal([0, []]);
  });

  it("costs no more than the account's cap on fees", async () => {
    const { value, failed, sent } = subject(undefined, { maximumFeePerGas: 1n });
    await value();
    await until("it is refused", async () => (await failed("funds")) > 0, 20);
    expect(sent.length).to.be.at.least(1);
    expect(await value()).to.equal(undefined);
  });
});

describe("failures to record randomness", () => {
  const plain = (code: "UNREACHABLE" | "FUNDS" | "UNKNOWN_VERSION" | "CHAIN_UNAVAILABLE" | "TIMED_OUT") =>
    new TallystickError("failed", { code });
  const late = new TallystickError("late", { code: "NOT_FOUND", check: "time of the round", retryAfterSeconds: 9999 });
  for (const [what, error, reason, isFinal] of [
    ["a header of another block", reverted("HeaderMismatch"), "header", false],
    ["an endpoint that is behind", reverted("BlockNotInPast"), "header", false],
    ["a block that is too old", reverted("BlockTooOld"), "refused", true],
    ["a block off the grid", reverted("BlockOffGrid"), "refused", true],
    ["another round", reverted("RoundMismatch"), "refused", true],
    ["a chain without the precompiles", reverted("PrecompileFailed"), "refused", true],
    ["a revert without a reason", reverted("Unknown"), "refused", false],
    ["an endpoint that answers another block", new IntegrityError("another block"), "header", false],
    ["a fork with new fields in headers", plain("UNKNOWN_VERSION"), "header", true],
    ["relays without a signature", plain("UNREACHABLE"), "relays", false],
    ["a clock that is behind", late, "clock", false],
    ["an account without coins", plain("FUNDS"), "funds", false],
    ["an endpoint that is down", plain("CHAIN_UNAVAILABLE"), "unavailable", false],
    ["a transaction that is not mined", plain("TIMED_OUT"), "unavailable", false],
    ["anything else", new TypeError("defect"), "defect", false],
  ] as const) {
    it(`tell ${what}`, () => {
      expect(failureOf(error)).to.deep.equal({ reason, isFinal });
    });
  }
});
