import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { SqliteCatalogue } from "../../../offchain/agent/node/catalogue.ts";
import { CATALOGUED_PUT, testCatalogue } from "../ports/catalogue-suite.ts";

describe("catalogue in a home folder", () => {
  let dir: string;
  const file = () => join(dir, "home", "agent.db");

  testCatalogue(async () => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-catalogue-"));
    return {
      open: async () => new SqliteCatalogue(file()),
      remove: async () => rmSync(dir, { recursive: true, force: true }),
    };
  });

  it("is a file for the owner only", async () => {
    const catalogue = new SqliteCatalogue(file());
    await catalogue.savePut(CATALOGUED_PUT);
    await catalogue.close();
    expect(statSync(file()).mode & 0o777).to.equal(0o600);
  });
});
