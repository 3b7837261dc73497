/**
 * Puts as trees for many look-ups: what a server needs to show them. Listings are indexed at the first look-up and kept
 * while there is room, the least recently used one going first, so that a request does not read a listing again.
 */

import { sha256 } from "#primitives";
import { toBase64Url } from "../../core/encoding/base64url.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { pathToBytes, showPath } from "../../core/recipe/path-name.ts";
import type { RootRecipe } from "../../core/recipe/recipe.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import type { NamedMetadata } from "../../core/snapshot/snapshot.ts";
import type { ByteRange } from "./byte-range.ts";
import { CachedSource } from "./cached-source.ts";
import { type IndexedEntry, type ListingIndex, ListingIndexBuilder } from "./listing-index.ts";
import type { ObjectSource } from "./object-source.ts";
import { readListing } from "./read-content.ts";
import { fileStream } from "./read-range.ts";
import type { ReadableTree, TreeEntry, TreePath } from "./readable-tree.ts";
import { withStubsOf } from "./stubbed-source.ts";
import { withMetadata } from "./with-metadata.ts";

/** What the trees of one agent keep in memory. */
export interface TreeLimits {
  /** All indexes together, and each of them. Default 96 MiB, which is the listing of some 500,000 files. */
  readonly indexBytes: number;
  /** Sealed objects fetched lately. Default 32 MiB. */
  readonly objectBytes: number;
  /** Chunks of at most 2 MiB that each open file is read ahead. Default 2. */
  readonly chunksAhead: number;
}

const MIB = 1_048_576;
export const TREE_LIMITS: TreeLimits = { indexBytes: 96 * MIB, objectBytes: 32 * MIB, chunksAhead: 2 };

/** The metadata of a snapshot: that of each entry, in listing order. */
export type MetadataOf = (snapshot: NamedMetadata) => AsyncIterable<EntryMetadata>;

/** A root recipe, and the stubs of a revocable put. */
export interface TreeRoot {
  readonly root: RootRecipe;
  readonly stubs?: Uint8Array;
}

/** The entries of a tree, and where their contents come from. */
interface IndexedTree {
  readonly index: ListingIndex;
  readonly source: ObjectSource;
}

/** What a tree is made of. */
interface TreeSource {
  readonly dataId: string;
  /** Absent where no times are known. */
  readonly metadataId: string | undefined;
  /** Under whose keys the metadata is, if not under the account's. */
  readonly device: string | undefined;
}

/** Bytes of the digest in a file's tag. */
const TAG_BYTES = 16;

export class StoredTrees {
  readonly #openRoot: (dataId: string) => Promise<TreeRoot>;
  readonly #source: ObjectSource;
  readonly #limits: TreeLimits;
  readonly #metadataOf: MetadataOf;
  /** By data id and metadata id. In order of use, the oldest first. */
  readonly #indexes = new Map<string, Promise<IndexedTree>>();
  readonly #sizes = new Map<string, number>();
  #lastBuild: Promise<unknown> = Promise.resolve();

  /**
   * @param openRoot finds the key of a put and opens its root recipe
   * @param source of all puts
   * @param metadataOf reads the times of the trees that have a metadata id
   */
  constructor(
    openRoot: (dataId: string) => Promise<TreeRoot>,
    source: ObjectSource,
    limits: Partial<TreeLimits> = {},
    metadataOf: MetadataOf = async function* () {},
  ) {
    this.#openRoot = openRoot;
    this.#limits = { ...TREE_LIMITS, ...limits };
    this.#metadataOf = metadataOf;
    this.#source = new CachedSource(source, this.#limits.objectBytes);
  }

  /**
   * The files of one put. Nothing is read yet.
   * @param metadataId of a snapshot of the put, for the times of the entries
   * @param device that the snapshot names, if it names one
   */
  tree(dataId: string, metadataId?: string, device?: string): ReadableTree {
    const index = () => this.#indexOf({ dataId, metadataId, device });
    return new StoredTree(dataId, index, this.#limits.chunksAhead);
  }

  /** One build for all who need the index now. A build that fails is forgotten, so that the next one may succeed. */
  #indexOf(source: TreeSource): Promise<IndexedTree> {
    const key = `${source.dataId} ${source.metadataId ?? ""} ${source.device ?? ""}`;
    const known = this.#indexes.get(key);
    this.#indexes.delete(key);
    const index = known ?? this.#build(key, source);
    this.#indexes.set(key, index);
    return index;
  }

