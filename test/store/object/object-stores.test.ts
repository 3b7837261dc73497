/** The suite for object stores, run against each of them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  objectStoreFolders,
  openObjectStore,
  parseObjectStoreConfig,
} from "../../../offchain/store/object/open-object-store.ts";
import { emptyDisk, MemoryObjectStore } from "../../helpers/memory-object-store.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import { describeObjectStore } from "./object-store-suite.ts";

describeObjectStore("files", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-objects-"));
  return {
    open: () => openObjectStore(parseObjectStoreConfig({ kind: "file", path: "store" } as { kind: string }, folder)),
    remove: async () => rmSync(folder, { recursive: true, force: true }),
  };
});

describeObjectStore("memory", async () => {
  const disk = emptyDisk();
  return { open: async () => new MemoryObjectStore(disk), remove: async () => undefined };
});

describe("configuration of an object store", () => {
  const parse = (config: object) => parseObjectStoreConfig(config as { kind: string }, "/data");

  it("makes paths absolute, below the data folder", () => {
    expect(parse({ kind: "file", path: "store" })).to.deep.equal({ kind: "file", path: "/data/store" });
    expect(parse({ kind: "file", path: "/elsewhere" })).to.deep.equal({ kind: "file", path: "/elsewhere" });
  });

  it("refuses an unknown kind and names the known ones", () => {
    for (const kind of ["tape", "", "File", "constructor", "__proto__"]) {
      const error = expectRejection(() => parse({ kind, path: "store" }), "INVALID_INPUT", /unknown kind/);
      expect(error).to.include({ check: "store.kind", expected: "file, ipfs, ipfs-embedded, s3", received: kind });
    }
  });

  it("names the folders of this machine that grow with the objects", () => {
    expect(objectStoreFolders(parse({ kind: "file", path: "store" }))).to.deep.equal(["/data/store"]);
    expect(objectStoreFolders(parse({ kind: "ipfs", rpcUrl: "http://127.0.0.1:5001" }))).to.deep.equal([]);
    const embedded = { kind: "ipfs-embedded", path: "store", listen: ["/ip4/127.0.0.1/tcp/4001"] };
    expect(objectStoreFolders(parse(embedded))).to.deep.equal(["/data/store"]);
  });

  it("refuses addresses of services with secrets in them, and anything that is no address", () => {
    for (const rpcUrl of [
      "http://user:secret@host",
      "http://host?token=1",
      "http://host/#a",
      "host:5001",
      "ftp://host",
    ]) {
      const error = expectRejection(() => parse({ kind: "ipfs", rpcUrl }), "INVALID_INPUT", /store\/rpcUrl/);
      expect(JSON.stringify(error)).not.to.contain("secret");
    }
  });

  it("refuses settings that the kind does not have, and settings that are missing", () => {
    for (const config of [{ kind: "file" }, { kind: "file", path: "" }, { kind: "file", path: "a", bucket: "b" }]) {
      expectRejection(() => parse(config), "INVALID_INPUT", /wrong at store\//);
    }
  });
});
