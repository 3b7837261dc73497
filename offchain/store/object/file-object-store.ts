/**
 * Objects as files, one per object, in up to 256 folders by the first byte of SHA-256(id).
 *
 *   <root>/objects/<00…ff>/<id>     complete objects
 *   <root>/incoming/<random>        objects being written; what a crash left here is removed at open
 *   <root>/belongs-to               the owner of the store, see `claim`
 *   <root>/lock                     held while the store is open
 *
 * A put writes the whole file under `incoming`, fsyncs it, renames it to its place and fsyncs that folder: a crash
 * leaves the old object, the new one, or none. One process uses a root at a time.
 */
import { randomBytes } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import * as nodeFileSystem from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { sha256 } from "#primitives";
import { asDiskError, systemErrorCode } from "../disk/disk-errors.ts";
import { createDurably, syncFolderAsync } from "../disk/durable-file.ts";
import { lockFolder } from "../disk/folder-lock.ts";
import { isObjectId, type NamedBytes, type ObjectStore, requireObjectId, requireRange } from "./object-store.ts";

/** The calls of node:fs/promises that the store uses; tests replace them with failing ones. */
export type FileSystem = Pick<
  typeof nodeFileSystem,
  "mkdir" | "open" | "opendir" | "readdir" | "readFile" | "rename" | "stat" | "unlink"
>;

/** Holds the owner of the store. */
const OWNER_FILE = "belongs-to";
const encoder = new TextEncoder();

/** Runs a file-system operation; failures become typed errors. */
async function guarded<T>(what: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw asDiskError(error, what);
  }
}

/** As `guarded`, with undefined for a file that does not exist. */
async function guardedIfExists<T>(what: string, operation: () => Promise<T>): Promise<T | undefined> {
  try {
    return await operation();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw asDiskError(error, what);
  }
}

export class FileObjectStore implements ObjectStore {
  readonly #root: string;
  readonly #files: FileSystem;
  readonly #lock: { close(): void };
  /** Fan-out folders that exist and whose names are durable. */
  readonly #folders = new Set<string>();
  readonly #folderSyncs = new Map<string, FolderSync>();

  private constructor(root: string, files: FileSystem, lock: { close(): void }) {
    this.#root = root;
    this.#files = files;
    this.#lock = lock;
  }

