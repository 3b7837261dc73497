/**
 * An object store in memory: the second implementation, which shows that the suite and the provider rely on the
 * interface alone.
 */
import {
  type MayRemove,
  type NamedBytes,
  type ObjectStore,
  requireMayRemove,
  requireObjectId,
  requireRange,
} from "../../offchain/store/object/object-store.ts";

/** What outlives a store that is closed, as a disk does. */
export interface MemoryDisk {
  readonly objects: Map<string, Uint8Array>;
  owner: string | undefined;
}

export function emptyDisk(): MemoryDisk {
  return { objects: new Map(), owner: undefined };
}

export class MemoryObjectStore implements ObjectStore {
  readonly #disk: MemoryDisk;

  constructor(disk: MemoryDisk = emptyDisk()) {
    this.#disk = disk;
  }

  async put(id: string, bytes: Uint8Array): Promise<void> {
    await this.putMany([{ id, bytes }]);
  }

  async putMany(objects: readonly NamedBytes[]): Promise<void> {
    for (const { id } of objects) requireObjectId(id);
    const copies = objects.map(({ id, bytes }) => [id, bytes.slice()] as const);
    await Promise.resolve();
    for (const [id, bytes] of copies) this.#disk.objects.set(id, bytes);
  }

  async get(id: string): Promise<Uint8Array | undefined> {
    requireObjectId(id);
    return this.#disk.objects.get(id)?.slice();
  }

  async getRange(id: string, offset: number, lengthBytes: number): Promise<Uint8Array | undefined> {
    requireObjectId(id);
    requireRange(offset, lengthBytes);
    return this.#disk.objects.get(id)?.slice(offset, offset + lengthBytes);
  }

  async has(id: string): Promise<boolean> {
    requireObjectId(id);
    return this.#disk.objects.has(id);
  }

  async size(id: string): Promise<number | undefined> {
    requireObjectId(id);
    return this.#disk.objects.get(id)?.length;
  }

  async delete(id: string): Promise<boolean> {
    requireObjectId(id);
    return this.#disk.objects.delete(id);
  }

  async deleteMany(ids: readonly string[], mayRemove?: MayRemove): Promise<number> {
    for (const id of ids) requireObjectId(id);
    requireMayRemove(mayRemove);
    return ids.filter((id) => this.#disk.objects.delete(id)).length;
  }

  async compact(): Promise<number> {
    return 0;
  }

  async *list(): AsyncGenerator<string, void, undefined> {
    for (const id of [...this.#disk.objects.keys()]) yield id;
  }

  async claim(owner: string): Promise<string> {
    this.#disk.owner ??= owner;
    return this.#disk.owner;
  }

  async owner(): Promise<string | undefined> {
    return this.#disk.owner;
  }

  async close(): Promise<void> {}
}
