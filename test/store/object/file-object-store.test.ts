import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import * as nodeFileSystem from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { TallystickError } from "../../../offchain/core/errors.ts";
import {
  FileObjectStore,
  type FileStoreOptions,
  type FileSystem,
} from "../../../offchain/store/object/file-object-store.ts";
import { UnreadableObjectError } from "../../../offchain/store/object/object-store.ts";
import { packFiles } from "../../helpers/pack-files.ts";
import { failure } from "../../helpers/promises.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { runOnSmallDisk } from "../../helpers/small-disk.ts";
import { idsOf } from "./object-store-suite.ts";

const STORE_URL = new URL("../../../offchain/store/object/file-object-store.ts", import.meta.url).href;
const A = Uint8Array.of(1, 2, 3, 4, 5);
const B = Uint8Array.of(9, 9);

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code, errno: -1, syscall: "injected" });
}

/** Calls on files that the file system under test records or fails. */
type Step = "create" | "open" | "writev" | "datasync" | "sync" | "truncate" | "read" | "unlink";
const HOOKED = ["writev", "datasync", "sync", "truncate", "read"] as const;
const isHooked = (name: PropertyKey): name is (typeof HOOKED)[number] => HOOKED.some((hooked) => hooked === name);

/** The real file system, with a hook before each step. */
function hooked(before: (step: Step, path: string) => void | Promise<void>): FileSystem {
  const wrapHandle = (handle: FileHandle, path: string): FileHandle =>
    new Proxy(handle, {
      get(target, property) {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== "function") return value;
        return async (...parameters: unknown[]) => {
          if (isHooked(property)) await before(property, path);
          return Reflect.apply(value, target, parameters);
        };
      },
    });
  return {
    ...nodeFileSystem,
    open: async (path, flags, mode) => {
      await before(flags === "wx" ? "create" : "open", String(path));
      return wrapHandle(await nodeFileSystem.open(path, flags, mode), String(path));
    },
    unlink: async (path) => {
      await before("unlink", String(path));
      await nodeFileSystem.unlink(path);
    },
  };
}

