import { expect } from "chai";
import fc from "fast-check";
import { batch, flatten } from "../../offchain/agent/pipeline/batch.ts";
import { mapOrdered } from "../../offchain/agent/pipeline/map-ordered.ts";
import { failure } from "../helpers/promises.ts";

async function* iterate<Item>(items: Iterable<Item>): AsyncGenerator<Item, void, undefined> {
  yield* items;
}

async function collect<Item>(source: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of source) items.push(item);
  return items;
}

const ticks = async (count: number): Promise<void> => {
  for (let tick = 0; tick < count; tick += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe("pipeline: mapOrdered", () => {
  it("yields results in the order of the items, whatever order they finish in", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat({ max: 5 }), { maxLength: 30 }),
        fc.integer({ min: 1, max: 7 }),
        async (delays, concurrency) => {
          const transform = async (item: { delay: number; index: number }) => {
            await ticks(item.delay);
            return item.index;
          };
          const items = delays.map((delay, index) => ({ delay, index }));
          const results = await collect(mapOrdered(iterate(items), transform, { concurrency }));
          expect(results).to.deep.equal(items.map((item) => item.index));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("holds no more items and no more weight than its limits", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 40 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 20 }),
        async (weights, concurrency, maximumWeight) => {
          let items = 0;
          let weight = 0;
          const transform = async (added: number) => {
            items += 1;
            weight += added;
            await Promise.resolve(); // the consumer may be about to take a result that the stage has let go of
            expect(items).to.be.at.most(concurrency);
            if (items > 1) expect(weight).to.be.at.most(maximumWeight);
            await ticks(2);
            return added;
          };
          const source = mapOrdered(iterate(weights), transform, { concurrency, maximumWeight, weigh: (w) => w });
          for await (const done of source) {
            items -= 1;
            weight -= done;
          }
          expect(items).to.equal(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("works ahead while the consumer is busy, up to its limit", async () => {
    let started = 0;
    const source = mapOrdered(
      iterate([1, 2, 3, 4, 5, 6]),
      async (item) => {
        started += 1;
        return item;
      },
      { concurrency: 3 },
    );
    await source.next();
    await ticks(5);
    expect(started).to.equal(4);
    await source.return();
  });

  it("fails with the first error in item order, once everything started has settled", async () => {
    let running = 0;
    const transform = async (item: number) => {
      running += 1;
      await ticks(item === 1 ? 6 : 2);
      running -= 1;
      if (item > 0) throw new Error(`item ${item}`);
      return item;
    };
    const error = await failure(collect(mapOrdered(iterate([0, 1, 2, 3, 4]), transform, { concurrency: 3 })));
    expect((error as Error).message).to.equal("item 1");
    expect(running).to.equal(0);
  });

  it("passes on a failure of the source after the items before it", async () => {
    const seen: number[] = [];
    async function* source() {
      yield 1;
      yield 2;
      throw new Error("source broke");
    }
    const work = (async () => {
      for await (const item of mapOrdered(source(), async (n) => n, { concurrency: 4 })) seen.push(item);
    })();
    expect(((await failure(work)) as Error).message).to.equal("source broke");
    expect(seen).to.deep.equal([1, 2]);
  });

  it("closes the source when the consumer stops early", async () => {
    let closed = false;
    async function* source() {
      try {
        for (let n = 0; ; n += 1) yield n;
      } finally {
        closed = true;
      }
    }
    for await (const item of mapOrdered(source(), async (n) => n, { concurrency: 2 })) if (item === 3) break;
    expect(closed).to.equal(true);
  });
});

describe("pipeline: batch", () => {
  it("keeps items, order and limits", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 9 })), async (weights) => {
        const limits = { maximumItems: 4, maximumWeight: 12, weigh: (w: number) => w };
        const groups = await collect(batch(iterate(weights), limits));
        expect(groups.flat()).to.deep.equal(weights);
        expect(await collect(flatten(iterate(groups)))).to.deep.equal(weights);
        for (const group of groups) {
          expect(group.length).to.be.within(1, 4);
          if (group.length > 1) expect(group.reduce((a, b) => a + b, 0)).to.be.at.most(12);
        }
        for (const [index, group] of groups.entries()) {
          const next = groups[index + 1]?.[0];
          const full = group.length === 4 || group.reduce((a, b) => a + b, next ?? 0) > 12;
          if (next !== undefined) expect(full, "a batch that was sent off early").to.equal(true);
        }
      }),
    );
  });

  it("lets an item above the limit pass alone", async () => {
    const groups = await collect(
      batch(iterate([1, 50, 1]), { maximumItems: 9, maximumWeight: 10, weigh: (w: number) => w }),
    );
    expect(groups).to.deep.equal([[1], [50], [1]]);
  });
});
