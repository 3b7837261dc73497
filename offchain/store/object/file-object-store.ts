/**
 * Objects in packs: files to which records are appended. Docs/spec.md, section "Packs".
 *
 *   <root>/packs/<number>.pack    objects and removals, in the order in which they were acknowledged
 *   <root>/index.db               where each object is; the packs can rebuild it
 *   <root>/belongs-to             the owner of the store, see `claim`
 *   <root>/lock                   held while the store is open
 *
 * A commit is one write to the end of a pack and one sync, whatever the number of objects and callers; then the index
 * has it, and readers see it. A crash leaves a cut record at the end at most, which the next start removes. One process
 * uses a root at a time.
 */
import * as nodeFileSystem from "node:fs/promises";
import { join } from "node:path";
import { asDiskError, DiskFailedError, systemErrorCode } from "../disk/disk-errors.ts";
import { createDurably } from "../disk/durable-file.ts";
import { lockFolder } from "../disk/folder-lock.ts";
import {
  type Allocate,
  type MayRemove,
  type NamedBytes,
  type ObjectStore,
  requireMayRemove,
  requireObjectId,
  requireRange,
  UnreadableObjectError,
} from "./object-store.ts";
import { removeDatabase } from "./pack/index-file.ts";
import { checkPacks } from "./pack/pack-check.ts";
import { compactPacks } from "./pack/pack-compaction.ts";
import type { Report } from "./pack/pack-findings.ts";
import { type FileSystem, PackFolder } from "./pack/pack-folder.ts";
import { isDamagedIndex, PackIndex } from "./pack/pack-index.ts";
import { fitsIndex, recoverPacks } from "./pack/pack-recovery.ts";
import { type ActivePack, PackWriter } from "./pack/pack-writer.ts";
import type { StoreCheck, StoreCheckOptions } from "./store-check.ts";

export type { FileSystem } from "./pack/pack-folder.ts";

const OWNER_FILE = "belongs-to";
export const INDEX_FILE = "index.db";
/**
 * Large enough that ten tebibytes are 80,000 files, small enough that compaction needs little space.
 */
const PACK_BYTES = 128 * 1024 * 1024;

export interface FileStoreOptions {
  readonly files?: FileSystem;
  /** A pack of this size takes no more objects. */
  readonly packBytes?: number;
  /** Is told what is wrong with the packs, at the start and by `compact`. */
  readonly report?: Report;
}

interface Parts {
  readonly files: FileSystem;
  readonly folder: PackFolder;
  readonly index: PackIndex;
  readonly writer: PackWriter;
  readonly packs: Set<number>;
  readonly report: Report;
}

/** Runs an operation on the disk; failures become typed errors. */
async function guarded<T>(what: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw asDiskError(error, what);
  }
}

export class FileObjectStore implements ObjectStore {
  readonly #root: string;
  readonly #lock: { close(): void };
  readonly #parts: Parts;
  /** The compaction under way; a further call waits for it. */
  #compaction: Promise<unknown> = Promise.resolve();

  private constructor(root: string, lock: { close(): void }, parts: Parts) {
    this.#root = root;
    this.#lock = lock;
    this.#parts = parts;
  }

  /**
   * Opens a store, creating it as needed, and removes what a crash left half written.
   * @param root folder of its own
   * @throws DiskFullError; DiskFailedError, also when another process or another caller in this one has it open;
   *   UnknownVersionError for packs of a later format
   */
  static async open(root: string, options: FileStoreOptions = {}): Promise<FileObjectStore> {
    const lock = lockFolder(root);
    try {
      return new FileObjectStore(root, lock, await guarded(`object store ${root}`, () => openParts(root, options)));
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const { writer, folder, index } = this.#parts;
    await this.#compaction.catch(() => undefined);
    await writer.close();
    folder.close();
    index.close();
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
    return guarded(`object store ${this.#root}`, async () => {
      try {
        return (await this.#parts.files.readFile(join(this.#root, OWNER_FILE), "utf8")).trim();
      } catch (error) {
        if (systemErrorCode(error) === "ENOENT") return undefined;
        throw error;
      }
    });
  }

  async put(id: string, bytes: Uint8Array): Promise<void> {
    await this.putMany([{ id, bytes }]);
  }

  async putMany(objects: readonly NamedBytes[]): Promise<void> {
    for (const { id } of objects) requireObjectId(id);
    await this.#parts.writer.submit(objects.map((object) => ({ kind: "put", object })));
  }

  async get(id: string, allocate?: Allocate): Promise<Uint8Array | undefined> {
    return this.#read(id, 0, Number.POSITIVE_INFINITY, allocate);
  }

  async getRange(
    id: string,
    offset: number,
    lengthBytes: number,
    allocate?: Allocate,
  ): Promise<Uint8Array | undefined> {
    requireRange(offset, lengthBytes);
    return this.#read(id, offset, lengthBytes, allocate);
  }

  async #read(id: string, offset: number, lengthBytes: number, allocate?: Allocate): Promise<Uint8Array | undefined> {
    requireObjectId(id);
    const { index, folder } = this.#parts;
    for (let at = index.find(id), isFirst = true; at !== undefined; isFirst = false) {
      const wanted = Math.max(Math.min(lengthBytes, at.lengthBytes - offset), 0);
      const bytes = await this.#readPack(id, at.pack, () =>
        folder.read(at?.pack ?? 0, (at?.offset ?? 0) + offset, wanted, allocate),
      );
      if (bytes?.length === wanted) return bytes;
      // Compaction may have moved the object, and removed its pack, between the two look-ups.
      const now = index.find(id);
      if (!isFirst || now?.pack === at.pack) {
        throw new UnreadableObjectError(id, {
          reason: bytes === undefined ? "its pack is missing" : "its pack is cut off",
        });
      }
      at = now;
    }
    return undefined;
  }

