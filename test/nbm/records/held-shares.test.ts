/** What is left on disk of shares that a node has handed over. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { HeldShares } from "../../../offchain/nbm/records/held-shares.ts";
import { SecretBox } from "../../../offchain/nbm/secret-box.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";

describe("shares that a node holds for others", () => {
  it("leave no copy on disk when they are erased, not even a sealed one", () => {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-held-"));
    const database = openDatabase(join(folder, "nbm.db"), { migrations: NBM_MIGRATIONS });
    const held = new HeldShares(database, new SecretBox(new Uint8Array(32).fill(1)));
    held.keep("0x01", 1n, { index: 3, share: new Uint8Array(64).fill(7) });
    const sealed = Buffer.from(
      database.prepare("SELECT share_sealed FROM held_shares").get()?.share_sealed as Uint8Array,
    );
    const files = () =>
      readdirSync(folder)
        .filter((name) => readFileSync(join(folder, name)).includes(sealed))
        .join();
    expect(files()).to.match(/nbm\.db/);
    held.erase(["0x01"]);
    expect([held.find("0x01"), files()]).to.deep.equal([undefined, ""]);
    database.close();
    rmSync(folder, { recursive: true });
  });
});
