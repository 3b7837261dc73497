/**
 * The round trip of a tree of this system, as root, compared by rsync: bytes, modes, owners, times, links, hard links,
 * extended attributes, access control lists. The parties are stand-ins; files, formats and metadata are not.
 */
import { execFileSync } from "node:child_process";
import { chownSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { localFiles } from "../../offchain/agent/node/local-files.ts";
import type { SourceRemark } from "../../offchain/agent/platform.ts";
import { openSource } from "../../offchain/agent/put/source.ts";
import { onEvery } from "../../offchain/agent/put/store-objects.ts";
import { storeTree } from "../../offchain/agent/put/store-tree.ts";
import type { ObjectSource } from "../../offchain/agent/read/object-source.ts";
import { restore } from "../../offchain/agent/read/restore.ts";
import { openRoot, type SealedObject } from "../../offchain/core/recipe/tree.ts";
import type { EntryMetadata } from "../../offchain/core/snapshot/entry-metadata.ts";
import { MemoryOracle } from "../helpers/memory-data-plane.ts";

const TREE = process.env.TALLYSTICK_SYSTEM_TREE ?? "/usr/share";
const NOBODY = 65_534;

/** Objects as files of a folder, which a system tree fills with more than fits into memory. */
class FolderProvider implements ObjectSource {
  readonly #folder: string;

  constructor(folder: string) {
    mkdirSync(folder);
    this.#folder = folder;
  }

  async store(objects: readonly SealedObject[]) {
    for (const { id, sealed } of objects) writeFileSync(join(this.#folder, id), sealed);
    return { uploaded: new Set(objects.map(({ id }) => id)) };
  }

  async fetch(id: string): Promise<Uint8Array> {
    return new Uint8Array(readFileSync(join(this.#folder, id)));
  }
}

/** What a system tree may lack. */
function makeExtras(folder: string): void {
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: folder });
  mkdirSync(join(folder, "sub"), { recursive: true });
  for (const name of ["owned", "set-id", "attributes", "acl", "capable", "sub/first"])
    writeFileSync(join(folder, name), name);
  chownSync(join(folder, "owned"), NOBODY, NOBODY);
  chownSync(join(folder, "set-id"), NOBODY, 1);
  run("chmod", "6755", "set-id");
  linkSync(join(folder, "sub", "first"), join(folder, "again"));
  run("setfattr", "-n", "user.comment", "-v", "a value", "attributes");
  run("setfattr", "-n", "trusted.secret", "-v", "0x00ff0a", "sub");
  run("setfacl", "-m", "u:nobody:r--,g:1:rwx", "acl");
  run("setfacl", "-m", "d:u:nobody:rwx", "sub");
  // CAP_NET_RAW, effective and permitted, as `setcap` writes it.
  run("setfattr", "-n", "security.capability", "-v", "0x0100000200200000000000000000000000000000", "capable");
  run("truncate", "-s", "300M", "holes");
  run("dd", "if=/dev/urandom", "of=holes", "bs=4096", "count=1", "seek=10001", "conv=notrunc", "status=none");
  run("touch", "-h", "-d", "2001-02-03 04:05:06", "owned");
  run("ln", "-s", "../nowhere", "link");
  run("touch", "-h", "-d", "1999-01-01 00:00:00", "link");
  run("chown", "-h", "nobody", "link");
  run("chmod", "0511", "sub");
}

describe(`the round trip of ${TREE}`, () => {
  let dir: string;

  before(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-system-"));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  it("changes nothing that rsync can see", async () => {
    expect(process.getuid?.(), "only root can give files to others").to.equal(0);
    makeExtras(join(dir, "extras"));
    const provider = new FolderProvider(join(dir, "objects"));
    const oracle = new MemoryOracle();
    const metadata: EntryMetadata[] = [];
    const remarks: SourceRemark[] = [];
    const { dataId, fileKey } = await storeTree(openSource([TREE, join(dir, "extras")], localFiles), {
      oracle,
      place: onEvery([{ provider }]),
      domain: "public",
      counter: { readBytes: 0, readEntries: 0 },
      totals: { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 },
      remark: (each) => remarks.push(each),
      onChange: () => undefined,
      onEntry: async (each) => {
        metadata.push(each);
      },
    });
    expect(remarks).to.deep.equal([]);
    const target = await localFiles.openTarget(join(dir, "out"), { dataId, overwrite: false });
    async function* stored() {
      yield* metadata;
    }
    await restore(
      openRoot(fileKey, dataId, await provider.fetch(dataId)),
      provider,
      target,
      { entries: 0, bytes: 0, downloadedBytes: 0 },
      { metadata: stored(), onStep: () => undefined },
    );
    for (const [from, name] of [
      [TREE, TREE.slice(TREE.lastIndexOf("/") + 1)],
      [join(dir, "extras"), "extras"],
    ] as const) {
      const options = ["-nacAXHi", "--delete", "--numeric-ids"];
      const differences = execFileSync("rsync", [...options, `${from}/`, `${join(dir, "out", name)}/`]).toString();
      expect(differences).to.equal("");
    }
    expect(statSync(join(dir, "out", "extras", "holes")).blocks).to.be.lessThan(32);
    expect(metadata.length).to.be.greaterThan(10);
  });
});
