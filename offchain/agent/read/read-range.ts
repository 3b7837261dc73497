/**
 * The content of a stored file, or a part of it, as a stream. Of the lists and chunks, only those are fetched in which
 * the range lies; every one is verified as a whole before a byte of it is passed on.
 */

import type { RegularFileEntry } from "../../core/recipe/recipe.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import { type ByteRange, withinSize } from "./byte-range.ts";
import { locateError } from "./locate-error.ts";
import type { ObjectSource } from "./object-source.ts";
import { OpenedBundles } from "./opened-bundles.ts";
import { type ContentPiece, contentPieces, openedPiece } from "./read-content.ts";

/** Chunks of one file that are fetched ahead of its reader unless told: at most 16 MiB. */
const CHUNKS_AHEAD = 8;

export interface StreamOptions {
  /** Chunks of at most 2 MiB that are fetched ahead of the reader. */
  readonly chunksAhead?: number;
  /** Shared by the files of a put, so that a bundle is fetched once. Default: for this file alone. */
  readonly bundles?: OpenedBundles;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Nothing is fetched before the first piece is read; then some chunks ahead of the reader.
 * @throws InvalidInputError for a range that is none; IntegrityError (as the stream's error) naming file, offset and
 *   object
 */
export function fileStream(
  entry: RegularFileEntry,
  source: ObjectSource,
  range: Partial<ByteRange>,
  options: StreamOptions = {},
): ReadableStream<Uint8Array> {
  const wanted = withinSize(range, entry.sizeBytes);
  return streamOf(piecesOf(entry, source, wanted, options));
}

function piecesOf(entry: RegularFileEntry, source: ObjectSource, { start, end }: ByteRange, options: StreamOptions) {
  const { chunksAhead = CHUNKS_AHEAD, bundles = new OpenedBundles(source), signal } = options;
  async function* placed(): AsyncGenerator<ContentPiece, void, undefined> {
    if (start >= end) return;
    for await (const piece of contentPieces(entry.content, source, start, signal)) {
      yield piece;
      // The list that holds the next chunk may be another one, which the range does not need.
      if (piece.offset + piece.sizeBytes >= end) return;
    }
  }
  const open = async (piece: ContentPiece): Promise<Uint8Array> => {
    const { offset, id } = piece;
    try {
      const bytes = await openedPiece(piece, source, bundles, signal);
      return bytes.subarray(Math.max(start - offset, 0), Math.min(end - offset, bytes.length));
    } catch (error) {
      throw locateError(error, entry.path, offset, id);
    }
  };
  return mapOrdered(placed(), open, { concurrency: chunksAhead });
}

/** A stream that takes the next piece when its reader asks for it. */
function streamOf(pieces: AsyncGenerator<Uint8Array, void, undefined>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await pieces.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await pieces.return();
      },
    },
    { highWaterMark: 0 },
  );
}
