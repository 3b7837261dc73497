/**
 * The commitments of a segment, computed while its manifest passes by: in memory that does not grow with the segment or
 * with the number of chunks in a slice.
 */

import { createSha256 } from "#primitives";
import { kdfFrom } from "../crypto/kdf.ts";
import { CommitmentTree, leafOf } from "./commitment-tree.ts";
import { BLINDING_LABEL, commitmentHead, encodePiece, indexBytes } from "./commitments.ts";
import { sliceBytes } from "./field.ts";
import type { ManifestEntry } from "./manifest.ts";

type Sha256 = ReturnType<typeof createSha256>;

export class SegmentCommitments {
  readonly #blindingOf: (info: Uint8Array) => Uint8Array;
  readonly #sliceBytes: number;
  readonly #tree = new CommitmentTree();
  #index: number;
  /** Of the slice that has begun, and its length so far. */
  #open: { readonly hash: Sha256; lengthBytes: number } | undefined;

  /**
   * @param seed of the segment, 32 bytes, which owner and provider know
   * @param firstIndex of the segment in its data set
   * @param sliceElements coefficients of a slice's polynomial
   */
  constructor(seed: Uint8Array, firstIndex: number, sliceElements: number) {
    this.#blindingOf = kdfFrom(seed, BLINDING_LABEL);
    this.#sliceBytes = sliceBytes(sliceElements);
    this.#index = firstIndex;
  }

  /** @param entries the next ones of the manifest @returns leaves of the slices that became complete, 32 bytes each */
  push(entries: readonly ManifestEntry[]): Uint8Array[] {
    const leaves: Uint8Array[] = [];
    for (const { digest, sizeBytes } of entries) {
      for (let offsetBytes = 0; offsetBytes < sizeBytes; ) {
        this.#open ??= this.#begin();
        const lengthBytes = Math.min(sizeBytes - offsetBytes, this.#sliceBytes - this.#open.lengthBytes);
        this.#open.hash.update(encodePiece({ digest, offsetBytes, lengthBytes }));
        this.#open.lengthBytes += lengthBytes;
        offsetBytes += lengthBytes;
        if (this.#open.lengthBytes === this.#sliceBytes) leaves.push(this.#close(this.#open.hash));
      }
    }
    return leaves;
  }

  /** Ends the segment. @returns the leaf of a last slice that is not full, if there is one */
  finish(): Uint8Array[] {
    return this.#open === undefined ? [] : [this.#close(this.#open.hash)];
  }

  /** @returns 32 bytes @throws InvalidInputError for a segment without slices */
  root(): Uint8Array {
    return this.#tree.root();
  }

  #begin(): { readonly hash: Sha256; lengthBytes: number } {
    const hash = createSha256();
    hash.update(commitmentHead(this.#index, this.#blindingOf(indexBytes(this.#index))));
    return { hash, lengthBytes: 0 };
  }

  #close(hash: Sha256): Uint8Array {
    const leaf = leafOf(hash.digest());
    this.#tree.pushHash(leaf);
    this.#open = undefined;
    this.#index += 1;
    return leaf;
  }
}
