import { expect } from "chai";
import fc from "fast-check";
import type { TallystickError } from "../../../offchain/core/errors.ts";
import { type BudgetLimit, Budgets, nodeShareOfBudget } from "../../../offchain/nbm/oprf/budget.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";

const START = 1_800_000_000_000;

function clockedBudgets() {
  const database = openDatabase(":memory:", { migrations: NBM_MIGRATIONS });
  const clock = { now: START };
  return { database, clock, budgets: new Budgets(database, () => clock.now) };
}

function refusal(work: () => void): TallystickError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error as TallystickError;
  }
}

describe("account budget", () => {
  const limit: BudgetLimit = { scope: "oprf 1", capacity: 10, periodSeconds: 100 };

  it("grants the capacity at once and then as time refills it", () => {
    const { budgets, clock } = clockedBudgets();
    budgets.take(limit, "a", 6);
    budgets.take(limit, "a", 4);
    const refused = refusal(() => budgets.take(limit, "a", 3));
    expect(refused?.code).to.equal("RATE_LIMITED");
    expect(Math.round((refused?.retryAfterSeconds ?? 0) * 1e6)).to.equal(30_000_000);
    clock.now += 29_999;
    expect(refusal(() => budgets.take(limit, "a", 3))?.code).to.equal("RATE_LIMITED");
    clock.now += 1;
    expect(refusal(() => budgets.take(limit, "a", 3))).to.equal(undefined);
  });

  it("is not blocked for longer than a period after the clock was set back", () => {
    const { budgets, clock } = clockedBudgets();
    for (const [account, step] of Object.entries({ hours: 90_000, years: 10 * 365 * 86_400_000 })) {
      clock.now = START + step;
      budgets.take(limit, account, 10);
      clock.now = START;
      expect(budgets.used(limit, account)).to.be.at.most(10);
      const { retryAfterSeconds = 0 } = refusal(() => budgets.take(limit, account, 1)) ?? {};
      expect(retryAfterSeconds).to.be.at.most(100);
      clock.now += 100_000;
      expect(refusal(() => budgets.take(limit, account, 1))).to.equal(undefined);
    }
  });

  it("gives nothing away when the clock was set back by a moment", () => {
    const { budgets, clock } = clockedBudgets();
    budgets.take(limit, "a", 10);
    clock.now -= 1000;
    expect(refusal(() => budgets.take(limit, "a", 1))).to.include({ code: "RATE_LIMITED", retryAfterSeconds: 11 });
  });

  it("keeps accounts and scopes apart", () => {
    const { budgets } = clockedBudgets();
    budgets.take(limit, "a", 10);
    budgets.take(limit, "b", 10);
    budgets.take({ ...limit, scope: "oprf 2" }, "a", 10);
    expect(refusal(() => budgets.take(limit, "b", 1))?.code).to.equal("RATE_LIMITED");
  });

  it("tells a request that can never be granted from one that must wait", () => {
    const { budgets } = clockedBudgets();
    const refused = refusal(() => budgets.take(limit, "a", 11));
    expect(refused?.code).to.equal("INVALID_INPUT");
    expect(refused?.details).to.deep.equal({ capacity: 10, periodSeconds: 100 });
    expect(refusal(() => budgets.take({ ...limit, capacity: 0 }, "a", 1))?.code).to.equal("INVALID_INPUT");
  });

  it("spends nothing when the transaction around it fails", () => {
    const { budgets, database } = clockedBudgets();
    const failed = refusal(() =>
      database.transaction(() => {
        budgets.take(limit, "a", 10);
        throw new Error("evaluation failed");
      }),
    );
    expect(failed?.message).to.equal("evaluation failed");
    budgets.take(limit, "a", 10);
  });

  it("forgets full buckets and only those", () => {
    const { budgets, clock, database } = clockedBudgets();
    budgets.take(limit, "a", 1);
    budgets.take(limit, "b", 10);
    clock.now += 10_000;
    budgets.prune();
    expect(database.prepare("SELECT account FROM budgets").all()).to.deep.equal([
      Object.assign(Object.create(null), { account: "b" }),
    ]);
  });

  it("never grants more than capacity · (1 + t / period) over any span", () => {
    const request = fc.record({ waitMillis: fc.nat(20_000), tokens: fc.integer({ min: 1, max: 10 }) });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 60 }), (requests) => {
        const { budgets, clock } = clockedBudgets();
        const grants: { at: number; tokens: number }[] = [];
        for (const { waitMillis, tokens } of requests) {
          clock.now += waitMillis;
          if (refusal(() => budgets.take(limit, "a", tokens)) === undefined) grants.push({ at: clock.now, tokens });
        }
        for (const [first, { at: from }] of grants.entries()) {
          let granted = 0;
          for (const { at, tokens } of grants.slice(first)) {
            granted += tokens;
            expect(granted).to.be.at.most(10 * (1 + (at - from) / 100_000) + 1e-6);
          }
        }
      }),
    );
  });

  it("is split so that B outputs are the most with any number of colluding members below k", () => {
    for (let size = 1; size <= 9; size++) {
      for (let threshold = 1; threshold <= size; threshold++) {
        const B = 1000;
        const each = nodeShareOfBudget(B, threshold, size);
        for (let colluding = 0; colluding < threshold; colluding++) {
          const outputs = Math.floor(((size - colluding) * each) / (threshold - colluding));
          expect(outputs, `${threshold} of ${size} with ${colluding} colluding`).to.be.at.most(B);
        }
        // The bound is reached up to rounding: no larger share would do.
        expect((size - threshold + 1) * (each + 1)).to.be.greaterThan(B);
      }
    }
    expect(nodeShareOfBudget(1_440_000, 3, 5)).to.equal(480_000);
    expect(nodeShareOfBudget(1, 1, 5)).to.equal(1);
  });

  it("grants at most B outputs across a committee, whichever quorums are asked, also with k − 1 colluding", () => {
    const committee = fc
      .integer({ min: 1, max: 9 })
      .chain((size) => fc.record({ size: fc.constant(size), threshold: fc.integer({ min: 1, max: size }) }));
    fc.assert(
      fc.property(committee, fc.integer({ min: 9, max: 40 }), fc.infiniteStream(fc.nat(1000)), (shape, B, random) => {
        const { size, threshold } = shape;
        const capacity = nodeShareOfBudget(B, threshold, size);
        const colluding = random.next().value % threshold;
        const nodes = Array.from({ length: size - colluding }, () => clockedBudgets().budgets);
        let outputs = 0;
        for (let attempt = 0; attempt < 4 * B; attempt++) {
          const order = nodes
            .map((budgets) => ({ budgets, rank: random.next().value }))
            .sort((a, b) => a.rank - b.rank);
          let answers = colluding;
          for (const { budgets } of order) {
            if (answers === threshold) break;
            if (refusal(() => budgets.take({ scope: "s", capacity, periodSeconds: 60 }, "a", 1)) === undefined)
              answers++;
          }
          if (answers === threshold) outputs++;
        }
        expect(outputs).to.be.at.most(B);
      }),
      { numRuns: 30 },
    );
  });
});
