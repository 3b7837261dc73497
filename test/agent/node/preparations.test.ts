import { mkdtempSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { FolderPreparations } from "../../../offchain/agent/node/preparations.ts";
import { runOnSmallDisk } from "../../helpers/small-disk.ts";

describe("preparations in a home folder", () => {
  let home: string;
  let preparations: FolderPreparations;
  const manifest = Uint8Array.of(1, 2, 3);

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "tallystick-preparations-"));
    preparations = new FolderPreparations(home);
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  it("returns manifest and tags once finished, and nothing before", async () => {
    const writer = await preparations.create("0xaa");
    await writer.append(Uint8Array.of(1, 2));
    await writer.append(Uint8Array.of(3, 4, 5));
    expect(await preparations.find("0xaa")).to.equal(undefined);
    await writer.finish(manifest);
    const found = await preparations.find("0xaa");
    expect(found?.manifest).to.deep.equal(manifest);
    expect(await found?.readTags(1, 3)).to.deep.equal(Uint8Array.of(2, 3, 4));
    expect(await found?.readTags(4, 9)).to.deep.equal(Uint8Array.of(5));
    await preparations.remove("0xaa");
    expect(await preparations.find("0xaa")).to.equal(undefined);
  });

  it("keeps nothing of a discarded preparation", async () => {
    const writer = await preparations.create("0xaa");
    await writer.append(manifest);
    await writer.discard();
    await preparations.removeAbandoned(new Set(), Date.now());
    expect(await preparations.find("0xaa")).to.equal(undefined);
  });

  it("removes only preparations that are old and not needed", async () => {
    for (const salt of ["0xold", "0xneeded", "0xnew"]) await (await preparations.create(salt)).finish(manifest);
    for (const salt of ["0xold", "0xneeded"]) utimesSync(join(home, "preparations", salt), 1000, 1000);
    await preparations.removeAbandoned(new Set(["0xneeded"]), Date.now() - 60_000);
    expect(await preparations.find("0xold")).to.equal(undefined);
    expect(await preparations.find("0xneeded")).to.not.equal(undefined);
    expect(await preparations.find("0xnew")).to.not.equal(undefined);
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
