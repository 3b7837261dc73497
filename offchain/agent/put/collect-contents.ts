/**
 * Second stage of a put, after chunks were framed: contents that need a key are told from repeated ones, and small
 * files are collected into bundles. A content that occurred before in this put is passed on as its digest only.
 */
import { toHex } from "../../core/encoding/hex.ts";
import { BundleCutter, type BundleMember, type BundleStep, bundleDigest } from "../../core/recipe/bundle.ts";
import { fileDigest } from "../../core/recipe/frame.ts";
import { MAX_INLINE_CHUNKS } from "../../core/recipe/recipe.ts";
import type { Framed } from "../pipeline/data-stages.ts";
import type { ReadChunk, ReadEntry } from "./chunk-files.ts";

export type FramedInput = (Omit<ReadChunk, "stored"> & Framed) | ReadEntry;

/** A chunk with a content that is new in this put. */
export interface NewChunk extends Framed {
  readonly kind: "chunk";
  /** The digest in hex: the name of the content within the put. */
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
  readonly place?: NonNullable<BundleStep["place"]> & { readonly frameBytes: number };
}

export type CollectedInput = NewChunk | NewBundle | Repeated | CollectedEntry;

/** Collects what was framed. Memory: one bundle, and the digests of one file. */
export async function* collectContents(
  input: AsyncIterable<FramedInput>,
): AsyncGenerator<CollectedInput, void, undefined> {
  const collector = new Collector();
  for await (const item of input) {
    if (item.kind === "chunk") yield* collector.chunk(item);
    else yield* collector.entry(item);
  }
  yield* collector.bundle();
}

class Collector {
  readonly #seen = new Set<string>();
  readonly #cutter = new BundleCutter();
  #fileDigests: Uint8Array[] = [];
  /** The content of the entry that comes next, if it is a small file. */
  #smallFile: Framed | undefined;
  #members: BundleMember[] = [];
  #frames: Uint8Array[] = [];

  *chunk({ isSmallFile, frame, digest, sizeBytes }: Exclude<FramedInput, ReadEntry>): Generator<CollectedInput> {
    if (isSmallFile) {
      this.#smallFile = { frame, digest };
      return;
    }
    this.#fileDigests.push(digest);
    const content = toHex(digest);
    if (this.#isNew(content)) yield { kind: "chunk", content, digest, frame, sizeBytes };
    else yield { kind: "repeated chunk", content };
  }

  *entry(read: ReadEntry): Generator<CollectedInput> {
    const small = this.#smallFile;
    const digests = this.#fileDigests;
    this.#smallFile = undefined;
    this.#fileDigests = [];
    const member = small === undefined ? undefined : { digest: small.digest, frameBytes: small.frame.length };
    const step = this.#cutter.push(member);
    if (step.closesBefore) yield* this.bundle();
    if (small !== undefined && member !== undefined && step.place !== undefined) {
      this.#members.push(member);
      this.#frames.push(small.frame);
      yield { ...read, place: { ...step.place, frameBytes: member.frameBytes } };
    } else {
      yield digests.length > MAX_INLINE_CHUNKS ? { ...read, fileDigest: fileDigest(digests) } : read;
    }
    if (step.closesAfter) yield* this.bundle();
  }

  /** The bundle that is complete. */
  *bundle(): Generator<CollectedInput> {
    if (this.#members.length === 0) return;
    const [members, frames] = [this.#members, this.#frames];
    this.#members = [];
    this.#frames = [];
    const digest = bundleDigest(members);
    const content = toHex(digest);
    if (this.#isNew(content)) yield { kind: "bundle", content, digest, frames };
    else yield { kind: "repeated bundle", content };
  }

  #isNew(content: string): boolean {
    if (this.#seen.has(content)) return false;
    this.#seen.add(content);
    return true;
  }
}
