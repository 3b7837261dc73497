/**
 * The provider's program over an object store that several processes share: a folder without a lock, one file per
 * object, which stands for an object service.
 */
import { mkdirSync } from "node:fs";
import { open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { randomBytes } from "#primitives";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { providerProgramOver } from "../../offchain/csp/provider.ts";
import { runProgram } from "../../offchain/daemon/command-line.ts";
import { systemErrorCode } from "../../offchain/store/disk/disk-errors.ts";
import { createDurably } from "../../offchain/store/disk/durable-file.ts";
import {
  isObjectId,
  type NamedBytes,
  type ObjectStore,
  requireObjectId,
  requireRange,
} from "../../offchain/store/object/object-store.ts";

const OWNER = ".owner";

async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

class SharedFolderStore implements ObjectStore {
  readonly #folder: string;

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.#folder = folder;
  }

  #path(id: string): string {
    requireObjectId(id);
    return join(this.#folder, id);
  }

  async put(id: string, bytes: Uint8Array): Promise<void> {
    const path = this.#path(id);
    const partial = join(this.#folder, `.${toHex(randomBytes(8))}`);
    const file = await open(partial, "wx");
    try {
      await file.writeFile(bytes);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  }

  async putMany(objects: readonly NamedBytes[]): Promise<void> {
    for (const { id, bytes } of objects) await this.put(id, bytes);
  }

  async get(id: string): Promise<Uint8Array | undefined> {
    const bytes = await unlessMissing(readFile(this.#path(id)));
    return bytes === undefined ? undefined : new Uint8Array(bytes);
  }

  async getRange(id: string, offset: number, lengthBytes: number): Promise<Uint8Array | undefined> {
    requireRange(offset, lengthBytes);
    return (await this.get(id))?.slice(offset, offset + lengthBytes);
  }

  async has(id: string): Promise<boolean> {
    return (await this.size(id)) !== undefined;
  }

  async size(id: string): Promise<number | undefined> {
    return (await unlessMissing(stat(this.#path(id))))?.size;
  }

  async delete(id: string): Promise<boolean> {
    const there = await this.has(id);
    await rm(this.#path(id), { force: true });
    return there;
  }

  async deleteMany(ids: readonly string[]): Promise<number> {
    let deleted = 0;
    for (const id of ids) if (await this.delete(id)) deleted += 1;
    return deleted;
  }

  async compact(): Promise<number> {
    return 0;
  }

  async *list(): AsyncGenerator<string, void, undefined> {
    for (const name of await readdir(this.#folder)) if (isObjectId(name)) yield name;
  }

  async claim(owner: string): Promise<string> {
    try {
      createDurably(join(this.#folder, OWNER), owner);
    } catch (error) {
      if (systemErrorCode(error) !== "EEXIST") throw error;
    }
    return (await this.owner()) ?? owner;
  }

  async owner(): Promise<string | undefined> {
    return unlessMissing(readFile(join(this.#folder, OWNER), "utf8"));
  }

  async close(): Promise<void> {}
}

const folder = process.env.TALLYSTICK_TEST_SHARED_STORE ?? "";
await runProgram(providerProgramOver(async () => new SharedFolderStore(folder)));
