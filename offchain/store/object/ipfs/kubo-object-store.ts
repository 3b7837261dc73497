/**
 * Objects in an IPFS node, by the RPC of Kubo. An object is a raw block under its CID, held by a recursive pin with the
 * name of this store. A pin with that name is what makes a block an object: the list of objects is in the node alone,
 * two processes may use one store, and other pins of the node are neither listed nor removed.
 *
 * A put is acknowledged after Kubo has acknowledged the pin. At open, the store refuses a node whose settings do not
 * put blocks on disk by then (kubo-durability.ts). Reads never ask other peers: an object is here or it is lost.
 */
import { create, type KuboRPCClient } from "kubo-rpc-client";
import { CID } from "multiformats/cid";
import PQueue from "p-queue";
import { equalBytes, sha256 } from "#primitives";
import { contentId, digestOf } from "../../../core/encoding/content-id.ts";
import { InvalidInputError } from "../../../core/errors.ts";
import { type MayRemove, type NamedBytes, type ObjectStore, requireMayRemove, requireRange } from "../object-store.ts";
import { requireCid } from "../require-cid.ts";
import { type ServicePatience, StoredBytesError, StoreService } from "../store-service.ts";
import { requireDurableBlocks } from "./kubo-durability.ts";
import { explainKubo, isBlockAbsent, isNotPinned, isPathAbsent, isPathTaken } from "./kubo-errors.ts";

/** Requests that one call with many objects has under way. */
const REQUESTS_AT_ONCE = 8;
/** IPFS nodes do not exchange larger blocks. */
const LARGEST_BLOCK_BYTES = 2 * 1024 * 1024;

export interface KuboSettings {
  /** Address of the RPC, for example `http://127.0.0.1:5001`. */
  readonly rpcUrl: string;
  /** Tells the stores on one node apart. */
  readonly name: string;
  /** Header of every request, where the node asks for one. */
  readonly authorization?: string;
}

export class KuboObjectStore implements ObjectStore {
  readonly #client: KuboRPCClient;
  readonly #service: StoreService;
  readonly #pinName: string;
  readonly #ownerPath: string;

