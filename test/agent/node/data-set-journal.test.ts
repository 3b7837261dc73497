import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteDataSetJournal } from "../../../offchain/agent/node/data-set-journal.ts";
import { testDataSetJournal } from "../ports/data-set-journal-suite.ts";

describe("journal of data sets in a home folder", () => {
  testDataSetJournal(async () => {
    const dir = mkdtempSync(join(tmpdir(), "tallystick-journal-"));
    return {
      open: async () => new SqliteDataSetJournal(join(dir, "home", "agent.db")),
      remove: async () => rmSync(dir, { recursive: true, force: true }),
    };
  });
});
