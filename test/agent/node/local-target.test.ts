/** Restoring onto this machine: what is set, what is left alone, and what is never replaced. */
import { execFileSync } from "node:child_process";
import {
  type BigIntStats,
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { readAttributes, writeAttributes } from "../../../offchain/agent/node/extended-attributes.ts";
import { localFiles } from "../../../offchain/agent/node/local-files.ts";
import { TargetFolder } from "../../../offchain/agent/node/target-folder.ts";
import type { TargetRemark } from "../../../offchain/agent/platform.ts";
import { openSource } from "../../../offchain/agent/put/source.ts";
import { InTheWayError } from "../../../offchain/agent/read/obstacles.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";
import { pathFromBytes } from "../../../offchain/core/recipe/path-name.ts";
import type { EntryMetadata } from "../../../offchain/core/snapshot/entry-metadata.ts";
import { file, fill, folder, link, PIECE_BYTES, plain, type Wanted } from "../../helpers/filled-target.ts";
import { IS_ROOT, NOBODY } from "../../helpers/nobody.ts";
import { rejection } from "../../helpers/rejection.ts";

describe("a folder of this machine as the target of a restore", () => {
  let dir: string;
  const at = (...names: string[]) => join(dir, ...names);
  const modeOf = (path: string) => (lstatSync(path).mode & 0o7777).toString(8);
  let remarks: TargetRemark[];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-target-"));
    chmodSync(dir, 0o755);
    remarks = [];
  });
  afterEach(() => {
    execFileSync("chmod", ["-R", "u+rwx", dir]);
    rmSync(dir, { recursive: true, force: true });
  });

  async function restore(wanted: readonly Wanted[], overwrite = false, interfere?: (path: string) => void) {
    const remark = (each: TargetRemark) => remarks.push(each);
    const target = await localFiles.openTarget(at("out"), { dataId: "data", overwrite, remark });
    return await fill(target, wanted, interfere);
  }

  /** Everything of a tree, to be restored: what a put would store. */
  async function tree(root: string): Promise<Wanted[]> {
    const wanted: Wanted[] = [];
    for await (const entry of openSource([root], localFiles).entries()) {
      const { path, metadata, type } = entry;
      if (type === "directory") wanted.push({ entry: { type, path, metadata }, content: new Uint8Array() });
      else if (type === "symlink")
        wanted.push({ entry: { type, path, target: entry.target, metadata }, content: new Uint8Array() });
      else {
        const pieces: Uint8Array[] = [];
        for await (const piece of entry.read()) pieces.push(piece.slice());
        wanted.push(file(path, Buffer.concat(pieces), metadata));
      }
    }
    return wanted;
  }

  it("gives back hard links, holes, attributes, links and modes, also of what may not be written", async () => {
    mkdirSync(at("in", "sub"), { recursive: true });
    writeFileSync(at("in", "a"), "linked");
    linkSync(at("in", "a"), at("in", "sub", "b"));
    writeFileSync(at("in", "holes"), "start");
    truncateSync(at("in", "holes"), 30_000_000);
    writeFileSync(at("in", "sub", "attributes"), "x");
    linkSync(at("in", "sub", "attributes"), at("in", "sub", "z"));
    symlinkSync("nowhere", at("in", "link"));
    const attributes = new Map([["user.tag", new Uint8Array([0, 255, 10])]]);
    await writeAttributes(
      new Map([
        [at("in", "sub", "attributes"), attributes],
        [at("in", "sub"), attributes],
      ]),
    );
    chmodSync(at("in", "sub", "attributes"), 0o444);
    utimesSync(at("in", "sub", "attributes"), 1, 1_000_000);
    utimesSync(at("in", "sub"), 1, 2_000_000);
    chmodSync(at("in", "sub"), 0o555);
    await restore(await tree(at("in")));
    const out = (...names: string[]) => at("out", "in", ...names);
    expect(statSync(out("sub", "b")).ino).to.equal(statSync(out("a")).ino);
    expect(statSync(out("sub", "z")).ino).to.equal(statSync(out("sub", "attributes")).ino);
    expect(statSync(out("holes")).size).to.equal(30_000_000);
    expect(statSync(out("holes")).blocks).to.be.lessThan(100);
    expect(readFileSync(out("holes")).equals(readFileSync(at("in", "holes")))).to.equal(true);
    expect(readlinkSync(out("link"))).to.equal("nowhere");
    expect(modeOf(out("sub"))).to.equal("555");
    expect(modeOf(out("sub", "attributes"))).to.equal("444");
    expect(statSync(out("sub")).mtimeMs).to.equal(2_000_000_000);
    expect(statSync(out("sub", "attributes")).mtimeMs).to.equal(1_000_000_000);
    const found = await readAttributes([out("sub"), out("sub", "attributes")]);
    expect([...found.values()]).to.deep.equal([attributes, attributes]);
    expect(readdirSync(out("sub"))).to.deep.equal(["attributes", "b", "z"]);
    expect(remarks).to.deep.equal([]);
    expect(await restore(await tree(at("in")))).to.equal(0);
  });

  it("links names in a folder that is deeper than a path can lead to", async () => {
    const names = Array.from({ length: 30 }, (_, k) => `${k}`.padStart(200, "x"));
    const deepest = names.join("/");
    const linked = { ...plain, linkGroup: 1 };
    const folders = names.map((_, k) => folder(names.slice(0, k + 1).join("/")));
    await restore([...folders, file(`${deepest}/a`, "one", linked), file(`${deepest}/b`, "one", linked)]);
    const found = execFileSync("find", [".", "-type", "f", "-printf", "%f %n %s\n"], {
      cwd: at("out"),
      encoding: "utf8",
    });
    expect(found.trim().split("\n").sort()).to.deep.equal(["a 2 3", "b 2 3"]);
    execFileSync("rm", ["-rf", at("out")]);
  });

  it("finds what is deeper than a path can lead to, at the latest when its turn has come", async () => {
    const names = Array.from({ length: 30 }, (_, k) => `${k}`.padStart(200, "x"));
    const folders = names.map((_, k) => folder(names.slice(0, k + 1).join("/")));
    const [early, late] = ["a", "b"].map((name) => file(`${names.join("/")}/${name}`, name).entry as never);
    for (const isThere of [false, true]) {
      const target = await localFiles.openTarget(at("out"), { dataId: "data", overwrite: false });
      const first = await target.openFile(early as never);
      for (const { entry } of folders) await target.makeFolder(entry as never);
      const second = await target.openFile(late as never);
      const isRight = async () => true;
      for (const [sink, text, ahead] of [
        [first, "a", undefined],
        [second, "b", isThere ? Buffer.from("b") : undefined],
      ] as const) {
        const found = await sink.reuse({ sizeBytes: 1, isRight }, 0);
        expect(found && Buffer.from(found)).to.deep.equal(ahead);
        await sink.write(Buffer.from(text), found === undefined);
        await sink.finish();
        await sink.close();
      }
      await target.finish();
      await target.close();
    }
    execFileSync("rm", ["-rf", at("out")]);
  });

  it("does not link names whose contents differ", async () => {
    const linked = { ...plain, linkGroup: 1 };
    await restore([file("a", "one", linked), file("b", "two", linked), file("c", "one", linked)]);
    expect(["a", "b", "c"].map((name) => readFileSync(at("out", name), "utf8"))).to.deep.equal(["one", "two", "one"]);
    expect(statSync(at("out", "c")).ino).to.equal(statSync(at("out", "a")).ino);
  });

  it("tells entries apart whose inode numbers are equal on two file systems, or as JavaScript numbers", () => {
    const target = TargetFolder.open(at("out"), { dataId: "data", overwrite: false });
    const made = (name: string, dev: bigint, ino: bigint) =>
      target.made(file(name, "").entry, { ...statSync(dir, { bigint: true }), dev, ino } as BigIntStats);
    made("a", 1n, 2n ** 60n + 1n);
    made("b", 1n, 2n ** 60n + 2n);
    made("c", 2n, 2n ** 60n + 1n);
    expect(() => made("d", 1n, 2n ** 60n + 2n)).to.throw("the same to this file system as b");
  });

  it("does not write to a part that has another name, through which somebody could read it", async () => {
    const wanted = file("secret", "secret");
    const target = await localFiles.openTarget(at("out"), { dataId: "data", overwrite: false });
    const sink = await target.openFile(wanted.entry as never);
    await sink.write(Buffer.from("sec"), true);
    await sink.close();
    const [part = ""] = readdirSync(at("out"));
    linkSync(at("out", part), at("spy"));
    await restore([wanted]);
    expect(readFileSync(at("out", "secret"), "utf8")).to.equal("secret");
    expect(readFileSync(at("spy"), "utf8")).to.equal("sec");
    expect(statSync(at("out", "secret")).nlink).to.equal(1);
  });

  it("writes zeros over what an earlier attempt left in a part", async () => {
    const content = new Uint8Array(3 * PIECE_BYTES);
    content[0] = 1;
    const wanted = [file("sparse", content, { ...plain, sparse: true })];
    const target = await localFiles.openTarget(at("out"), { dataId: "data", overwrite: false });
    const sink = await target.openFile(file("sparse", Buffer.alloc(content.length)).entry as never);
    await sink.write(Buffer.alloc(PIECE_BYTES, 7), true);
    await sink.write(Buffer.alloc(PIECE_BYTES, 7), true);
    await sink.close();
    await restore(wanted);
    expect(readFileSync(at("out", "sparse")).equals(content)).to.equal(true);
  });

  describe("never replaces what was not there when the restore came to it", () => {
    it("a file that appears meanwhile", async () => {
      const appear = () => writeFileSync(at("out", "a"), "precious");
      for (const overwrite of [false, true]) {
        const error = await rejection(restore([file("a", "stored")], overwrite, appear));
        expect(error).to.include({ code: "CONFLICT", check: "existing file" });
        expect(readFileSync(at("out", "a"), "utf8")).to.equal("precious");
        rmSync(at("out", "a"));
      }
    });

    it("a file that took the place of the one that was found", async () => {
      mkdirSync(at("out"));
      writeFileSync(at("out", "a"), "old");
      const replace = () => {
        unlinkSync(at("out", "a"));
        writeFileSync(at("out", "other"), "precious");
        linkSync(at("out", "other"), at("out", "a"));
      };
      expect((await rejection(restore([file("a", "stored")], true, replace))).code).to.equal("CONFLICT");
      expect(readFileSync(at("out", "a"), "utf8")).to.equal("precious");
    });

    it("one of two restores into one folder", async () => {
      const other = () => writeFileSync(at("out", "a"), "stored", { flag: "wx" });
      expect((await rejection(restore([file("a", "another")], false, other))).code).to.equal("CONFLICT");
      const both = await Promise.allSettled([restore([file("b", "b")]), restore([file("b", "b")])]);
      expect(both.filter(({ status }) => status === "fulfilled")).to.not.have.length(0);
      expect(readFileSync(at("out", "b"), "utf8")).to.equal("b");
    });
  });

  describe("writes nothing through a link that takes the place of a folder meanwhile", () => {
    const attributed: EntryMetadata = { ...plain, mode: 0o600, xattrs: new Map([["user.tag", Buffer.from("x")]]) };
    const linked: EntryMetadata = { ...plain, linkGroup: 7 };
    const wanted = [
      folder("f", 0o711),
      file("f/a", "a", linked),
      file("f/b", new Uint8Array(2 * PIECE_BYTES).fill(1)),
      file("f/c", "stored", attributed),
      folder("f/d", 0o711),
      file("f/d/e", "e"),
      link("f/l", "nowhere"),
      file("f/m", "a", linked),
    ];
    /** What is elsewhere, with all that a restore could change. */
    const elsewhere = () =>
      readdirSync(at("elsewhere"), { recursive: true, encoding: "utf8" })
        .sort()
        .concat("")
        .map((name) => {
          const { mode, mtimeMs, ino, nlink } = lstatSync(at("elsewhere", name));
          return [name, mode, mtimeMs, ino, nlink];
        });

    beforeEach(() => {
      mkdirSync(at("elsewhere", "d"), { recursive: true });
      // As stored, so that only its metadata would change.
      writeFileSync(at("elsewhere", "c"), "stored", { mode: 0o640 });
      chmodSync(at("elsewhere"), 0o750);
      chmodSync(at("elsewhere", "d"), 0o750);
    });

    for (const overwrite of [false, true]) {
      for (const moment of ["f/a", "f/b", "f/d/e"]) {
        it(`when ${moment} is restored${overwrite ? ", where what exists may be overwritten" : ""}`, async () => {
          const before = elsewhere();
          const redirect = (path: string) => {
            if (path !== moment) return;
            renameSync(at("out", "f"), at("moved"));
            symlinkSync(at("elsewhere"), at("out", "f"));
          };
          const error = await rejection(restore(wanted, overwrite, redirect));
          expect(error.code).to.equal("CONFLICT");
          expect(error.message).to.contain("was replaced while the restore was running");
          expect(elsewhere()).to.deep.equal(before);
          expect(readFileSync(at("moved", "a"), "utf8"), "what goes on is restored in the folder itself").to.equal("a");
        });
      }
    }

    it("when the folder that is restored into is replaced", async () => {
      const before = elsewhere();
      const redirect = (path: string) => {
        if (path !== "f/a") return;
        renameSync(at("out"), at("moved"));
        symlinkSync(at("elsewhere"), at("out"));
      };
      expect((await rejection(restore(wanted, true, redirect))).code).to.equal("CONFLICT");
      expect(elsewhere()).to.deep.equal(before);
    });

    it("and does not give a name to a file that took the place of the one to be linked", async () => {
      const replace = (path: string) => {
        if (path !== "f/m") return;
        writeFileSync(at("another"), "a");
        renameSync(at("another"), at("out", "f", "a"));
      };
      await restore(wanted, false, replace);
      expect(readFileSync(at("out", "f", "m"), "utf8")).to.equal("a");
      expect(statSync(at("out", "f", "m")).nlink).to.equal(1);
    });

    it("and keeps no folder open", async () => {
      const openFiles = () => readdirSync("/proc/self/fd").length;
      await restore(wanted);
      const before = openFiles();
      await restore(wanted, true);
      const stop = (path: string) => {
        if (path === "f/d/e") throw new InvalidInputError("stopped");
      };
      await rejection(restore(wanted, true, stop));
      expect(openFiles()).to.equal(before);
    });
  });

  describe("two names that the file system takes for one", () => {
    // A file system that ignores case needs a mount: a hard link under the second name has the same effect.
    const alias = (path: string) => {
      if (path === "t/b") linkSync(at("out", "t", "a"), at("out", "t", "b"));
    };

    it("are a conflict, and the first one stays", async () => {
      for (const overwrite of [false, true]) {
        const twins = [folder("t"), file("t/a", "first"), file("t/b", "second")];
        expect((await rejection(restore(twins, overwrite, alias))).code).to.equal("CONFLICT");
        expect(readFileSync(at("out", "t", "a"), "utf8")).to.equal("first");
        rmSync(at("out"), { recursive: true });
      }
    });

    it("are a conflict when both were there before, equal or overwritten", async () => {
      for (const [overwrite, second] of [
        [false, "same"],
        [true, "same"],
        [true, "other"],
      ] as const) {
        mkdirSync(at("out", "t"), { recursive: true });
        writeFileSync(at("out", "t", "a"), "same");
        linkSync(at("out", "t", "a"), at("out", "t", "b"));
        const error = await rejection(restore([folder("t"), file("t/a", "same"), file("t/b", second)], overwrite));
        expect(error).to.include({ code: "CONFLICT", check: "names that differ in case or normalization" });
        expect(readFileSync(at("out", "t", "a"), "utf8")).to.equal("same");
        rmSync(at("out"), { recursive: true });
      }
    });
  });

  describe("a folder that existed", () => {
    it("keeps its mode, also when the restore is refused", async () => {
      mkdirSync(at("out", "f"), { recursive: true });
      chmodSync(at("out", "f"), 0o750);
      await restore([folder("f"), file("f/new", "x")]);
      expect(modeOf(at("out", "f"))).to.equal("750");
      writeFileSync(at("out", "f", "differs"), "mine");
      await rejection(restore([folder("f"), file("f/differs", "theirs")]));
      expect(modeOf(at("out", "f"))).to.equal("750");
    });

    it("gets the stored mode when it may be overwritten, and its own back when that fails", async () => {
      mkdirSync(at("out", "f", "differs"), { recursive: true });
      chmodSync(at("out", "f"), 0o550);
      await rejection(restore([folder("f"), file("f/differs", "a folder is in the way")], true));
      expect(modeOf(at("out", "f"))).to.equal("550");
      await restore([folder("f"), file("f/new", "x")], true);
      expect(modeOf(at("out", "f"))).to.equal("755");
    });

    it("is finished by a later attempt when an earlier one has made it", async () => {
      const stop = (path: string) => {
        if (path === "f/b") throw new InvalidInputError("stopped");
      };
      const wanted = [folder("f", 0o750), file("f/a", "a"), file("f/b", "b")];
      await rejection(restore(wanted, false, stop));
      expect(await restore(wanted)).to.equal(1);
      expect(modeOf(at("out", "f"))).to.equal("750");
      expect(statSync(at("out", "f")).mtimeMs).to.equal(1_500_000_000_000);
    });
  });

  it("leaves the metadata of a file that existed alone, unless it may be overwritten", async () => {
    mkdirSync(at("out"));
    writeFileSync(at("out", "a"), "same");
    chmodSync(at("out", "a"), 0o600);
    await restore([file("a", "same")]);
    expect(modeOf(at("out", "a"))).to.equal("600");
    await restore([file("a", "same")], true);
    expect(modeOf(at("out", "a"))).to.equal("644");
  });

  it("restores into a folder whose name is not UTF-8", async () => {
    const name = pathFromBytes(Buffer.from([0x6f, 0xff]));
    const target = await localFiles.openTarget(`${dir}/${name}`, { dataId: "data", overwrite: false });
    await fill(target, [folder("d"), file("d/a", "x"), link("l", "d")]);
    const out = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0x6f, 0xff])]);
    expect(readdirSync(out)).to.deep.equal(["d", "l"]);
    expect(readFileSync(Buffer.concat([out, Buffer.from("/d/a")]), "utf8")).to.equal("x");
  });

  describe("by a user who may not read what is there", () => {
    /** Root may read everything: it becomes somebody else. */
    async function asNobody(work: () => Promise<void>) {
      if (!IS_ROOT) return await work();
      execFileSync("chown", ["-R", `${NOBODY}:${NOBODY}`, at("out")]);
      process.setegid?.(NOBODY);
      process.seteuid?.(NOBODY);
      try {
        await work();
      } finally {
        process.seteuid?.(0);
        process.setegid?.(0);
      }
    }

    beforeEach(() => {
      mkdirSync(at("out", "f"), { recursive: true });
      for (const name of ["a", "f/a"]) writeFileSync(at("out", name), "mine", { mode: 0o000 });
      chmodSync(at("out", "a"), 0o000);
      chmodSync(at("out", "f", "a"), 0o000);
    });

    it("replaces it where it may be overwritten, also in a folder that cannot be entered before", async () => {
      chmodSync(at("out", "f"), 0o000);
      await asNobody(async () => {
        await restore([file("a", "them"), folder("f"), file("f/a", "them")], true);
      });
      for (const name of ["a", "f/a"]) {
        expect(readFileSync(at("out", name), "utf8")).to.equal("them");
        expect(modeOf(at("out", name))).to.equal("644");
      }
    });

    it("leaves it else, and says that it is in the way", async () => {
      await asNobody(async () => {
        const error = await rejection(restore([file("a", "them")]));
        expect(error).to.be.instanceOf(InTheWayError);
      });
      expect(readFileSync(at("out", "a"), "utf8")).to.equal("mine");
      expect(modeOf(at("out", "a"))).to.equal("0");
    });
  });

  describe("owners", () => {
    const setId = (uid: number | undefined): EntryMetadata => ({
      ...plain,
      mode: 0o6755,
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];

    it("keep set-id bits only with the owner they were set for", async () => {
      await restore([file("mine", "x", { ...setId(uid), gid }), file("unknown", "x", setId(undefined))]);
      expect(modeOf(at("out", "mine"))).to.equal("6755");
      expect(modeOf(at("out", "unknown"))).to.equal("755");
    });

    it("are restored by root alone, by name where it exists, and set-id bits with them", async () => {
      const named = { ...plain, uid: 4_000_000, gid: 4_000_000, user: "nobody", group: "nobody-has-this-name" };
      await restore([folder("d"), file("d/a", "x", setId(NOBODY)), file("d/b", "x", named)]);
      const { uid: owner, gid: group } = statSync(at("out", "d", "a"));
      expect([owner, group]).to.deep.equal(IS_ROOT ? [NOBODY, NOBODY] : [uid, gid]);
      if (!IS_ROOT) return expect(modeOf(at("out", "d", "a"))).to.equal("755");
      expect(modeOf(at("out", "d", "a"))).to.equal("6755");
      expect(statSync(at("out", "d", "b"))).to.include({ uid: NOBODY, gid: 4_000_000 });
    });

    it("that cannot be set cost the set-id bits, and are told", async () => {
      mkdirSync(at("out"));
      // Whoever is not root cannot set owners; root becomes somebody else for the restore.
      if (IS_ROOT) {
        chownSync(at("out"), NOBODY, NOBODY);
        process.setegid?.(NOBODY);
        process.seteuid?.(NOBODY);
      }
      try {
        await restore([file("a", "x", setId(0))]);
      } finally {
        if (IS_ROOT) {
          process.seteuid?.(0);
          process.setegid?.(0);
        }
      }
      expect(modeOf(at("out", "a"))).to.equal("755");
      expect(remarks.map(({ kind }) => kind)).to.deep.equal(["owner"]);
    });
  });
});