describe("file object store", () => {
  let root: string;
  let stores: FileObjectStore[];
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "tallystick-objects-"));
    stores = [];
  });
  afterEach(async () => {
    for (const store of stores) await store.close();
    rmSync(root, { recursive: true, force: true });
  });

  /** A store that is closed after the test. */
  async function open(options: FileStoreOptions = {}, folder = root): Promise<FileObjectStore> {
    const store = await FileObjectStore.open(folder, options);
    stores.push(store);
    return store;
  }
  async function close(): Promise<void> {
    for (const store of stores.splice(0)) await store.close();
  }

  it("keeps objects in a few files, readable by nobody else", async () => {
    const store = await open({ packBytes: 4096 });
    for (let index = 0; index < 64; index++) await store.put(`object-${index}`, pseudoRandomBytes(`o${index}`, 300));
    const files = packFiles(root);
    expect(files.length).to.be.within(4, 8);
    for (const file of [...files, join(root, "index.db")]) expect(statSync(file).mode & 0o777).to.equal(0o600);
  });

  it("acknowledges only after the record is written and synced, and a new pack's name too", async () => {
    const steps: string[] = [];
    const files = hooked((step, path) => {
      steps.push(`${step} ${path.endsWith(".pack") ? "pack" : "folder"}`);
    });
    const store = await open({ files });
    steps.length = 0;
    await store.put("a", A);
    expect(steps).to.deep.equal([
      "create pack",
      "writev pack",
      "sync pack",
      "open folder",
      "sync folder",
      "writev pack",
      "datasync pack",
    ]);
    steps.length = 0;
    await store.put("a", B);
    await store.delete("a");
    expect(steps).to.deep.equal(["writev pack", "datasync pack", "writev pack", "datasync pack"]);
  });

  it("shares one sync among concurrent puts, but never one that began before their write", async () => {
    const events: string[] = [];
    const files = hooked(async (step) => {
      if (step !== "writev" && step !== "datasync") return;
      events.push(step);
      if (step === "datasync") await new Promise((resolve) => setTimeout(resolve, 10));
    });
    const store = await open({ files });
    await store.put("first", A);
    events.length = 0;
    const first = store.put("a", A);
    while (!events.includes("datasync")) await new Promise((resolve) => setTimeout(resolve, 1));
    // The sync under way cannot cover these; all of them share the next one.
    const later = Promise.all(Array.from({ length: 50 }, (_, k) => store.put(`b${k}`, B)));
    await first;
    expect(await store.has("b0")).to.equal(false);
    await later;
    expect(events).to.deep.equal(["writev", "datasync", "writev", "datasync"]);
    expect((await idsOf(store)).length).to.equal(52);
  });

  it("shows an object to readers only when it is durable", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let holding = false;
    const files = hooked(async (step) => {
      if (holding && step === "datasync") await held;
    });
    const store = await open({ files });
    await store.put("a", A);
    holding = true;
    const work = [store.put("a", B), store.put("b", B)];
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await store.get("a")).to.deep.equal(A);
    expect(await store.get("b")).to.equal(undefined);
    release();
    await Promise.all(work);
    expect(await store.get("a")).to.deep.equal(B);
  });

  for (const [code, expected] of [
    ["ENOSPC", "DISK_FULL"],
    ["EDQUOT", "DISK_FULL"],
    ["EFBIG", "DISK_FULL"],
    ["EIO", "DISK_FAILED"],
    ["EROFS", "DISK_FAILED"],
  ] as const) {
    for (const step of ["create", "writev", "datasync"] as const) {
      for (const cutFails of [false, true]) {
        const title = `reports ${code} at ${step} as ${expected}, keeps the old object, and goes on afterwards`;
        it(`${title}${cutFails ? ", also when the file cannot be cut" : ""}`, async () => {
          let failing = false;
          const files = hooked((at, path) => {
            if (!path.endsWith(".pack") || !failing) return;
            if (at === step || (cutFails && at === "truncate")) throw systemError(code);
          });
          const store = await open({ files, packBytes: step === "create" ? 1 : 1_000_000 });
          await store.put("a", A);
          failing = true;
          for (const id of ["a", "b"]) {
            const error = await failure(store.put(id, B));
            expect(error).to.be.instanceOf(TallystickError).with.include({ code: expected, party: "this machine" });
            expect(error).to.have.property("message").that.contains(`writing object ${id}`);
          }
          const together = await failure(
            store.putMany([
              { id: "c", bytes: A },
              { id: "d", bytes: A },
            ]),
          );
          expect(together).to.have.property("message").that.contains("object c and 1 others");
          expect(await store.get("a")).to.deep.equal(A);
          expect(await idsOf(store)).to.deep.equal(["a"]);
          failing = false;
          await store.put("b", B);
          await close();
          const again = await open();
          expect(await again.get("a")).to.deep.equal(A);
          expect(await again.get("b")).to.deep.equal(B);
          expect(await idsOf(again)).to.deep.equal(["a", "b"]);
        });
      }
    }
  }

  it("stores what fits of concurrent puts when one of them is too large for the disk", async () => {
    const files = hooked(() => undefined);
    const openFile = files.open;
    files.open = async (...parameters: Parameters<typeof nodeFileSystem.open>) => {
      const handle = await openFile(...parameters);
      return new Proxy(handle, {
        get(target, property) {
          const value: unknown = Reflect.get(target, property, target);
          if (property !== "writev") return typeof value === "function" ? value.bind(target) : value;
          return (pieces: Uint8Array[], position: number) => {
            if (pieces.some(({ length }) => length > 100_000)) throw systemError("ENOSPC");
            return target.writev(pieces, position);
          };
        },
      });
    };
    const store = await open({ files });
    const results = await Promise.allSettled([
      store.put("a", A),
      store.put("large", new Uint8Array(200_000)),
      store.put("b", B),
    ]);
    expect(results.map(({ status }) => status)).to.deep.equal(["fulfilled", "rejected", "fulfilled"]);
    expect(await idsOf(store)).to.deep.equal(["a", "b"]);
  });

  it("writes all of an object through a file system that takes a few bytes at a time", async () => {
    const files: FileSystem = {
      ...nodeFileSystem,
      open: async (path, flags, mode) => {
        const handle = await nodeFileSystem.open(path, flags, mode);
        return new Proxy(handle, {
          get(target, property) {
            const value: unknown = Reflect.get(target, property, target);
            if (property !== "writev") return typeof value === "function" ? value.bind(target) : value;
            return ([piece = A]: Uint8Array[], position: number) => target.writev([piece.subarray(0, 7)], position);
          },
        });
      },
    };
    const store = await open({ files });
    const bytes = pseudoRandomBytes("short writes", 1000);
    await store.putMany([
      { id: "a", bytes },
      { id: "b", bytes: new Uint8Array(0) },
      { id: "c", bytes: A },
    ]);
    expect(await store.get("a")).to.deep.equal(bytes);
    expect(await store.get("c")).to.deep.equal(A);
    expect(await store.size("b")).to.equal(0);
  });

  it("tells bytes that the medium does not give back from other failures of a read", async () => {
    let code = "";
    const files = hooked((step) => {
      if (step === "read" && code !== "") throw systemError(code);
    });
    const store = await open({ files });
    await store.put("a", A);
    code = "EIO";
    expect(await failure(store.get("a"))).to.be.instanceOf(UnreadableObjectError);
    code = "ENOMEM";
    expect(await failure(store.get("a"))).to.have.property("code", "DISK_FAILED");
    expect(await failure(store.get("a"))).to.be.not.instanceOf(UnreadableObjectError);
    code = "";
    expect(await store.get("a")).to.deep.equal(A);
    for (const file of packFiles(root)) writeFileSync(file, readFileSync(file).subarray(0, -2));
    expect(await failure(store.getRange("a", 4, 1))).to.be.instanceOf(UnreadableObjectError);
    expect(await store.getRange("a", 0, 2)).to.deep.equal(A.subarray(0, 2));
  });

  it("keeps every acknowledged object on a really full disk, and goes on when there is room", () => {
    const { printed } = runOnSmallDisk(
      `
      import { join } from "node:path";
      import { FileObjectStore } from ${JSON.stringify(STORE_URL)};
      const root = join(process.argv[1], "store");
      const store = await FileObjectStore.open(root);
      const bytesOf = (n, size) => new Uint8Array(size).fill(n % 251);
      const acknowledged = [];
      let code;
      // Growing objects meet a limit on file sizes as well as a full file system.
      for (let n = 0; code === undefined && n < 2000; n++) {
        const size = 10_000 * (n + 1);
        try {
          await store.put("o" + n, bytesOf(n, size));
          acknowledged.push([n, size]);
        } catch (error) { code = error.code; }
      }
      await store.close();
      const again = await FileObjectStore.open(root);
      let intact = 0;
      for (const [n, size] of acknowledged) {
        const found = await again.get("o" + n);
        if (found?.length === size && found.every((byte) => byte === n % 251)) intact++;
      }
      const listed = [];
      for await (const id of again.list()) listed.push(id);
      for (const [n] of acknowledged) await again.delete("o" + n);
      const gained = await again.compact();
      await again.put("after", bytesOf(7, 1_500_000));
      const after = (await again.get("after")).length;
      const told = { code, acknowledged: acknowledged.length, intact, listed: listed.length, gained, after };
      console.log(JSON.stringify(told));
    `,
      3_000_000,
    );
    const told = printed as Record<"acknowledged" | "intact" | "listed" | "gained" | "after", number> & {
      code: string;
    };
    expect(told.code).to.equal("DISK_FULL");
    expect(told.acknowledged).to.be.greaterThan(5);
    expect(told.intact).to.equal(told.acknowledged);
    expect(told.listed).to.equal(told.acknowledged);
    expect(told.gained).to.be.greaterThan(1_000_000);
    expect(told.after).to.equal(1_500_000);
  });

  it("keeps every acknowledged object, and no part of another, when the process is killed at any moment", async () => {
    const script = `
      import { writeSync } from "node:fs";
      import { FileObjectStore } from ${JSON.stringify(STORE_URL)};
      const store = await FileObjectStore.open(process.argv[1], { packBytes: 1_000_000 });
      setTimeout(() => process.kill(process.pid, "SIGKILL"), Number(process.argv[2]));
      const worker = async (w) => {
        for (let n = 0; ; n++) {
          const id = "o" + w + "-" + n;
          await store.put(id, new Uint8Array(50_000).fill(n % 251));
          writeSync(1, id + "\\n");
          if (n > 20 && w === 0) {
            await store.delete("o0-" + (n - 20));
            writeSync(1, "-o0-" + (n - 20) + "\\n");
            if (n % 10 === 0) await store.compact();
          }
        }
      };
      await Promise.all([0, 1, 2, 3].map(worker));
    `;
    let total = 0;
    for (const delayMillis of [60, 300]) {
      const folder = join(root, String(delayMillis));
      mkdirSync(folder);
      const node = ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", script, folder];
      const child = spawnSync(process.execPath, [...node, String(delayMillis)], { encoding: "utf8" });
      expect(child.signal, child.stderr).to.equal("SIGKILL");
      const lines = child.stdout.split("\n").slice(0, -1);
      const removed = new Set(lines.filter((line) => line.startsWith("-")).map((line) => line.slice(1)));
      // Both with the index that was there and with one that the packs rebuild.
      for (const rebuilt of [false, true]) {
        if (rebuilt)
          for (const suffix of ["", "-wal", "-shm"]) rmSync(join(folder, `index.db${suffix}`), { force: true });
        const store = await open({}, folder);
        const found = new Set(await idsOf(store));
        for (const id of found) {
          const bytes = (await store.get(id)) ?? A;
          const n = Number(id.split("-")[1]);
          expect(bytes.length, id).to.equal(50_000);
          expect(
            bytes.every((byte) => byte === n % 251),
            id,
          ).to.equal(true);
        }
        for (const id of lines) {
          if (id.startsWith("-")) expect(found.has(id.slice(1)), id).to.equal(false);
          // The removal under way when the process was killed may have happened.
          else if (!removed.has(id) && !id.startsWith("o0")) expect(found.has(id), id).to.equal(true);
        }
        await close();
      }
      total += lines.length;
    }
    expect(total).to.be.greaterThan(0);
  });

  it("is open once at a time, and again after it was closed", async () => {
    const first = await FileObjectStore.open(root);
    expect(await failure(FileObjectStore.open(root)))
      .to.be.instanceOf(TallystickError)
      .with.property("message")
      .that.contains("another process uses it");
    await first.close();
    await (await FileObjectStore.open(root)).close();
  });

  it("finishes what was handed in before it closes", async () => {
    const store = await FileObjectStore.open(root);
    const work = Promise.all([store.put("a", A), store.put("b", B)]);
    await store.close();
    await work;
    const again = await FileObjectStore.open(root);
    expect(await idsOf(again)).to.deep.equal(["a", "b"]);
    await again.close();
  });

  it("says that a folder cannot be used", async () => {
    const file = join(root, "file");
    writeFileSync(file, "");
    expect(await failure(FileObjectStore.open(file)))
      .to.be.instanceOf(TallystickError)
      .with.property("code", "DISK_FAILED");
  });

  it("does not write into a pack twice as much as a pack takes", async () => {
    const store = await open({ packBytes: 100_000 });
    for (let k = 0; k < 20; k++) await store.put(`o${k}`, pseudoRandomBytes(`p${k}`, 30_000));
    for (const file of packFiles(root)) expect(statSync(file).size).to.be.below(140_000);
    expect(readdirSync(join(root, "packs")).length).to.equal(5);
  });
});