  private constructor(settings: KuboSettings, patience: ServicePatience | undefined) {
    const { authorization } = settings;
    this.#client = create({
      url: settings.rpcUrl,
      ...(authorization === undefined ? {} : { headers: { authorization } }),
    });
    this.#service = new StoreService(settings.rpcUrl, explainKubo, patience);
    this.#pinName = `tallystick:${settings.name}`;
    this.#ownerPath = `/tallystick/${settings.name}/belongs-to`;
  }

  /**
   * @throws InvalidInputError for a node that does not put acknowledged blocks on disk; StoreServiceError
   */
  static async open(settings: KuboSettings, patience?: ServicePatience): Promise<KuboObjectStore> {
    const store = new KuboObjectStore(settings, patience);
    const service = store.#service;
    const spec = await service.call("reading the settings of its datastore", 0, (signal) =>
      store.#client.config.get("Datastore.Spec", { signal }),
    );
    requireDurableBlocks(spec, service.name);
    return store;
  }

  async close(): Promise<void> {}

  async put(id: string, bytes: Uint8Array): Promise<void> {
    const cid = cidOf(id);
    if (bytes.length > LARGEST_BLOCK_BYTES) {
      throw new InvalidInputError(`object ${id} is larger than what IPFS nodes exchange`, {
        check: "size of the object",
        expected: `at most ${LARGEST_BLOCK_BYTES} bytes`,
        received: String(bytes.length),
      });
    }
    await this.#service.call(`writing object ${id}`, bytes.length, async (signal) => {
      const stored = await this.#client.block.put(bytes, { ...RAW, signal });
      if (stored.toString() !== id) throw this.#misnamed(id, bytes, stored.toString());
      // A collection of garbage between the two requests may remove the block. Then the pin fails, since the node must
      // not ask other peers for it, and both are repeated.
      await this.#client.pin.add(cid, { signal, name: this.#pinName, ...OFFLINE });
    });
  }

  /** Other bytes than the id names: the caller's fault, or what the service made of them. */
  #misnamed(id: string, bytes: Uint8Array, received: string): Error {
    if (contentId(bytes) === id) return new StoredBytesError(this.#service.name, id, received);
    const facts = { check: "content id", expected: id, received };
    return new InvalidInputError(`the bytes of object ${id} are not what the id names`, facts);
  }

  async putMany(objects: readonly NamedBytes[]): Promise<void> {
    const last = new Map(objects.map(({ id, bytes }) => [id, bytes]));
    for (const id of last.keys()) cidOf(id);
    await this.#forEach([...last], ([id, bytes]) => this.put(id, bytes));
  }

  async get(id: string): Promise<Uint8Array | undefined> {
    const cid = cidOf(id);
    return await this.#service.call(`reading object ${id}`, LARGEST_BLOCK_BYTES, async (signal) => {
      const [isPinned, bytes] = await Promise.all([
        this.#isPinned(cid, signal),
        unless(isBlockAbsent, () => this.#client.block.get(cid, { signal, ...OFFLINE })),
      ]);
      if (!isPinned || bytes === undefined) return undefined;
      if (!equalBytes(sha256(bytes), digestOf(id))) {
        throw new StoredBytesError(this.#service.name, id, contentId(bytes));
      }
      return bytes;
    });
  }

  /** Kubo returns whole blocks. The part is cut here, after the block was checked. */
  async getRange(id: string, offset: number, lengthBytes: number): Promise<Uint8Array | undefined> {
    requireRange(offset, lengthBytes);
    return (await this.get(id))?.slice(offset, offset + lengthBytes);
  }

  async has(id: string): Promise<boolean> {
    return (await this.size(id)) !== undefined;
  }

  async size(id: string): Promise<number | undefined> {
    const cid = cidOf(id);
    return await this.#service.call(`looking up object ${id}`, 0, async (signal) => {
      const [isPinned, found] = await Promise.all([
        this.#isPinned(cid, signal),
        unless(isBlockAbsent, () => this.#client.block.stat(cid, { signal, ...OFFLINE })),
      ]);
      return isPinned ? found?.size : undefined;
    });
  }

  async #isPinned(cid: CID, signal: AbortSignal): Promise<boolean> {
    const found = await unless(isNotPinned, async () => {
      const names: (string | undefined)[] = [];
      for await (const { name } of this.#client.pin.ls({ paths: cid, type: "recursive", names: true, signal })) {
        names.push(name);
      }
      return names;
    });
    return found?.includes(this.#pinName) ?? false;
  }

  /**
   * Removes the pin, then the block unless something else in the node needs it. After a broken connection the answer
   * may be false for an object that the call did remove.
   */
  async delete(id: string, mayRemove?: MayRemove): Promise<boolean> {
    const cid = cidOf(id);
    return await this.#service.call(`removing object ${id}`, 0, async (signal) => {
      if (!(await this.#isPinned(cid, signal))) return false;
      requireMayRemove(mayRemove);
      const removed = await unless(isNotPinned, () => this.#client.pin.rm(cid, { signal }));
      if (removed === undefined) return false;
      // A block that is put anew meanwhile gets its pin after this, or the put is repeated.
      // Kubo says per block why it stays: pinned otherwise, or gone. Either is fine.
      for await (const _ of this.#client.block.rm(cid, { signal, force: true }));
      return true;
    });
  }

  async deleteMany(ids: readonly string[], mayRemove?: MayRemove): Promise<number> {
    for (const id of ids) cidOf(id);
    let removed = 0;
    await this.#forEach([...new Set(ids)], async (id) => {
      if (await this.delete(id, mayRemove)) removed += 1;
    });
    return removed;
  }

  /** `delete` removes blocks at once. The node's own collection of garbage removes what a broken put has left. */
  async compact(): Promise<number> {
    return 0;
  }

  async *list(): AsyncGenerator<string, void, undefined> {
    const pins = this.#service.stream("listing objects", (signal) =>
      this.#client.pin.ls({ type: "recursive", name: this.#pinName, names: true, signal }),
    );
    // The node filters by part of the name; an object has the whole name.
    for await (const { cid, name } of pins) if (name === this.#pinName) yield cid.toString();
  }

  async claim(owner: string): Promise<string> {
    const marker = await this.#service.call("storing the name of the owner", 0, (signal) =>
      this.#client.block.put(new TextEncoder().encode(owner), { ...RAW, signal }),
    );
    // Kubo refuses to copy onto a path that exists, so the first of two owners stays.
    await this.#service.call("claiming the store", 0, (signal) =>
      unless(isPathTaken, () => this.#client.files.cp(marker, this.#ownerPath, { parents: true, flush: true, signal })),
    );
    return (await this.owner()) ?? owner;
  }

  async owner(): Promise<string | undefined> {
    return await this.#service.call("reading the owner of the store", 0, (signal) =>
      unless(isPathAbsent, async () => {
        const pieces: Uint8Array[] = [];
        for await (const piece of this.#client.files.read(this.#ownerPath, { signal })) pieces.push(piece);
        return new TextDecoder().decode(Buffer.concat(pieces));
      }),
    );
  }

  /** Waits for all: none is under way when the call ends. */
  async #forEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
    const queue = new PQueue({ concurrency: REQUESTS_AT_ONCE });
    const outcomes = await Promise.allSettled(items.map((item) => queue.add(() => work(item))));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }
}

/** The form of the CIDs that Kubo gives: version 1, raw bytes (its default), SHA-256 whatever its settings say. */
const RAW = { mhtype: "sha2-256" };
/** An option of every command of Kubo that the client's types do not name: other peers are not asked. */
const OFFLINE = { offline: true } as object;

/** @throws InvalidInputError as `requireCid` */
function cidOf(id: string): CID {
  requireCid(id);
  return CID.parse(id);
}

/** Undefined for the one failure that means that there is nothing. */
async function unless<T>(means: (error: unknown) => boolean, request: () => Promise<T>): Promise<T | undefined> {
  try {
    return await request();
  } catch (error) {
    if (means(error)) return undefined;
    throw error;
  }
}
