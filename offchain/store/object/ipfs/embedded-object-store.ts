/**
 * Objects in packs on this machine (file-object-store.ts), which an IPFS node in this process serves to whichever peer
 * asks for their CIDs. Everything that a store promises is the file store's doing; the node only reads.
 *
 *   <root>/objects/          the file store
 *   <root>/peer-key          private key of the node, so that its peer id stays the same
 *   <root>/peer-addresses    where other nodes reach it, one multiaddr a line; written at each start
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fromHex, toHex } from "../../../core/encoding/hex.ts";
import { asDiskError, systemErrorCode } from "../../disk/disk-errors.ts";
import { createDurably, replaceDurably } from "../../disk/durable-file.ts";
import { FileObjectStore } from "../file-object-store.ts";
import type { MayRemove, NamedBytes, ObjectStore } from "../object-store.ts";
import type { Report } from "../pack/pack-findings.ts";
import { requireCid } from "../require-cid.ts";
import { type IpfsPeer, makePeerKey, startIpfsPeer } from "./ipfs-peer.ts";
import { ObjectBlockstore } from "./object-blockstore.ts";

export interface EmbeddedIpfsSettings {
  /** Folder of its own. */
  readonly path: string;
  readonly listen: readonly string[];
  readonly peers: readonly string[];
}

export class EmbeddedIpfsObjectStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #peer: IpfsPeer;

  private constructor(store: ObjectStore, peer: IpfsPeer) {
    this.#store = store;
    this.#peer = peer;
  }

  /** @throws as `FileObjectStore.open`; InvalidInputError for addresses that cannot be used */
  static async open(
    { path, listen, peers }: EmbeddedIpfsSettings,
    report: Report = () => undefined,
  ): Promise<EmbeddedIpfsObjectStore> {
    const store = await FileObjectStore.open(join(path, "objects"), { report });
    let peer: IpfsPeer | undefined;
    try {
      const key = await peerKey(join(path, "peer-key"));
      peer = await startIpfsPeer({ blockstore: new ObjectBlockstore(store), key, listen, peers });
      replaceDurably(join(path, "peer-addresses"), `${peer.addresses.join("\n")}\n`);
      return new EmbeddedIpfsObjectStore(store, peer);
    } catch (error) {
      await peer?.stop();
      await store.close();
      throw asDiskError(error, `IPFS node in ${path}`);
    }
  }

  /** Multiaddrs, with the peer id, under which other nodes reach this one. */
  get addresses(): readonly string[] {
    return this.#peer.addresses;
  }

  async close(): Promise<void> {
    await this.#peer.stop();
    await this.#store.close();
  }

  async put(id: string, bytes: Uint8Array): Promise<void> {
    await this.putMany([{ id, bytes }]);
  }

  /** The bytes of an id are not hashed here: the peers that get them do, and so does whoever uploads and reads. */
  async putMany(objects: readonly NamedBytes[]): Promise<void> {
    for (const { id } of objects) requireCid(id);
    await this.#store.putMany(objects);
  }

  async get(id: string): Promise<Uint8Array | undefined> {
    requireCid(id);
    return this.#store.get(id);
  }

  async getRange(id: string, offset: number, lengthBytes: number): Promise<Uint8Array | undefined> {
    requireCid(id);
    return this.#store.getRange(id, offset, lengthBytes);
  }

  async has(id: string): Promise<boolean> {
    requireCid(id);
    return this.#store.has(id);
  }

  async size(id: string): Promise<number | undefined> {
    requireCid(id);
    return this.#store.size(id);
  }

  async delete(id: string): Promise<boolean> {
    requireCid(id);
    return this.#store.delete(id);
  }

  async deleteMany(ids: readonly string[], mayRemove?: MayRemove): Promise<number> {
    for (const id of ids) requireCid(id);
    return this.#store.deleteMany(ids, mayRemove);
  }

  compact(signal?: AbortSignal): Promise<number> {
    return this.#store.compact(signal);
  }

  list(): AsyncIterable<string> {
    return this.#store.list();
  }

  claim(owner: string): Promise<string> {
    return this.#store.claim(owner);
  }

  owner(): Promise<string | undefined> {
    return this.#store.owner();
  }
}

/** The node's key from its file, which is made at the first start. */
async function peerKey(file: string): Promise<Uint8Array> {
  try {
    return fromHex(readFileSync(file, "utf8").trim());
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
  }
  const key = await makePeerKey();
  createDurably(file, `${toHex(key)}\n`);
  return key;
}
