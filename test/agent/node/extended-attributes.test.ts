import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  type Attributes,
  parseDump,
  readAttributes,
  writeAttributes,
  writeDump,
} from "../../../offchain/agent/node/extended-attributes.ts";
import { localFiles } from "../../../offchain/agent/node/local-files.ts";
import { openSource } from "../../../offchain/agent/put/source.ts";
import { pathFromBytes } from "../../../offchain/core/recipe/path-name.ts";
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
