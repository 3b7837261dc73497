/**
 * Third stage of a put: chunks are sealed, and the recipes that refer to them are written. Sealed objects are yielded
 * in one fixed order, which is also the order of the data set that audits are about: for each entry its chunks, then
 * its recipe lists; where the listing completes a chunk, that chunk; at the end the rest of the listing, its lists, and
 * the root. `object-order.ts` finds the same order from the recipe alone.
 */

import { createSha256, sha256 } from "#primitives";
import { sealChunk } from "../../core/crypto/encryption.ts";
import { contentId } from "../../core/encoding/content-id.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { Chunker } from "../../core/recipe/chunker.ts";
import { ListingEncoder } from "../../core/recipe/listing.ts";
import { type ChunkRef, type Content, encodeRoot, type FileEntry, type RootRecipe } from "../../core/recipe/recipe.ts";
import { type SealedObject, sealRoot, writeContent } from "../../core/recipe/tree.ts";
import type { ReadEntry } from "./chunk-files.ts";
import { deriveKey, type KeyedInput, type KeyOracle } from "./derive-keys.ts";
import { storedTime } from "./stored-time.ts";

/** The result of a put, known after the last object. */
export interface AssembledRoot {
  readonly dataId: string;
  /** Key of the root recipe, 32 bytes: what is shared among the committee. */
  readonly fileKey: Uint8Array;
  readonly root: RootRecipe;
}

export class Assembler {
  readonly #oracle: KeyOracle;
  readonly #domain: string;
  readonly #signal: AbortSignal | undefined;
  /** References by content, so that a repeated chunk needs neither key nor cipher. */
  readonly #refs = new Map<string, ChunkRef>();
  readonly #listing = new ListingEncoder();
  readonly #listingChunker = new Chunker();
  readonly #listingHash = createSha256();
  readonly #listingRefs: ChunkRef[] = [];
  #fileRefs: ChunkRef[] = [];
  #result: AssembledRoot | undefined;

  constructor(oracle: KeyOracle, domain: string, signal?: AbortSignal) {
    this.#oracle = oracle;
    this.#domain = domain;
    this.#signal = signal;
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
  async *assemble(input: AsyncIterable<KeyedInput>): AsyncGenerator<SealedObject, void, undefined> {
    for await (const item of input) {
      if (item.kind === "chunk") {
        const object = this.#seal(item.content, item.key, item.plaintext);
        this.#fileRefs.push(this.#refOf(item.content));
        yield object;
      } else if (item.kind === "repeat") {
        this.#fileRefs.push(this.#refOf(item.content));
      } else {
        yield* this.#entry(item);
      }
    }
    yield* this.#root();
  }

  async *#entry(item: ReadEntry & { readonly fileKey?: Uint8Array }): AsyncGenerator<SealedObject, void, undefined> {
    const lists: SealedObject[] = [];
    const refs = this.#fileRefs;
    this.#fileRefs = [];
    const content = await writeContent(refs, async () => requireKey(item.fileKey), collectInto(lists));
    yield* lists;
    for (const chunk of this.#append(this.#listing.push(fileEntry(item, content))))
      yield await this.#listingChunk(chunk);
  }

  async *#root(): AsyncGenerator<SealedObject, void, undefined> {
    const last = this.#listingChunker.finish();
    if (last !== undefined) yield await this.#listingChunk(last);
    const lists: SealedObject[] = [];
    const listingKey = async () => await this.#keyOf("file", this.#listingHash.digest());
    const listing = await writeContent(this.#listingRefs, listingKey, collectInto(lists));
    yield* lists;
    const listingBytes = this.#listingRefs.reduce((sum, ref) => sum + ref.sizeBytes, 0);
    const root: RootRecipe = { version: 1, domain: this.#domain, ...this.#listing.totals, listingBytes, listing };
    const fileKey = await this.#keyOf("file", sha256(encodeRoot(root)));
    const object = sealRoot(fileKey, root);
    this.#result = { dataId: object.id, fileKey, root };
    yield object;
  }

  *#append(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
    this.#listingHash.update(bytes);
    yield* this.#listingChunker.push(bytes);
  }

  /** One key for one chunk: a listing completes a chunk once in thousands of entries. */
  async #listingChunk(plaintext: Uint8Array): Promise<SealedObject> {
    const digest = sha256(plaintext);
    const object = this.#seal(toHex(digest), await this.#keyOf("chunk", digest), plaintext);
    this.#listingRefs.push(this.#refOf(toHex(digest)));
    return object;
  }

  #seal(content: string, key: Uint8Array, plaintext: Uint8Array): SealedObject {
    const sealed = sealChunk(key, plaintext);
    const id = contentId(sealed);
    this.#refs.set(content, { id, key, sizeBytes: plaintext.length });
    return { id, sealed };
  }

  #refOf(content: string): ChunkRef {
    const ref = this.#refs.get(content);
    if (ref === undefined) throw new TallystickError("repeated chunk before its first", { code: "INTERNAL" });
    return ref;
  }

  async #keyOf(kind: "chunk" | "file", digest: Uint8Array): Promise<Uint8Array> {
    return await deriveKey(this.#oracle, this.#domain, kind, digest, this.#signal);
  }
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

function fileEntry({ entry, sizeBytes }: ReadEntry, content: Content): FileEntry {
  const { path, type } = entry;
  const { mode } = entry.metadata;
  const mtimeNanos = storedTime(entry.metadata.mtimeNanos);
  if (type === "file") return { path, mode, mtimeNanos, type, sizeBytes, content };
  if (type === "directory") return { path, mode, mtimeNanos, type };
  return { path, mode, mtimeNanos, type, target: entry.target };
}
