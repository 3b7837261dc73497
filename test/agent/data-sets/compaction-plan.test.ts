/** What a compaction moves, without a chain: by example, and in any sequence of puts and removals. */

import { expect } from "chai";
import fc from "fast-check";
import {
  type CompactionLimits,
  type CompactionSubject,
  planCompaction,
} from "../../../offchain/agent/data-sets/compaction-plan.ts";
import type { NeededRun } from "../../../offchain/agent/data-sets/needed-slices.ts";
import { RANGES_AFTER_RETIRING, retireRuns, sumOf } from "../../../offchain/agent/data-sets/next-state.ts";
import type { SliceRange } from "../../../offchain/core/audit/challenge.ts";
import { joinRanges, lastIndexOf, MAXIMUM_RANGES, subtractRanges } from "../../../offchain/core/data-set/ranges.ts";

const SLICE_BYTES = 1000;
const BOUNDED_BYTES = 8000;
const UNBOUNDED: CompactionLimits = { bytes: Number.MAX_SAFE_INTEGER, isThorough: false };
const THOROUGH: CompactionLimits = { bytes: Number.MAX_SAFE_INTEGER, isThorough: true };

/** Full runs of some lengths, with dead slices between them, in one live range. */
function fragmented(runs: readonly number[], holes: readonly number[]): CompactionSubject {
  const needed: NeededRun[] = [];
  let next = 1;
  runs.forEach((count, k) => {
    needed.push({ firstIndex: next, count, bytes: count * SLICE_BYTES });
    next += count + (holes[k] ?? 0);
  });
  return subjectOf([{ firstIndex: 1, count: next - 1 }], needed, next);
}

function subjectOf(live: readonly SliceRange[], needed: readonly NeededRun[], nextIndex: number): CompactionSubject {
  const prices = { feePerSlice: 1000n, feePerIndex: 1n };
  return { live, needed, added: [], nextIndex, maximumIndex: 2 ** 40, sliceBytes: SLICE_BYTES, prices };
}

const times = <Item>(count: number, of: (k: number) => Item): Item[] => Array.from({ length: count }, (_, k) => of(k));

