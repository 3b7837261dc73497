/**
 * What goes in comes out, by the command line: every byte, name, mode, link and time, whatever the names are made of.
 * Names are bytes to the file system; they are handed over as such here.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { type CommandOptions, tallystick } from "../../scripts/demo/command.ts";
import { newPerson, type Person } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { joinSharedNet, type TestNet } from "../helpers/shared-net.ts";
import { expectSameTree, readTree, type TreeEntry } from "../helpers/trees.ts";

const KIB = 1024;
const DEPTH = 60;
const MODES = [0o000, 0o200, 0o400, 0o444, 0o600, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o1644];
/** Root puts what nobody may read; others only what they may. */
const readable = (needed: number) => MODES.filter((mode) => process.getuid?.() === 0 || (mode & needed) === needed);
const FILE_MODES = readable(0o400);
const FOLDER_MODES = readable(0o500);

/** One name for each way in which a name can be trouble. */
const NAMES: Record<string, string | Buffer> = {
  "composed é": "caf\u00e9",
  "decomposed é": "cafe\u0301",
  emoji: "\u{1f9fe} \u{1f469}\u200d\u{1f52c} \u{1f1ea}\u{1f1fa}",
  "right to left": "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
  "direction override": "invoice\u202efdp.exe",
  "beyond the basic plane, two forms of a letter": "\u{1d49c} \ufb01 \u212b",
  "nothing visible": "\u200b\u2060",
  "line break and tab": "two\nlines\tand a tab",
  "other control characters": "\u0001\u001b[31mred\u007f",
  quotes: `"double" 'single' \`back\` $HOME $(id) %s`,
  backslash: "a\\b\\..\\c",
  "leading dash": "--json",
  "leading and trailing space": " space ",
  dots: "...",
  hidden: ".hidden",
  "as long as a name can be": "\u6f22".repeat(85),
  "not UTF-8: Latin-1": Buffer.from("caf\u00e9", "latin1"),
  "not UTF-8: cut short": Buffer.from([0xf0, 0x9f, 0xa7]),
  "not UTF-8: a surrogate": Buffer.from([0xed, 0xa0, 0x80]),
  "not UTF-8: overlong": Buffer.from([0xc0, 0xae, 0xc0, 0xae]),
  "what such a name is written as": "caf\ufffd \udbff".replaceAll("\udbff", "\u{10ff00}"),
};

const at = (folder: string, name: string | Buffer) => Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name)]);

