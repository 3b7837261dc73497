/** The successor in the store of a page: made once, opened again after a reload, put in place whole or not at all. */

import { expect } from "chai";
import { createIdentity, identityOpeners, loadIdentity } from "../../offchain/agent/browser/index.ts";
import { databaseName, PageStore } from "../../offchain/agent/browser/page-store.ts";
import { browserPlatform } from "../../offchain/agent/browser/platform.ts";
import { exchangeStores, hasRotation, openRotation, phraseOf } from "../../offchain/agent/browser/rotation.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { freshName } from "./page-store.ts";

const CHEAP = { n: 2, r: 8, p: 1 };
const KEY = "correct horse";

describe("rotation in a page", () => {
  let name: string;
  let account: string;

  beforeEach(async () => {
    name = freshName();
    const { identity } = await createIdentity(name, KEY, undefined, CHEAP);
    account = identity.account;
  });

  const put = (dataId: string) => ({
    dataId,
    name: dataId,
    entryCount: 1,
    totalBytes: 1,
    domain: "",
    recordId: "0x01",
    role: "recorder" as const,
    storedAt: 7,
  });

  async function filled(store: string, owner: string, dataId: string): Promise<void> {
    const platform = await browserPlatform(store);
    await platform.catalogue.claimFor(owner);
    await platform.catalogue.savePut(put(dataId));
    const tags = await platform.preparations.create(`0x${dataId}`);
    await tags.append(new Uint8Array(100_000).fill(dataId.length));
    await tags.finish(new Uint8Array(3));
    await platform.close();
  }

  async function contents(store: string): Promise<{ owner: string; puts: string[]; tags: number }> {
    const platform = await browserPlatform(store);
    try {
      const puts = await platform.catalogue.puts();
      const page = await PageStore.open(store);
      const tags = await page.read(["tags"], (transaction) => transaction.objectStore("tags").getAll());
      page.close();
      const [length = 0] = [...new Set(tags.map(([first = 0]) => first))];
      const owner = await platform.catalogue.claimFor("nobody");
      return { owner, puts: puts.map(({ dataId }) => dataId), tags: length };
    } finally {
      await platform.close();
    }
  }

  it("has one successor, by the key of the identity alone, also in two tabs and after a reload", async () => {
    expect(await hasRotation(name)).to.equal(false);
    await expectAsyncRejection(() => openRotation(name, "wrong horse", CHEAP), "WRONG_PASSPHRASE");
    expect(await hasRotation(name)).to.equal(false);
    const [one, other] = await Promise.all([openRotation(name, KEY, CHEAP), openRotation(name, KEY, CHEAP)]);
    expect(one.account).to.equal(other.account).and.not.equal(account);
    expect(await hasRotation(name)).to.equal(true);
    const again = await openRotation(name, KEY, CHEAP);
    expect(phraseOf(again)).to.equal(phraseOf(one));
    // Nothing has changed yet.
    expect((await loadIdentity(name, KEY)).account).to.equal(account);
    expect(await identityOpeners(name)).to.deep.include({ passphrase: true });
  });

  it("puts all that the successor has in the place of what the account had, the old keystore too", async () => {
    await filled(name, account, "old");
    const next = await openRotation(name, KEY, CHEAP);
    await filled(`${name}/rotation`, next.account, "newer");
    await exchangeStores(name);
    expect((await loadIdentity(name, KEY)).account).to.equal(next.account);
    expect(await contents(name)).to.deep.equal({ owner: next.account, puts: ["newer"], tags: 5 });
    expect(await hasRotation(name)).to.equal(false);
    expect((await indexedDB.databases()).map((one) => one.name)).to.not.include(databaseName(`${name}/rotation`));
    const store = await PageStore.open(name);
    const keys = await store.read(["keystore"], (transaction) => transaction.objectStore("keystore").getAllKeys());
    store.close();
    expect(keys).to.deep.equal(["user"]);
    // A tab that comes late replaces nothing.
    await expectAsyncRejection(() => exchangeStores(name), "CONFLICT");
    expect((await contents(name)).puts).to.deep.equal(["newer"]);
  });

  it("begins the next rotation without what an earlier one has left", async () => {
    await filled(`${name}/rotation`, "0x00000000000000000000000000000000DeaDBeef", "stale");
    await openRotation(name, KEY, CHEAP);
    expect((await contents(`${name}/rotation`)).puts).to.deep.equal([]);
  });
});
