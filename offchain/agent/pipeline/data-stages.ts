/**
 * The two stages of a put that touch every byte: framing (compress, hash) and sealing (encrypt, hash). A platform may
 * run them on worker threads (`AgentPlatform.openStages`); `localStages` runs them where it is called.
 */
import { sha256 } from "#primitives";
import { sealChunk } from "../../core/crypto/encryption.ts";
import { sealSegment, segmentKey } from "../../core/crypto/segments.ts";
import { contentId } from "../../core/encoding/content-id.ts";
import { segmentBytes } from "../../core/recipe/bundle.ts";
import { loadFramer } from "../../core/recipe/frame.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";

/** A frame and its SHA-256. */
export interface Framed {
  readonly frame: Uint8Array;
  readonly digest: Uint8Array;
}

export interface DataStages {
  /**
   * Memory of one frame of the largest size, which `frame` takes without a copy. Absent: any memory will do. Whoever
   * takes it limits how much is in use; what is given back by `release` is used again.
   */
  readonly allocate?: () => Uint8Array;
  /** Compresses a stored frame if that is worthwhile. @param stored given away */
  frame(stored: Uint8Array): Promise<Framed>;
  /** Seals the frame of a chunk. @param frame given away */
  seal(frame: Uint8Array, key: Uint8Array): Promise<SealedObject>;
  /** Seals the frames of a bundle, each under its own key, into one object. */
  sealBundle(frames: readonly Uint8Array[], key: Uint8Array): Promise<SealedObject>;
  /** Takes back a frame or a sealed object that nobody reads any more. To forget it costs memory, nothing else. */
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
  async sealBundle(frames, key) {
    const sealed = new Uint8Array(frames.reduce((sum, frame) => sum + segmentBytes(frame.length), 0));
    let offset = 0;
    for (const [position, frame] of frames.entries()) {
      sealed.set(sealSegment(segmentKey(key, position), frame), offset);
      offset += segmentBytes(frame.length);
    }
    return { id: contentId(sealed), sealed };
  },
  release: () => undefined,
  close: async () => undefined,
};
