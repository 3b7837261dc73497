/**
 * The files of bundles. In listing order the files of a bundle follow each other, so a few bundles kept are enough to
 * fetch each once; only the segment that is asked for is opened.
 */
import { openSegment, segmentKey } from "../../core/crypto/segments.ts";
import { IntegrityError } from "../../core/errors.ts";
import { readFrame } from "../../core/recipe/frame.ts";
import type { SegmentRef } from "../../core/recipe/recipe.ts";
import type { ObjectSource } from "./object-source.ts";

/** Sealed bundles that are kept: at most 8 MiB. Readers work at most this many bundles ahead. */
const KEPT_BUNDLES = 4;

export class OpenedBundles {
  readonly #source: ObjectSource;
  readonly #kept: number;
  /** Oldest first. */
  readonly #sealed = new Map<string, Promise<Uint8Array>>();

  /** @param kept bundles that are kept */
  constructor(source: ObjectSource, kept: number = KEPT_BUNDLES) {
    this.#source = source;
    this.#kept = kept;
  }

  /** The plaintext of a file. @throws IntegrityError when it does not decrypt; whatever the source throws */
  async open(ref: SegmentRef, signal?: AbortSignal): Promise<Uint8Array> {
    const bundle = await this.#fetch(ref.id, signal);
    if (bundle.length !== ref.bundleBytes) {
      throw new IntegrityError(`bundle ${ref.id} has the wrong length`, {
        check: "bundle length",
        expected: `${ref.bundleBytes} bytes`,
        received: `${bundle.length} bytes`,
      });
    }
    const label = `file ${ref.position} of bundle ${ref.id}`;
    const sealed = bundle.subarray(ref.offset, ref.offset + ref.sealedBytes);
    return await readFrame(openSegment(segmentKey(ref.key, ref.position), sealed, label), ref.sizeBytes, label);
  }

  async #fetch(id: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const known = this.#sealed.get(id);
    const bundle = known ?? this.#source.fetch(id, signal);
    // The one used last goes last.
    this.#sealed.delete(id);
    this.#sealed.set(id, bundle);
    for (const oldest of this.#sealed.keys()) {
      if (this.#sealed.size <= this.#kept) break;
      this.#sealed.delete(oldest);
    }
    try {
      return await bundle;
    } catch (error) {
      // What failed is asked for again.
      if (this.#sealed.get(id) === bundle) this.#sealed.delete(id);
      throw error;
    }
  }
}
