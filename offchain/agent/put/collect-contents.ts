/**
 * Stage of a put after chunks were framed: contents that need a key are told from repeated ones, and small files are
 * collected into bundles. A content that occurred before in this put is passed on as its digest only.
 *
 * In key mode `merkle`, the keys of a file's chunks derive from all of them, so none can be sealed before the file was
 * read to its end. The frames of a short file are held until then; a longer file is read a second time.
 */
import { merkleRoot } from "../../core/crypto/merkle-keys.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { BundleCutter, type BundleMember, type BundleStep, bundleDigest } from "../../core/recipe/bundle.ts";
import { fileDigest } from "../../core/recipe/frame.ts";
import { showPath } from "../../core/recipe/path-name.ts";
import { type KeyMode, MAX_INLINE_CHUNKS } from "../../core/recipe/recipe.ts";
import type { Framed } from "../pipeline/data-stages.ts";
import type { SourceEntry, SourceFile } from "../platform.ts";
import type { BundleRef } from "./bundle-ref.ts";
import type { ReadChunk, ReadEntry } from "./chunk-files.ts";
import type { ContentCache } from "./content-cache.ts";
import { FileChangedError } from "./input-errors.ts";

/** Frames of one file that are held until its end. */
const HELD_BYTES = 8 * 1024 * 1024;

export type FramedChunk = Omit<ReadChunk, "stored"> & Framed;
export type FramedInput = FramedChunk | ReadEntry;

/** A chunk with a content that is new in this put. */
export interface NewChunk extends Framed {
  readonly kind: "chunk";
  /** Name of the content within the put. */
  readonly content: string;
  readonly sizeBytes: number;
}

/** A bundle, after the entries of its files, and before everything that may be written once it is known. */
export interface NewBundle {
  readonly kind: "bundle";
  readonly content: string;
  readonly digest: Uint8Array;
  readonly frames: readonly Uint8Array[];
}

/** A bundle that an earlier put has stored. Its files need not be read. */
export interface KnownBundle {
  readonly kind: "known bundle";
  readonly content: string;
  readonly ref: BundleRef;
}

/** The Merkle root of a file, before its chunks. Key mode `merkle` only. */
export interface FileRoot {
  readonly kind: "file root";
  readonly digest: Uint8Array;
}

/** A chunk or bundle whose content occurred before. */
export interface Repeated {
  readonly kind: "repeated chunk" | "repeated bundle";
  readonly content: string;
}

/** An entry, after its chunks. */
export interface CollectedEntry extends ReadEntry {
  /** Digest of the whole file; present when it has more chunks than an entry carries inline. */
  readonly fileDigest?: Uint8Array;
  /** Where a small file is in the bundle that follows. */
  readonly place?: NonNullable<BundleStep["place"]> & BundleMember;
}

export type CollectedInput = NewChunk | NewBundle | KnownBundle | FileRoot | Repeated | CollectedEntry;

export interface CollectOptions {
  readonly keyMode: KeyMode;
  /** Reads a file again, chunk after chunk. */
  readonly readAgain: (file: SourceFile) => AsyncIterable<FramedChunk>;
  /** Takes back the memory of a frame that is not passed on. */
  readonly release: (frame: Uint8Array) => void;
  /** Bundles that it knows are not put together again. */
  readonly cache?: ContentCache | undefined;
}

/**
 * Collects what was framed. Memory: one bundle, and of one file the digests, in mode `merkle` also 8 MiB of frames.
 * @throws FileChangedError for a file that differs when it is read a second time; InvalidInputError for a stream that
 *   cannot be
 */
export async function* collectContents(
  input: AsyncIterable<FramedInput>,
  options: CollectOptions,
): AsyncGenerator<CollectedInput, void, undefined> {
  const collector = options.keyMode === "merkle" ? new MerkleCollector(options) : new Collector(options);
  for await (const item of input) {
    if (item.kind === "chunk") yield* collector.chunk(item);
    else yield* collector.entry(item);
  }
  yield* collector.bundle();
}

class Collector {
  protected readonly options: CollectOptions;
  readonly #seen = new Set<string>();
  readonly #cutter = new BundleCutter();
  #fileDigests: Uint8Array[] = [];
  /** The content of the entry that comes next, if it is a small file. */
  #smallFile: Framed | undefined;
  #members: BundleMember[] = [];
  /** Frames of the bundle; of a file that was not read, how to get it. */
  #frames: (() => Promise<Uint8Array>)[] = [];

  constructor(options: CollectOptions) {
    this.options = options;
  }

  *chunk(chunk: FramedChunk): Generator<CollectedInput> {
    if (chunk.isSmallFile) {
      this.#smallFile = chunk;
      return;
    }
    this.#fileDigests.push(chunk.digest);
    yield* this.chunkOfFile(chunk);
  }

