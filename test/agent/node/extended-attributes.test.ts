import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  type Attributes,
  attributesInParts,
  parseDump,
  readAttributes,
  writeAttributes,
  writeDump,
} from "../../../offchain/agent/node/extended-attributes.ts";
import { SqliteFileCache } from "../../../offchain/agent/node/file-cache.ts";
import { localFiles } from "../../../offchain/agent/node/local-files.ts";
import type { SourceRemark, SourceRun } from "../../../offchain/agent/platform.ts";
import { SILENT } from "../../../offchain/agent/progress.ts";
import { LeftOut } from "../../../offchain/agent/put/left-out.ts";
import { openSource } from "../../../offchain/agent/put/source.ts";
import { pathFromBytes } from "../../../offchain/core/recipe/path-name.ts";
import { MAX_XATTRS } from "../../../offchain/core/snapshot/metadata-item.ts";
import { asNobody } from "../../helpers/nobody.ts";
import { collect } from "../../helpers/promises.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));

describe("extended attributes", () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-xattr-"));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  const odd = pathFromBytes(Buffer.from("we ird\n\\\xe9=", "latin1"));

  it("come back as they were set, whatever names and values are made of", async () => {
    const names = ["plain", odd, "none"].map((name) => `${dir}/${name}`);
    for (const [index, name] of ["plain", "we ird\n\\\xe9=", "none"].entries())
      writeFileSync(Buffer.from(`${dir}/${name}`, "latin1"), String(index));
    const wanted = new Map<string, Attributes>([
      [`${dir}/plain`, new Map([["user.a", bytes("value")]])],
      [
        `${dir}/${odd}`,
        new Map([
          ["user.empty", bytes("")],
          ["user.odd=\n\\", bytes("\0\xff\n")],
          ["user.z", bytes("0s")],
        ]),
      ],
    ]);
    expect(await writeAttributes(wanted)).to.deep.equal([]);
    expect(await readAttributes(names)).to.deep.equal(wanted);
    expect(await readAttributes([...names, `${dir}/missing`])).to.deep.equal(wanted);
  });

  it("are read through no link, and reach the entries of a source", async () => {
    mkdirSync(join(dir, "t"));
    writeFileSync(join(dir, "t", "file"), "x");
    symlinkSync("file", join(dir, "t", "link"));
    await writeAttributes(
      new Map([
        [
          `${dir}/t/file`,
          new Map([
            ["user.b", bytes("2")],
            ["user.a", bytes("1")],
          ]),
        ],
      ]),
    );
    const entries = await collect(openSource([join(dir, "t")], localFiles).entries());
    expect(entries.map(({ path, metadata }) => [path, metadata.xattrs && [...metadata.xattrs.keys()]])).to.deep.equal([
      ["t", undefined],
      ["t/file", ["user.a", "user.b"]],
      ["t/link", undefined],
    ]);
    const brief = await collect(openSource([join(dir, "t")], localFiles).entries({ brief: true }));
    expect(brief.some(({ metadata }) => metadata.xattrs !== undefined)).to.equal(false);
  });

  /** Attributes of the entries of a source, by path, and what was remarked. */
  async function sourced(root: string, run: SourceRun = {}) {
    const remarks: SourceRemark[] = [];
    const source = openSource([root], localFiles).entries({ ...run, remark: (one) => remarks.push(one) });
    const found: Record<string, number> = {};
    for await (const { path, metadata, remember } of source) {
      found[path] = metadata.xattrs?.size ?? 0;
      remember?.();
    }
    return { found, remarks };
  }

  it("are read in parts when they would be too much at once", async () => {
    const names = Array.from({ length: 20 }, (_, k) => `${dir}/${k}`);
    for (const name of names) writeFileSync(name, "");
    await writeAttributes(new Map(names.map((name) => [name, new Map([["user.a", bytes("x".repeat(1000))]])])));
    const parts = await collect(attributesInParts(names, 6000));
    expect(parts.flatMap(({ paths }) => paths)).to.deep.equal(names);
    expect(parts.flatMap(({ found }) => [...found.keys()])).to.deep.equal(names);
    expect(parts.flatMap(({ unread }) => [...unread])).to.deep.equal([]);
    expect(parts).to.have.length(8);
    // What one file has may be too much by itself.
    const [part] = await collect(attributesInParts(names.slice(0, 1), 1000));
    expect([...(part?.unread ?? [])]).to.deep.equal([[names[0], "more than 1000 bytes of attributes"]]);
  });

  it("that may not be read are remarked with their path, and are no `none` to the next put", async () => {
    chmodSync(dir, 0o755);
    mkdirSync(join(dir, "t"));
    for (const name of ["a", "b: c", "b"]) writeFileSync(join(dir, "t", name), "x");
    const paths = ["a", "b: c"].map((name) => join(dir, "t", name));
    await writeAttributes(new Map(paths.map((path) => [path, new Map([["user.a", bytes("1")]])])));
    chmodSync(join(dir, "t", "b: c"), 0o000);
    // The cache keeps what has not changed just now.
    await new Promise((resolve) => setTimeout(resolve, 40));
    const cache = new SqliteFileCache(join(dir, "files.db"));
    const options = { scope: "public", secret: new Uint8Array(32), nowSeconds: 1_800_000_000 };
    const put = async (as = asNobody) => {
      const session = cache.open(options);
      const done = await as(() => sourced(join(dir, "t"), { cache: session }));
      session.finish();
      session.close();
      return done;
    };
    const some = await put();
    expect(some.found).to.deep.equal({ t: 0, "t/a": 1, "t/b": 0, "t/b: c": 0 });
    expect(some.remarks).to.deep.equal([
      {
        kind: "lost-attributes",
        path: join(dir, "t", "b: c"),
        reason: "its extended attributes are not stored: user.a: Permission denied",
      },
    ]);
    if (process.getuid?.() === 0)
      expect(await put((work) => work())).to.deep.equal({
        found: { t: 0, "t/a": 1, "t/b": 0, "t/b: c": 1 },
        remarks: [],
      });
    cache.close();
  });

  describe("as the command says them", () => {
    const path = process.env.PATH;
    afterEach(() => {
      process.env.PATH = path;
    });

    /** Puts another getfattr in the place of the system's. @param script given the paths as its last arguments */
    function replaceCommand(script: string) {
      mkdirSync(join(dir, "bin"));
      writeFileSync(join(dir, "bin", "getfattr"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      process.env.PATH = `${join(dir, "bin")}:${path}`;
      mkdirSync(join(dir, "t"));
      for (const name of ["a", "b"]) writeFileSync(join(dir, "t", name), "x");
    }
    const forEach = (what: string) => `while [ "$1" != -- ]; do shift; done; shift; for f; do ${what}; done`;

    it("are complete beyond 64 MiB of text", async () => {
      // 40 MiB for each of the two files.
      replaceCommand(
        forEach(
          `echo "# file: $f"; case "$f" in */t) ;; *) printf user.big=0s; head -c 41943040 /dev/zero | tr '\\0' A;; ` +
            "esac; echo; echo",
        ),
      );
      const parts = await collect(attributesInParts(["a", "b"].map((name) => `${dir}/t/${name}`)));
      expect(parts.map(({ found }) => [...found.values()].map((each) => each.get("user.big")?.length))).to.deep.equal([
        [31_457_280],
        [31_457_280],
      ]);
    }).timeout(60_000);

    it("cost the attributes of one entry when they are more than can be stored, by name", async () => {
      const count = MAX_XATTRS + 1;
      const many = `k=0; while [ $k -lt ${count} ]; do echo "user.$k=0sAA=="; k=$((k+1)); done`;
      const value = "head -c 87380 /dev/zero | tr '\\0' A";
      const large = `k=0; while [ $k -lt 17 ]; do printf "user.$k=0s"; ${value}; echo; k=$((k+1)); done`;
      replaceCommand(
        forEach(`echo "# file: $f"; case "$f" in */a) ${many};; */b) ${large};; *) echo user.x=0sAA==;; esac; echo`),
      );
      const { found, remarks } = await sourced(join(dir, "t"));
      expect(found).to.deep.equal({ t: 1, "t/a": 0, "t/b": 0 });
      expect(remarks.map(({ kind, path: named, reason }) => [kind, named, reason])).to.deep.equal([
        [
          "lost-attributes",
          join(dir, "t", "a"),
          "its extended attributes are not stored: metadata item has too many attributes (at most 1024, not 1025)",
        ],
        [
          "lost-attributes",
          join(dir, "t", "b"),
          "its extended attributes are not stored: metadata item is too long (at most 1048576 bytes, not " +
            "1114319 bytes)",
        ],
      ]);
      const leftOut = new LeftOut(SILENT);
      for (const remark of remarks) leftOut.add(remark);
      expect(leftOut.report()).to.include({ incomplete: true });
    });

    it("are lost for all files, by name, when the command is killed", async () => {
      replaceCommand("kill -9 $$");
      const { remarks } = await sourced(join(dir, "t"));
      expect(remarks.map(({ kind, path: named }) => [kind, named])).to.deep.equal(
        ["t", "t/a", "t/b"].map((name) => ["lost-attributes", join(dir, name)]),
      );
      expect(remarks[0]?.reason).to.equal("its extended attributes are not stored: xargs failed (125)");
    });
  });

  it("that cannot be set are named", async () => {
    const said = await writeAttributes(new Map([[`${dir}/missing`, new Map([["user.a", bytes("1")]])]]));
    expect(said.join()).to.contain("missing");
  });

  it("survive the text form", () => {
    const files = new Map<string, Attributes>([["/a", new Map([["user.x", bytes("\n=\\")]])]]);
    expect(parseDump(writeDump(files))).to.deep.equal(files);
    expect(parseDump(Buffer.from('# file: /b\nuser.t="text"\nuser.n\n\n')).get("/b")?.size).to.equal(2);
  });
});
