import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import * as nodeFileSystem from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect } from "chai";
import { sha256 } from "#primitives";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { FileObjectStore, type FileSystem } from "../../../offchain/store/object/file-object-store.ts";
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

/** Calls on files, in order, that the file system under test records or fails. */
type Step = "open" | "write" | "sync" | "close" | "rename" | "unlink";

/** The real file system, with a hook before each step of a put. */
function hooked(before: (step: Step, path: string) => void | Promise<void>): FileSystem {
  const wrapHandle = (handle: FileHandle, path: string): FileHandle =>
    new Proxy(handle, {
      get(target, property) {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== "function") return value;
        return async (...parameters: unknown[]) => {
          if (property === "write" || property === "sync") await before(property, path);
          const result: unknown = await Reflect.apply(value, target, parameters);
          if (property === "close") await before("close", path);
          return result;
        };
      },
    });
  return {
    ...nodeFileSystem,
    open: async (path, flags, mode) => {
      await before("open", String(path));
      return wrapHandle(await nodeFileSystem.open(path, flags, mode), String(path));
    },
    rename: async (from, to) => {
      await before("rename", String(to));
      await nodeFileSystem.rename(from, to);
    },
    unlink: async (path) => {
      await before("unlink", String(path));
      await nodeFileSystem.unlink(path);
    },
  };
}

