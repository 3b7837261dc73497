import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { localFiles } from "../../../offchain/agent/node/local-files.ts";
import { readFile } from "../../../offchain/agent/node/read-file.ts";
import { type WalkedEntry, walk, walkRoots } from "../../../offchain/agent/node/walk.ts";
import { measure, openSource } from "../../../offchain/agent/put/source.ts";
import { collect } from "../../helpers/promises.ts";
import { rejection } from "../../helpers/rejection.ts";

async function entriesOf(...paths: string[]): Promise<WalkedEntry[]> {
  const entries: WalkedEntry[] = [];
  for (const root of walkRoots(paths)) for await (const entry of walk(root)) entries.push(entry);
  return entries;
}

async function contentOf(source: AsyncIterable<Uint8Array>, meanwhile?: () => void): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) {
    pieces.push(piece);
    meanwhile?.();
  }
  return Buffer.concat(pieces);
}

describe("walk: what is under a path", () => {
  let dir: string;
  const at = (...names: string[]) => join(dir, ...names);

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-walk-"));
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
    expect(file?.mode).to.equal(0o640);
    expect(file?.mtimeNanos).to.equal(1_500_000_000_250_000_000n);
    expect(await measure(openSource([at("in")], localFiles))).to.deep.equal({ entries: 5, bytes: 5 });
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

  it("refuses what cannot be stored: a pipe, a path that does not exist", async () => {
    mkdirSync(at("odd"));
    execFileSync("mkfifo", [at("odd", "pipe")]);
    expect(await rejection(entriesOf(at("odd")))).to.include({ code: "INVALID_INPUT", check: "file type" });
    const missing = await rejection(entriesOf(at("missing")));
    expect(missing).to.include({ code: "FILE_UNREADABLE", received: "ENOENT" });
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
