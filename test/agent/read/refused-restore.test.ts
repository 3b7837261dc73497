/** What the file system refuses costs the entry: a restore goes on with everything else, and says what is missing. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { writeAttributes } from "../../../offchain/agent/node/extended-attributes.ts";
import { localFiles } from "../../../offchain/agent/node/local-files.ts";
import { partNameOf } from "../../../offchain/agent/node/part-name.ts";
import type { TargetRemark } from "../../../offchain/agent/platform.ts";
import { type LeftEntry, RefusedError } from "../../../offchain/agent/read/obstacles.ts";
import { restore } from "../../../offchain/agent/read/restore.ts";
import { openRoot } from "../../../offchain/core/recipe/tree.ts";
import { MemoryProvider } from "../../helpers/memory-data-plane.ts";
import { type StoredInMemory, storeInMemory } from "../../helpers/memory-put.ts";
import { asNobody, IS_ROOT } from "../../helpers/nobody.ts";
import { streamed } from "../../helpers/promises.ts";
import { FAT, type Rule, refusing } from "../../helpers/refusing-disk.ts";
import { rejection } from "../../helpers/rejection.ts";

describe("restoring where the file system refuses something", () => {
  let dir: string;
  let provider: MemoryProvider;
  const at = (...names: string[]) => join(dir, ...names);

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-refused-"));
    chmodSync(dir, 0o755);
    provider = new MemoryProvider();
  });
  // Its paths may be longer than those that Node can remove.
  afterEach(() => execFileSync("rm", ["-rf", dir]));

  const put = () => storeInMemory(provider, [at("in")], localFiles);

  async function get({ dataId, fileKey, metadata }: StoredInMemory, folder = at("out"), overwrite = false) {
    const left: LeftEntry[] = [];
    const remarks: TargetRemark[] = [];
    const onLeft = (one: LeftEntry) => left.push(one);
    const target = await localFiles.openTarget(folder, {
      dataId,
      overwrite,
      remark: (one) => remarks.push(one),
      onLeft,
    });
    const totals = { entries: 0, bytes: 0, downloadedBytes: 0 };
    const root = openRoot(fileKey, dataId, await provider.fetch(dataId));
    await restore(root, provider, target, totals, { metadata: streamed(metadata), onLeft, onStep: () => undefined });
    return { left, remarks, totals, paths: left.map(({ path }) => path) };
  }

  const tree = (folder: string) => readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();

  it("restores all but links and names that it does not take, as on FAT", async () => {
    mkdirSync(at("in", "d:"), { recursive: true });
    mkdirSync(at("in", "e"));
    for (const name of ["a:", "b", "d:/x", "e/f", "z"]) writeFileSync(at("in", name), name);
    symlinkSync("b", at("in", "c"));
    linkSync(at("in", "b"), at("in", "y"));
    writeFileSync(at("in", "waits:"), "attributes are set later");
    await writeAttributes(new Map([[at("in", "waits:"), new Map([["user.a", Buffer.from("1")]])]]));
    const stored = await put();
    const { left, paths } = await refusing(FAT, () => get(stored));
    expect(paths).to.have.members(["in/a:", "in/c", "in/d:", "in/d:/x", "in/waits:"]);
    expect(left.every(({ error }) => error instanceof RefusedError)).to.equal(true);
    const why = "the file system does not take such a name or value (EINVAL)";
    expect(left.find(({ path }) => path === "in/a:")?.error).to.include({
      code: "DISK_FAILED",
      message: `${at("out", "in", "a:")} cannot be restored: ${why}`,
    });
    expect(tree(at("out", "in")), "no part and no empty file is left behind").to.deep.equal([
      "b",
      "e",
      "e/f",
      "y",
      "z",
    ]);
    for (const name of ["b", "e/f", "z"]) expect(readFileSync(at("out", "in", name), "utf8")).to.equal(name);
    expect(readFileSync(at("out", "in", "y"), "utf8")).to.equal("b");
    // Elsewhere the rest is added.
    expect((await get(stored)).left).to.deep.equal([]);
    expect(tree(at("out", "in"))).to.deep.equal(tree(at("in")));
  });

  describe("whatever it answers", () => {
    let stored: StoredInMemory;
    beforeEach(async () => {
      mkdirSync(at("in"));
      for (const name of ["a", "b", "c"]) writeFileSync(at("in", name), name);
      stored = await put();
    });

    /** Refuses to make the part of b. */
    const rule = (code: string): Record<string, Rule> => ({
      openSync: (path: unknown, flags: unknown) =>
        String(path).endsWith(partNameOf(stored.dataId, "in/b")) && Number(flags) > 0x3f ? code : undefined,
    });

    const costsEntry = ["EPERM", "EACCES", "EINVAL", "ENAMETOOLONG", "ENOTSUP", "EOPNOTSUPP", "EILSEQ", "ELOOP"];
    for (const code of [...costsEntry, "EISDIR", "ENOTDIR", "EFBIG"]) {
      it(`leaves the entry alone: ${code}`, async () => {
        const { left, paths } = await refusing(rule(code), () => get(stored));
        expect(paths).to.deep.equal(["in/b"]);
        expect(left[0]?.error.received).to.contain(`(${code})`);
        expect(tree(at("out", "in"))).to.deep.equal(["a", "c"]);
      });
    }

    for (const code of ["ENOSPC", "EDQUOT", "EIO", "EROFS"]) {
      it(`ends when it concerns them all: ${code}`, async () => {
        const error = await rejection(refusing(rule(code), () => get(stored)));
        expect(error.code).to.equal(code === "ENOSPC" || code === "EDQUOT" ? "DISK_FULL" : "DISK_FAILED");
        expect(error).to.not.be.instanceOf(RefusedError);
      });
    }

    it("leaves nothing behind where there are no links, and a rename is refused", async () => {
      const rules: Record<string, Rule> = { linkSync: () => "EPERM", renameSync: () => "EACCES" };
      expect((await refusing(rules, () => get(stored))).paths).to.deep.equal(["in/a", "in/b", "in/c"]);
      expect(tree(at("out", "in"))).to.deep.equal([]);
    });

    it("leaves what is in a folder of somebody else, and what is below it", async () => {
      mkdirSync(at("in", "d", "e"), { recursive: true });
      writeFileSync(at("in", "d", "f"), "f");
      stored = await put();
      mkdirSync(at("out", "in", "d"), { recursive: true });
      if (IS_ROOT) execFileSync("chown", ["65534", at("out"), at("out", "in")]);
      else chmodSync(at("out", "in", "d"), 0o555);
      const { paths, totals } = await asNobody(() => get(stored));
      expect(paths).to.deep.equal(["in/d/e", "in/d/f"]);
      expect(totals.entries).to.equal(5);
      expect(tree(at("out", "in"))).to.deep.equal(["a", "b", "c", "d"]);
    });

    it("goes on beside a folder, and replaces a link, where a part is put together", async () => {
      symlinkSync("nowhere", at("in", "l"));
      stored = await put();
      mkdirSync(at("out", "in"), { recursive: true });
      const partOf = (name: string) => at("out", "in", partNameOf(stored.dataId, `in/${name}`));
      writeFileSync(at("precious"), "precious");
      for (const name of ["a", "l"]) mkdirSync(partOf(name));
      symlinkSync(at("precious"), partOf("c"));
      expect((await get(stored)).paths).to.have.members(["in/a", "in/l"]);
      expect(readFileSync(at("precious"), "utf8")).to.equal("precious");
      expect(readFileSync(at("out", "in", "c"), "utf8")).to.equal("c");
      for (const name of ["a", "l"]) rmSync(partOf(name), { recursive: true });
      expect((await get(stored)).left).to.deep.equal([]);
      expect(readlinkSync(at("out", "in", "l"))).to.equal("nowhere");
    });
  });

  it("restores folders whose paths are longer than the system takes", async () => {
    const names = Array.from({ length: 20 }, (_, k) => String.fromCharCode(97 + k).repeat(200));
    // By one folder after the other: the whole path of the last is too long for some calls already.
    mkdirSync(at("in", ...names), { recursive: true });
    const leaf = at("in", ...names);
    for (const [name, content] of [
      ["a", "linked"],
      ["c", "attributes"],
    ] as const)
      writeFileSync(join(leaf, name), content);
    linkSync(join(leaf, "a"), join(leaf, "b"));
    symlinkSync("a", join(leaf, "l"));
    writeFileSync(at("in", "z"), "z");
    await writeAttributes(new Map([[join(leaf, "c"), new Map([["user.a", Buffer.from("1")]])]]));
    chmodSync(leaf, 0o711);
    const stored = await put();
    const out = at("o".repeat(200));
    for (const overwrite of [false, true]) {
      const { left, remarks, totals } = await get(stored, out, overwrite);
      expect(left).to.deep.equal([]);
      expect(remarks).to.deep.equal([]);
      expect(totals.entries).to.equal(26);
    }
    const found = execFileSync("find", [".", "-depth", "-path", "*/t*", "-printf", "%f %m %n %l\n"], {
      cwd: join(out, "in"),
      encoding: "utf8",
    });
    const mode = (statSync(join(leaf, "a")).mode & 0o777).toString(8);
    const lines = found.split("\n").map((line) => line.trim());
    expect(lines.filter((line) => line !== "").sort()).to.deep.equal(
      [`a ${mode} 2`, `b ${mode} 2`, `c ${mode} 1`, "l 777 1 a", `${"t".repeat(200)} 711 2`].sort(),
    );
    const parent = at("p");
    symlinkSync(join(out, "in", ...names.slice(0, 10)), parent);
    expect(readFileSync(join(parent, ...names.slice(10), "c"), "utf8")).to.equal("attributes");
    expect(readFileSync(join(out, "in", "z"), "utf8")).to.equal("z");
  });
});