  async *entry(read: ReadEntry): AsyncGenerator<CollectedInput> {
    const small = this.#smallFile;
    const digests = this.#fileDigests;
    this.#smallFile = undefined;
    this.#fileDigests = [];
    const known = read.cached?.kind === "small" ? read.cached.member : undefined;
    const member = small === undefined ? known : { digest: small.digest, frameBytes: small.frame.length };
    const step = this.#cutter.push(member);
    if (step.closesBefore) yield* this.bundle();
    if (member !== undefined && step.place !== undefined) {
      const { entry } = read;
      this.#members.push(member);
      this.#frames.push(async () => small?.frame ?? (await this.#frameOf(entry, member)));
      yield { ...read, place: { ...step.place, ...member } };
    } else {
      if (digests.length > 0 && read.entry.type === "file") yield* this.endOfFile(read.entry, digests);
      yield digests.length > MAX_INLINE_CHUNKS ? { ...read, fileDigest: fileDigest(digests) } : read;
    }
    if (step.closesAfter) yield* this.bundle();
  }

  /** The bundle that is complete. */
  async *bundle(): AsyncGenerator<CollectedInput> {
    if (this.#members.length === 0) return;
    const [members, getFrames] = [this.#members, this.#frames];
    this.#members = [];
    this.#frames = [];
    const digest = bundleDigest(members);
    const content = toHex(digest);
    if (!this.isNew(content)) {
      yield { kind: "repeated bundle", content };
      return;
    }
    const ref = await this.options.cache?.bundleOf(content);
    if (ref !== undefined) {
      yield { kind: "known bundle", content, ref };
      return;
    }
    const frames: Uint8Array[] = [];
    for (const get of getFrames) frames.push(await get());
    yield { kind: "bundle", content, digest, frames };
  }

  /** Reads a small file after all, because another one of its bundle has changed. */
  async #frameOf(entry: SourceEntry, { digest }: BundleMember): Promise<Uint8Array> {
    if (entry.type !== "file") throw new TallystickError("a bundle holds files only", { code: "INTERNAL" });
    for await (const chunk of this.options.readAgain(entry)) {
      if (chunk.isSmallFile && toHex(chunk.digest) === toHex(digest)) return chunk.frame;
    }
    throw changed(entry, "reading after the file cache");
  }

  /** @param content name of the chunk's content: equal names have equal keys */
  protected *collected({ frame, digest, sizeBytes }: FramedChunk, content: string): Generator<CollectedInput> {
    if (this.isNew(content)) {
      yield { kind: "chunk", content, digest, frame, sizeBytes };
    } else {
      this.options.release(frame);
      yield { kind: "repeated chunk", content };
    }
  }

  protected chunkOfFile(chunk: FramedChunk): Iterable<CollectedInput> {
    return this.collected(chunk, toHex(chunk.digest));
  }

  /** What is collected after the last chunk of a file. */
  protected endOfFile(
    _file: SourceFile,
    _digests: readonly Uint8Array[],
  ): Iterable<CollectedInput> | AsyncIterable<CollectedInput> {
    return [];
  }

  protected isNew(content: string): boolean {
    if (this.#seen.has(content)) return false;
    this.#seen.add(content);
    return true;
  }
}

class MerkleCollector extends Collector {
  /** Chunks of the file; undefined once they are too long to be held. */
  #held: FramedChunk[] | undefined = [];
  #heldBytes = 0;

  protected override chunkOfFile(chunk: FramedChunk): Iterable<CollectedInput> {
    this.#heldBytes += chunk.frame.buffer.byteLength;
    this.#held?.push(chunk);
    if (this.#heldBytes > HELD_BYTES) {
      for (const { frame } of this.#held ?? [chunk]) this.options.release(frame);
      this.#held = undefined;
    }
    return [];
  }

  protected override async *endOfFile(
    file: SourceFile,
    digests: readonly Uint8Array[],
  ): AsyncGenerator<CollectedInput> {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    const digest = merkleRoot(digests);
    const root = toHex(digest);
    const isKnown = !this.isNew(root);
    // The key of the file's lists derives from the root as well, also where all chunks are known.
    if (!isKnown || digests.length > MAX_INLINE_CHUNKS) yield { kind: "file root", digest };
    // Chunks share their keys within the file only, so the name of a content begins with that of the file.
    const nameOf = (chunk: Uint8Array) => `${root} ${toHex(chunk)}`;
    if (isKnown) {
      for (const { frame } of held ?? []) this.options.release(frame);
      for (const chunk of digests) yield { kind: "repeated chunk", content: nameOf(chunk) };
      return;
    }
    if (held === undefined && file.isReadOnce === true) throw readOnce(file);
    let index = 0;
    for await (const chunk of held ?? this.options.readAgain(file)) {
      const expected = digests[index++];
      if (expected === undefined || toHex(expected) !== toHex(chunk.digest)) throw changed(file);
      yield* this.collected(chunk, nameOf(chunk.digest));
    }
    if (index < digests.length) throw changed(file);
  }
}

function changed({ path }: SourceFile, check = "second reading for key mode merkle"): FileChangedError {
  return new FileChangedError(path, check, "the same bytes", "other bytes");
}

function readOnce({ path }: SourceFile): InvalidInputError {
  return new InvalidInputError(`the stream named ${showPath(path)} is too long for key mode merkle`, {
    party: "you",
    check: "length of a stream",
    expected: `at most ${HELD_BYTES} bytes: longer content is read twice`,
    hint: "put it in key mode oprf, or as a file or blob",
  });
}
