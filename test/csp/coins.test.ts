import { expect } from "chai";
import { CoinWatch } from "../../offchain/csp/coins.ts";

const GWEI = 10n ** 9n;
/** Three proofs of 450,000 gas. */
const NEEDED_GAS = 1_350_000n;

describe("coins of a provider", () => {
  let balance: bigint;
  let fee: bigint;
  let dataSets: number;
  let lines: [string, Record<string, unknown>][];
  let watch: CoinWatch;

  beforeEach(() => {
    balance = NEEDED_GAS * GWEI;
    fee = GWEI;
    dataSets = 0;
    lines = [];
    watch = new CoinWatch({
      balanceWei: async () => balance,
      feePerGas: async () => fee,
      runningDataSets: async () => dataSets,
      account: "0xc5",
      logger: {
        warn: (facts: object) => lines.push(["warn", { ...facts }]),
        info: (facts: object) => lines.push(["info", { ...facts }]),
      },
    });
  });

  it("are warned of at the start when they do not pay for the next proofs, once", async () => {
    balance -= 1n;
    await watch.round();
    await watch.round();
    expect(lines).to.deep.equal([
      ["warn", { account: "0xc5", balanceEther: "0.001349999999999999", neededEther: "0.00135", dataSets: 0 }],
    ]);
  });

  it("are warned of again after they sufficed for twice as much, and not at every change of the fees", async () => {
    await watch.round();
    expect(lines).to.deep.equal([]);
    fee = GWEI + 1n;
    await watch.round();
    fee = GWEI;
    await watch.round();
    fee = GWEI + 1n;
    await watch.round();
    expect(lines.map(([level]) => level)).to.deep.equal(["warn"]);
    balance *= 4n;
    await watch.round();
    expect(lines.map(([level]) => level)).to.deep.equal(["warn", "info"]);
    dataSets = 5;
    await watch.round();
    expect(lines.map(([level]) => level)).to.deep.equal(["warn", "info", "warn"]);
    expect(lines[2]?.[1]).to.include({ dataSets: 5, neededEther: "0.00675000000675" });
  });
});
