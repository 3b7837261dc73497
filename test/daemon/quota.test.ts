/** Rates in memory; the durable budgets are tested with the node that spends them (test/nbm/oprf/budget.test.ts). */

import { expect } from "chai";
import type { TallystickError } from "../../offchain/core/errors.ts";
import { Rates, SharedRates } from "../../offchain/daemon/quota.ts";

describe("daemon rates", () => {
  let now: number;
  const limit = { scope: "openings", capacity: 3, periodSeconds: 60 };
  const refusal = (work: () => void): TallystickError | undefined => {
    try {
      work();
      return undefined;
    } catch (error) {
      return error as TallystickError;
    }
  };

  beforeEach(() => {
    now = 1000;
  });

  it("grant the capacity at once and then as time refills it, to each holder by itself", () => {
    const rates = new Rates(limit, () => now);
    for (let k = 0; k < 3; k++) rates.take("a");
    const refused = refusal(() => rates.take("a"));
    expect(refused).to.include({ code: "RATE_LIMITED", party: "a", retryable: true });
    expect(Math.round(refused?.retryAfterSeconds ?? 0)).to.equal(20);
    rates.take("b");
    now += 20_000;
    rates.take("a");
    expect(refusal(() => rates.take("a"))?.code).to.equal("RATE_LIMITED");
  });

  it("remember a bounded number of holders, and forget those with a full bucket first", () => {
    const rates = new Rates(limit, () => now);
    for (let k = 0; k < 60_000; k++) rates.take(`old ${k}`);
    now += 60_000;
    for (let k = 0; k < 3; k++) rates.take("busy");
    for (let k = 0; k < 50_000; k++) rates.take(`new ${k}`);
    expect(refusal(() => rates.take("busy"))?.code).to.equal("RATE_LIMITED");
  });

  it("leave a part to others when some take as much as they can", () => {
    const each = { scope: "openings of one", capacity: 120, periodSeconds: 60 };
    const rates = new SharedRates(each, { scope: "openings", capacity: 6000, periodSeconds: 60 }, () => now);
    const drain = (holder: string): number => {
      for (let taken = 0; ; taken++) {
        const refused = refusal(() => rates.take(holder));
        if (refused === undefined) continue;
        expect(refused).to.include({ code: "RATE_LIMITED", party: holder, retryable: true });
        return taken;
      }
    };
    expect(drain("first")).to.equal(120);
    for (let k = 0; k < 60; k++) drain(`greedy ${k}`);
    expect(drain("last")).to.be.at.least(20);
    now += 60_000;
    expect(drain("first")).to.equal(120);
  });
});
