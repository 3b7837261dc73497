/**
 * Fifth stage of a put: the recipes that refer to sealed objects are written. Objects are yielded in one fixed order,
 * which is also the order of the data set that audits are about: for each entry its chunks, then its recipe lists. The
 * entries from the first file of a bundle on are held back until the bundle is known: before the first file of the next
 * bundle, after 4096 entries, or at the end. Then comes the bundle. Where a listing entry that is written completes a
 * chunk of the listing, that chunk follows; at the end the rest of the listing, its lists, and the root.
 * `object-order.ts` finds the same order from the recipe alone.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { segmentBytes } from "../../core/recipe/bundle.ts";
import { Chunker } from "../../core/recipe/chunker.ts";
import { FRAME_HEAD_BYTES, fileDigest } from "../../core/recipe/frame.ts";
import { ListingEncoder } from "../../core/recipe/listing.ts";
import {
  type ChunkedContent,
  type ChunkRef,
  type Content,
  encodeRoot,
  type FileEntry,
  type RootRecipe,
} from "../../core/recipe/recipe.ts";
import { type SealedObject, sealRoot, writeContent } from "../../core/recipe/tree.ts";
import { MAX_STUBS } from "../../core/revocable/stub-file.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import type { DataStages } from "../pipeline/data-stages.ts";
import type { AfterDurable } from "./after-durable.ts";
import type { BundleRef } from "./bundle-ref.ts";
import type { CollectedEntry } from "./collect-contents.ts";
import type { ContentCache } from "./content-cache.ts";
import { deriveKey, type KeyDerivation } from "./derive-keys.ts";
import type { SealedInput } from "./seal-contents.ts";

/** The result of a put, known after the last object. */
export interface AssembledRoot {
  readonly dataId: string;
  /** Key of the root recipe, 32 bytes: what is shared among the committee. */
  readonly fileKey: Uint8Array;
  readonly root: RootRecipe;
  /** Length of the sealed root. */
  readonly rootBytes: number;
  /** Of the packages, one after the other; key mode `revocable` only. */
  readonly stubs?: Uint8Array;
}

export interface AssemblerContext extends KeyDerivation {
  readonly stages: DataStages;
  /** Takes the metadata of every entry, in listing order. */
  readonly onEntry?: ((metadata: EntryMetadata) => Promise<void>) | undefined;
  /** Remembers contents once their objects are durable. */
  readonly cache?: ContentCache | undefined;
  readonly durable?: AfterDurable | undefined;
}

type SealedEntry = Extract<SealedInput, { kind: "entry" }>;

/** An entry that waits for its bundle, or for that of an entry before it. */
type HeldEntry =
  | { readonly item: SealedEntry; readonly content: ChunkedContent }
  | { readonly item: SealedEntry; readonly place: NonNullable<CollectedEntry["place"]> };

export class Assembler {
  readonly #context: AssemblerContext;
  /** References by content, so that a repeated content needs neither key nor cipher. */
  readonly #refs = new Map<string, ChunkRef>();
  readonly #bundles = new Map<string, BundleRef>();
  readonly #listing = new ListingEncoder();
  readonly #listingChunker = new Chunker();
  readonly #listingDigests: Uint8Array[] = [];
  readonly #listingRefs: ChunkRef[] = [];
  #fileRefs: ChunkRef[] = [];
  readonly #stubs: Uint8Array[] = [];
  #held: HeldEntry[] = [];
  #result: AssembledRoot | undefined;

  constructor(context: AssemblerContext) {
    this.#context = context;
  }

  /** @throws TallystickError INTERNAL before the last object has been taken */
  get result(): AssembledRoot {
    if (this.#result === undefined) throw new TallystickError("nothing assembled yet", { code: "INTERNAL" });
    return this.#result;
  }

  /**
   * @returns sealed objects, in order. Equal objects may come up more than once (equal files have equal lists).
   * @throws TallystickError QUORUM_FAILED, RATE_LIMITED for keys of the listing and the root
   */
  async *assemble(input: AsyncIterable<SealedInput>): AsyncGenerator<SealedObject, void, undefined> {
    for await (const item of input) {
      switch (item.kind) {
        case "chunk": {
          const ref = this.#context.keyMode === "revocable" ? this.#withStub(item.ref) : item.ref;
          this.#refs.set(item.content, ref);
          this.#fileRefs.push(ref);
          yield item.object;
          break;
        }
        case "repeated chunk":
          this.#fileRefs.push(known(this.#refs, item.content));
          break;
        case "bundle":
          this.#bundles.set(item.content, item.ref);
          yield item.object;
          this.#rememberBundle(item.content, item.ref);
          yield* this.#release(item.ref);
          break;
        case "known bundle":
          this.#bundles.set(item.content, item.ref);
          yield* this.#release(item.ref);
          break;
        case "repeated bundle":
          yield* this.#release(known(this.#bundles, item.content));
          break;
        case "entry":
          yield* this.#entry(item);
      }
    }
    yield* this.#root();
  }

  async *#entry(item: SealedEntry): AsyncGenerator<SealedObject, void, undefined> {
    if (item.place !== undefined) {
      this.#held.push({ item, place: item.place });
      return;
    }
    const lists: SealedObject[] = [];
    const refs = this.#fileRefs;
    this.#fileRefs = [];
    const content =
      item.cached?.kind === "chunked"
        ? item.cached.content
        : await writeContent(refs, async () => requireKey(item.fileKey), collectInto(lists));
    yield* lists;
    if (this.#held.length > 0) this.#held.push({ item, content });
    else yield* this.#append(item, content);
  }

  /** Puts the stub of a package at the end of the stub file. */
  #withStub(ref: ChunkRef): ChunkRef {
    const stub = this.#stubs.length;
    if (stub >= MAX_STUBS) {
      throw new InvalidInputError("the put has too many chunks to be revocable", {
        party: "you",
        check: "chunks of a revocable put",
        expected: `at most ${MAX_STUBS}`,
        hint: "put its folders one by one, or without --revocable",
      });
    }
    this.#stubs.push(ref.key);
    return { ...ref, stub };
  }

