import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "chai";
import { Catalogue, type CataloguedAgreement, type CataloguedPut } from "../../../offchain/agent/node/catalogue.ts";

describe("catalogue: what a device remembers", () => {
  let dir: string;
  let catalogue: Catalogue;
  const file = () => join(dir, "home", "agent.db");
  const put: CataloguedPut = {
    dataId: "bafk-1",
    name: "photos",
    entryCount: 3,
    totalBytes: 2 ** 40,
    domain: "public",
    recordId: "0x01",
    role: "recorder",
    storedAt: 100,
  };
  const agreement: CataloguedAgreement = {
    salt: "0xaa",
    dataId: "bafk-1",
    provider: "0xp",
    escrow: "0xe",
    state: "prepared",
    createdAt: 100,
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-catalogue-"));
    catalogue = new Catalogue(file());
  });
  afterEach(() => {
    catalogue.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const reopen = () => {
    catalogue.close();
    catalogue = new Catalogue(file());
  };

  it("keeps puts over a restart, in a file for the owner only", () => {
    catalogue.savePut(put);
    catalogue.savePut({ ...put, dataId: "bafk-2", storedAt: 200 });
    reopen();
    expect(catalogue.puts().map(({ dataId }) => dataId)).to.deep.equal(["bafk-2", "bafk-1"]);
    expect(catalogue.put("bafk-1")).to.deep.equal(put);
    expect(catalogue.put("bafk-3")).to.equal(undefined);
    expect(statSync(file()).mode & 0o777).to.equal(0o600);
  });

  it("renews a put without forgetting when it was first stored", () => {
    catalogue.savePut(put);
    catalogue.savePut({ ...put, name: "renamed", role: "owner", storedAt: 999 });
    expect(catalogue.put("bafk-1")).to.deep.equal({ ...put, name: "renamed", role: "owner" });
  });

  it("moves an agreement on, durably, step by step", () => {
    catalogue.saveAgreement(agreement);
    catalogue.saveAgreement({ ...agreement, state: "proposing", proposedFromBlock: 7 });
    reopen();
    expect(catalogue.agreements("bafk-1")).to.deep.equal([{ ...agreement, state: "proposing", proposedFromBlock: 7 }]);
    const accepted = { ...agreement, state: "accepted" as const, proposedFromBlock: 7, agreementId: 2n ** 200n };
    catalogue.saveAgreement(accepted);
    reopen();
    expect(catalogue.agreement("0xE", 2n ** 200n)).to.deep.equal(accepted);
    expect(catalogue.agreements("bafk-2")).to.deep.equal([]);
  });

  it("keeps agreements of several escrows apart, each of which numbers them from 1", () => {
    const first = { ...agreement, state: "accepted" as const, agreementId: 1n };
    const second = { ...first, salt: "0xbb", escrow: "0xf" };
    catalogue.saveAgreement(first);
    catalogue.saveAgreement(second);
    expect(catalogue.agreement("0xe", 1n)).to.deep.equal(first);
    expect(catalogue.agreement("0xf", 1n)).to.deep.equal(second);
  });

  it("takes a number from an agreement whose chain was replaced by one that gave it to another", () => {
    const first = { ...agreement, state: "accepted" as const, agreementId: 1n, proposedFromBlock: 3 };
    const second = { ...first, salt: "0xbb" };
    catalogue.saveAgreement(first);
    catalogue.saveAgreement(second);
    const { agreementId: _lost, ...without } = first;
    expect(catalogue.agreements()).to.deep.equal([without, second]);
  });

  it("keeps the agreements of a catalogue made before escrows were told apart", () => {
    catalogue.saveAgreement({ ...agreement, agreementId: 1n, state: "accepted" });
    const kept = catalogue.agreements();
    catalogue.close();
    const database = new DatabaseSync(file());
    database.exec("PRAGMA user_version = 1");
    database.close();
    catalogue = new Catalogue(file());
    expect(catalogue.agreements()).to.deep.equal(kept);
  });

  it("forgets agreements that never reached the chain, and only those", () => {
    catalogue.saveAgreement(agreement);
    catalogue.saveAgreement({ ...agreement, salt: "0xbb", agreementId: 1n, state: "accepted" });
    catalogue.removeAgreement("0xaa");
    catalogue.removeAgreement("0xbb");
    expect(catalogue.agreements().map(({ salt }) => salt)).to.deep.equal(["0xbb"]);
  });
});
