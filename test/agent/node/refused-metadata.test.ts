/** Metadata that cannot be set here costs itself alone; and what existed keeps no rights that are not stored. */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { readAttributes, writeAttributes } from "../../../offchain/agent/node/extended-attributes.ts";
import { localFiles } from "../../../offchain/agent/node/local-files.ts";
import type { TargetRemark } from "../../../offchain/agent/platform.ts";
import { LeftError } from "../../../offchain/agent/read/obstacles.ts";
import type { EntryMetadata } from "../../../offchain/core/snapshot/entry-metadata.ts";
import { file, fill, folder, link, PIECE_BYTES, plain, type Wanted } from "../../helpers/filled-target.ts";
import { asNobody, IS_ROOT, NOBODY } from "../../helpers/nobody.ts";
import { type Rule, refusing } from "../../helpers/refusing-disk.ts";
import { rejection } from "../../helpers/rejection.ts";

const REFUSED = "the file system or the owner of what is there does not permit it (EPERM)";

describe("metadata of what is restored", () => {
  let dir: string;
  const at = (...names: string[]) => join(dir, ...names);
  const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);
  let remarks: TargetRemark[];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-metadata-"));
    chmodSync(dir, 0o755);
    remarks = [];
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  async function restore(wanted: readonly Wanted[], overwrite = false, interfere?: (path: string) => void) {
    const remark = (each: TargetRemark) => remarks.push(each);
    const target = await localFiles.openTarget(at("out"), { dataId: "data", overwrite, remark });
    return await fill(target, wanted, interfere);
  }
  const attributed: EntryMetadata = { ...plain, xattrs: new Map([["user.tag", Buffer.from("x")]]) };

  describe("that may not be set", () => {
    const chmods = ["chmodSync", "fchmodSync"];
    const times = ["utimesSync", "futimesSync", "lutimesSync"];
    const rules = (names: readonly string[], code: string) =>
      Object.fromEntries(names.map((name): [string, Rule] => [name, () => code]));

    it("is remarked for each entry, and everything is restored; modes are not widened", async () => {
      const wanted = [folder("d", 0o777), file("d/a", "a", { ...plain, mode: 0o6777 }), link("d/l", "a")];
      await refusing(rules([...chmods, ...times], "EPERM"), () => restore(wanted));
      const its = (kind: "mode" | "time", ...names: string[]) => ({
        kind,
        path: at("out", ...names),
        reason: `its ${kind} cannot be set: ${REFUSED}`,
      });
      expect(remarks).to.deep.equal([
        its("mode", "d", "a"),
        its("time", "d", "a"),
        its("time", "d", "l"),
        its("mode", "d"),
        its("time", "d"),
      ]);
      expect(readFileSync(at("out", "d", "a"), "utf8")).to.equal("a");
      expect([modeOf(at("out", "d")), modeOf(at("out", "d", "a"))]).to.deep.equal(["1700", "600"]);
    });

    it("is not asked for where it is right already", async () => {
      await refusing(rules(chmods, "EPERM"), () => restore([file("a", "a", { ...plain, mode: 0o600 })]));
      await refusing(rules(times, "EPERM"), () => restore([file("a", "a", { ...plain, mode: 0o600 })], true));
      expect(remarks).to.deep.equal([]);
    });

    it("ends the restore when the disk fails", async () => {
      for (const call of ["fchmodSync", "futimesSync"]) {
        const error = await rejection(refusing(rules([call], "EIO"), () => restore([file(call, "a")])));
        expect(error.code).to.equal("DISK_FAILED");
      }
    });

    it("is remarked for a file of somebody else that has the content, and the file stays as it is", async () => {
      // Root makes what the other user finds.
      if (!IS_ROOT) return;
      mkdirSync(at("out"));
      chmodSync(at("out"), 0o777);
      for (const [name, content] of [
        ["a", "a"],
        ["right", "right"],
      ] as const)
        writeFileSync(at("out", name), content);
      await restore([file("right", "right")], true);
      chmodSync(at("out", "a"), 0o666);
      const mine = { ...plain, uid: 0, gid: 0 };
      await asNobody(() => restore([file("a", "a", { ...plain, mode: 0o4644 }), file("right", "right", mine)], true));
      expect(remarks.map(({ kind, path }) => [kind, path])).to.deep.equal([
        ["mode", at("out", "a")],
        ["time", at("out", "a")],
      ]);
      expect(modeOf(at("out", "a"))).to.equal("666");
      expect(statSync(at("out", "a")).uid).to.equal(0);
    });
  });

  it("of a folder of somebody else need not be changed to work in it by the rights of a group", async () => {
    if (!IS_ROOT) return;
    mkdirSync(at("out", "d"), { recursive: true });
    chownSync(at("out", "d"), 0, NOBODY);
    chmodSync(at("out", "d"), 0o070);
    await asNobody(() => restore([folder("d", 0o070), file("d/a", "a")], true));
    expect(readFileSync(at("out", "d", "a"), "utf8")).to.equal("a");
    expect(remarks.map(({ kind, path }) => [kind, path])).to.deep.equal([["time", at("out", "d")]]);
  });

  it("leaves no file open behind a failure, whatever waits for its attributes", async () => {
    const openFiles = () => readdirSync("/proc/self/fd").length;
    const wanted = (prefix: string) => ["a", "b", "c", "d"].map((name) => file(`${prefix}${name}`, "x", attributed));
    await restore(wanted("first-"));
    const before = openFiles();
    // The name of the first is taken while all of them wait.
    const appear = (path: string) => {
      if (path === "d") writeFileSync(at("out", "a"), "precious");
    };
    expect((await rejection(restore(wanted(""), false, appear))).code).to.equal("CONFLICT");
    expect(openFiles()).to.equal(before);
    // The mode of the first cannot be set: those behind it are given up.
    await rejection(refusing({ fchmodSync: () => "EIO" }, () => restore(wanted("third-"))));
    expect(openFiles()).to.equal(before);
  });

  it("ends the restore when an entry that waited is refused and nobody is told, and blames no other", async () => {
    const link: Record<string, Rule> = { linkSync: () => "EINVAL" };
    const error = await rejection(
      refusing(link, () => restore([file("a", "x", attributed), file("b", "x", attributed)])),
    );
    expect(error.code).to.equal("DISK_FAILED");
    expect(error).to.not.be.instanceOf(LeftError);
  });

  it("does not take a file for restored that was cut while its first part was compared", async () => {
    mkdirSync(at("out"));
    const content = Buffer.alloc(2 * PIECE_BYTES, 7);
    const wanted = file("a", content);
    writeFileSync(at("out", "a"), Buffer.concat([content.subarray(0, PIECE_BYTES), Buffer.alloc(PIECE_BYTES, 8)]));
    const target = await localFiles.openTarget(at("out"), { dataId: "data", overwrite: true });
    const sink = await target.openFile(wanted.entry as never);
    await target.before(wanted.entry);
    await sink.write(content.subarray(0, PIECE_BYTES), false);
    writeFileSync(at("out", "a"), "short");
    expect((await rejection(sink.write(content.subarray(PIECE_BYTES), true))).code).to.equal("CONFLICT");
    await sink.close();
    await target.close();
    expect(readFileSync(at("out", "a"), "utf8")).to.equal("short");
  });

  describe("of what existed", () => {
    /** An access control list: version 2, then entries of tag, permissions and id. Gives a user all rights. */
    const acl = (() => {
      const entries = [
        [0x01, 7, 0xffff_ffff],
        [0x02, 7, NOBODY],
        [0x04, 0, 0xffff_ffff],
        [0x10, 7, 0xffff_ffff],
        [0x20, 0, 0xffff_ffff],
      ] as const;
      const bytes = Buffer.alloc(4 + 8 * entries.length);
      bytes.writeUInt32LE(2, 0);
      for (const [k, [tag, permissions, id]] of entries.entries()) {
        bytes.writeUInt16LE(tag, 4 + 8 * k);
        bytes.writeUInt16LE(permissions, 6 + 8 * k);
        bytes.writeUInt32LE(id, 8 + 8 * k);
      }
      return new Uint8Array(bytes);
    })();
    /** Version 2, all sets empty but CAP_CHOWN permitted. */
    const capability = new Uint8Array(Buffer.from("0100000201000000000000000000000000000000", "hex"));
    const own: EntryMetadata = { ...plain, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const names = async (...path: string[]) => [
      ...((await readAttributes([at("out", ...path)])).get(at("out", ...path)) ?? new Map()).keys(),
    ];

    beforeEach(async () => {
      mkdirSync(at("out", "d"), { recursive: true });
      for (const name of ["same", "other", "stored"]) writeFileSync(at("out", "d", name), name);
      const list: [string, Uint8Array][] = [
        ["system.posix_acl_access", acl],
        ["user.mine", Buffer.from("1")],
      ];
      const granted = IS_ROOT ? [...list, ["security.capability", capability] as const] : list;
      const said = await writeAttributes(
        new Map([
          ...["same", "other", "stored"].map((name) => [at("out", "d", name), new Map(granted)] as const),
          [at("out", "d"), new Map([...list, ["system.posix_acl_default", acl]])],
        ]),
      );
      expect(said).to.deep.equal([]);
    });

    const wanted: readonly Wanted[] = [
      { ...folder("d"), entry: { ...folder("d").entry, metadata: { ...own, mode: 0o755 } } },
      file("d/other", "another", own),
      file("d/same", "same", own),
      file("d/stored", "stored", { ...own, xattrs: new Map([["system.posix_acl_access", acl]]) }),
    ];

    it("keeps no lists and capabilities that are not stored, where it may be overwritten", async () => {
      await restore(wanted, true);
      expect(remarks).to.deep.equal([]);
      expect(await names("d")).to.deep.equal(["user.mine"]);
      expect(await names("d", "same")).to.deep.equal(["user.mine"]);
      expect(await names("d", "other")).to.deep.equal([]);
      expect(await names("d", "stored")).to.deep.equal(["system.posix_acl_access", "user.mine"]);
      expect(modeOf(at("out", "d", "same"))).to.equal("644");
    });

    it("keeps all where it may not", async () => {
      await restore(wanted.filter(({ entry }) => entry.path !== "d/other"));
      expect(await names("d")).to.include.members(["system.posix_acl_access", "system.posix_acl_default"]);
      expect(await names("d", "same")).to.include("system.posix_acl_access");
    });
  });
});