describe("the plan of a compaction", () => {
  it("moves nothing while all dead slices can go", () => {
    const plan = planCompaction(
      fragmented(
        times(24, () => 5),
        times(23, () => 3),
      ),
      UNBOUNDED,
    );
    expect(plan).to.deep.include({ moved: [], deadSlices: 69, keptDeadSlices: 0, isCutShort: false });
    expect(plan.ranges).to.have.length(24);
  });

  it("moves the smallest runs, as few as let all dead slices go", () => {
    const lengths = times(40, (k) => 5 + ((k * 7) % 40));
    const plan = planCompaction(
      fragmented(
        lengths,
        times(39, () => 100),
      ),
      UNBOUNDED,
    );
    expect(plan.ranges).to.have.length(RANGES_AFTER_RETIRING);
    expect(plan.keptDeadSlices).to.equal(0);
    const smallest = lengths.toSorted((a, b) => a - b).slice(0, plan.moved.length);
    expect(plan.moved.map(({ count }) => count).toSorted((a, b) => a - b)).to.deep.equal(smallest);
    // The new segment continues the last range.
    expect(plan.moved).to.have.length(40 - RANGES_AFTER_RETIRING);
    expect(plan.newSlices).to.equal(sumOf(plan.moved));
  });

  it("moves no more than it gains, unless it is to be thorough", () => {
    const subject = fragmented(
      times(40, () => 50),
      times(39, () => 2),
    );
    expect(planCompaction(subject, UNBOUNDED)).to.deep.include({ moved: [], keptDeadSlices: 2 * (39 - 23) });
    const thorough = planCompaction(subject, THOROUGH);
    expect(thorough).to.include({ keptDeadSlices: 0, movedBytes: 16 * 50 * SLICE_BYTES });
  });

  it("never makes the fee rise, however thorough", () => {
    const subject = fragmented(
      times(40, () => 50),
      times(39, () => 2),
    );
    const dear = { ...subject, prices: { feePerSlice: 1n, feePerIndex: 100n } };
    expect(planCompaction(dear, THOROUGH).moved).to.deep.equal([]);
  });

  it("moves so many bytes at most, and says that more would pay", () => {
    const subject = fragmented(
      times(40, () => 5),
      times(39, () => 100),
    );
    const plan = planCompaction(subject, { bytes: 5 * 5 * SLICE_BYTES, isThorough: false });
    expect(plan.moved).to.have.length(5);
    expect(plan).to.include({ isCutShort: true, movedBytes: 25 * SLICE_BYTES });
    expect(plan.ranges).to.have.length(RANGES_AFTER_RETIRING);
    expect(plan.keptDeadSlices).to.be.greaterThan(0);
  });

  it("makes room in a list that the escrow would refuse, whatever it costs, and some more if bytes are left", () => {
    const live = times(32, (k) => ({ firstIndex: 1 + 100 * k, count: 50 + k }));
    const needed = live.map((range) => ({ ...range, bytes: range.count * SLICE_BYTES }));
    const added = [{ firstIndex: 4000, count: 7 }];
    const subject = { ...subjectOf(live, needed, 4007), added };
    const least = planCompaction(subject, { bytes: 0, isThorough: false });
    // The new segment follows the added one at once.
    expect(least.moved).to.deep.equal([needed[0]]);
    expect(least.ranges).to.have.length(MAXIMUM_RANGES);
    const more = planCompaction(subject, UNBOUNDED);
    expect(more.moved).to.deep.equal(needed.slice(0, 9));
    expect(more.ranges).to.have.length(RANGES_AFTER_RETIRING);
    expect(more.ranges.at(-1)).to.deep.equal({ firstIndex: 4000, count: 7 + more.newSlices });
  });

  it("leaves a long list alone while the escrow takes it and nothing in it is dead", () => {
    const live = times(30, (k) => ({ firstIndex: 1 + 100 * k, count: 50 }));
    const needed = live.map((range) => ({ ...range, bytes: range.count * SLICE_BYTES }));
    expect(planCompaction(subjectOf(live, needed, 4000), THOROUGH)).to.deep.include({ moved: [], ranges: live });
  });

  it("moves a run that holds little for the slices that it takes, also in a short list", () => {
    const live = [
      { firstIndex: 1, count: 100 },
      { firstIndex: 201, count: 10 },
    ];
    const needed = [
      { firstIndex: 1, count: 100, bytes: 90_000 },
      { firstIndex: 201, count: 10, bytes: 3500 },
    ];
    const plan = planCompaction(subjectOf(live, needed, 300), UNBOUNDED);
    expect(plan.moved).to.deep.equal([needed[1]]);
    expect(plan).to.include({ newSlices: 4, movedBytes: 3500 });
  });

  it("does not move slices that nobody knows, nor beyond the highest index that the provider takes", () => {
    const subject = fragmented(
      times(40, () => 5),
      times(39, () => 100),
    );
    const [first, ...others] = subject.needed;
    if (first === undefined) throw new Error("no run");
    const plan = planCompaction({ ...subject, needed: [{ ...first, count: 1, bytes: 0 }, ...others] }, UNBOUNDED);
    expect(plan.moved.some(({ firstIndex }) => firstIndex === 1)).to.equal(false);
    expect(plan.ranges[0]?.firstIndex).to.equal(1);
    const full = planCompaction({ ...subject, maximumIndex: subject.nextIndex + 19 }, UNBOUNDED);
    expect(full.newSlices).to.be.within(1, 20);
    expect(planCompaction({ ...subject, maximumIndex: subject.nextIndex - 1 }, UNBOUNDED).moved).to.deep.equal([]);
  });
});

/** A data set as user and provider agree on it, of which each object is known by its place. */
class ModelSet {
  readonly places = new Map<number, { startByte: number; sizeBytes: number; firstIndex: number }>();
  live: SliceRange[] = [];
  nextIndex = 1;
  #objects = 0;

  /** Objects of some sizes, one after the other from the next index on. */
  lay(objects: readonly (readonly [object: number, sizeBytes: number])[]): SliceRange {
    let startByte = 0;
    for (const [object, sizeBytes] of objects) {
      this.places.set(object, { startByte, sizeBytes, firstIndex: this.nextIndex });
      startByte += sizeBytes;
    }
    const range = { firstIndex: this.nextIndex, count: Math.ceil(startByte / SLICE_BYTES) };
    this.nextIndex += range.count;
    return range;
  }

  slicesOf(object: number): SliceRange {
    const { startByte, sizeBytes, firstIndex } = this.places.get(object) ?? {
      startByte: 0,
      sizeBytes: 0,
      firstIndex: 0,
    };
    const first = Math.floor(startByte / SLICE_BYTES);
    return {
      firstIndex: firstIndex + first,
      count: Math.floor((startByte + sizeBytes - 1) / SLICE_BYTES) + 1 - first,
    };
  }

  /** Runs of live slices with objects in them. */
  needed(): NeededRun[] {
    const objects = [...this.places].map(([object, { sizeBytes }]) => ({ range: this.slicesOf(object), sizeBytes }));
    const ranges = objects.map(({ range }) => range);
    const inOrder = objects.toSorted((a, b) => a.range.firstIndex - b.range.firstIndex);
    let next = 0;
    return joinRanges(ranges, []).map((run) => {
      let bytes = 0;
      for (
        let one = inOrder[next];
        one !== undefined && one.range.firstIndex <= lastIndexOf(run);
        one = inOrder[next]
      ) {
        bytes += one.sizeBytes;
        next += 1;
      }
      return { ...run, bytes };
    });
  }

