/**
 * The stages that touch every byte: framing (compress, hash) and sealing (encrypt, hash) of a put, opening (hash,
 * decrypt, decompress) of a get. A platform may run them on worker threads (`AgentPlatform.openStages`); `localStages`
 * runs them where it is called.
 */
import { sha256 } from "#primitives";
import { sealChunk } from "../../core/crypto/encryption.ts";
import { layOutBundle, sealBundleInPlace } from "../../core/crypto/segments.ts";
import { contentId, contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { TallystickError } from "../../core/errors.ts";
import { openChunkObject } from "../../core/recipe/chunk-object.ts";
import type { AllocateFrame } from "../../core/recipe/chunker.ts";
import { loadFramer, readFrame } from "../../core/recipe/frame.ts";
import type { ChunkRef } from "../../core/recipe/recipe.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import { PACKAGE_OVERHEAD_BYTES, packInPlace } from "../../core/revocable/package.ts";
import type { OprfStage } from "./oprf-stage.ts";
import { macOf } from "./written-mac.ts";

/** A frame and its SHA-256. */
export interface Framed {
  readonly frame: Uint8Array;
  readonly digest: Uint8Array;
}

/** A package under its content id, and the stub that opens it. */
export interface PackedObject extends SealedObject {
  readonly stub: Uint8Array;
}

/** Plaintext of a chunk. */
export interface OpenedChunk {
  readonly plaintext: Uint8Array;
  /** See written-mac.ts; present if a key was given. */
  readonly mac?: Uint8Array;
}

/** What became of a sealed chunk. */
export interface OpenOutcome {
  /** Content id of the sealed bytes. If it is not that of the reference, nothing else was looked at. */
  readonly id: string;
  readonly opened?: OpenedChunk;
  /** Why bytes that have the id are not the chunk. */
  readonly failure?: TallystickError;
}

export interface DataStages {
  /** Where the OPRF of the keys is computed, beside the data. Absent: in the thread of the agent. */
  readonly oprf?: OprfStage;
  /**
   * Memory that `frame` takes without a copy. Absent: any memory will do. Whoever takes it limits how much is in use;
   * what is given back by `release` is used again.
   */
  readonly allocate?: AllocateFrame;
  /** Compresses a stored frame if that is worthwhile. @param stored given away */
  frame(stored: Uint8Array): Promise<Framed>;
  /** Seals the frame of a chunk. @param frame given away */
  seal(frame: Uint8Array, key: Uint8Array): Promise<SealedObject>;
  /** Makes the package of a frame. @param frame given away @returns with its stub */
  pack(frame: Uint8Array, key: Uint8Array): Promise<PackedObject>;
  /** Seals the frames of a bundle, each under its own key, into one object. */
  sealBundle(frames: readonly Uint8Array[], key: Uint8Array): Promise<SealedObject>;
  /** Memory for one sealed object of the largest size, which `open` takes without a copy; see `allocate`. */
  readonly allocateSealed?: () => Uint8Array;
  /**
   * Verifies and opens a chunk.
   * @param sealed given away
   * @param macKey asks for the MAC of the plaintext
   */
  open(sealed: Uint8Array, ref: ChunkRef, macKey?: Uint8Array): Promise<OpenOutcome>;
  /**
   * Takes back a frame, a sealed object or a plaintext that nobody reads any more, once. To forget it costs memory,
   * nothing else.
   */
  release(bytes: Uint8Array): void;
  /** Ends what runs beside this thread. */
  close(): Promise<void>;
}

/** The stages in this thread. */
export const localStages: DataStages = {
  async frame(stored) {
    const frame = (await loadFramer())(stored);
    // A short frame does not hold on to the memory of the chunk it came from.
    const own = 2 * frame.length < frame.buffer.byteLength ? frame.slice() : frame;
    return { frame: own, digest: sha256(own) };
  },
  async seal(frame, key) {
    const sealed = sealChunk(key, frame);
    return { id: contentId(sealed), sealed };
  },
  async pack(frame, key) {
    const memory = new Uint8Array(frame.length + PACKAGE_OVERHEAD_BYTES);
    memory.set(frame);
    const { object, digest, stub } = packInPlace(key, memory, frame.length);
    return { id: contentIdFromDigest(digest), sealed: object, stub };
  },
  async sealBundle(frames, key) {
    const sealed = layOutBundle(frames);
    sealBundleInPlace(
      key,
      sealed,
      frames.map(({ length }) => length),
    );
    return { id: contentId(sealed), sealed };
  },
  async open(sealed, ref, macKey) {
    const id = contentId(sealed);
    if (id !== ref.id) return { id };
    try {
      const frame = openChunkObject(ref, sealed, id);
      const plaintext = await readFrame(frame, ref.sizeBytes, `chunk ${id}`);
      return { id, opened: macKey === undefined ? { plaintext } : { plaintext, mac: macOf(macKey, id, plaintext) } };
    } catch (failure) {
      if (!(failure instanceof TallystickError)) throw failure;
      return { id, failure };
    }
  },
  release: () => undefined,
  close: async () => undefined,
};