describe("a round trip through the command line", () => {
  let net: TestNet;
  let alice: Person;
  let trips = 0;
  const dir = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    net = await joinSharedNet();
    alice = await newPerson(net, "alice");
  });
  after(async () => {
    // Some folders in there may not be listed by their owner until they are changed back.
    if (net !== undefined) spawnSync("chmod", ["-R", "u+rwX", net.dir]);
    await net?.stop();
  });

  /** Puts paths and gets them into a new folder. @returns that folder, and the data id */
  async function trip(paths: string[], options: CommandOptions = {}): Promise<{ out: string; dataId: string }> {
    const put = await tallystick(alice, ["put", "--no-data-set", "--", ...paths]);
    expect(put.exitCode, put.stderr).to.equal(0);
    const dataId = String(put.document.dataId);
    trips += 1;
    const out = dir(`out ${trips}`);
    const got = await tallystick(alice, ["get", dataId, "-o", out], options);
    expect(got.exitCode, got.stderr).to.equal(0);
    return { out, dataId };
  }

  const entry = (tree: readonly TreeEntry[], path: string) => tree.find((each) => each.path === path);

  describe("keeps", () => {
    /** A folder with everything in it. */
    function makeEverything(): string {
      const folder = dir("everything");
      mkdirSync(join(folder, "names", "inner"), { recursive: true });
      for (const [position, name] of Object.values(NAMES).entries()) {
        writeFileSync(at(join(folder, "names"), name), `content ${position}`);
        mkdirSync(at(join(folder, "names", "inner"), name));
        symlinkSync(
          Buffer.from(name),
          at(join(folder, "names", "inner"), Buffer.concat([Buffer.from(name).subarray(0, 200), Buffer.from(" link")])),
        );
      }

      mkdirSync(join(folder, "sizes"));
      for (const sizeBytes of [0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 2048 * KIB, 2048 * KIB + 1]) {
        writeFileSync(join(folder, "sizes", String(sizeBytes)), pseudoRandomBytes("sizes", sizeBytes));
      }
      writeFileSync(join(folder, "sizes", "zeros"), new Uint8Array(5 * 1024 * KIB));

      mkdirSync(join(folder, "empty", "emptier"), { recursive: true });
      mkdirSync(join(folder, ...Array.from({ length: DEPTH }, (_, level) => `level ${level}`)), { recursive: true });

      mkdirSync(join(folder, "links"));
      const links = {
        file: "../sizes/1",
        folder: "../empty",
        dangling: "nowhere/at all",
        loop: "loop",
        up: "..",
        absolute: "/etc/hosts",
      };
      for (const [name, target] of Object.entries(links)) symlinkSync(target, join(folder, "links", name));
      lutimesSync(join(folder, "links", "dangling"), 5, 1_111_111_111.111);

      mkdirSync(join(folder, "modes"));
      for (const mode of FILE_MODES) {
        const file = join(folder, "modes", `file ${mode.toString(8)}`);
        writeFileSync(file, mode.toString(8));
        chmodSync(file, mode);
      }
      for (const mode of FOLDER_MODES) {
        const inner = join(folder, "modes", `folder ${mode.toString(8)}`);
        mkdirSync(inner);
        writeFileSync(join(inner, "in it"), mode.toString(8));
        chmodSync(inner, mode);
      }
      chmodSync(join(folder, "empty", "emptier"), 0o1777);

      mkdirSync(join(folder, "times"));
      const times = [
        "@0",
        "@1.5",
        "@1234567890.123456789",
        "@1234567890.999999999",
        "@4294967296.000001",
        "@9000000000.5",
        "@-86400",
        "@-0.25",
      ];
      for (const time of times) {
        writeFileSync(join(folder, "times", time), time);
        const touched = spawnSync("touch", ["-d", time, join(folder, "times", time)], { encoding: "utf8" });
        if (touched.status !== 0) throw new Error(touched.stderr);
      }
      utimesSync(join(folder, "times"), 5, 1_000_000_000.25);
      utimesSync(folder, 5, 999_999_999.5);
      return folder;
    }

    let wanted: TreeEntry[];
    let found: TreeEntry[];
    let folder: string;
    let out: string;
    let dataId: string;

    before(async () => {
      folder = makeEverything();
      wanted = readTree(folder);
      ({ out, dataId } = await trip([folder]));
      found = readTree(join(out, "everything"));
    });

    it("the whole tree, and nothing else", () => {
      expectSameTree(found, wanted);
      expect(readdirSync(out)).to.deep.equal(["everything"]);
    });

    for (const [what, name] of Object.entries(NAMES)) {
      it(`names: ${what}`, () => {
        const bytes = Buffer.from(name).toString("latin1");
        expect(entry(found, `names/${bytes}`)).to.deep.include({ type: "file" });
        expect(entry(found, `names/inner/${bytes}`)).to.deep.include({ type: "folder" });
        expect(found.filter(({ content, type }) => type === "link" && content === bytes)).to.have.length(1);
      });
    }

    it("empty files and folders, and deeply nested ones", () => {
      expect(entry(found, "sizes/0")).to.include({ type: "file" });
      expect(entry(found, "empty/emptier")).to.include({ type: "folder", mode: "1777" });
      expect(found.some(({ path }) => path.endsWith(`/level ${DEPTH - 1}`))).to.equal(true);
    });

    it("links as links, whatever their targets", () => {
      expect(entry(found, "links/dangling")).to.include({ type: "link", content: "nowhere/at all" });
      expect(entry(found, "links/loop")).to.include({ type: "link", content: "loop" });
      expect(entry(found, "links/folder")).to.include({ type: "link", content: "../empty" });
      expect(entry(found, "links/dangling")?.mtimeNanos).to.equal(entry(wanted, "links/dangling")?.mtimeNanos);
    });

    it("modes that keep everybody out, and those of folders that may not be written to", () => {
      for (const mode of FILE_MODES.map((each) => each.toString(8))) {
        expect(entry(found, `modes/file ${mode}`)).to.include({ mode });
      }
      for (const mode of FOLDER_MODES.map((each) => each.toString(8))) {
        expect(entry(found, `modes/folder ${mode}`)).to.include({ mode });
        expect(entry(found, `modes/folder ${mode}/in it`)).to.include({ type: "file" });
      }
    });

    it("times to the microsecond, those before 1970 to the millisecond", () => {
      expect((entry(found, "times/@1234567890.123456789")?.mtimeNanos ?? 0n) / 1000n).to.equal(1_234_567_890_123_456n);
      expect(entry(found, "times/@-0.25")?.mtimeNanos).to.equal(-250_000_000n);
      expect(entry(found, "times/@9000000000.5")?.mtimeNanos).to.equal(9_000_000_000_500_000_000n);
    });

    it("everything, so that a second put of the restored tree has the same data id", async () => {
      const again = await tallystick(alice, ["put", "--no-data-set", join(out, "everything")]);
      expect(again.document).to.include({ dataId, uploadedBytes: 0 });
    });

    it("all of it under another umask", async () => {
      const masked = dir("masked");
      const wrapper = ["sh", "-c", 'umask 0277 && exec "$@"', "sh"];
      const got = await tallystick(alice, ["get", dataId, "-o", masked], { wrapper });
      expect(got.exitCode, got.stderr).to.equal(0);
      expectSameTree(readTree(join(masked, "everything")), wanted);
    });
  });

  it("takes files, folders and links side by side, and follows none of the links", async () => {
    const names = ["an empty file", "an empty folder", "a link"];
    writeFileSync(dir("an empty file"), "");
    mkdirSync(dir("an empty folder"));
    symlinkSync("/etc", dir("a link"));
    const { out } = await trip(names.map((name) => dir(name)));
    expect(readdirSync(out).sort()).to.deep.equal([...names].sort());
    for (const name of names) expectSameTree(readTree(join(out, name)), readTree(dir(name)));
  });

  for (const [what, make] of [
    ["an empty file", (path: string) => writeFileSync(path, "")],
    ["an empty folder", (path: string) => mkdirSync(path)],
    ["a dangling link", (path: string) => symlinkSync("nowhere", path)],
  ] as const) {
    it(`takes ${what} alone, into the data set`, async () => {
      const path = dir(`alone ${what}`);
      make(path);
      const put = await tallystick(alice, ["put", path]);
      expect(put.exitCode, put.stderr).to.equal(0);
      const [set] = put.document.dataSets as { id: string; addedSlices: number }[];
      expect(set?.id).to.match(/^0x[0-9a-f]{64}$/);
      expect(set?.addedSlices).to.be.greaterThan(0);
      const out = dir(`got ${what}`);
      const got = await tallystick(alice, ["get", String(put.document.dataId), "-o", out]);
      expect(got.exitCode, got.stderr).to.equal(0);
      expectSameTree(readTree(join(out, `alone ${what}`)), readTree(path));
    });
  }

  it("restores the rest where links and modes are refused, says what is missing, and exits with 10", async () => {
    mkdirSync(dir("refused"));
    for (const name of ["a", "z"]) writeFileSync(dir("refused", name), name, { mode: 0o644 });
    symlinkSync("a", dir("refused", "link"));
    const put = await tallystick(alice, ["put", dir("refused"), "--no-data-set"]);
    const disk = [
      'import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";',
      'for (const name of process.env.REFUSED.split(",")) fs[name] = () => {',
      '  throw Object.assign(new Error(name), { code: "EPERM", syscall: name }); };',
      "syncBuiltinESMExports();",
    ].join("");
    writeFileSync(dir("disk.mjs"), disk);
    const getRefusing = (calls: string, folder: string) =>
      tallystick(alice, ["get", String(put.document.dataId), "-o", folder], {
        wrapper: ["env", `NODE_OPTIONS=--import=${dir("disk.mjs")}`, `REFUSED=${calls}`],
      });
    const out = dir("out refused");
    const got = await getRefusing("symlinkSync,fchmodSync", out);
    expect(got.exitCode, got.stderr).to.equal(10);
    expect(got.document).to.deep.include({ entries: 3, notSet: { mode: 2 } });
    expect((got.document.left as { entries: { path: string }[] }).entries.map(({ path }) => path)).to.deep.equal([
      "refused/link",
    ]);
    for (const line of [
      `${join(out, "refused", "link")} cannot be restored: `,
      "the mode of 2 entries could not be set",
    ])
      expect(got.stderr).to.include(line);
    expect(readdirSync(join(out, "refused"))).to.deep.equal(["a", "z"]);
    const whole = await getRefusing("futimesSync", dir("out without times"));
    expect(whole.exitCode, whole.stderr).to.equal(10);
    expect(whole.document).to.deep.include({ entries: 4, notSet: { time: 2 } });
  });

  it("stores a file whose time no snapshot can hold, and says so", async () => {
    const file = dir("from the far future");
    writeFileSync(file, "hello");
    spawnSync("touch", ["-d", "@9300000000", file]);
    // A file system with shorter times cuts it to one that can be held: then nothing is to be said.
    const isTooLate = statSync(file, { bigint: true }).mtimeNs >= 1n << 63n;
    const put = await tallystick(alice, ["put", file, "--no-data-set"]);
    expect(put.exitCode, put.stderr).to.equal(0);
    if (isTooLate) expect(put.stderr).to.include("from the far future");
  });

  it("gives equal trees under other roots the same data id, whatever order they were made in", async () => {
    const build = (root: string, names: string[]) => {
      mkdirSync(dir(root, "tree"), { recursive: true });
      for (const name of names) {
        writeFileSync(dir(root, "tree", name), name);
        utimesSync(dir(root, "tree", name), 1_500_000_000, 1_500_000_000);
      }
      // A name that was taken back must not matter either.
      renameSync(dir(root, "tree", names[0] ?? ""), dir(root, "tree", "moved away"));
      renameSync(dir(root, "tree", "moved away"), dir(root, "tree", names[0] ?? ""));
      rmSync(dir(root, "tree", "never there"), { force: true });
      utimesSync(dir(root, "tree"), 1_500_000_000, 1_500_000_000);
      return dir(root, "tree");
    };
    const one = await trip([build("left", ["a", "b", "\u00e9", "e\u0301"])]);
    const other = await trip([build("right", ["e\u0301", "b", "\u00e9", "a"])]);
    expect(other.dataId).to.equal(one.dataId);
  });
});
