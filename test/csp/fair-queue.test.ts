import { expect } from "chai";
import { FairQueue } from "../../offchain/csp/fair-queue.ts";
import { ALICE, BOB, refusal } from "./provider-fixture.ts";

const CAROL = `0x${"ca".repeat(20)}`;

describe("fair queue", () => {
  const open = () => new FairQueue({ what: "work", concurrency: 1, perAccount: 4, inAll: 6 });
  const turns = async () => {
    for (let k = 0; k < 20; k++) await Promise.resolve();
  };

  it("serves accounts in turn, however many tasks one of them has", async () => {
    const queue = open();
    const order: string[] = [];
    const task = (name: string) => async () => {
      await turns();
      order.push(name);
    };
    await Promise.all([
      ...["a1", "a2", "a3"].map((name) => queue.run(ALICE, task(name))),
      ...["b1", "b2"].map((name) => queue.run(BOB, task(name))),
      queue.run(CAROL, task("c1")),
    ]);
    expect(order).to.deep.equal(["a1", "a2", "b1", "c1", "a3", "b2"]);
  });

  it("runs as many tasks at a time as it may, and goes on after a failure", async () => {
    const queue = new FairQueue({ what: "work", concurrency: 2, perAccount: 10, inAll: 10 });
    let running = 0;
    let most = 0;
    const task = async () => {
      most = Math.max(most, ++running);
      await turns();
      running -= 1;
      throw new Error("it failed");
    };
    const outcomes = await Promise.allSettled(Array.from({ length: 6 }, () => queue.run(ALICE, task)));
    expect(outcomes.every(({ status }) => status === "rejected")).to.equal(true);
    expect(most).to.equal(2);
    expect(await queue.run(ALICE, async () => "done")).to.equal("done");
  });

  it("refuses what is too much for one account, or in all, and takes tasks again afterwards", async () => {
    const queue = open();
    const ends: (() => void)[] = [];
    const wait = () => new Promise<void>((resolve) => ends.push(resolve));
    const started = [1, 2, 3, 4].map(() => queue.run(ALICE, wait));
    expect((await refusal(queue.run(ALICE, wait), "RATE_LIMITED")).check).to.equal("work waiting for one account");
    started.push(queue.run(BOB, wait), queue.run(BOB, wait));
    expect((await refusal(queue.run(CAROL, wait), "RATE_LIMITED")).check).to.equal("work waiting in all");
    while (ends.length > 0) {
      ends.shift()?.();
      await turns();
    }
    await Promise.all(started);
    expect(await queue.run(CAROL, async () => 7)).to.equal(7);
  });
});
