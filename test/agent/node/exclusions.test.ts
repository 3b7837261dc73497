import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import ignore from "ignore";
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

  it("applies no pattern of an ignore file that is too long to be one, and says so", () => {
    const line = "*.txt\n";
    const limit = 1024 * 1024;
    make({ "top/.tallystickignore": line.repeat(limit / line.length).padEnd(limit, "#"), "top/a.txt": "" });
    expect(kept()).to.deep.equal({ files: [".tallystickignore"], remarks: [["excluded", "top/a.txt"]] });
    make({ "top/.tallystickignore": line.padEnd(limit + 1, "#") });
    const { files, remarks } = kept();
    expect(files).to.deep.equal([".tallystickignore", "a.txt"]);
    expect(remarks).to.deep.equal([["unreadable", "top/.tallystickignore"]]);
  });

  it("agrees with git on brackets, escapes, spaces and stars", () => {
    const patterns = [
      "[a-c]1",
      "[!a-c]2",
      "[]x]3",
      "[[:digit:]]d",
      "[[:nonsense:]]e",
      "[z",
      "q[a/b]r",
      "\\*star",
      "a\\",
      "space \\ ",
      "cut   ",
      "/top-only",
      "deep/**",
      "**/mid/**/end",
      "x**y/z",
      "***",
      "!*",
      "?w",
      "b/*/c",
      "[a\\]]4",
      "[9-0]5",
      "\\!bang",
      "!",
      "/",
      "a//b",
    ];
    const names = [
      "a1",
      "d1",
      "a2",
      "d2",
      "]3",
      "x3",
      "y3",
      "7d",
      "nd",
      "7e",
      "[z",
      "qar",
      "*star",
      "xstar",
      "a",
      "a]4",
    ];
    const files = names
      .concat(["space  ", "space ", "cut", "cut   ", "top-only", "in/top-only", "deep/x", "deep/y/z", "mid/end"])
      .concat(["u/mid/v/w/end", "u/mid/v/ending", "x1/y", "xay/z", "xa/y/z", "éw", "ww", "b/1/c", "b/1/2/c", "]4"])
      .concat(["95", "05", "!bang", "in/a1"]);
    for (const pattern of patterns) {
      rmSync(join(dir, "top"), { recursive: true, force: true });
      const { ours, theirs } = keptByBoth(files, { "": `${pattern}\n` });
      // Of git, a question mark is a byte.
      if (pattern === "?w") expect(ours).to.deep.equal(theirs.filter((name) => name !== "éw"));
      else expect(ours, pattern).to.deep.equal(theirs);
    }
  });

  it("agrees with another implementation on any patterns and paths", () => {
    const piece = fc.constantFrom("a", "b", "*", "**", "?", "/", "/**/", "[ab]", "[!a]", "\\*", "ab", ".");
    const pattern = fc
      .tuple(fc.constantFrom("", "", "!", "/"), fc.array(piece, { minLength: 1, maxLength: 7 }))
      .map(([start, pieces]) => start + pieces.join(""));
    const name = fc.array(fc.constantFrom("a", "b", "*", "."), { minLength: 1, maxLength: 3 });
    const path = fc.array(
      name.map((parts) => parts.join("")).filter((each) => each !== "." && each !== ".."),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(
        fc.array(pattern, { minLength: 1, maxLength: 4 }),
        path,
        fc.boolean(),
        (patterns, names, isFolder) => {
          const exclusions = Exclusions.ofOptions(patterns);
          const isFolderAt = (depth: number) => isFolder || depth < names.length;
          const ours = names.some((_, k) => exclusions.excludes(names.slice(0, k + 1).join("/"), isFolderAt(k + 1)));
          const theirs = ignore({ ignoreCase: false }).add(patterns);
          expect(ours, JSON.stringify(patterns)).to.equal(theirs.ignores(names.join("/") + (isFolder ? "/" : "")));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("takes time that is bounded by pattern and path, whatever somebody wrote into an ignore file", () => {
    const depth = 60;
    const folder = `top/${"a/".repeat(depth)}`;
    const patterns = [`${"**/a/".repeat(8)}b`, `${"**/a*a*/".repeat(30)}b`, "*a".repeat(100), `!${"*/".repeat(50)}c`];
    make({ "top/.tallystickignore": patterns.join("\n"), [`${folder}c`]: "", [`${folder}b`]: "" });
    make({ [`${folder}${"a".repeat(250)}`]: "" });
    const startedAt = performance.now();
    const { files } = kept();
    expect(performance.now() - startedAt).to.be.lessThan(2000);
    expect(files.filter((path) => path.endsWith("/c"))).to.have.length(1);
    expect(files.filter((path) => path.endsWith("/b"))).to.have.length(0);
    const exclusions = Exclusions.ofOptions([`${"**/a/".repeat(50)}b`]);
    expect(exclusions.excludes(`${"a/".repeat(1000)}c`, false)).to.equal(false);
    expect(exclusions.excludes(`${"a/".repeat(1000)}b`, false)).to.equal(true);
    expect(performance.now() - startedAt).to.be.lessThan(4000);
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
