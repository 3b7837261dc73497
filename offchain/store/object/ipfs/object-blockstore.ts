/**
 * The objects of a store as the blockstore of a Helia node, for reading only: what the node serves is what the store
 * has, and nothing that other peers send is ever stored.
 */
import type { Blockstore, InputPair, Pair } from "interface-blockstore";
import { CID } from "multiformats/cid";
import { isContentId } from "../../../core/encoding/content-id.ts";
import { InvalidInputError } from "../../../core/errors.ts";
import type { ObjectStore } from "../object-store.ts";

/** The name by which Helia knows that a block is absent. */
class NotFoundError extends Error {
  override readonly name = "NotFoundError";
}

function refuseWrite(): never {
  throw new InvalidInputError("the IPFS node may not change objects", { check: "write through the IPFS node" });
}

export class ObjectBlockstore implements Blockstore {
  readonly #store: Pick<ObjectStore, "get" | "has" | "list">;

  constructor(store: Pick<ObjectStore, "get" | "has" | "list">) {
    this.#store = store;
  }

  /** A CID of another form, which any peer may ask for, names no object. */
  async has(cid: CID): Promise<boolean> {
    const id = cid.toString();
    return isContentId(id) && (await this.#store.has(id));
  }

  async *get(cid: CID): AsyncGenerator<Uint8Array> {
    const id = cid.toString();
    const bytes = isContentId(id) ? await this.#store.get(id) : undefined;
    if (bytes === undefined) throw new NotFoundError(`there is no object ${id}`);
    yield bytes;
  }

  async *getMany(source: AsyncIterable<CID> | Iterable<CID>): AsyncGenerator<Pair> {
    for await (const cid of source) yield { cid, bytes: this.get(cid) };
  }

  async *getAll(): AsyncGenerator<Pair> {
    for await (const id of this.#store.list()) {
      if (!isContentId(id)) continue;
      const cid = CID.parse(id);
      yield { cid, bytes: this.get(cid) };
    }
  }

  async put(): Promise<CID> {
    return refuseWrite();
  }

  // biome-ignore lint/correctness/useYield: refuses before it would yield
  async *putMany(_source: AsyncIterable<InputPair> | Iterable<InputPair>): AsyncGenerator<CID> {
    refuseWrite();
  }

  async delete(): Promise<void> {
    refuseWrite();
  }

  // biome-ignore lint/correctness/useYield: refuses before it would yield
  async *deleteMany(_source: AsyncIterable<CID> | Iterable<CID>): AsyncGenerator<CID> {
    refuseWrite();
  }
}