  /** Builds run one after the other, because the memory of all of them is limited together. */
  #build(key: string, source: TreeSource): Promise<IndexedTree> {
    const building = this.#lastBuild.then(() => this.#read(key, source));
    this.#lastBuild = building.catch(() => this.#forget(key));
    return building;
  }

  async #read(key: string, { dataId, metadataId, device }: TreeSource): Promise<IndexedTree> {
    const { root, stubs } = await this.#openRoot(dataId);
    const named = metadataId === undefined ? undefined : { metadataId, ...(device === undefined ? {} : { device }) };
    const metadata = named && this.#metadataOf(named);
    const builder = new ListingIndexBuilder();
    // Metadata that is damaged costs times only.
    for await (const entry of withMetadata(readListing(root, this.#source), metadata, () => undefined)) {
      const { mtimeNanos } = entry.metadata ?? {};
      builder.push(entry, mtimeNanos === undefined ? undefined : Number(mtimeNanos / 1_000_000n));
      if (builder.sizeBytes > this.#limits.indexBytes) throw tooLarge(dataId, root, this.#limits.indexBytes);
      if (builder.sizeBytes !== this.#sizes.get(key)) this.#makeRoom(key, builder.sizeBytes);
    }
    return { index: builder.finish(), source: withStubsOf(this.#source, stubs) };
  }

  /** Drops the indexes that were not used for longest until the one that is being built fits. */
  #makeRoom(key: string, sizeBytes: number): void {
    this.#sizes.set(key, sizeBytes);
    let sum = [...this.#sizes.values()].reduce((total, size) => total + size, 0);
    for (const other of [...this.#indexes.keys()]) {
      if (sum <= this.#limits.indexBytes) return;
      const size = this.#sizes.get(other);
      if (other === key || size === undefined) continue;
      this.#forget(other);
      sum -= size;
    }
  }

  #forget(key: string): void {
    this.#indexes.delete(key);
    this.#sizes.delete(key);
  }
}

class StoredTree implements ReadableTree {
  readonly #dataId: string;
  readonly #index: () => Promise<IndexedTree>;
  readonly #chunksAhead: number;

  constructor(dataId: string, index: () => Promise<IndexedTree>, chunksAhead: number) {
    this.#dataId = dataId;
    this.#index = index;
    this.#chunksAhead = chunksAhead;
  }

  async stat(path: TreePath, signal?: AbortSignal): Promise<TreeEntry | undefined> {
    signal?.throwIfAborted();
    const { index } = await this.#index();
    if (path === "") return { type: "directory", name: "" };
    const found = index.find(path);
    return found === undefined ? undefined : this.#describe(found);
  }

  async *list(path: TreePath, signal?: AbortSignal): AsyncGenerator<TreeEntry, void, undefined> {
    signal?.throwIfAborted();
    const { index } = await this.#index();
    const folder = path === "" ? undefined : index.find(path);
    if (path !== "" && folder?.entry.type !== "directory") throw notThere("folder", path);
    for (const child of index.children(folder)) yield this.#describe(child);
  }

  async open(
    path: TreePath,
    range: Partial<ByteRange> = {},
    signal?: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>> {
    signal?.throwIfAborted();
    const { index, source } = await this.#index();
    const entry = index.find(path)?.entry;
    if (entry?.type !== "file") throw notThere("file", path);
    return fileStream(entry, source, range, { chunksAhead: this.#chunksAhead, signal });
  }

  #describe({ entry, modifiedMillis }: IndexedEntry): TreeEntry {
    const name = entry.path.slice(entry.path.lastIndexOf("/") + 1);
    const common = { name, modifiedMillis };
    if (entry.type === "directory") return { ...common, type: "directory" };
    if (entry.type === "symlink") return { ...common, type: "symlink", target: entry.target };
    return { ...common, type: "file", sizeBytes: entry.sizeBytes, tag: tagOf(this.#dataId, entry.path) };
  }
}

/** A data id fixes the bytes of each of its paths. */
function tagOf(dataId: string, path: string): string {
  return toBase64Url(sha256(pathToBytes(`${dataId}/${path}`)).subarray(0, TAG_BYTES));
}

/** @param kind what the path was expected to name */
export function notThere(kind: "file" | "folder", path: TreePath): TallystickError {
  return new TallystickError(`there is no ${kind} ${showPath(path)}`, {
    code: "NOT_FOUND",
    party: "you",
    check: "path in the tree",
    received: showPath(path),
  });
}

function tooLarge(dataId: string, root: RootRecipe, indexBytes: number): InvalidInputError {
  return new InvalidInputError(`the listing of ${dataId} is too large to be kept in memory`, {
    party: "you",
    check: "size of the listing",
    expected: `an index of at most ${indexBytes} bytes`,
    received: `${root.entryCount} entries`,
    hint: "restore it with `tallystick get`",
  });
}