describe("file object store", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "tallystick-objects-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const incoming = () => readdirSync(join(root, "incoming"));

  it("keeps files readable by nobody else, spread over folders", async () => {
    const store = await FileObjectStore.open(root);
    for (let index = 0; index < 64; index++) await store.put(`object-${index}`, A);
    const folders = readdirSync(join(root, "objects"));
    expect(folders.length).to.be.greaterThan(40);
    for (const folder of folders) {
      expect(statSync(join(root, "objects", folder)).mode & 0o777).to.equal(0o700);
      for (const name of readdirSync(join(root, "objects", folder))) {
        expect(statSync(join(root, "objects", folder, name)).mode & 0o777).to.equal(0o600);
      }
    }
  });

  it("removes at open what a crash left half written, and keeps every complete object", async () => {
    const first = await FileObjectStore.open(root);
    await first.put("a", A);
    writeFileSync(join(root, "incoming", "0123456789abcdef"), B);
    await first.close();
    const second = await FileObjectStore.open(root);
    expect(incoming()).to.deep.equal([]);
    expect(await idsOf(second)).to.deep.equal(["a"]);
    expect(await second.get("a")).to.deep.equal(A);
  });

  it("acknowledges only after file and folder are synced, in an order that no crash can break", async () => {
    const steps: string[] = [];
    let recording = false;
    const store = await FileObjectStore.open(
      root,
      hooked((step, path) => {
        if (recording)
          steps.push(`${step} ${path.includes("incoming") ? "file" : path.endsWith("/a") ? "object" : "folder"}`);
      }),
    );
    await store.put("a", A); // Makes the folder, durably.
    recording = true;
    await store.put("a", B);
    expect(steps).to.deep.equal([
      "open file",
      "write file",
      "sync file",
      "close file",
      "rename object",
      "open folder",
      "sync folder",
      "close folder",
    ]);
    steps.length = 0;
    await store.delete("a");
    expect(steps).to.deep.equal(["unlink object", "open folder", "sync folder", "close folder"]);
  });

  it("lets concurrent puts share folder syncs, but never one that began before the rename", async () => {
    const events: string[] = [];
    const slow = hooked(async (step, path) => {
      if (path.includes("incoming") || (step !== "sync" && step !== "close")) return;
      events.push(step === "sync" ? "sync starts" : "sync ended");
      if (step === "sync") await new Promise((resolve) => setTimeout(resolve, 10));
    });
    const rename: FileSystem["rename"] = async (from, to) => {
      await nodeFileSystem.rename(from, to);
      events.push(`renamed ${basename(String(to))}`);
    };
    const store = await FileObjectStore.open(root, { ...slow, rename });
    const folderOf = (id: string) => sha256(new TextEncoder().encode(id))[0];
    const ids = Array.from({ length: 5000 }, (_, index) => `o${index}`).filter((id) => folderOf(id) === 0);
    expect(ids.length).to.be.greaterThan(8);
    events.length = 0;
    await Promise.all(
      ids.map(async (id) => {
        await store.put(id, A);
        const own = events.slice(events.indexOf(`renamed ${id}`) + 1);
        const start = own.indexOf("sync starts");
        expect(start, id).to.be.greaterThan(-1);
        expect(own.indexOf("sync ended", start), id).to.be.greaterThan(start);
      }),
    );
    expect(events.filter((event) => event === "sync starts").length).to.be.below(ids.length);
  });

  for (const [code, expected] of [
    ["ENOSPC", "DISK_FULL"],
    ["EDQUOT", "DISK_FULL"],
    ["EFBIG", "DISK_FULL"],
    ["EIO", "DISK_FAILED"],
    ["EACCES", "DISK_FAILED"],
    ["EROFS", "DISK_FAILED"],
  ] as const) {
    for (const step of ["open", "write", "sync", "rename"] as const) {
      it(`reports ${code} at ${step} as ${expected}, keeps the old object and leaves nothing behind`, async () => {
        let failing = false;
        const store = await FileObjectStore.open(
          root,
          hooked((at, path) => {
            if (failing && at === step && (path.includes("incoming") || at === "rename")) throw systemError(code);
          }),
        );
        await store.put("a", A);
        failing = true;
        for (const id of ["a", "b"]) {
          const error = await failure(store.put(id, B));
          expect(error).to.be.instanceOf(TallystickError).with.include({ code: expected, party: "this machine" });
          expect(error).to.have.property("message").that.contains(`writing object ${id}`);
        }
        expect(await store.get("a")).to.deep.equal(A);
        expect(await idsOf(store)).to.deep.equal(["a"]);
        expect(incoming()).to.deep.equal([]);
        failing = false;
        await store.put("b", B);
        expect(await store.get("b")).to.deep.equal(B);
      });
    }
  }

  it("does not acknowledge when the folder cannot be synced", async () => {
    let failing = false;
    const store = await FileObjectStore.open(
      root,
      hooked((step, path) => {
        if (failing && step === "sync" && !path.includes("incoming")) throw systemError("EIO");
      }),
    );
    failing = true;
    const results = await Promise.allSettled([store.put("a", A), store.put("a", A), store.put("a", B)]);
    for (const result of results) expect(result.status).to.equal("rejected");
    failing = false;
    await store.put("a", B);
    expect(await store.get("a")).to.deep.equal(B);
  });

  it("reports the first failure if the half-written file cannot be removed, which the next open does", async () => {
    let failing = true;
    const files = hooked((step, path) => {
      if (failing && path.includes("incoming") && step === "sync") throw systemError("ENOSPC");
      if (failing && step === "unlink") throw systemError("EIO");
    });
    const store = await FileObjectStore.open(root, files);
    expect(await failure(store.put("a", A))).to.have.property("code", "DISK_FULL");
    expect(incoming().length).to.equal(1);
    failing = false;
    await store.close();
    await FileObjectStore.open(root);
    expect(incoming()).to.deep.equal([]);
  });

  it("writes all of an object through a file system that takes a few bytes at a time", async () => {
    const files: FileSystem = {
      ...nodeFileSystem,
      open: async (path, flags, mode) => {
        const handle = await nodeFileSystem.open(path, flags, mode);
        return new Proxy(handle, {
          get(target, property) {
            if (property !== "write") {
              const value: unknown = Reflect.get(target, property, target);
              return typeof value === "function" ? value.bind(target) : value;
            }
            return (bytes: Uint8Array, offset: number, length: number, position: number) =>
              target.write(bytes, offset, Math.min(length, 7), position);
          },
        });
      },
    };
    const store = await FileObjectStore.open(root, files);
    const bytes = pseudoRandomBytes("short writes", 1000);
    await store.put("a", bytes);
    expect(await store.get("a")).to.deep.equal(bytes);
  });

  it("meets the kernel's own refusal to write with a typed error", async () => {
    // /dev/full is a device whose every write fails with ENOSPC.
    let redirect = false;
    const files: FileSystem = {
      ...nodeFileSystem,
      open: (path, flags, mode) =>
        redirect && String(path).includes("incoming")
          ? nodeFileSystem.open("/dev/full", "w")
          : nodeFileSystem.open(path, flags, mode),
    };
    const store = await FileObjectStore.open(root, files);
    redirect = true;
    expect(await failure(store.put("a", A))).to.have.property("code", "DISK_FULL");
    expect(await store.has("a")).to.equal(false);
  });

  it("keeps every acknowledged object on a really full disk, and goes on when there is room", () => {
    const { printed } = runOnSmallDisk(
      `
      import { basename, join } from "node:path";
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
      await again.delete("o" + acknowledged.at(-1)[0]);
      await again.put("after", bytesOf(7, 5000));
      const after = (await again.get("after")).length;
      console.log(JSON.stringify({ code, acknowledged: acknowledged.length, intact, listed: listed.length, after }));
    `,
      3_000_000,
    );
    const told = printed as { code: string; acknowledged: number; intact: number; listed: number; after: number };
    expect(told.code).to.equal("DISK_FULL");
    expect(told.acknowledged).to.be.greaterThan(5);
    expect(told.intact).to.equal(told.acknowledged);
    expect(told.listed).to.equal(told.acknowledged);
    expect(told.after).to.equal(5000);
  });

  it("keeps every acknowledged object, and no part of another, when the process is killed at any moment", () => {
    const script = `
      import { writeSync } from "node:fs";
      import { FileObjectStore } from ${JSON.stringify(STORE_URL)};
      const store = await FileObjectStore.open(process.argv[1]);
      setTimeout(() => process.kill(process.pid, "SIGKILL"), Number(process.argv[2]));
      const worker = async (w) => {
        for (let n = 0; ; n++) {
          const id = "o" + w + "-" + n;
          await store.put(id, new Uint8Array(50_000).fill(n % 251));
          writeSync(1, id + "\\n");
        }
      };
      await Promise.all([0, 1, 2, 3].map(worker));
    `;
    let total = 0;
    for (const delayMillis of [20, 60, 110]) {
      const folder = join(root, String(delayMillis));
      mkdirSync(folder);
      const node = [
        "--disable-warning=ExperimentalWarning",
        "--input-type=module",
        "-e",
        script,
        folder,
        String(delayMillis),
      ];
      const child = spawnSync(process.execPath, node, { encoding: "utf8" });
      expect(child.signal, child.stderr).to.equal("SIGKILL");
      const found = new Map<string, Uint8Array>();
      for (const fanOut of readdirSync(join(folder, "objects"))) {
        for (const id of readdirSync(join(folder, "objects", fanOut))) {
          found.set(id, readFileSync(join(folder, "objects", fanOut, id)));
        }
      }
      for (const [id, bytes] of found) {
        const n = Number(id.split("-")[1]);
        expect(bytes.length, id).to.equal(50_000);
        expect(
          bytes.every((byte) => byte === n % 251),
          id,
        ).to.equal(true);
      }
      const acknowledged = child.stdout.split("\n").slice(0, -1);
      for (const id of acknowledged) expect(found.has(id), id).to.equal(true);
      total += acknowledged.length;
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

  it("says that a folder cannot be used", async () => {
    const file = join(root, "file");
    writeFileSync(file, "");
    expect(await failure(FileObjectStore.open(file)))
      .to.be.instanceOf(TallystickError)
      .with.property("code", "DISK_FAILED");
    const store = await FileObjectStore.open(join(root, "store"));
    rmSync(join(root, "store"), { recursive: true });
    expect(await failure(idsOf(store))).to.have.property("code", "DISK_FAILED");
    expect(await failure(store.put("a", A))).to.have.property("code", "DISK_FAILED");
  });
});
