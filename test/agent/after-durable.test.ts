/** What is done once objects are durable, and in which order. */
import { expect } from "chai";
import { AfterDurable } from "../../offchain/agent/put/after-durable.ts";
import type { SealedObject } from "../../offchain/core/recipe/tree.ts";

async function* objects(count: number): AsyncGenerator<SealedObject, void, undefined> {
  for (let k = 0; k < count; k += 1) yield { id: `${k}`, sealed: new Uint8Array(1) };
}

describe("what waits for objects to be durable", () => {
  let durable: AfterDurable;
  let done: string[];
  const note = (what: string) => () => {
    done.push(what);
  };
  const count = async (number: number) => {
    for await (const _ of durable.counting(objects(number)));
  };
  beforeEach(() => {
    durable = new AfterDurable();
    done = [];
  });

  it("is done when all objects counted before it are confirmed, and at once when they are", async () => {
    await count(2);
    durable.defer(note("bundle"));
    durable.inOrder(note("file"), { needsObjects: true });
    durable.confirm(1);
    expect(done).to.deep.equal([]);
    durable.confirm(1);
    expect(done).to.deep.equal(["bundle", "file"]);
    durable.defer(note("later"));
    expect(done).to.deep.equal(["bundle", "file", "later"]);
  });

  it("keeps its order, and does not wait where it needs no objects and nothing is before it", async () => {
    await count(1);
    durable.inOrder(note("known"), { needsObjects: false });
    expect(done).to.deep.equal(["known"]);
    durable.inOrder(note("new"), { needsObjects: true });
    durable.inOrder(note("known after it"), { needsObjects: false });
    expect(done).to.deep.equal(["known"]);
    durable.confirm(1);
    expect(done).to.deep.equal(["known", "new", "known after it"]);
  });
});
