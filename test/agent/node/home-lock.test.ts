import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FolderLock } from "../../../offchain/agent/node/home-lock.ts";
import { testLock } from "../ports/lock-suite.ts";

describe("lock of a home folder", () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-lock-"));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  testLock(() => {
    const home = join(dir, "home");
    return { one: new FolderLock(home), other: new FolderLock(home), elsewhere: new FolderLock(join(dir, "other")) };
  });
});
