/** What a verifier says of what it does not send. */
import { expect } from "chai";
import { Interface } from "ethers";
import { pino } from "pino";
import type { ChainReader } from "../../offchain/chain/deployment.ts";
import type { TransactionSender } from "../../offchain/chain/sender.ts";
import { FailureLog } from "../../offchain/daemon/failure-log.ts";
import type { VerifierMetrics } from "../../offchain/verifier/metrics.ts";
import { type Errand, Transactions } from "../../offchain/verifier/transactions.ts";

const GWEI = 10n ** 9n;

describe("transactions of a verifier", () => {
  function opened() {
    const lines: { level: number; msg: string; dataSet: string }[] = [];
    const logger = pino({ level: "debug" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const revert = new Interface(["error EpochSettled(bytes32 id, uint256 epoch)"]);
    const chain = {
      provider: {
        getFeeData: async () => ({ maxFeePerGas: 2n * GWEI, maxPriorityFeePerGas: 0n, gasPrice: GWEI }),
        call: async () => {
          const data = revert.encodeErrorResult("EpochSettled", [`0x${"11".repeat(32)}`, 3]);
          throw Object.assign(new Error("reverted"), { code: "CALL_EXCEPTION", data });
        },
      },
    } as unknown as ChainReader;
    let unprofitable = 0;
    const metrics = { unprofitable: { inc: () => (unprofitable += 1) } } as unknown as VerifierMetrics;
    const sender = { address: `0x${"a1".repeat(20)}` } as unknown as TransactionSender;
    const transactions = new Transactions({ chain, sender, logger, failures: new FailureLog(logger), metrics });
    const start = (kind: Errand["kind"], dataSet: string, worth: bigint) =>
      transactions.start(
        {
          kind,
          dataSet,
          epoch: 3,
          call: { to: sender.address, data: "0x", description: "x" },
          worth,
          minimumProfit: 0n,
        },
        1,
      );
    return { lines, start, unprofitable: () => unprofitable };
  }

  it("that are not sent are told of once for each cause at a level that operators see", async () => {
    const { lines, start, unprofitable } = opened();
    for (const dataSet of ["one", "two", "three"]) await start("miss", dataSet, 1n);
    await start("close", "four", 1n);
    expect(unprofitable()).to.equal(4);
    for (const dataSet of ["five", "six"]) await start("miss", dataSet, 10n ** 18n);
    const shown = lines.filter(({ level }) => level >= 40).map(({ dataSet, msg }) => [dataSet, msg.split(";")[0]]);
    expect(shown).to.deep.equal([
      ["one", "not sent: it does not pay for its gas"],
      ["four", "not sent: it does not pay for its gas"],
      ["five", "not sent: the contract refuses"],
    ]);
    expect(lines.length).to.equal(6);
  });
});
