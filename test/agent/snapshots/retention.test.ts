import { expect } from "chai";
import fc from "fast-check";
import { applyRetention, parseSpan, type RetentionPolicy } from "../../../offchain/agent/snapshots/retention.ts";
import type { Snapshot } from "../../../offchain/core/snapshot/snapshot.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import { snapshotOf } from "../../helpers/snapshots.ts";

const NOW = new Date(2026, 5, 15, 12).getTime();
let count = 0;
/** A snapshot of a time on the local calendar. */
const at = (time: string, changed: Partial<Snapshot> = {}) =>
  snapshotOf(count++, { ...changed, timeMillis: new Date(time).getTime() });

/** Times that are kept, oldest first, as they were written. */
function kept(times: readonly string[], policy: RetentionPolicy): string[] {
  const snapshots = times.map((time) => at(time));
  const byId = new Map(snapshots.map(({ id }, k) => [id, times[k] ?? ""]));
  const [group] = applyRetention(snapshots, policy, NOW);
  return (group?.kept ?? []).map(({ snapshot }) => byId.get(snapshot.id) ?? "").sort();
}

describe("retention of snapshots", () => {
  it("keeps the last n", () => {
    const times = ["2026-01-01T10:00", "2026-01-02T10:00", "2026-01-02T10:00:01", "2026-01-03T10:00"];
    expect(kept(times, { last: 2 })).to.deep.equal(times.slice(2));
    expect(kept(times, { last: 9 })).to.deep.equal(times);
    expect(kept(times, { last: "all" })).to.deep.equal(times);
  });

  it("keeps the newest of each hour, day, week, month and year", () => {
    const times = [
      "2024-12-30T08:00", // Monday of week 1 of 2025
      "2025-01-05T09:00", // Sunday of the same week
      "2025-06-01T00:00",
      "2025-06-30T23:59",
      "2026-06-13T10:00",
      "2026-06-14T09:10",
      "2026-06-14T10:05",
      "2026-06-14T10:55",
    ];
    const oldest = times[0] ?? "";
    expect(kept(times, { hourly: 2 })).to.deep.equal([times[5], times[7]]);
    expect(kept(times, { daily: 2 })).to.deep.equal([times[4], times[7]]);
    // The oldest counts as one more while some are left.
    expect(kept(times, { weekly: 9 })).to.deep.equal([oldest, times[1], times[2], times[3], times[7]]);
    expect(kept(times, { weekly: 4 })).to.deep.equal([times[1], times[2], times[3], times[7]]);
    expect(kept(times, { monthly: 3 })).to.deep.equal([times[1], times[3], times[7]]);
    expect(kept(times, { yearly: 3 })).to.deep.equal([oldest, times[3], times[7]]);
    expect(kept(times, { yearly: 1, daily: 2 })).to.deep.equal([times[4], times[7]]);
  });

  it("keeps what is of the future, and counts it for no rule", () => {
    const times = ["2026-06-13T10:00", "2026-06-14T10:00", "2099-01-01T00:00"];
    expect(kept(times, { last: 1 })).to.deep.equal(times.slice(1));
    expect(kept(times, { daily: 1 })).to.deep.equal(times.slice(1));
  });

  it("keeps, of several of one time, the one that was made last", () => {
    const [first, second] = [at("2026-01-02T10:00"), at("2026-01-02T10:00")];
    const [group] = applyRetention([first, second], { last: 1 }, NOW);
    expect(group?.kept.map(({ snapshot }) => snapshot.id)).to.deep.equal([second.id]);
  });

  it("tells the two hours apart that have one name when summer time ends", () => {
    const before = process.env.TZ;
    process.env.TZ = "Europe/Berlin";
    try {
      const hours = ["2025-10-25T12:00:00Z", "2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z", "2025-10-26T02:30:00Z"];
      const snapshots = hours.map((time) => at(time));
      const [group] = applyRetention(snapshots, { hourly: 3 }, NOW);
      // Not the day before, in place of one of the two.
      expect(group?.removed.map(({ id }) => id)).to.deep.equal([snapshots[0]?.id]);
    } finally {
      if (before === undefined) delete process.env.TZ;
      else process.env.TZ = before;
    }
  });

  it("counts a month before the 31st of a longer one from the last day of the shorter", () => {
    const times = ["2026-02-27T12:00", "2026-03-02T12:00", "2026-03-31T12:00"];
    expect(kept(times, { within: parseSpan("1m") })).to.deep.equal(times.slice(1));
  });

  it("refuses rules that would leave nothing of a group", () => {
    const snapshots = [at("2026-01-01T10:00", { tags: ["home"] }), at("2026-01-02T10:00")];
    expectRejection(() => applyRetention(snapshots, { tags: [["typo"]] }, NOW), "INVALID_INPUT", /keep none/);
    const [group] = applyRetention(snapshots, { tags: [["home"]] }, NOW);
    expect(group?.kept).to.have.length(1);
  });

  it("keeps what is within a span of the newest that is not in the future", () => {
    const times = ["2026-04-14T09:00", "2026-06-07T09:00", "2026-06-13T10:00", "2026-06-14T09:00", "2027-01-01T00:00"];
    expect(kept(times, { within: parseSpan("1d") })).to.deep.equal(times.slice(2));
    expect(kept(times, { within: parseSpan("24h") })).to.deep.equal(times.slice(2));
    expect(kept(times, { within: parseSpan("23h") }), "the border itself is not within").to.deep.equal(times.slice(3));
    expect(kept(times, { within: parseSpan("2m1h") })).to.deep.equal(times);
    expect(kept(times, { within: parseSpan("2m") })).to.deep.equal(times.slice(1));
  });

  it("keeps snapshots with all tags of one list", () => {
    const [both, one, none] = [["a", "b"], ["a"], []].map((tags) => at("2026-01-01T00:00", { tags }));
    const policy = { tags: [["a", "b"], ["c"]] };
    const [group] = applyRetention(
      [both, one, none].filter((s) => s !== undefined),
      policy,
      NOW,
    );
    expect(group?.kept.map(({ snapshot, reasons }) => [snapshot.tags, reasons])).to.deep.equal([
      [["a", "b"], ["tags a,b"]],
    ]);
    expect(group?.removed).to.have.length(2);
  });

  it("treats each host and set of paths on its own, whatever the order of the paths", () => {
    const snapshots = [
      at("2026-01-01T00:00", { host: "one", paths: ["/a", "/b"] }),
      at("2026-01-02T00:00", { host: "one", paths: ["/b", "/a"] }),
      at("2026-01-01T00:00", { host: "two", paths: ["/a", "/b"] }),
      at("2026-01-01T00:00", { host: "one", paths: ["/a"] }),
    ];
    const groups = applyRetention(snapshots, { last: 1 }, NOW);
    expect(groups.map(({ host, paths, removed }) => [host, paths, removed.length])).to.deep.equal([
      ["one", ["/b", "/a"], 1],
      ["two", ["/a", "/b"], 0],
      ["one", ["/a"], 0],
    ]);
  });

  it("groups snapshots of a device apart, and is kept from nothing by them", () => {
    const device = `0x${"de".repeat(20)}`;
    const own = ["2026-01-01T10:00", "2026-01-02T10:00"].map((time) => at(time, { tags: ["home"] }));
    const posing = ["2026-02-01T10:00", "2026-02-02T10:00", "2026-02-03T10:00"].map((time) => at(time, { device }));
    const counted = applyRetention([...own, ...posing], { last: 2 }, NOW);
    expect(
      counted.map((group) => [group.device?.toLowerCase(), group.kept.length, group.removed.length]),
    ).to.deep.equal([
      [undefined, 2, 0],
      [device, 2, 1],
    ]);
    const tagged = applyRetention([...own, ...posing], { tags: [["home"]] }, NOW);
    expect(tagged.map(({ kept, removed }) => [kept.length, removed.length])).to.deep.equal([
      [2, 0],
      [3, 0],
    ]);
  });

  it("keeps or removes every snapshot, and never the newest of a group by a rule that counts", () => {
    const policies = fc.record(
      Object.fromEntries(
        ["last", "hourly", "daily", "weekly", "monthly", "yearly"].map((name) => [
          name,
          fc.integer({ min: 1, max: 5 }),
        ]),
      ),
      { requiredKeys: ["daily"] },
    );
    const times = fc.array(fc.integer({ min: NOW - 4e10, max: NOW }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(times, policies, (all, policy) => {
        const snapshots = all.map((timeMillis, k) => snapshotOf(k, { timeMillis }));
        const [group] = applyRetention(snapshots, policy, NOW);
        expect((group?.kept.length ?? 0) + (group?.removed.length ?? 0)).to.equal(all.length);
        expect(group?.kept[0]?.snapshot.timeMillis).to.equal(Math.max(...all));
      }),
    );
  });

  it("refuses a policy without a rule, which would remove everything", () => {
    for (const policy of [{}, { last: 0 }, { tags: [] }, { daily: 0, hourly: 0 }]) {
      expectRejection(() => applyRetention([snapshotOf(1)], policy, NOW), "INVALID_INPUT", /no rule/);
    }
  });

  it("reads spans of time, and nothing else", () => {
    expect(parseSpan("1y2m3d4h")).to.deep.equal({ years: 1, months: 2, days: 3, hours: 4 });
    expect(parseSpan("7d")).to.deep.equal({ years: 0, months: 0, days: 7, hours: 0 });
    for (const text of ["", "7", "d", "7d1y", "-1d", "1w", "1.5d", "7 d"]) {
      expectRejection(() => parseSpan(text), "INVALID_INPUT");
    }
  });
});
