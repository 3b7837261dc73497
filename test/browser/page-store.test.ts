/** The database of a page: transactions, versions, full and failing storage. */

import { expect } from "chai";
import { openDB } from "idb";
import { databaseName, PageStore } from "../../offchain/agent/browser/page-store.ts";
import { browserPlatform } from "../../offchain/agent/browser/platform.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { freshName } from "./page-store.ts";

describe("store of a page", () => {
  it("writes with strict durability", async () => {
    const store = await PageStore.open(freshName());
    const seen: string[] = [];
    await store.write(["account"], async (transaction) => {
      seen.push(transaction.durability);
      await transaction.objectStore("account").put("0xone", "owner");
    });
    expect(seen).to.deep.equal(["strict"]);
    store.close();
  });

  it("keeps nothing of a transaction whose work fails", async () => {
    const store = await PageStore.open(freshName());
    const failure = new TypeError("a fault in the work");
    const outcome = store.write(["account"], async (transaction) => {
      await transaction.objectStore("account").put("0xone", "owner");
      throw failure;
    });
    expect(await outcome.catch((error: unknown) => error)).to.equal(failure);
    expect(await store.read(["account"], (transaction) => transaction.objectStore("account").count())).to.equal(0);
    store.close();
  });

  it("refuses a database that a newer build has written", async () => {
    const name = freshName();
    (await openDB(databaseName(name), 99)).close();
    await expectAsyncRejection(() => PageStore.open(name), "UNKNOWN_VERSION");
    await expectAsyncRejection(() => browserPlatform(name), "UNKNOWN_VERSION");
  });

  it("makes way for a newer build in another tab, and says afterwards that it is closed", async () => {
    const name = freshName();
    const store = await PageStore.open(name);
    (await openDB(databaseName(name), 2)).close();
    await expectAsyncRejection(
      () => store.read(["account"], (transaction) => transaction.objectStore("account").count()),
      "DISK_FAILED",
    );
  });

  it("reports a used-up quota as a full disk", async () => {
    const store = await PageStore.open(freshName());
    const error = await expectAsyncRejection(
      () =>
        store.write(["account"], async () => {
          throw new DOMException("no more", "QuotaExceededError");
        }),
      "DISK_FULL",
    );
    expect([error.party, error.hint]).to.deep.equal([
      "this browser",
      "free some space, or let the page call navigator.storage.persist(); what was acknowledged is not lost",
    ]);
    store.close();
  });

  it("needs a name", async () => {
    await expectAsyncRejection(() => browserPlatform(""), "INVALID_INPUT");
  });
});
