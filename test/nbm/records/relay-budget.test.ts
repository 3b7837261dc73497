import { expect } from "chai";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { Budgets } from "../../../offchain/nbm/oprf/budget.ts";
import { RelayBudget } from "../../../offchain/nbm/records/relay-budget.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";

const DAY_SECONDS = 86_400;
const LIMITS = { perAccount: 1000, total: 4000, periodSeconds: DAY_SECONDS };

describe("relay budget", () => {
  let now: number;
  let budget: RelayBudget;

  function budgetOf(limits: typeof LIMITS): RelayBudget {
    now = 1_800_000_000_000;
    const database = openDatabase(":memory:", { migrations: NBM_MIGRATIONS });
    const budgets = new Budgets(database, () => now);
    const isEstablished = (account: string) => account.startsWith("established");
    return new RelayBudget({ database, budgets, limits, isEstablished });
  }

  /** Takes until refused, at most so many times. */
  function drain(account: string, most = Number.POSITIVE_INFINITY): number {
    for (let taken = 0; taken < most; taken++) {
      try {
        budget.take(account);
      } catch (error) {
        expect(error).to.be.instanceOf(TallystickError);
        expect(error).to.include({ code: "RATE_LIMITED", check: "relay budget", retryable: true });
        return taken;
      }
    }
    return most;
  }

  beforeEach(() => {
    budget = budgetOf(LIMITS);
  });

  it("leaves new and established accounts their part after twenty free accounts have taken what they can", () => {
    const taken = Array.from({ length: 20 }, (_, i) => drain(`free ${i}`));
    const all = taken.reduce((sum, each) => sum + each, 0);
    expect(all).to.be.at.most(2000);
    expect(drain("newcomer")).to.be.greaterThan(30);
    expect(drain("established")).to.be.greaterThan(90);
  });

  it("keeps the halves of new and of established accounts apart, whatever the others do", () => {
    const limits = { ...LIMITS, total: 800 };
    for (const [greedy, other] of [
      ["free", "established"],
      ["established", "free"],
    ] as const) {
      budget = budgetOf(limits);
      for (let i = 0; i < 100; i++) drain(`${greedy} ${i}`);
      expect(drain(`${greedy} last`)).to.be.at.most(4);
      expect(drain(other), other).to.be.at.least(19);
    }
  });

  it("gives a single account no more than its limit, and refills it with time", () => {
    expect(drain("established")).to.be.at.most(100);
    expect(drain("established")).to.equal(0);
    now += DAY_SECONDS * 1000;
    expect(drain("established")).to.be.greaterThan(90);
  });

  it("keeps a single account to the limit per account where that is below its part of the total", () => {
    budget = budgetOf({ ...LIMITS, perAccount: 5 });
    expect(drain("free")).to.equal(5);
    expect(drain("another")).to.equal(5);
    now += (DAY_SECONDS / 5) * 1000;
    expect(drain("free")).to.equal(1);
  });

  it("never grants more than the total, and works with totals of a few", () => {
    budget = budgetOf({ perAccount: 2, total: 3, periodSeconds: 60 });
    expect(drain("free")).to.equal(1);
    expect(drain("another")).to.equal(1);
    expect(drain("third")).to.equal(0);
    expect(drain("established")).to.equal(1);
    expect(drain("established two")).to.equal(0);
  });
});
