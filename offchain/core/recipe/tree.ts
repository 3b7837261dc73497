/**
 * Contents of any length as trees of list objects, written and read as streams of chunk references. At most one list
 * per level is in memory in either direction: 8192 references for a content of 8 GiB, 16,384 beyond that.
 *
 * Storing and loading are callbacks, so that the same code serves every provider, cache and test. What is loaded is
 * checked here: its id, its seal, its level, and that sizes add up at every level.
 */

import { CHUNK_OVERHEAD_BYTES, openRecipe, sealRecipe } from "../crypto/encryption.ts";
import { contentId } from "../encoding/content-id.ts";
import { IntegrityError, InvalidInputError } from "../errors.ts";
import { isFrameOf } from "./chunk-object.ts";
import { loadFramer, storedFrame } from "./frame.ts";
import {
  type BlobRef,
  type ChunkedContent,
  type ChunkRef,
  decodeList,
  decodeRoot,
  encodeList,
  encodeRoot,
  isChunkList,
  type ListRef,
  MAX_INLINE_CHUNKS,
  MAX_LIST_LEVEL,
  MAX_LIST_REFS,
  type RootRecipe,
} from "./recipe.ts";

/** A sealed object under its content id. */
export interface SealedObject {
  readonly id: string;
  readonly sealed: Uint8Array;
}

/** Takes a sealed object to be stored; a content that refers to it is only valid once the promise has resolved. */
export type StoreObject = (object: SealedObject) => Promise<void>;

/** Returns the sealed bytes of an object. Rejects if the object is not available; it need not verify the bytes. */
export type LoadObject = (id: string) => Promise<Uint8Array>;

/** Seals the root recipe of a put. Its id is the data id. */
export function sealRoot(fileKey: Uint8Array, root: RootRecipe): SealedObject {
  const sealed = sealRecipe(fileKey, "root", encodeRoot(root));
  return { id: contentId(sealed), sealed };
}

/**
 * Opens the root recipe of a put.
 * @param dataId content id that the bytes must have
 * @throws IntegrityError if they have another, or do not decrypt
 * @throws UnknownVersionError, InvalidInputError for a root this build cannot read
 */
export function openRoot(fileKey: Uint8Array, dataId: string, sealed: Uint8Array): RootRecipe {
  requireId(dataId, sealed);
  return decodeRoot(openRecipe(fileKey, "root", sealed, dataId));
}

function requireId(id: string, sealed: Uint8Array): void {
  const received = contentId(sealed);
  if (received === id) return;
  throw new IntegrityError(`object ${id} is not what its id names`, { check: "content id", expected: id, received });
}

/**
 * Whether bytes are the plaintext of a chunk. Compression and sealing are deterministic, so they are if they seal to
 * its id. Saves a download without trusting the source of the bytes.
 */
export async function isPlaintextOf(ref: ChunkRef, bytes: Uint8Array): Promise<boolean> {
  if (bytes.length !== ref.sizeBytes) return false;
  const stored = storedFrame(bytes);
  const isStored = ref.sealedBytes === stored.length + CHUNK_OVERHEAD_BYTES;
  const frame = isStored ? stored : (await loadFramer())(stored);
  return frame.length + CHUNK_OVERHEAD_BYTES === ref.sealedBytes && isFrameOf(ref, frame);
}

/** Fills list objects of one level; hands references to full ones to the level above. */
class LevelWriter {
  readonly #level: number;
  readonly #fileKey: Uint8Array;
  readonly #store: StoreObject;
  #refs: (ChunkRef | ListRef)[] = [];
  #above: LevelWriter | undefined;

  constructor(level: number, fileKey: Uint8Array, store: StoreObject) {
    this.#level = level;
    this.#fileKey = fileKey;
    this.#store = store;
  }