  async #readPack<T>(id: string, pack: number, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (cause) {
      const error = asDiskError(cause, `reading object ${id} from pack ${pack}`);
      if (!(error instanceof DiskFailedError && error.received === "EIO")) throw error;
      throw new UnreadableObjectError(id, { reason: "EIO", cause });
    }
  }

  async has(id: string): Promise<boolean> {
    return (await this.size(id)) !== undefined;
  }

  async size(id: string): Promise<number | undefined> {
    requireObjectId(id);
    return this.#parts.index.find(id)?.lengthBytes;
  }

  async delete(id: string): Promise<boolean> {
    return (await this.deleteMany([id])) > 0;
  }

  async deleteMany(ids: readonly string[], mayRemove?: MayRemove): Promise<number> {
    for (const id of ids) requireObjectId(id);
    requireMayRemove(mayRemove);
    return this.#parts.writer.submit(ids.map((id) => ({ kind: "remove", id })));
  }

  async compact(signal?: AbortSignal): Promise<number> {
    const work = this.#compaction
      .catch(() => undefined)
      .then(() => guarded(`compacting ${this.#root}`, () => compactPacks(this.#parts, signal)));
    this.#compaction = work;
    return work;
  }

  async *list(): AsyncGenerator<string, void, undefined> {
    for (const page of this.#parts.index.pages()) for (const { id } of page) yield id;
  }
}

async function openParts(root: string, options: FileStoreOptions): Promise<Parts> {
  const { files = nodeFileSystem, packBytes = PACK_BYTES, report = () => undefined } = options;
  const folder = new PackFolder(root, files);
  await folder.prepare();
  const packs = new Set(await folder.numbers());
  const index = openIndex(join(root, INDEX_FILE), [...packs], report);
  let active: ActivePack | undefined;
  try {
    active = await recoverPacks(folder, index, packs, { report });
  } catch (error) {
    folder.close();
    index.close();
    throw error;
  }
  const writer = new PackWriter({ folder, index, active, packs, packBytes });
  return { files, folder, index, writer, packs, report };
}

/** Opens the index; one that is damaged, or of other packs, is replaced by an empty one, which the packs then fill. */
function openIndex(path: string, packs: readonly number[], report: Report): PackIndex {
  try {
    const index = new PackIndex(path);
    if (fitsIndex(packs, index)) return index;
    index.close();
    report({
      damage: "index damaged",
      file: INDEX_FILE,
      detail: "packs are there that it does not know; rebuilding it",
    });
  } catch (error) {
    if (!isDamagedIndex(error)) throw error;
    report({ damage: "index damaged", file: INDEX_FILE, detail: "it is no database; rebuilding it" });
  }
  removeDatabase(path);
  return new PackIndex(path);
}

/** Checks a store that nobody has open. @throws DiskFullError; DiskFailedError, also when a process uses it */
export async function checkFileStore(root: string, options: StoreCheckOptions): Promise<StoreCheck> {
  const lock = lockFolder(root);
  try {
    const check = await checkPacks(root, INDEX_FILE, options);
    return {
      sizeOf: async (id) => check.sizeOf(id),
      repair: async () => check.repair(),
      close: async () => {
        check.close();
        lock.close();
      },
    };
  } catch (error) {
    lock.close();
    throw error;
  }
}
