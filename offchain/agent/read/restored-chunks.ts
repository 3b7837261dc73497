/**
 * The chunks of a restore. One that occurs again is not downloaded again: it is shared while its first occurrence waits
 * to be written, and read back from the target afterwards. What is read back counts only with its MAC
 * (pipeline/written-mac.ts), so that a file that somebody has changed meanwhile costs a download and nothing else.
 */
import type { ChunkRef } from "../../core/recipe/recipe.ts";
import { type DataStages, localStages, type OpenedChunk } from "../pipeline/data-stages.ts";
import { isMacOf, macOf, newMacKey } from "../pipeline/written-mac.ts";
import type { WrittenFile } from "../platform.ts";
import type { ObjectSource } from "./object-source.ts";
import { receivedChunk } from "./read-content.ts";

/** Places that are kept, of the chunks used last: about 64 GiB of content in 32 MiB of memory. */
const KEPT_PLACES = 65_536;

export interface RestoredChunksOptions {
  /** Where chunks are opened. Default: in this thread. */
  readonly stages?: DataStages | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Places that are kept. */
  readonly keptPlaces?: number;
}

/** Plaintext that is held until it is released. */
export interface HeldChunk {
  readonly plaintext: Uint8Array;
  /** Whether it was downloaded for this holder. */
  readonly isDownloaded: boolean;
  /** Says where the plaintext was written, if it can be read there again. */
  writtenTo(file: WrittenFile | undefined, offset: number): void;
  /** To be called once: the memory is used again. */
  release(): void;
}

interface Opened extends OpenedChunk {
  readonly isDownloaded: boolean;
}

/** A chunk that somebody holds or waits for. */
interface SharedChunk {
  readonly sizeBytes: number;
  readonly opening: Promise<Opened>;
  holders: number;
}

interface Place {
  readonly file: WrittenFile;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly mac: Uint8Array;
}

export class RestoredChunks {
  readonly #source: ObjectSource;
  readonly #stages: DataStages;
  readonly #signal: AbortSignal | undefined;
  readonly #keptPlaces: number;
  readonly #macKey = newMacKey();
  readonly #shared = new Map<string, SharedChunk>();
  /** In order of use, the oldest first. */
  readonly #places = new Map<string, Place>();

  constructor(source: ObjectSource, options: RestoredChunksOptions = {}) {
    const { stages = localStages, signal, keptPlaces = KEPT_PLACES } = options;
    this.#source = source;
    this.#stages = stages;
    this.#signal = signal;
    this.#keptPlaces = keptPlaces;
  }

  /**
   * The plaintext of a chunk, from wherever it is had without a download, else from the source.
   * @param isReadable whether what is written of it can be read again
   * @throws IntegrityError when it does not decrypt; whatever the source throws
   */
  async take(ref: ChunkRef, isReadable: boolean): Promise<HeldChunk> {
    const shared = this.#shared.get(ref.id);
    if (shared !== undefined && shared.sizeBytes === ref.sizeBytes) {
      shared.holders += 1;
      try {
        return this.#held(ref.id, shared, { ...(await shared.opening), isDownloaded: false });
      } catch {
        // Asked for again below: the failure is told for every file that it concerns, with its own error.
      }
    }
    const own = { sizeBytes: ref.sizeBytes, opening: this.#open(ref, isReadable), holders: 1 };
    this.#shared.set(ref.id, own);
    try {
      return this.#held(ref.id, own, await own.opening);
    } catch (error) {
      this.#forget(ref.id, own);
      throw error;
    }
  }

  /** Notes where a chunk is that the target had already. @param bytes verified */
  found({ id }: ChunkRef, bytes: Uint8Array, file: WrittenFile | undefined, offset: number): void {
    if (file === undefined || this.#places.has(id)) return;
    this.#keep(id, { file, offset, sizeBytes: bytes.length, mac: macOf(this.#macKey, id, bytes) });
  }

  #held(id: string, shared: SharedChunk, { plaintext, mac, isDownloaded }: Opened): HeldChunk {
    return {
      plaintext,
      isDownloaded,
      writtenTo: (file, offset) => {
        if (file === undefined || mac === undefined || this.#places.has(id)) return;
        this.#keep(id, { file, offset, sizeBytes: plaintext.length, mac });
      },
      release: () => {
        shared.holders -= 1;
        if (shared.holders > 0) return;
        this.#forget(id, shared);
        this.#stages.release(plaintext);
      },
    };
  }

  async #open(ref: ChunkRef, isReadable: boolean): Promise<Opened> {
    const { id } = ref;
    const place = this.#places.get(id);
    if (place !== undefined && place.sizeBytes === ref.sizeBytes) {
      this.#places.delete(id);
      const plaintext = await this.#readBack(id, place);
      if (plaintext !== undefined) {
        if (!this.#places.has(id)) this.#keep(id, place);
        return { plaintext, mac: place.mac, isDownloaded: false };
      }
    }
    const opened = await receivedChunk(this.#source, ref, {
      stages: this.#stages,
      macKey: isReadable ? this.#macKey : undefined,
      signal: this.#signal,
    });
    return { ...opened, isDownloaded: true };
  }

  async #readBack(id: string, { file, offset, sizeBytes, mac }: Place): Promise<Uint8Array | undefined> {
    const memory = this.#stages.allocateSealed?.() ?? new Uint8Array(sizeBytes);
    const plaintext = memory.subarray(0, sizeBytes);
    if ((await file.read(plaintext, offset)) && isMacOf(mac, this.#macKey, id, plaintext)) return plaintext;
    this.#stages.release(memory);
    return undefined;
  }

  #keep(id: string, place: Place): void {
    this.#places.set(id, place);
    for (const oldest of this.#places.keys()) {
      if (this.#places.size <= this.#keptPlaces) return;
      this.#places.delete(oldest);
    }
  }

  #forget(id: string, shared: SharedChunk): void {
    if (this.#shared.get(id) === shared) this.#shared.delete(id);
  }
}
