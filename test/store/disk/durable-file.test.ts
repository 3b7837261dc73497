import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { createDurably, replaceDurably } from "../../../offchain/store/disk/durable-file.ts";

describe("durable file", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-durable-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("is created for its owner alone, with its folder, and nothing beside it", () => {
    const file = join(folder, "new", "secret");
    createDurably(file, "text");
    expect(readFileSync(file, "utf8")).to.equal("text");
    expect(statSync(file).mode & 0o777).to.equal(0o600);
    expect(statSync(join(folder, "new")).mode & 0o777).to.equal(0o700);
    expect(readdirSync(join(folder, "new"))).to.deep.equal(["secret"]);
  });

  it("is never replaced by creating it", () => {
    const file = join(folder, "secret");
    createDurably(file, "first");
    expect(() => createDurably(file, "second"))
      .to.throw()
      .with.property("code", "EEXIST");
    expect(readFileSync(file, "utf8")).to.equal("first");
    expect(readdirSync(folder)).to.deep.equal(["secret"]);
  });

  it("is replaced as a whole, and stays as it was when that fails", () => {
    const file = join(folder, "marker");
    replaceDurably(file, "first");
    replaceDurably(file, Uint8Array.of(1, 2, 3));
    expect([...readFileSync(file)]).to.deep.equal([1, 2, 3]);
    const occupied = join(folder, "occupied");
    mkdirSync(occupied);
    writeFileSync(join(occupied, "inside"), "kept");
    expect(() => replaceDurably(occupied, "text")).to.throw();
    expect(readdirSync(folder).sort()).to.deep.equal(["marker", "occupied"]);
    expect(readFileSync(join(occupied, "inside"), "utf8")).to.equal("kept");
  });
});