  async push(ref: ChunkRef | ListRef): Promise<void> {
    // A list is closed when the next reference comes, not when it is full: exactly one full list needs no level above.
    if (this.#refs.length === MAX_LIST_REFS) {
      if (this.#level === MAX_LIST_LEVEL)
        throw new InvalidInputError("content has too many chunks", { check: "levels" });
      this.#above ??= new LevelWriter(this.#level + 1, this.#fileKey, this.#store);
      await this.#above.push(await this.#flush());
    }
    this.#refs.push(ref);
  }

  async finish(): Promise<BlobRef> {
    const last = await this.#flush();
    if (this.#above === undefined) return { level: this.#level, key: this.#fileKey, ...last };
    await this.#above.push(last);
    return this.#above.finish();
  }

  async #flush(): Promise<ListRef> {
    const refs = this.#refs;
    this.#refs = [];
    // The level decides which references are pushed here, see `writeContent`.
    const list = this.#level === 0 ? { level: 0 as const, refs: refs as ChunkRef[] } : { level: this.#level, refs };
    const sealed = sealRecipe(this.#fileKey, "list", encodeList(list));
    const id = contentId(sealed);
    await this.#store({ id, sealed });
    return { id, sizeBytes: refs.reduce((sum, ref) => sum + ref.sizeBytes, 0) };
  }
}

/**
 * Turns a stream of chunk references into a content: inline up to 8 chunks, a tree of sealed lists beyond.
 * @param refs in the order of the bytes
 * @param fileKey asked for once, and only when a tree is needed. It comes from the digest of the whole file, so the
 *   references come from something that has kept them until the file was read
 * @param store called for each list, one at a time, lower levels first
 */
export async function writeContent(
  refs: AsyncIterable<ChunkRef> | Iterable<ChunkRef>,
  fileKey: () => Promise<Uint8Array>,
  store: StoreObject,
): Promise<ChunkedContent> {
  const chunks: ChunkRef[] = [];
  let tree: LevelWriter | undefined;
  for await (const ref of refs) {
    if (tree === undefined && chunks.length < MAX_INLINE_CHUNKS) {
      chunks.push(ref);
      continue;
    }
    if (tree === undefined) {
      tree = new LevelWriter(0, await fileKey(), store);
      for (const first of chunks) await tree.push(first);
    }
    await tree.push(ref);
  }
  return tree === undefined ? { chunks } : { blob: await tree.finish() };
}

/** A chunk reference, and where in its content the chunk begins. */
export interface PlacedRef {
  readonly ref: ChunkRef;
  readonly offset: number;
}

/**
 * Reads a content as a stream of chunk references, in the order of the bytes.
 * @param load called for each list when its turn comes
 * @throws IntegrityError if a list is not what its id names, does not decrypt, or does not add up
 * @throws UnknownVersionError, InvalidInputError for a list this build cannot read
 */
export async function* readContent(
  content: ChunkedContent,
  load: LoadObject,
): AsyncGenerator<ChunkRef, void, undefined> {
  for await (const { ref } of readContentFrom(content, load, 0)) yield ref;
}

/**
 * Reads the end of a content: the references from the chunk that holds a byte on. Lists that end before the byte are
 * not loaded.
 * @param startBytes offset of the byte; from the size of the content on, there are no references
 * @throws as `readContent`
 */
export async function* readContentFrom(
  content: ChunkedContent,
  load: LoadObject,
  startBytes: number,
): AsyncGenerator<PlacedRef, void, undefined> {
  if (!("blob" in content)) {
    yield* reaching(content.chunks, startBytes, 0);
    return;
  }
  if (startBytes >= content.blob.sizeBytes) return;
  yield* readList(content.blob, 0, { fileKey: content.blob.key, level: content.blob.level, startBytes }, load);
}

/** The references that reach beyond a byte. @param offset of the first one */
function* reaching<Ref extends { readonly sizeBytes: number }>(
  refs: readonly Ref[],
  startBytes: number,
  offset: number,
): Generator<{ readonly ref: Ref; readonly offset: number }, void, undefined> {
  let at = offset;
  for (const ref of refs) {
    if (at + ref.sizeBytes > startBytes) yield { ref, offset: at };
    at += ref.sizeBytes;
  }
}

async function* readList(
  ref: ListRef,
  offset: number,
  place: { readonly fileKey: Uint8Array; readonly level: number; readonly startBytes: number },
  load: LoadObject,
): AsyncGenerator<PlacedRef, void, undefined> {
  const { fileKey, level, startBytes } = place;
  const sealed = await load(ref.id);
  requireId(ref.id, sealed);
  const list = decodeList(openRecipe(fileKey, "list", sealed, ref.id), level);
  const sizeBytes = list.refs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (sizeBytes !== ref.sizeBytes) {
    throw new IntegrityError(`recipe list ${ref.id} does not add up`, {
      check: "size",
      expected: `${ref.sizeBytes} bytes`,
      received: `${sizeBytes} bytes`,
    });
  }
  if (isChunkList(list)) {
    yield* reaching(list.refs, startBytes, offset);
    return;
  }
  for (const lower of reaching(list.refs, startBytes, offset)) {
    yield* readList(lower.ref, lower.offset, { ...place, level: level - 1 }, load);
  }
}
