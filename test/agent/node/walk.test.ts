import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { storedTime } from "../../../offchain/agent/node/file-times.ts";
import { localFiles } from "../../../offchain/agent/node/local-files.ts";
import { OwnerNames } from "../../../offchain/agent/node/owner-names.ts";
import { readFile } from "../../../offchain/agent/node/read-file.ts";
import { LinkGroups, type WalkedEntry, type WalkOptions, walk } from "../../../offchain/agent/node/walk.ts";
import { walkRoots } from "../../../offchain/agent/node/walk-roots.ts";
import type { SourceRemark } from "../../../offchain/agent/platform.ts";
import { FileUnreadableError } from "../../../offchain/agent/put/input-errors.ts";
import { measure, openSource } from "../../../offchain/agent/put/source.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";
import { collect } from "../../helpers/promises.ts";
import { rejection } from "../../helpers/rejection.ts";

async function entriesOf(...paths: string[]): Promise<WalkedEntry[]> {
  const entries: WalkedEntry[] = [];
  for (const root of walkRoots(paths)) entries.push(...walk(root));
  return entries;
}

async function contentOf(source: AsyncIterable<Uint8Array>, meanwhile?: () => void): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) {
    pieces.push(piece.slice());
    meanwhile?.();
  }
  return Buffer.concat(pieces);
}

const WALK_MODULE = new URL("../../../offchain/agent/node/walk.ts", import.meta.url).href;

function walked(paths: string[], options: WalkOptions = {}) {
  const remarks: [string, string][] = [];
  const remark = ({ kind, path }: SourceRemark) => remarks.push([kind, path]);
  const entries = walkRoots(paths).flatMap((root) => [...walk(root, { ...options, remark })]);
  return { entries, paths: entries.map(({ path }) => path), remarks };
}

