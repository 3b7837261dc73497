/** `npm run demo -- <folder>`: the whole story, as somebody who has just cloned the repository would see it. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect } from "chai";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectSameTree, readTree } from "../helpers/trees.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");

describe("demo", () => {
  let folder: string;
  let temporary: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-own-"));
    temporary = join(folder, "temporary");
    for (const name of ["temporary", "mine", "mine/inner"]) mkdirSync(join(folder, name));
    writeFileSync(join(folder, "mine", "large"), pseudoRandomBytes("demo", 3 * 1024 * 1024));
    writeFileSync(join(folder, "mine", "inner", "small"), "small");
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function run(...args: string[]) {
    return spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", "scripts/demo/main.ts", ...args], {
      cwd: ROOT,
      encoding: "utf8",
      env: { ...process.env, TMPDIR: temporary },
    });
  }

  it("succeeds on a given folder, which it only reads, and leaves no files or processes", () => {
    const before = readTree(join(folder, "mine"));
    const { status, stdout, stderr } = run(join(folder, "mine"));
    expect(status, `${stdout}${stderr}`).to.equal(0);
    expect(stderr).to.equal("");
    for (const part of [
      " B in 2 of", // bob has the same
      "killed node-1 and node-2",
      "are back: bytes, names, permissions, times and links are identical",
      "proven in block",
      "audits again: damaged (exit code 7)",
      "was missed: fee",
      "alice withdraws what",
      "gas of a proof on chain",
    ]) {
      expect(stdout).to.contain(part);
    }
    expect(stdout.trimEnd().split("\n").at(-1)).to.equal("All steps succeeded.");
    expectSameTree(readTree(join(folder, "mine")), before);
    expect(readdirSync(temporary)).to.deep.equal([]);
  });

  it("reports a folder that does not exist", () => {
    const { status, stderr } = run(join(folder, "not there"));
    expect(status).to.equal(1);
    expect(stderr).to.contain("demo: error: ");
    expect(readdirSync(temporary)).to.deep.equal([]);
  });
});
