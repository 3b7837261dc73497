/**
 * The commitments of a segment, computed while its manifest passes by: in memory that does not grow with the segment or
 * with the number of chunks in a slice.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { createSha256, sha256 } from "#primitives";
import { kdfFrom } from "../crypto/kdf.ts";
import { CommitmentTree, leafOf } from "./commitment-tree.ts";
import { BLINDING_LABEL, commitmentHead, encodePiece, indexBytes } from "./commitments.ts";
import { sliceBytes } from "./field.ts";
import type { ManifestEntry } from "./manifest.ts";

/** Parts of a commitment that are hashed at once. A slice has a few, unless its chunks are tiny. */
const PARTS_AT_ONCE = 64;

/** The slice that has begun. */
interface OpenSlice {
  /** Of what is to be hashed, the part that is not yet. */
  parts: Uint8Array[];
  /** Absent while all of it fits into `parts`: to hash at once takes a third of the time. */
  hash?: ReturnType<typeof createSha256>;
  lengthBytes: number;
}

export class SegmentCommitments {
  readonly #blindingOf: (info: Uint8Array) => Uint8Array;
  readonly #sliceBytes: number;
  readonly #tree = new CommitmentTree();
  #index: number;
  #open: OpenSlice | undefined;

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
        const open = this.#open;
        const lengthBytes = Math.min(sizeBytes - offsetBytes, this.#sliceBytes - open.lengthBytes);
        open.parts.push(encodePiece({ digest, offsetBytes, lengthBytes }));
        if (open.parts.length === PARTS_AT_ONCE) {
          open.hash ??= createSha256();
          open.hash.update(concatBytes(...open.parts));
          open.parts = [];
        }
        open.lengthBytes += lengthBytes;
        offsetBytes += lengthBytes;
        if (open.lengthBytes === this.#sliceBytes) leaves.push(this.#close(open));
      }
    }
    return leaves;
  }

  /** Ends the segment. @returns the leaf of a last slice that is not full, if there is one */
  finish(): Uint8Array[] {
    return this.#open === undefined ? [] : [this.#close(this.#open)];
  }

  /** @returns 32 bytes @throws InvalidInputError for a segment without slices */
  root(): Uint8Array {
    return this.#tree.root();
  }

  #begin(): OpenSlice {
    const blinding = this.#blindingOf(indexBytes(this.#index));
    return { parts: [commitmentHead(this.#index, blinding)], lengthBytes: 0 };
  }

  #close({ hash, parts }: OpenSlice): Uint8Array {
    const rest = concatBytes(...parts);
    hash?.update(rest);
    const leaf = leafOf(hash === undefined ? sha256(rest) : hash.digest());
    this.#tree.pushHash(leaf);
    this.#open = undefined;
    this.#index += 1;
    return leaf;
  }
}