describe("walk: what is under a path", () => {
  let dir: string;
  const at = (...names: string[]) => join(dir, ...names);

  beforeEach(() => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), "tallystick-walk-")));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  it("lists files, folders and links with mode and time, folders first, names in byte order", async () => {
    mkdirSync(at("in", "b"), { recursive: true });
    writeFileSync(at("in", "b", "x"), "hello");
    writeFileSync(at("in", "b-file"), "");
    symlinkSync("../nowhere", at("in", "a-link"));
    chmodSync(at("in", "b", "x"), 0o640);
    utimesSync(at("in", "b", "x"), 1, 1_500_000_000.25);
    const entries = await entriesOf(at("in"));
    expect(entries.map((e) => [e.path, e.type, e.sizeBytes, e.target])).to.deep.equal([
      ["in", "directory", 0, undefined],
      ["in/a-link", "symlink", 0, "../nowhere"],
      ["in/b", "directory", 0, undefined],
      ["in/b/x", "file", 5, undefined],
      ["in/b-file", "file", 0, undefined],
    ]);
    const file = entries[3];
    expect(file?.metadata.mode).to.equal(0o640);
    expect(file?.metadata.mtimeNanos).to.equal(1_500_000_000_250_000_000n);
    expect(await measure(openSource([at("in")], localFiles), undefined)).to.deep.equal({
      entries: 5,
      bytes: 5,
    });
  });

  it("keeps any Unicode name, composed or not, and sorts by UTF-8 bytes", async () => {
    const names = ["e\u0301", "\u00e9", "\u{1f9fe} tally", "\uffee", "new\nline", " ", "-rf", "\ufeffbom"];
    mkdirSync(at("names"));
    for (const name of names) writeFileSync(at("names", name), name);
    const paths = (await entriesOf(at("names"))).slice(1).map((e) => e.path.slice("names/".length));
    expect(paths).to.deep.equal(names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
  });

  it("keeps names and link targets that are not UTF-8", async () => {
    mkdirSync(at("bytes"));
    const name = Buffer.concat([Buffer.from(`${at("bytes")}/`), Buffer.from([0x66, 0xff])]);
    writeFileSync(name, "content");
    symlinkSync(Buffer.from([0xfe]), Buffer.concat([name, Buffer.from("link")]));
    const [, file, link] = await entriesOf(at("bytes"));
    expect(file?.path).to.equal("bytes/f\udcff");
    expect(link?.target).to.equal("\udcfe");
    expect((await contentOf(readFile(file as WalkedEntry))).toString()).to.equal("content");
  });

  it("does not follow a link to a folder, named or found", async () => {
    mkdirSync(at("real"));
    writeFileSync(at("real", "file"), "x");
    symlinkSync("real", at("link"));
    expect((await entriesOf(at("link"))).map((e) => [e.path, e.type])).to.deep.equal([["link", "symlink"]]);
  });

  it("takes several paths and refuses equal names among them", async () => {
    mkdirSync(at("1"));
    mkdirSync(at("2"));
    for (const path of [at("1", "same"), at("2", "same"), at("2", "other")]) writeFileSync(path, "x");
    const sourceOf = async (...paths: string[]) => openSource(paths, localFiles);
    const entries = await collect((await sourceOf(at("1", "same"), at("2", "other"))).entries());
    expect(entries.map((e) => e.path)).to.deep.equal(["other", "same"]);
    const error = await rejection(sourceOf(at("1", "same"), at("2", "same")));
    expect(error).to.include({ code: "INVALID_INPUT", check: "paths" });
    expect((await rejection(sourceOf())).code).to.equal("INVALID_INPUT");
    expect((await rejection(entriesOf("/"))).code).to.equal("INVALID_INPUT");
    // `put "$UNSET"` must not store the working directory.
    expect(await rejection(entriesOf(at("1", "same"), ""))).to.include({ code: "INVALID_INPUT", check: "paths" });
  });

  it("refuses a root that cannot be stored: a pipe, a path that does not exist", async () => {
    mkdirSync(at("odd"));
    execFileSync("mkfifo", [at("odd", "pipe")]);
    expect(await rejection(entriesOf(at("odd", "pipe")))).to.include({ code: "INVALID_INPUT", check: "file type" });
    const missing = await rejection(entriesOf(at("missing")));
    expect(missing).to.include({ code: "FILE_UNREADABLE", received: "ENOENT" });
  });

  it("leaves out pipes and sockets below a root, and says so", async () => {
    mkdirSync(at("odd"));
    writeFileSync(at("odd", "file"), "x");
    execFileSync("mkfifo", [at("odd", "pipe")]);
    const server = createServer();
    await new Promise<void>((listening) => server.listen(at("odd", "socket"), listening));
    const { paths, remarks } = walked([at("odd")]);
    server.close();
    expect(paths).to.deep.equal(["odd", "odd/file"]);
    expect(remarks).to.deep.equal([
      ["special", at("odd", "pipe")],
      ["special", at("odd", "socket")],
    ]);
  });

  it("leaves out the home folder in use, however it is reached, and refuses it as a root", () => {
    mkdirSync(at("user", ".home", "preparations"), { recursive: true });
    writeFileSync(at("user", "file"), "x");
    const { dev: device, ino: inode } = statSync(at("user", ".home"), { bigint: true });
    const home = { device, inode };
    const { paths, remarks } = walked([at("user")], { home });
    expect(paths).to.deep.equal(["user", "user/file"]);
    expect(remarks).to.deep.equal([["home", at("user", ".home")]]);
    expect(() => walked([at("user", ".home")], { home })).to.throw(InvalidInputError, "home folder of this command");
  });

  it("keeps a file whose time cannot be stored, with a remark", () => {
    mkdirSync(at("t"));
    writeFileSync(at("t", "far"), "x");
    utimesSync(at("t", "far"), 10_000_000_000, 10_000_000_000);
    const { entries, remarks } = walked([at("t")]);
    expect(entries.map((entry) => entry.path)).to.deep.equal(["t", "t/far"]);
    expect(entries[1]?.metadata.mtimeNanos).to.equal(0n);
    expect(remarks).to.deep.equal([["time", at("t", "far")]]);
  });

  it("reports a folder that cannot be listed and goes on", async () => {
    mkdirSync(at("f", "closed"), { recursive: true });
    writeFileSync(at("f", "later"), "x");
    chmodSync(at("f", "closed"), 0);
    const script = `
      import { walk } from ${JSON.stringify(WALK_MODULE)};
      process.setgid?.(65534);
      process.setuid?.(65534);
      const remarks = [];
      const root = { path: process.argv[1], name: "f", given: "f" };
      const paths = [...walk(root, { remark: ({ kind, error }) => remarks.push([kind, error.received]) })];
      console.log(JSON.stringify([paths.map(({ path }) => path), remarks]));`;
    chmodSync(dir, 0o755);
    const command = process.getuid?.() === 0 ? script : script.replaceAll(/process\.set.id.*;/g, "");
    const printed = execFileSync(process.execPath, ["--input-type=module", "-e", command, at("f")], { cwd: "/" });
    const expected = [["f", "f/closed", "f/later"], [["unreadable", "EACCES"]]];
    expect(JSON.parse(printed.toString())).to.deep.equal(expected);
  });

  describe("paths as the kernel resolves them", () => {
    const roots = (...paths: string[]) => walkRoots(paths).map(({ path, name }) => [path, name]);

    beforeEach(() => {
      mkdirSync(at("real", "inner"), { recursive: true });
      writeFileSync(at("real", "file"), "x");
      symlinkSync("real/inner", at("link"));
    });

    it("follows a link before a slash, `.` or `..`, and nowhere else", () => {
      expect(roots(at("link"))).to.deep.equal([[at("link"), "link"]]);
      expect(roots(`${at("link")}/`)).to.deep.equal([[at("real", "inner"), "link"]]);
      expect(roots(`${at("link")}/.`)).to.deep.equal([[at("real", "inner"), "inner"]]);
      expect(roots(`${at("link")}/..`)).to.deep.equal([[at("real"), "real"]]);
      expect(roots(`${at("link")}/../file`)).to.deep.equal([[at("real", "file"), "file"]]);
    });

    it("refuses a file before a slash", () => {
      expect(() => roots(`${at("real", "file")}/`)).to.throw(FileUnreadableError, "not a folder");
    });

    it("remarks that a named link is stored as a link", () => {
      expect(walked([at("link")]).remarks).to.deep.equal([["link", at("link")]]);
    });
  });

  describe("metadata", () => {
    it("has owners with their names", () => {
      writeFileSync(at("file"), "x");
      const { entries } = walked([at("file")], { names: new OwnerNames() });
      const { uid, gid, user } = entries[0]?.metadata ?? {};
      expect({ uid, gid, user }).to.deep.equal({ uid: userInfo().uid, gid: userInfo().gid, user: userInfo().username });
    });

    it("numbers the files that have several names, in the order in which they are met", () => {
      mkdirSync(at("l"));
      for (const name of ["b", "d"]) writeFileSync(at("l", name), "x");
      linkSync(at("l", "b"), at("l", "c"));
      linkSync(at("l", "d"), at("l", "a"));
      writeFileSync(at("l", "single"), "x");
      const { entries } = walked([at("l")], { names: new OwnerNames(), links: new LinkGroups() });
      const groups = entries.map(({ path, metadata }) => [path, metadata.linkGroup]);
      expect(groups).to.deep.equal([
        ["l", undefined],
        ["l/a", 1],
        ["l/b", 2],
        ["l/c", 2],
        ["l/d", 1],
        ["l/single", undefined],
      ]);
    });

    it("says which files have holes", () => {
      mkdirSync(at("s"));
      writeFileSync(at("s", "full"), Buffer.alloc(100_000, 1));
      writeFileSync(at("s", "holes"), "");
      truncateSync(at("s", "holes"), 10_000_000);
      const { entries } = walked([at("s")], { names: new OwnerNames() });
      expect(entries.map(({ metadata }) => metadata.sparse)).to.deep.equal([undefined, undefined, true]);
    });
  });

  describe("reading a file", () => {
    const bytes = Buffer.alloc(1_300_000, "0123456789abcdef");
    let entry: WalkedEntry;

    beforeEach(async () => {
      writeFileSync(at("file"), bytes);
      [entry] = (await entriesOf(at("file"))) as [WalkedEntry];
    });

    it("returns its bytes", async () => {
      expect(bytes.equals(await contentOf(readFile(entry)))).to.equal(true);
    });

    it("returns nothing for an empty file", async () => {
      writeFileSync(at("empty"), "");
      const [empty] = (await entriesOf(at("empty"))) as [WalkedEntry];
      expect(await contentOf(readFile(empty))).to.have.length(0);
    });

    const once = (change: () => void) => {
      let done = false;
      return () => {
        if (!done) change();
        done = true;
      };
    };
    for (const [what, check, change] of [
      ["grows", "size", () => appendFileSync(at("file"), "more")],
      ["is cut", "size", () => truncateSync(at("file"), 600_000)],
      ["is written to", "modification time", () => writeFileSync(at("file"), Buffer.alloc(bytes.length))],
    ] as const) {
      it(`notices when the file ${what} meanwhile`, async () => {
        const error = await rejection(contentOf(readFile(entry), once(change)));
        expect(error).to.include({ code: "FILE_CHANGED", check, retryable: true });
      });
    }

    it("notices a write at both ends, although its modification time is put back", async () => {
      utimesSync(at("file"), 1_700_000_000, 1_700_000_000);
      [entry] = (await entriesOf(at("file"))) as [WalkedEntry];
      const spoil = () => {
        const file = openSync(at("file"), "r+");
        writeSync(file, "torn", 0);
        writeSync(file, "torn", bytes.length - 4);
        closeSync(file);
        utimesSync(at("file"), 1_700_000_000, 1_700_000_000);
      };
      const error = await rejection(contentOf(readFile(entry), once(spoil)));
      expect(error).to.include({ code: "FILE_CHANGED", check: "status-change time" });
    });

    it("does not change when the file was last read", async () => {
      utimesSync(at("file"), 1, 1_700_000_000);
      [entry] = (await entriesOf(at("file"))) as [WalkedEntry];
      await contentOf(readFile(entry));
      expect(statSync(at("file")).atimeMs).to.equal(1000);
    });

    it("tells of a file that changed and of one that is gone, and stores what can be stored", async () => {
      mkdirSync(at("r"));
      for (const name of ["changed", "gone", "good"]) writeFileSync(at("r", name), bytes);
      const remarks: [string, string][] = [];
      const run = { remark: ({ kind, path }: SourceRemark) => remarks.push([kind, path]) };
      const [, changed, gone, good] = await collect(openSource([at("r")], localFiles).entries(run));
      if (changed?.type !== "file" || gone?.type !== "file" || good?.type !== "file") throw new Error("three files");
      const content = await contentOf(
        changed.read(),
        once(() => appendFileSync(at("r", "changed"), "more")),
      );
      expect(content.length).to.equal(bytes.length);
      unlinkSync(at("r", "gone"));
      const error = await rejection(contentOf(gone.read()));
      expect(error).to.include({ code: "FILE_UNREADABLE", received: "ENOENT" });
      gone.leaveOut?.(error as FileUnreadableError);
      expect(bytes.equals(await contentOf(good.read()))).to.equal(true);
      expect(remarks).to.deep.equal([
        ["changed", at("r", "changed")],
        ["unreadable", at("r", "gone")],
      ]);
    });

    it("stores a file as it is when it is opened, with its time, also if it was written since the walk", async () => {
      writeFileSync(at("log"), "walked");
      const remarks: SourceRemark[] = [];
      const run = { remark: (remark: SourceRemark) => remarks.push(remark) };
      const [log] = await collect(openSource([at("log")], localFiles).entries(run));
      if (log?.type !== "file") throw new Error("a file");
      appendFileSync(at("log"), ", and written to");
      chmodSync(at("log"), 0o600);
      expect((await contentOf(log.read())).toString()).to.equal("walked, and written to");
      const mtimeNanos = storedTime(statSync(at("log"), { bigint: true }).mtimeNs);
      expect(log.metadata).to.include({ mode: 0o600, mtimeNanos });
      expect(remarks).to.deep.equal([]);
    });

    it("stores a file that is cut before its first piece as read, and reads no further a second time", async () => {
      writeFileSync(at("log"), bytes);
      const remarks: string[] = [];
      const run = { remark: ({ kind, reason }: SourceRemark) => remarks.push(`${kind}: ${reason}`) };
      const [log] = await collect(openSource([at("log")], localFiles).entries(run));
      if (log?.type !== "file") throw new Error("a file");
      // The file is open when this is asked for the first time, and nothing of it has been read.
      const cutting = { throwIfAborted: once(() => truncateSync(at("log"))) } as unknown as AbortSignal;
      expect(await contentOf(log.read(cutting))).to.have.length(0);
      expect(remarks).to.deep.equal(["changed: it changed while it was being read; stored as it was read"]);
      writeFileSync(at("log"), Buffer.alloc(2 * bytes.length, 1));
      expect(await contentOf(log.read())).to.have.length(bytes.length);
    });

    it("notices when another file or a link took its place since the walk", async () => {
      writeFileSync(at("other"), bytes);
      renameSync(at("other"), at("file"));
      expect(await rejection(contentOf(readFile(entry)))).to.include({ code: "FILE_CHANGED", check: "identity" });
      unlinkSync(at("file"));
      symlinkSync("/etc/hostname", at("file"));
      expect(await rejection(contentOf(readFile(entry)))).to.include({ code: "FILE_UNREADABLE", received: "ELOOP" });
      unlinkSync(at("file"));
      expect(await rejection(contentOf(readFile(entry)))).to.include({ code: "FILE_UNREADABLE", received: "ENOENT" });
    });
  });
});
