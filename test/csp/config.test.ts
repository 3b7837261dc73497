/** Configurations of a provider that are refused, since no data set could be opened with them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { loadCspConfig } from "../../offchain/csp/config.ts";
import { expectRejection } from "../helpers/rejection.ts";

const PRICE = { token: `0x${"00".repeat(20)}`, pricePerGibEpoch: "0", minimumFeePerEpoch: "1" };

describe("configuration of a provider", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-provider-config-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function load(offer: Record<string, unknown>) {
    const file = join(folder, "config.json");
    const common = {
      listen: { host: "127.0.0.1", port: 0 },
      dataDir: "data",
      deploymentFile: "deployment.json",
      keystoreFile: "keystore.json",
    };
    writeFileSync(file, JSON.stringify({ ...common, offer: { prices: [PRICE], ...offer } }));
    return loadCspConfig(file);
  }

  it("has a minimum fee and a compensation that are more than nothing, and no more than the escrow counts", () => {
    expect(load({ compensationPercent: 65_535 }).offer).to.include({ compensationPercent: 65_535 });
    const dear = "9".repeat(24);
    expect(load({ prices: [{ ...PRICE, minimumFeePerEpoch: dear }] }).offer.prices[0]?.minimumFeePerEpoch).to.equal(
      dear,
    );
    for (const minimumFeePerEpoch of ["0", "9".repeat(25), "01", "-1"]) {
      const refused = () => load({ prices: [{ ...PRICE, minimumFeePerEpoch }] });
      expectRejection(refused, "INVALID_INPUT", /minimumFeePerEpoch/);
    }
    for (const compensationPercent of [0, 65_536]) {
      expectRejection(() => load({ compensationPercent }), "INVALID_INPUT", /compensationPercent/);
    }
    expectRejection(() => load({ bountyPercent: 65_536 }), "INVALID_INPUT", /bountyPercent/);
  });

  it("pays, with a fee that is worth one proof, for the report of a miss", () => {
    const gas = JSON.parse(readFileSync("contracts/snapshots/gas.json", "utf8")) as Record<string, number>;
    const [proof, report] = [gas["Data sets: prove, 460 samples, first"], gas["Data sets: reportMiss"]];
    if (proof === undefined || report === undefined) throw new Error("the figures of the gas are called otherwise");
    expect((proof * load({}).offer.bountyPercent) / 100).to.be.greaterThan(report);
  });
});