  /**
   * Opens a store, creating it as needed, and removes what a crash left half written.
   * @param root folder of its own
   * @throws DiskFullError; DiskFailedError, also when another process or another caller in this one has it open
   */
  static async open(root: string, files: FileSystem = nodeFileSystem): Promise<FileObjectStore> {
    const store = new FileObjectStore(root, files, lockFolder(root));
    try {
      await guarded(`object store ${root}`, () => store.#prepare());
      return store;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#lock.close();
  }

  async claim(owner: string): Promise<string> {
    await guarded(`object store ${this.#root}`, async () => {
      try {
        createDurably(join(this.#root, OWNER_FILE), `${owner}\n`);
      } catch (error) {
        if (systemErrorCode(error) !== "EEXIST") throw error;
      }
    });
    return (await this.owner()) ?? owner;
  }

  async owner(): Promise<string | undefined> {
    const file = join(this.#root, OWNER_FILE);
    return (await guardedIfExists(`object store ${this.#root}`, () => this.#files.readFile(file, "utf8")))?.trim();
  }

  async #prepare(): Promise<void> {
    const incoming = join(this.#root, "incoming");
    const objects = join(this.#root, "objects");
    await this.#files.mkdir(incoming, { recursive: true, mode: 0o700 });
    await this.#files.mkdir(objects, { recursive: true, mode: 0o700 });
    for (const name of await this.#files.readdir(objects)) this.#folders.add(join(objects, name));
    // A crash may have prevented the sync of a folder's name, so the names found here are made durable first.
    await this.#syncFolder(objects);
    await this.#syncFolder(this.#root);
    if (this.#folders.size === 0) await this.#syncFolder(dirname(resolve(this.#root)));
    for (const leftover of await this.#files.readdir(incoming)) await this.#files.unlink(join(incoming, leftover));
  }

  #folderOf(id: string): string {
    requireObjectId(id);
    const [byte = 0] = sha256(encoder.encode(id));
    return join(this.#root, "objects", byte.toString(16).padStart(2, "0"));
  }

  #pathOf(id: string): string {
    return join(this.#folderOf(id), id);
  }

  async put(id: string, bytes: Uint8Array): Promise<void> {
    const folder = this.#folderOf(id);
    const incoming = join(this.#root, "incoming", randomBytes(16).toString("hex"));
    await guarded(`writing object ${id}`, async () => {
      try {
        await this.#writeDurably(incoming, bytes);
        await this.#makeFolder(folder);
        await this.#files.rename(incoming, join(folder, id));
      } catch (error) {
        // Frees the space at once. If this fails too, the next open does it; the first error is the useful one.
        await this.#files.unlink(incoming).catch(() => undefined);
        throw error;
      }
      await this.#syncFolder(folder);
    });
  }

  async putMany(objects: readonly NamedBytes[]): Promise<void> {
    const last = new Map(objects.map(({ id, bytes }) => [id, bytes]));
    for (const id of last.keys()) requireObjectId(id);
    const outcomes = await Promise.allSettled([...last].map(([id, bytes]) => this.put(id, bytes)));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  async #makeFolder(folder: string): Promise<void> {
    if (this.#folders.has(folder)) return;
    await this.#files.mkdir(folder, { recursive: true, mode: 0o700 });
    await this.#syncFolder(join(this.#root, "objects"));
    this.#folders.add(folder);
  }

  async #writeDurably(path: string, bytes: Uint8Array): Promise<void> {
    const handle = await this.#files.open(path, "wx", 0o600);
    try {
      // A write may write fewer bytes than it was given, for example when the disk fills up; the next one reports the
      // reason.
      for (let offset = 0; offset < bytes.length; ) {
        offset += (await handle.write(bytes, offset, bytes.length - offset, offset)).bytesWritten;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** Makes the names in a folder durable. Calls that arrive while one is running share the next one. */
  async #syncFolder(folder: string): Promise<void> {
    let sync = this.#folderSyncs.get(folder);
    if (sync === undefined) {
      sync = new FolderSync(() => syncFolderAsync(folder, this.#files));
      this.#folderSyncs.set(folder, sync);
    }
    await sync.request();
  }

  async get(id: string): Promise<Uint8Array | undefined> {
    return this.#read(id, 0, Number.POSITIVE_INFINITY);
  }

  async getRange(id: string, offset: number, lengthBytes: number): Promise<Uint8Array | undefined> {
    requireRange(offset, lengthBytes);
    return this.#read(id, offset, lengthBytes);
  }

  async #read(id: string, offset: number, lengthBytes: number): Promise<Uint8Array | undefined> {
    const path = this.#pathOf(id);
    return guardedIfExists(`reading object ${id}`, async () => {
      const handle = await this.#files.open(path, "r");
      try {
        // Objects are replaced by rename and never written in place, so the size of an open file cannot change.
        const { size } = await handle.stat();
        return await readFully(handle, offset, Math.max(Math.min(lengthBytes, size - offset), 0));
      } finally {
        await handle.close();
      }
    });
  }

  async has(id: string): Promise<boolean> {
    return (await this.size(id)) !== undefined;
  }

  async size(id: string): Promise<number | undefined> {
    const path = this.#pathOf(id);
    const status = await guardedIfExists(`looking up object ${id}`, () => this.#files.stat(path));
    return status?.size;
  }

  async delete(id: string): Promise<boolean> {
    const folder = this.#folderOf(id);
    const path = join(folder, id);
    const removed = await guardedIfExists(`removing object ${id}`, async () => {
      await this.#files.unlink(path);
      return true;
    });
    if (removed) await guarded(`removing object ${id}`, () => this.#syncFolder(folder));
    return removed ?? false;
  }

  async deleteMany(ids: readonly string[]): Promise<number> {
    for (const id of ids) requireObjectId(id);
    const removed = await Promise.all([...new Set(ids)].map((id) => this.delete(id)));
    return removed.filter(Boolean).length;
  }

  async compact(): Promise<number> {
    return 0;
  }

  async *list(): AsyncGenerator<string, void, undefined> {
    const objects = join(this.#root, "objects");
    try {
      for (const name of await this.#files.readdir(objects)) {
        // Skips files that the store did not write, such as leftovers of a copying program or a network file system.
        for await (const entry of await this.#files.opendir(join(objects, name)))
          if (entry.isFile() && isObjectId(entry.name)) yield entry.name;
      }
    } catch (error) {
      throw asDiskError(error, `listing objects in ${objects}`);
    }
  }
}

async function readFully(handle: FileHandle, offset: number, lengthBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes);
  let filled = 0;
  while (filled < lengthBytes) {
    const { bytesRead } = await handle.read(bytes, filled, lengthBytes - filled, offset + filled);
    if (bytesRead === 0) return bytes.subarray(0, filled);
    filled += bytesRead;
  }
  return bytes;
}

/**
 * Coalesces fsyncs of one folder. A call must not join an fsync that has begun, which may miss the caller's rename; it
 * joins the one that starts when the running one ends.
 */
class FolderSync {
  readonly #fsync: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(fsync: () => Promise<void>) {
    this.#fsync = fsync;
  }

  request(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#run();
      return this.#running;
    }
    this.#next ??= this.#after(this.#running);
    return this.#next;
  }

  async #after(running: Promise<void>): Promise<void> {
    // The callers of the running one get its outcome; this call only waits for its end.
    await running.catch(() => undefined);
    this.#next = undefined;
    this.#running = this.#run();
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      await this.#fsync();
    } finally {
      this.#running = undefined;
    }
  }
}
