/** The agent's ports in a page, held against what every platform promises. */

import { expect } from "chai";
import { PageCatalogue } from "../../offchain/agent/browser/catalogue.ts";
import { PageDataSetJournal } from "../../offchain/agent/browser/data-set-journal.ts";
import { databaseName, PageStore } from "../../offchain/agent/browser/page-store.ts";
import { pageHost } from "../../offchain/agent/browser/platform.ts";
import { PagePreparations } from "../../offchain/agent/browser/preparations.ts";
import { WebLock } from "../../offchain/agent/browser/web-lock.ts";
import { testCatalogue } from "../agent/ports/catalogue-suite.ts";
import { testDataSetJournal } from "../agent/ports/data-set-journal-suite.ts";
import { testLock } from "../agent/ports/lock-suite.ts";
import { testPreparations } from "../agent/ports/preparation-suite.ts";
import { expectRejection } from "../helpers/rejection.ts";
import { freshName, removeStore } from "./page-store.ts";

describe("catalogue in a page", () => {
  testCatalogue(async () => {
    const name = freshName();
    return { open: async () => new PageCatalogue(await PageStore.open(name)), remove: () => removeStore(name) };
  });
});

describe("journal of data sets in a page", () => {
  testDataSetJournal(async () => {
    const name = freshName();
    return { open: async () => new PageDataSetJournal(await PageStore.open(name)), remove: () => removeStore(name) };
  });
});

describe("preparations in a page", () => {
  testPreparations(async () => {
    const name = freshName();
    let store: PageStore | undefined;
    return {
      open: async () => {
        store?.close();
        store = await PageStore.open(name);
        return new PagePreparations(store);
      },
      remove: async () => {
        store?.close();
        await removeStore(name);
      },
    };
  });

  it("leaves no tags of a preparation that is gone", async () => {
    const store = await PageStore.open(freshName());
    const preparations = new PagePreparations(store);
    for (const salt of ["0xdiscarded", "0xremoved"]) {
      const writer = await preparations.create(salt);
      await writer.append(new Uint8Array(100_000));
      if (salt === "0xdiscarded") await writer.discard();
      else await writer.finish(new Uint8Array(1));
    }
    await preparations.remove("0xremoved");
    expect(await store.read(["tags"], (transaction) => transaction.objectStore("tags").count())).to.equal(0);
    store.close();
  });
});

describe("lock of a page's store", () => {
  testLock(() => {
    const name = databaseName(freshName());
    return { one: new WebLock(name), other: new WebLock(name), elsewhere: new WebLock(databaseName(freshName())) };
  });

  it("says what is missing in a page that is not a secure context", () => {
    const descriptor = Object.getOwnPropertyDescriptor(globalThis, "navigator") ?? {};
    Object.defineProperty(globalThis, "navigator", { configurable: true, value: {} });
    try {
      const error = expectRejection(() => new WebLock("any"), "INVALID_INPUT", /may not use locks/);
      expect(error.hint).to.match(/https/);
    } finally {
      Object.defineProperty(globalThis, "navigator", descriptor);
    }
  });
});

describe("host of a page", () => {
  const location = (href: string) => ({ host: new URL(href).host }) as Location;

  it("is that of its origin, also in a worker whose address has none, and never empty", () => {
    const page = { origin: "https://example.org:8443", location: location("https://example.org:8443/photos") };
    expect(pageHost(page)).to.equal("example.org:8443");
    expect(pageHost({ ...page, location: location("blob:https://example.org:8443/1b2c") })).to.equal(
      "example.org:8443",
    );
    expect(pageHost({ location: location("https://example.org/") })).to.equal("example.org");
    expect(pageHost({ origin: "null", location: location("file:///tmp/page.html") })).to.equal("page");
    expect(pageHost({})).to.equal("page");
  });
});
