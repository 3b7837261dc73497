import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { Exclusions } from "../../../offchain/agent/node/exclusions.ts";
import { type WalkOptions, walk } from "../../../offchain/agent/node/walk.ts";
import { walkRoots } from "../../../offchain/agent/node/walk-roots.ts";
import type { SourceRemark } from "../../../offchain/agent/platform.ts";

const CACHE_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# a cache";

describe("what a walk leaves out because the user wishes it", () => {
  let dir: string;

  beforeEach(() => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), "tallystick-exclude-")));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  function make(files: Readonly<Record<string, string>>): void {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(dir, path)), { recursive: true });
      writeFileSync(join(dir, path), content);
    }
  }

  /** Paths of files that are kept, below the root `top`, and what was remarked. */
  function kept(options: WalkOptions = {}) {
    const remarks: [string, string][] = [];
    const remark = ({ kind, path }: SourceRemark) => remarks.push([kind, path.slice(dir.length + 1)]);
    const entries = walkRoots([join(dir, "top")]).flatMap((root) => [...walk(root, { ...options, remark })]);
    return {
      files: entries.filter(({ type }) => type === "file").map(({ path }) => path.slice("top/".length)),
      remarks,
    };
  }

  it("takes patterns relative to the top of the put", () => {
    make({
      "top/a.tmp": "",
      "top/a.txt": "",
      "top/sub/b.tmp": "",
      "top/sub/raw/x": "",
      "top/raw/y": "",
      "top/c.TMP": "",
    });
    const { files, remarks } = kept({ exclude: ["*.tmp", "/top/raw"] });
    expect(files).to.deep.equal(["a.txt", "c.TMP", "sub/raw/x"]);
    expect(remarks).to.deep.equal([
      ["excluded", "top/a.tmp"],
      ["excluded", "top/raw"],
      ["excluded", "top/sub/b.tmp"],
    ]);
    expect(kept({ exclude: ["top"] }).files).to.deep.equal([]);
  });

  /** Lists what a walk keeps of files below `top`, and what git does; ignore files are the same for both. */
  function keptByBoth(files: readonly string[], ignoreFiles: Readonly<Record<string, string>>) {
    make(Object.fromEntries(files.map((path) => [`top/${path}`, ""])));
    for (const name of [".tallystickignore", ".gitignore"])
      make(Object.fromEntries(Object.entries(ignoreFiles).map(([folder, text]) => [`top/${folder}${name}`, text])));
    const isOther = (path: string) => path !== "" && !/\.(git|tallystick)ignore$/.test(path);
    const ours = kept().files.filter((path) => isOther(path) && !path.startsWith(".git/"));
    const git = (...args: string[]) => spawnSync("git", args, { cwd: join(dir, "top"), encoding: "utf8" }).stdout;
    git("init", "-q");
    const theirs = git("ls-files", "-z", "--others", "--exclude-standard").split("\0").filter(isOther);
    return { ours: ours.sort(), theirs: theirs.sort() };
  }

  it("agrees with git on ignore files in folders: nearest first, negation, folders only, anchors", () => {
    const patterns = "*.log\nbuild/\n/only-here\n!keep.log\ndoc/**/draft\n# comment\n\\#hash\ntrailing\\ \n";
    const files = [
      "x.log",
      "keep.log",
      "build/x",
      "sub/build",
      "only-here",
      "sub/only-here",
      "doc/a/b/draft",
      "#hash",
    ].concat(["trailing ", "sub/x.log", "sub/keep.log", "sub/deep/x.log", "sub/deep/special.log", "sub/x.txt"]);
    const ignoreFiles = { "": patterns, "sub/": "keep.log\n", "sub/deep/": "!special.log\n" };
    const { ours, theirs } = keptByBoth(files, ignoreFiles);
    expect(theirs).to.include("sub/deep/special.log");
    expect(ours).to.deep.equal(theirs);
  });

  it("agrees with git on what is in a folder that a nearer ignore file includes again", () => {
    const files = [
      "foo/x",
      "sub/foo/x",
      "sub/foo/deep/y",
      "sub/foo/foo/z",
      "sub/a [b]!/x",
      "sub/a [b]!/deep/y",
      "sub/c/x",
    ];
    const ignoreFiles = { "": "foo\na*\n", "sub/": "!foo/\n!a*/\n", "sub/foo/": "foo\n" };
    const { ours, theirs } = keptByBoth(files, ignoreFiles);
    expect(theirs).to.deep.equal(["sub/a [b]!/deep/y", "sub/a [b]!/x", "sub/c/x", "sub/foo/deep/y", "sub/foo/x"]);
    expect(ours).to.deep.equal(theirs);
  });

  it("keeps what is in a folder that an option includes again", () => {
    make({ "top/.tallystickignore": "foo\n", "top/foo/x": "", "top/foo/deep/y": "" });
    expect(kept({ exclude: ["!foo"] }).files).to.include.members(["foo/x", "foo/deep/y"]);
  });

  it("lets an option win over an ignore file", () => {
    make({ "top/.tallystickignore": "*.iso\n", "top/a.iso": "", "top/b.iso": "" });
    expect(kept({ exclude: ["!a.iso"] }).files).to.deep.equal([".tallystickignore", "a.iso"]);
  });

  it("keeps of a marked cache the folder and its tag only, if that is wished", () => {
    make({ "top/cache/CACHEDIR.TAG": CACHE_TAG, "top/cache/big/x": "", "top/cache/y": "" });
    make({ "top/fake/CACHEDIR.TAG": "Signature: no", "top/fake/x": "" });
    expect(kept().files).to.have.length(5);
    const { files, remarks } = kept({ excludeCaches: true });
    expect(files).to.deep.equal(["cache/CACHEDIR.TAG", "fake/CACHEDIR.TAG", "fake/x"]);
    expect(remarks).to.deep.equal([["cache", "top/cache"]]);
  });

  it("keeps of a folder on another file system the folder only, if that is wished", () => {
    // Below / there is always one.
    const elsewhere = readdirSync("/").find(
      (name) => statSync(`/${name}`).dev !== statSync("/").dev && name !== "proc",
    );
    expect(elsewhere).to.be.a("string");
    const entries: string[] = [];
    const remarks: string[] = [];
    const remark = ({ kind, path }: SourceRemark) => remarks.push(`${kind} ${path}`);
    const exclude = readdirSync("/")
      .filter((name) => name !== elsewhere)
      .map((name) => `/root/${name}`);
    for (const { path } of walk({ path: "/", name: "root", given: "/" }, { oneFileSystem: true, exclude, remark }))
      entries.push(path);
    expect(entries).to.deep.equal(["root", `root/${elsewhere}`]);
    expect(remarks).to.include(`other-file-system //${elsewhere}`);
  });

  it("gives the same answers after the library's caches were dropped", () => {
    const exclusions = Exclusions.ofOptions(["*.o", "!keep.o"]);
    for (let n = 0; n < 25_000; n++) expect(exclusions.excludes(`top/${n}.o`, false)).to.equal(true);
    expect(exclusions.excludes("top/keep.o", false)).to.equal(false);
  });

  it("leaves out what a restore that did not end has left behind, and says so", () => {
    const part = `.tallystick-${"0123456789ab".repeat(2)}.part`;
    make({
      [`top/${part}`]: "",
      [`top/folder/${part}`]: "",
      [`top/z/${part}/kept`]: "",
      [`top/x${part}`]: "",
      "top/.tallystick-0123.part": "",
    });
    const { files, remarks } = kept();
    expect(files).to.deep.equal([".tallystick-0123.part", `x${part}`, `z/${part}/kept`]);
    expect(remarks).to.deep.equal([
      ["part", `top/${part}`],
      ["part", `top/folder/${part}`],
    ]);
  });
});
