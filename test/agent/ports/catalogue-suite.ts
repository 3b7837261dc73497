/** What every catalogue promises (agent/catalogue.ts), held against each implementation. */

import { expect } from "chai";
import type { Catalogue, CataloguedAgreement, CataloguedPut } from "../../../offchain/agent/catalogue.ts";

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
  const agreement: CataloguedAgreement = {
    salt: "0xaa",
    dataId: "bafk-1",
    provider: "0xp",
    escrow: "0xe",
    state: "prepared",
    createdAt: 100,
  };

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

  it("moves an agreement on, durably, step by step", async () => {
    await catalogue.saveAgreement(agreement);
    await catalogue.saveAgreement({ ...agreement, state: "proposing", proposedFromBlock: 7 });
    await reopen();
    expect(await catalogue.agreements("bafk-1")).to.deep.equal([
      { ...agreement, state: "proposing", proposedFromBlock: 7 },
    ]);
    const accepted = { ...agreement, state: "accepted" as const, proposedFromBlock: 7, agreementId: 2n ** 200n };
    await catalogue.saveAgreement(accepted);
    await reopen();
    expect(await catalogue.agreement("0xE", 2n ** 200n)).to.deep.equal(accepted);
    expect(await catalogue.agreements("bafk-2")).to.deep.equal([]);
  });

  it("lists agreements oldest first", async () => {
    await catalogue.saveAgreement({ ...agreement, salt: "0xcc", createdAt: 50 });
    await catalogue.saveAgreement({ ...agreement, salt: "0xbb" });
    await catalogue.saveAgreement(agreement);
    expect((await catalogue.agreements()).map(({ salt }) => salt)).to.deep.equal(["0xcc", "0xaa", "0xbb"]);
  });

  it("keeps agreements of several escrows apart, each of which numbers them from 1", async () => {
    const first = { ...agreement, state: "accepted" as const, agreementId: 1n };
    const second = { ...first, salt: "0xbb", escrow: "0xf" };
    await catalogue.saveAgreement(first);
    await catalogue.saveAgreement(second);
    expect(await catalogue.agreement("0xe", 1n)).to.deep.equal(first);
    expect(await catalogue.agreement("0xf", 1n)).to.deep.equal(second);
  });

  it("takes a number from an agreement whose chain was replaced by one that gave it to another", async () => {
    const first = { ...agreement, state: "accepted" as const, agreementId: 1n, proposedFromBlock: 3 };
    const second = { ...first, salt: "0xbb" };
    await catalogue.saveAgreement(first);
    await catalogue.saveAgreement(second);
    const { agreementId: _lost, ...without } = first;
    expect(await catalogue.agreements()).to.deep.equal([without, second]);
    expect(await catalogue.agreement("0xe", 1n)).to.deep.equal(second);
  });

  it("belongs to the account that opened it first", async () => {
    expect(await catalogue.claimFor("0xone")).to.equal("0xone");
    await reopen();
    expect(await catalogue.claimFor("0xtwo")).to.equal("0xone");
  });

  it("forgets agreements that never reached the chain, and only those", async () => {
    await catalogue.saveAgreement(agreement);
    await catalogue.saveAgreement({ ...agreement, salt: "0xbb", agreementId: 1n, state: "accepted" });
    await catalogue.removeAgreement("0xaa");
    await catalogue.removeAgreement("0xbb");
    expect((await catalogue.agreements()).map(({ salt }) => salt)).to.deep.equal(["0xbb"]);
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