  /** One commit: what is new, what is gone, and what a compaction within these limits moves. */
  commit(
    sizes: readonly number[],
    removed: (objects: readonly number[]) => readonly number[],
    limits: CompactionLimits,
  ) {
    for (const object of removed([...this.places.keys()])) this.places.delete(object);
    const needed = this.needed();
    const fresh = sizes.map((sizeBytes, k) => [this.#objects + k, sizeBytes] as const);
    this.#objects += fresh.length;
    const added = fresh.length === 0 ? [] : [this.lay(fresh)];
    const subject = { ...subjectOf(this.live, needed, this.nextIndex), added };
    const plan = planCompaction(subject, limits);
    const isMoved = (object: number) =>
      plan.moved.some((run) => subtractRanges([this.slicesOf(object)], [run]).length === 0);
    const moving = [...this.places].filter(([object]) => isMoved(object));
    expect(moving.reduce((sum, [, { sizeBytes }]) => sum + sizeBytes, 0)).to.equal(plan.movedBytes);
    const moved = moving.length === 0 ? [] : [this.lay(moving.map(([object, { sizeBytes }]) => [object, sizeBytes]))];
    expect(sumOf(moved)).to.equal(plan.newSlices);
    const before = joinRanges(this.live, added);
    const all = joinRanges(before, moved);
    const objects = [...this.places.keys()].map((object) => this.slicesOf(object));
    this.live = retireRuns(all, subtractRanges(all, joinRanges(objects, [])));
    return { plan, subject, before };
  }
}

const commitWith = fc.record({
  sizes: fc.oneof(
    fc.array(fc.integer({ min: 1, max: 6000 }), { maxLength: 12 }),
    // Many, so that removing some leaves more runs than the list takes.
    fc.array(fc.integer({ min: 500, max: 4000 }), { minLength: 60, maxLength: 90 }),
  ),
  /** Picks what is removed. */
  kept: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 7 }),
  /** Indices that an interrupted put has left unused. */
  lost: fc.integer({ min: 0, max: 3 }),
});

describe("a data set after any puts and removals", () => {
  for (const [what, limits] of [
    ["unbounded", UNBOUNDED],
    ["thorough", THOROUGH],
    ["bounded", { bytes: BOUNDED_BYTES, isThorough: false }],
  ] as const) {
    it(`covers all its objects with a short list, and uses no index twice: ${what}`, () => {
      let [compactions, cutShort] = [0, 0];
      fc.assert(
        fc.property(fc.array(commitWith, { minLength: 1, maxLength: 8 }), (commits) => {
          const set = new ModelSet();
          let used = 0;
          for (const { sizes, kept, lost } of commits) {
            const isRemoved = (_: number, k: number) => kept[k % kept.length] === 0;
            const { plan, subject } = set.commit(sizes, (objects) => objects.filter(isRemoved), limits);
            // Everything is covered, by slices above all that were used before, or by the same.
            for (const object of set.places.keys()) {
              expect(subtractRanges([set.slicesOf(object)], set.live)).to.deep.equal([]);
            }
            const fresh = subtractRanges(set.live, subject.live);
            expect(fresh.every(({ firstIndex }) => firstIndex > used)).to.equal(true);
            used = set.nextIndex - 1;
            expect(set.live.length).to.be.at.most(MAXIMUM_RANGES);
            compactions += plan.moved.length > 0 ? 1 : 0;
            cutShort += plan.isCutShort ? 1 : 0;
            // What was planned is what came out.
            if (set.places.size > 0) expect(set.live).to.deep.equal(plan.ranges);
            const isForced = retireRuns(joinRanges(subject.live, subject.added), []).length > MAXIMUM_RANGES;
            if (!isForced) expect(plan.movedBytes).to.be.at.most(limits.bytes);
            if (limits.isThorough && set.places.size > 0) expect(plan.keptDeadSlices).to.equal(0);
            if (!limits.isThorough && !isForced) expectGain(subject, plan);
            set.nextIndex += lost;
          }
        }),
        // What is wrong is found at once; a smaller example is not worth minutes.
        { endOnFailure: true },
      );
      expect(compactions).to.be.greaterThan(0);
      if (limits.bytes === BOUNDED_BYTES) expect(cutShort).to.be.greaterThan(0);
    });
  }

  /** No more bytes were moved than dead ones have gone out for them. */
  function expectGain(subject: CompactionSubject, plan: ReturnType<typeof planCompaction>): void {
    const without = retireRuns(joinRanges(subject.live, subject.added), subtractRanges(subject.live, subject.needed));
    if (without.length > MAXIMUM_RANGES) return;
    expect(plan.movedBytes).to.be.at.most((sumOf(without) - sumOf(plan.ranges)) * SLICE_BYTES);
  }
});
