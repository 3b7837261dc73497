/** What a provider offers for data sets, from its configuration. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { type CspConfig, loadCspConfig } from "../../../offchain/csp/config.ts";
import { makeDataSetOffer, requireDisputable } from "../../../offchain/csp/data-sets/offer.ts";
import { expectRejection } from "../../helpers/rejection.ts";

const address = (digits: string) => `0x${digits.repeat(20)}`;
const [ACCOUNT, COIN, TOKEN] = [address("11"), address("00"), address("77")];
const contracts = { storageEscrow: address("22"), possessionVerifier: address("33"), randomness: address("44") };
const chain = { deployment: { chainId: 31_337, contracts } } as unknown as ChainReader;

describe("the offer of a provider", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-offer-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  function load(dataSets: object, minimumFeePerEpoch = "500", terms: object = {}): CspConfig {
    const file = join(folder, "config.json");
    const prices = [COIN, TOKEN].map((token) => ({ token, pricePerGibEpoch: "1000", minimumFeePerEpoch }));
    const common = { listen: { host: "127.0.0.1", port: 0 }, dataDir: "data", keystoreFile: "k", deploymentFile: "d" };
    writeFileSync(file, JSON.stringify({ ...common, offer: { prices, dataSets, ...terms } }));
    return loadCspConfig(file);
  }
  const offerOf = (dataSets: object, minimumFeePerEpoch?: string, terms?: object) =>
    makeDataSetOffer(load(dataSets, minimumFeePerEpoch, terms).offer, chain, ACCOUNT, {
      challengeKey: `0x${"22".repeat(32)}`,
      challengeKeySignature: `0x${"33".repeat(65)}`,
    });
  const withBond = (disputeBond: string, modes = ["on-demand"]) => ({ modes, tokens: [{ token: COIN, disputeBond }] });

  it("has proofs in every epoch only, unless more is configured", () => {
    expect(offerOf({}).modes).to.deep.equal(["every-epoch"]);
    expect(load({}).offer.dataSets.settleEpochs).to.equal(30);
    expect(offerOf({ modes: ["on-demand", "every-epoch"] }).modes).to.deep.equal(["on-demand", "every-epoch"]);
  });

  it("has no mode on demand where the grid of randomness closes more than half of an epoch to disputes", () => {
    const offer = offerOf({ modes: ["on-demand", "every-epoch"] });
    requireDisputable(offer, { epochBlocks: 60, gridBlocks: 30 });
    requireDisputable(offerOf({}), { epochBlocks: 60, gridBlocks: 60 });
    for (const [epochBlocks, gridBlocks] of [
      [60, 60],
      [90, 46],
    ] as const) {
      const refused = expectRejection(() => requireDisputable(offer, { epochBlocks, gridBlocks }), "INVALID_INPUT");
      expect(refused.received).to.equal(`${gridBlocks} blocks`);
    }
  });

  it("is refused when the compensation for the least fee would round to nothing", () => {
    expect(offerOf({}, "4", { compensationPercent: 25 }).compensationPercent).to.equal(25);
    for (const [least, compensationPercent] of [
      ["3", 25],
      ["4", 24],
    ] as const) {
      const refused = expectRejection(() => offerOf({}, least, { compensationPercent }), "INVALID_INPUT");
      expect(refused).to.include({ check: `offer.prices: minimumFeePerEpoch of ${COIN}`, received: least });
    }
  });

  it("asks for a bond of ten of the least fees, or of what is configured for the token", () => {
    const { prices } = offerOf(withBond("7"));
    expect(prices.map(({ disputeBond }) => disputeBond)).to.deep.equal(["7", "5000"]);
  });

  it("is refused with modes that there are not, named twice, or none", () => {
    for (const modes of [["never"], ["on-demand", "on-demand"], []]) {
      expectRejection(() => load({ modes }), "INVALID_INPUT");
    }
    for (const settleEpochs of [0, 1.5, 10_001]) expectRejection(() => load({ settleEpochs }), "INVALID_INPUT");
  });

  it("is refused when disputes on demand cost nothing, and always when the contract has no such bond", () => {
    const free = expectRejection(() => offerOf(withBond("0")), "INVALID_INPUT");
    expect(free).to.include({ check: `offer.dataSets.tokens: disputeBond of ${COIN}`, received: "0" });
    expect(free.expected).to.match(/^1 to /);
    expectRejection(() => offerOf({ modes: ["on-demand"] }, "0"), "INVALID_INPUT");
    expect(offerOf(withBond("0", ["every-epoch"])).prices[0]?.disputeBond).to.equal("0");
    const most = 2n ** 80n - 1n;
    expect(offerOf(withBond(String(most))).prices[0]?.disputeBond).to.equal(String(most));
    for (const modes of [["on-demand"], ["every-epoch"]]) {
      expectRejection(() => offerOf(withBond(String(most + 1n), modes)), "INVALID_INPUT");
    }
  });
});
