/**
 * Writes and reads the metadata of a put as a stream: items in, sealed objects out, and back. Memory is bounded by one
 * piece of the stream in either direction, whatever the number of entries.
 */

import { loadCompressor } from "../../kernels/zstd.ts";
import { CborSequence } from "../encoding/cbor-sequence.ts";
import { IntegrityError, TallystickError } from "../errors.ts";
import { Chunker } from "../recipe/chunker.ts";
import { compressFrame, FRAME_HEAD_BYTES } from "../recipe/frame.ts";
import type { SealedObject } from "../recipe/tree.ts";
import type { EntryMetadata } from "./entry-metadata.ts";
import { decodeMetadata, encodeMetadata, MAX_METADATA_ITEM_BYTES, METADATA_DEPTH } from "./metadata-item.ts";
import { type MetadataPiece, type MetadataRoot, sealMetadataPiece, sealMetadataRoot } from "./metadata-objects.ts";
import type { SnapshotKeys } from "./snapshot-keys.ts";

export class MetadataWriter {
  readonly #keys: SnapshotKeys;
  readonly #chunker = new Chunker();
  readonly #pieces: MetadataPiece[] = [];
  #itemCount = 0;
  #streamBytes = 0;
  #rootId: string | undefined;

  constructor(keys: SnapshotKeys) {
    this.#keys = keys;
  }

  /**
   * Takes the metadata of the next entry; the one before it must have been taken in.
   * @returns the sealed objects that it completes
   * @throws InvalidInputError for metadata that breaks a limit
   */
  async push(metadata: EntryMetadata): Promise<SealedObject[]> {
    const bytes = encodeMetadata(metadata);
    this.#itemCount += 1;
    this.#streamBytes += bytes.length;
    const objects: SealedObject[] = [];
    for (const stored of this.#chunker.push(bytes)) objects.push(await this.#seal(stored));
    return objects;
  }

  /** Ends the stream. @returns the objects that are left, the root last */
  async finish(): Promise<SealedObject[]> {
    const last = this.#chunker.finish();
    const objects = last === undefined ? [] : [await this.#seal(last)];
    const root = sealMetadataRoot(this.#keys, {
      itemCount: this.#itemCount,
      streamBytes: this.#streamBytes,
      pieces: this.#pieces,
    });
    this.#rootId = root.id;
    return [...objects, root];
  }

  /** Content id of the root. @throws TallystickError INTERNAL before the end */
  get rootId(): string {
    if (this.#rootId === undefined) throw new TallystickError("metadata is not complete yet", { code: "INTERNAL" });
    return this.#rootId;
  }

  async #seal(stored: Uint8Array): Promise<SealedObject> {
    const sizeBytes = stored.length - FRAME_HEAD_BYTES;
    const frame = compressFrame(stored, await loadCompressor());
    const { piece, object } = sealMetadataPiece(this.#keys, frame, sizeBytes);
    this.#pieces.push(piece);
    return object;
  }
}

/**
 * Reads the items of a stream.
 * @param pieces plaintext of the pieces of `root`, in order
 * @throws IntegrityError, InvalidInputError for a stream that is not what its root says
 */
export async function* decodeMetadataStream(
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  root: Pick<MetadataRoot, "itemCount">,
): AsyncGenerator<EntryMetadata, void, undefined> {
  const sequence = new CborSequence(MAX_METADATA_ITEM_BYTES, METADATA_DEPTH, "metadata stream");
  let count = 0;
  for await (const piece of pieces) {
    for (const item of sequence.push(piece)) {
      count += 1;
      if (count > root.itemCount) throw wrongCount(root.itemCount, `more than ${root.itemCount} items`);
      yield decodeMetadata(item);
    }
  }
  sequence.finish();
  if (count !== root.itemCount) throw wrongCount(root.itemCount, `${count} items`);
}

function wrongCount(expected: number, received: string): IntegrityError {
  return new IntegrityError("metadata stream is not the one its root describes", {
    check: "item count",
    expected: `${expected} items`,
    received,
  });
}