  /** Writes the entries that waited for a bundle. */
  async *#release({ id, key, bundleBytes }: BundleRef): AsyncGenerator<SealedObject, void, undefined> {
    const held = this.#held;
    this.#held = [];
    for (const entry of held) {
      if ("content" in entry) {
        yield* this.#append(entry.item, entry.content);
        continue;
      }
      const { position, offset, frameBytes } = entry.place;
      const sealedBytes = segmentBytes(frameBytes);
      const { sizeBytes } = entry.item;
      const segment = { id, key, bundleBytes, position, offset, sealedBytes, sizeBytes };
      yield* this.#append(entry.item, { segment });
    }
  }

  async *#append(item: SealedEntry, content: Content): AsyncGenerator<SealedObject, void, undefined> {
    const bytes = this.#listing.push(fileEntry(item, content));
    for (const stored of this.#listingChunker.push(bytes)) yield await this.#listingChunk(stored);
    await this.#context.onEntry?.(item.entry.metadata);
    const { cache, durable } = this.#context;
    if (cache === undefined) return;
    const { entry, place, cached } = item;
    const chunked = "segment" in content || entry.type !== "file" ? undefined : content;
    // What is remembered of a small file is its digest: that its bundle is stored, the record of the bundle says.
    const needsObjects = chunked !== undefined && cached === undefined;
    durable?.inOrder(() => cache.remember(entry, place ?? chunked, cached !== undefined), { needsObjects });
  }

  #rememberBundle(content: string, ref: BundleRef): void {
    const { cache, durable } = this.#context;
    durable?.defer(() => cache?.rememberBundle(content, ref));
  }

  async *#root(): AsyncGenerator<SealedObject, void, undefined> {
    const { domain, keyMode } = this.#context;
    const last = this.#listingChunker.finish();
    if (last !== undefined) yield await this.#listingChunk(last);
    const lists: SealedObject[] = [];
    const listingKey = async () => await this.#keyOf("file", fileDigest(this.#listingDigests));
    const listing = await writeContent(this.#listingRefs, listingKey, collectInto(lists));
    yield* lists;
    const listingBytes = this.#listingRefs.reduce((sum, ref) => sum + ref.sizeBytes, 0);
    const root: RootRecipe = {
      version: 1,
      domain,
      keyMode,
      ...this.#listing.totals,
      listingBytes,
      listing,
    };
    const fileKey = await this.#keyOf("file", sha256(encodeRoot(root)));
    const object = sealRoot(fileKey, root);
    const stubs = keyMode === "revocable" ? { stubs: concatBytes(...this.#stubs) } : {};
    this.#result = { dataId: object.id, fileKey, root, rootBytes: object.sealed.length, ...stubs };
    yield object;
  }

  /** One key for one chunk: a listing completes a chunk once in thousands of entries. */
  async #listingChunk(stored: Uint8Array): Promise<SealedObject> {
    const { stages } = this.#context;
    const sizeBytes = stored.length - FRAME_HEAD_BYTES;
    const { frame, digest } = await stages.frame(stored);
    const key = await this.#keyOf("chunk", digest);
    const object = await stages.seal(frame, key);
    this.#listingDigests.push(digest);
    this.#listingRefs.push({ id: object.id, key, sizeBytes, sealedBytes: object.sealed.length });
    return object;
  }

  async #keyOf(kind: "chunk" | "file", digest: Uint8Array): Promise<Uint8Array> {
    const { cache } = this.#context;
    const known = cache?.recipeKey(kind, digest);
    if (known !== undefined) return known;
    const key = await deriveKey(this.#context, kind, digest);
    cache?.rememberRecipeKey(kind, digest, key);
    return key;
  }
}

function known<Ref>(refs: ReadonlyMap<string, Ref>, content: string): Ref {
  const ref = refs.get(content);
  if (ref === undefined) throw new TallystickError("repeated content before its first", { code: "INTERNAL" });
  return ref;
}

function collectInto(objects: SealedObject[]): (object: SealedObject) => Promise<void> {
  return async (object) => {
    objects.push(object);
  };
}

function requireKey(fileKey: Uint8Array | undefined): Uint8Array {
  if (fileKey !== undefined) return fileKey;
  throw new TallystickError("a file with many chunks came without its key", { code: "INTERNAL" });
}

function fileEntry({ entry, sizeBytes }: SealedEntry, content: Content): FileEntry {
  const { path, type } = entry;
  if (type === "file") return { path, type, sizeBytes, content };
  if (type === "directory") return { path, type };
  return { path, type, target: entry.target };
}
