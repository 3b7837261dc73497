import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { makeFolders } from "../../../offchain/store/disk/make-folders.ts";

describe("folders made as needed", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-folders-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const failure = (path: string): string => {
    try {
      makeFolders(path);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? String(error);
    }
    return "none";
  };

  it("are made with all above them, in the mode asked for, and left as they are when they exist", () => {
    const deep = join(folder, "a", "b", "c");
    makeFolders(deep, 0o700);
    for (const path of [deep, join(folder, "a", "b"), join(folder, "a")]) {
      expect(statSync(path).mode & 0o777).to.equal(0o700);
    }
    makeFolders(deep, 0o755);
    expect(statSync(deep).mode & 0o777).to.equal(0o700);
    symlinkSync(deep, join(folder, "link"));
    makeFolders(join(folder, "link", "d"));
    expect(statSync(join(deep, "d")).isDirectory()).to.equal(true);
  });

  it("are refused where a file, a link to nowhere or a file system that takes none is in the way", () => {
    writeFileSync(join(folder, "file"), "");
    symlinkSync(join(folder, "nowhere"), join(folder, "link"));
    expect(failure(join(folder, "file"))).to.equal("EEXIST");
    expect(failure(join(folder, "file", "below"))).to.be.oneOf(["ENOTDIR", "EEXIST"]);
    expect(failure(join(folder, "link"))).to.equal("EEXIST");
    if (process.platform === "linux") expect(failure("/proc/tallystick/below")).to.equal("ENOENT");
  });
});
