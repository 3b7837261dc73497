import { expect } from "chai";
import { pino } from "pino";
import { FailureLog } from "../../offchain/daemon/failure-log.ts";
import { createMetrics } from "../../offchain/daemon/metrics.ts";
import { createServer } from "../../offchain/daemon/server.ts";
import { networkOf, WalletChecks } from "../../offchain/daemon/wallet-checks.ts";
import { walletOf } from "../helpers/ledger-records.ts";

describe("checks of signatures by contract wallets", () => {
  const wallet = walletOf(1).address;
  const from = (address: string) => ({ address });
  /** Until it is refused. */
  async function useUp(checks: WalletChecks, source: Parameters<WalletChecks["take"]>[1]): Promise<number> {
    for (let taken = 0; ; taken += 1) {
      try {
        checks.take(wallet, source);
      } catch (error) {
        expect(error).to.include({ code: "RATE_LIMITED" });
        return taken;
      }
    }
  }

  it("are left to the wallet itself when a stranger has used up what it may cause in the wallet's name", async () => {
    const checks = new WalletChecks(() => 0);
    expect(await useUp(checks, from("192.0.2.1"))).to.be.within(10, 60);
    checks.take(wallet, from("198.51.100.7"));
    checks.take(wallet, "session");
  });

  it("are bounded in all", async () => {
    const checks = new WalletChecks(() => 0);
    let taken = 0;
    for (let host = 0; host < 1000; host += 1) taken += await useUp(checks, from(`192.0.2.${host}`));
    expect(taken).to.equal(300);
  });

  it("count a customer's network as one", () => {
    expect(networkOf("192.0.2.1")).to.equal("192.0.2.1");
    expect(networkOf("::ffff:192.0.2.1")).to.equal("192.0.2.1");
    expect(networkOf("2001:db8:0:12:3456::1")).to.equal("2001:db8:0:12::/64");
    expect(networkOf("2001:0DB8:0000:0012:ffff:ffff:ffff:ffff")).to.equal("2001:db8:0:12::/64");
    expect(networkOf("2001:db8::1")).to.equal("2001:db8:0:0::/64");
    expect(networkOf("fe80::1%eth0")).to.equal("fe80:0:0:0::/64");
    expect(networkOf("::1")).to.equal("0:0:0:0::/64");
  });

  it("go by the address that a trusted proxy names, and by no other one", async () => {
    const logger = pino({ level: "silent" });
    for (const [trustedProxies, seen] of [
      [["127.0.0.1"], "198.51.100.7"],
      [[], "127.0.0.1"],
      [["192.0.2.0/24"], "127.0.0.1"],
    ] as const) {
      const common = { logger, metrics: createMetrics("test"), failures: new FailureLog(logger) };
      const server = createServer({ ...common, trustedProxies });
      server.get("/v1/address", async ({ ip }) => ip);
      const headers = { "x-forwarded-for": "203.0.113.9, 198.51.100.7" };
      const { body } = await server.inject({ url: "/v1/address", headers });
      await server.close();
      expect(body).to.equal(seen);
    }
  });
});
