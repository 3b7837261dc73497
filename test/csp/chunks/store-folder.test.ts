import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { claimStoreFolder } from "../../../offchain/csp/chunks/store-folder.ts";
import { PROVIDER_MIGRATIONS } from "../../../offchain/csp/tables.ts";
import { DiskFailedError } from "../../../offchain/store/disk/disk-errors.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";
import { temporaryFolder } from "../provider-fixture.ts";

describe("folder of objects", () => {
  const folder = temporaryFolder();
  const database = (name: string) => openDatabase(join(folder(), name), { migrations: PROVIDER_MIGRATIONS });
  const marker = () => readFileSync(join(folder(), "store", "belongs-to"), "utf8");
  const claim = (name: string) => claimStoreFolder(join(folder(), "store"), database(name));

  it("belongs to the database that took it first", () => {
    claim("a.db").close();
    const first = marker();
    claim("a.db").close();
    expect(marker()).to.equal(first);
    const attempt = () => claim("b.db");
    expect(attempt).to.throw(TallystickError, "belong to another database").with.property("code", "CONFLICT");
    // A refusal lets go of the lock.
    claim("a.db").close();
    expect(marker()).to.equal(first);
  });

  it("is taken again after a crash between row and marker, and when it was emptied", () => {
    claim("a.db").close();
    const first = marker();
    rmSync(join(folder(), "store"), { recursive: true });
    mkdirSync(join(folder(), "store"));
    claim("a.db").close();
    expect(marker()).to.equal(first);
  });

  it("is used by one process at a time", () => {
    const lock = claim("a.db");
    expect(() => claim("a.db")).to.throw(DiskFailedError, "another process uses it");
    lock.close();
    claim("a.db").close();
  });
});
