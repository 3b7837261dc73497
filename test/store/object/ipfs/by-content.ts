/**
 * Lets the suite, which names objects as it likes, run against stores that name objects by their content. Behind a name
 * is the object whose bytes are those of the name's object and the name itself, so that no two names share an object; a
 * name that is the id of its bytes stands for itself.
 */
import { contentId } from "../../../../offchain/core/encoding/content-id.ts";
import {
  type MayRemove,
  type NamedBytes,
  type ObjectStore,
  requireObjectId,
} from "../../../../offchain/store/object/object-store.ts";

interface Named {
  readonly cid: string;
  readonly sizeBytes: number;
}

/** What the names of a place stand for; outlives the store, as the place does. */
export type Names = Map<string, Named>;

export class ByContent implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #names: Names;

  constructor(store: ObjectStore, names: Names) {
    this.#store = store;
    this.#names = names;
  }

  async put(id: string, bytes: Uint8Array): Promise<void> {
    await this.putMany([{ id, bytes }]);
  }

  async putMany(objects: readonly NamedBytes[]): Promise<void> {
    for (const { id } of objects) requireObjectId(id);
    const blocks = objects.map(({ id, bytes }) => {
      const block = contentId(bytes) === id ? bytes : new Uint8Array(Buffer.concat([bytes, Buffer.from(id)]));
      return { id, sizeBytes: bytes.length, cid: contentId(block), block };
    });
    await this.#store.putMany(blocks.map(({ cid, block }) => ({ id: cid, bytes: block })));
    const replaced = new Set<string>();
    for (const { id, cid, sizeBytes } of blocks) {
      replaced.add(this.#names.get(id)?.cid ?? cid);
      this.#names.set(id, { cid, sizeBytes });
    }
    for (const { id, cid } of blocks) if (this.#names.get(id)?.cid === cid) replaced.delete(cid);
    await this.#store.deleteMany([...replaced]);
  }

  async get(id: string): Promise<Uint8Array | undefined> {
    return this.getRange(id, 0, Number.MAX_SAFE_INTEGER);
  }

  async getRange(id: string, offset: number, lengthBytes: number): Promise<Uint8Array | undefined> {
    requireObjectId(id);
    for (;;) {
      const named = this.#names.get(id);
      if (named === undefined) return (await this.#store.getRange(ABSENT, offset, lengthBytes)) && undefined;
      const length = Math.max(0, Math.min(lengthBytes, named.sizeBytes - offset));
      // A malformed range goes to the store as it is.
      const isWhole = lengthBytes === Number.MAX_SAFE_INTEGER;
      const found = isWhole
        ? (await this.#store.get(named.cid))?.slice(0, named.sizeBytes)
        : await this.#store.getRange(
            named.cid,
            offset,
            lengthBytes >= 0 && length >= 0 && Number.isInteger(lengthBytes) ? length : lengthBytes,
          );
      // It was replaced meanwhile: the name stands for another object now.
      if (found === undefined && this.#names.get(id) !== named) continue;
      return found;
    }
  }

  async has(id: string): Promise<boolean> {
    requireObjectId(id);
    return this.#store.has(this.#cidOf(id));
  }

  async size(id: string): Promise<number | undefined> {
    requireObjectId(id);
    const named = this.#names.get(id);
    const stored = await this.#store.size(named?.cid ?? ABSENT);
    return stored === undefined || named?.cid === id ? stored : stored - Buffer.byteLength(id);
  }

  async delete(id: string): Promise<boolean> {
    requireObjectId(id);
    const named = this.#names.get(id);
    const removed = await this.#store.delete(named?.cid ?? ABSENT);
    if (removed && this.#names.get(id) === named) this.#names.delete(id);
    return removed;
  }

  async deleteMany(ids: readonly string[], mayRemove?: MayRemove): Promise<number> {
    for (const id of ids) requireObjectId(id);
    const cids = ids.map((id) => this.#cidOf(id));
    const removed = await this.#store.deleteMany(cids, mayRemove);
    for (const id of ids) this.#names.delete(id);
    return removed;
  }

  compact(signal?: AbortSignal): Promise<number> {
    return this.#store.compact(signal);
  }

  /** A block without a name is listed as it is, and fails the test. */
  async *list(): AsyncGenerator<string, void, undefined> {
    for await (const cid of this.#store.list()) {
      const name = [...this.#names].find(([, named]) => named.cid === cid)?.[0];
      yield name ?? cid;
    }
  }

  claim(owner: string): Promise<string> {
    return this.#store.claim(owner);
  }

  owner(): Promise<string | undefined> {
    return this.#store.owner();
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #cidOf(id: string): string {
    return this.#names.get(id)?.cid ?? ABSENT;
  }
}

/** The id of an object that is in no store. */
const ABSENT = contentId(new TextEncoder().encode("no store has this object"));
