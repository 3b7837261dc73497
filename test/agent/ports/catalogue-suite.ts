/** What every catalogue promises (agent/catalogue.ts), held against each implementation. */

import { expect } from "chai";
import type { Catalogue, CataloguedPut } from "../../../offchain/agent/catalogue.ts";

/** One catalogue, empty at first. */
export interface CatalogueFixture {
  /** Opens it: again after a close, with what was kept. */
  open(): Promise<Catalogue>;
  remove(): Promise<void>;
}

export const CATALOGUED_PUT: CataloguedPut = {
  dataId: "bafk-1",
  name: "photos",
  entryCount: 3,
  totalBytes: 2 ** 40,
  domain: "public",
  recordId: "0x01",
  role: "recorder",
  storedAt: 100,
};

/** Adds the tests to the suite under way. */
export function testCatalogue(makeFixture: () => Promise<CatalogueFixture>): void {
  let fixture: CatalogueFixture;
  let catalogue: Catalogue;
  const put = CATALOGUED_PUT;

  beforeEach(async () => {
    fixture = await makeFixture();
    catalogue = await fixture.open();
  });
  afterEach(async () => {
    await catalogue.close();
    await fixture.remove();
  });

  const reopen = async () => {
    await catalogue.close();
    catalogue = await fixture.open();
  };

  it("keeps puts over a restart, newest first", async () => {
    await catalogue.savePut(put);
    await catalogue.savePut({ ...put, dataId: "bafk-3", storedAt: 200 });
    await catalogue.savePut({ ...put, dataId: "bafk-2", storedAt: 200 });
    await reopen();
    expect((await catalogue.puts()).map(({ dataId }) => dataId)).to.deep.equal(["bafk-2", "bafk-3", "bafk-1"]);
    expect(await catalogue.put("bafk-1")).to.deep.equal(put);
    expect(await catalogue.put("bafk-4")).to.equal(undefined);
  });

  it("renews a put without forgetting when it was first stored", async () => {
    await catalogue.savePut(put);
    await catalogue.savePut({ ...put, name: "renamed", role: "owner", storedAt: 999 });
    expect(await catalogue.put("bafk-1")).to.deep.equal({ ...put, name: "renamed", role: "owner" });
  });

  it("forgets a put, durably, and no other", async () => {
    await catalogue.savePut(put);
    await catalogue.savePut({ ...put, dataId: "bafk-2" });
    await catalogue.removePut("bafk-1");
    await catalogue.removePut("bafk-3");
    await reopen();
    expect(await catalogue.put("bafk-1")).to.equal(undefined);
    expect((await catalogue.puts()).map(({ dataId }) => dataId)).to.deep.equal(["bafk-2"]);
  });

  it("belongs to the account that opened it first", async () => {
    expect(await catalogue.claimFor("0xone")).to.equal("0xone");
    await reopen();
    expect(await catalogue.claimFor("0xtwo")).to.equal("0xone");
  });

  it("remembers the newest head of each snapshot list, and the first of one version", async () => {
    expect(await catalogue.listHead("one")).to.equal(undefined);
    const [newest, other] = [
      { version: 7, id: "bafk-7" },
      { version: 1, id: "bafk-1" },
    ];
    await catalogue.sawListHead("one", { version: 6, id: "bafk-6" });
    await catalogue.sawListHead("one", newest);
    await catalogue.sawListHead("one", { version: 5, id: "bafk-5" });
    await catalogue.sawListHead("one", { version: 7, id: "bafk-fork" });
    await catalogue.sawListHead("two", other);
    await reopen();
    expect([await catalogue.listHead("one"), await catalogue.listHead("two")]).to.deep.equal([newest, other]);
    await catalogue.forgetListHead("one");
    expect([await catalogue.listHead("one"), await catalogue.listHead("two")]).to.deep.equal([undefined, other]);
  });
}
