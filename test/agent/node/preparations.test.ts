import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { FolderPreparations } from "../../../offchain/agent/node/preparations.ts";
import { runOnSmallDisk } from "../../helpers/small-disk.ts";
import { testPreparations } from "../ports/preparation-suite.ts";

describe("preparations in a home folder", () => {
  testPreparations(async () => {
    const home = mkdtempSync(join(tmpdir(), "tallystick-preparations-"));
    return {
      open: async () => new FolderPreparations(home),
      remove: async () => rmSync(home, { recursive: true, force: true }),
    };
  });

  it("does not count one whose manifest did not fit on the disk", () => {
    const module = (path: string) => JSON.stringify(new URL(`../../../offchain/${path}`, import.meta.url).href);
    const { printed } = runOnSmallDisk(
      `
      import { randomBytes } from "node:crypto";
      import { FolderPreparations } from ${module("agent/node/preparations.ts")};
      const preparations = new FolderPreparations(process.argv[1]);
      const writer = await preparations.create("0xaa");
      await writer.append(new Uint8Array(48));
      let outcome = "finished";
      try { await writer.finish(new Uint8Array(randomBytes(36_000))); } catch (error) { outcome = error.code; }
      console.log(JSON.stringify([outcome, (await preparations.find("0xaa")) === undefined]));
      process.exit(0);
    `,
      20_480,
    );
    expect(printed).to.deep.equal(["DISK_FULL", true]);
  });
});
