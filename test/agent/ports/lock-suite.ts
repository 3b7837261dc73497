/** What every lock promises (agent/platform.ts), held against each implementation. */

import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import type { HomeLock } from "../../../offchain/agent/platform.ts";

/**
 * Adds the tests to the suite under way.
 *
 * @param makeLocks two locks of one store, as two programs have them, and one of another store
 */
export function testLock(makeLocks: () => { one: HomeLock; other: HomeLock; elsewhere: HomeLock }): void {
  let locks: ReturnType<typeof makeLocks>;
  let release: () => void;
  let held: Promise<void>;

  beforeEach(async () => {
    locks = makeLocks();
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    await new Promise<void>((started) => {
      held = locks.one.exclusive(async () => {
        started();
        await gate;
      });
    });
  });
  afterEach(async () => {
    release();
    await held.catch(() => undefined);
  });

  it("lets another wait, says so once, and gives it its turn", async () => {
    const order: string[] = [];
    const second = locks.other.exclusive(
      async () => {
        order.push("second");
        return 7;
      },
      { onWait: () => order.push("waits") },
    );
    await pause(30);
    expect(order).to.deep.equal(["waits"]);
    order.push("released");
    release();
    expect(await second).to.equal(7);
    expect(order).to.deep.equal(["waits", "released", "second"]);
  });

  it("does not hold up another store", async () => {
    const waited: string[] = [];
    expect(await locks.elsewhere.exclusive(async () => 7, { onWait: () => waited.push("waits") })).to.equal(7);
    expect(waited).to.deep.equal([]);
  });

  it("stops waiting with the reason of the signal, and runs nothing", async () => {
    const stop = new AbortController();
    const reason = new Error("enough");
    let ran = false;
    const second = locks.other.exclusive(
      async () => {
        ran = true;
      },
      { signal: stop.signal },
    );
    const outcome = second.then(
      () => "ran",
      (error: unknown) => error,
    );
    await pause(10);
    stop.abort(reason);
    expect(await outcome).to.equal(reason);
    release();
    await held;
    await locks.one.exclusive(async () => undefined);
    expect(ran).to.equal(false);
  });

  it("is free again after work that fails, whose error it passes on", async () => {
    release();
    await held;
    const failure = new Error("the work failed");
    const outcome = await locks.one
      .exclusive(async () => {
        throw failure;
      })
      .catch((error: unknown) => error);
    expect(outcome).to.equal(failure);
    expect(await locks.other.exclusive(async () => 7)).to.equal(7);
  });
}
