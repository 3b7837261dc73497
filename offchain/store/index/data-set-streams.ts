/**
 * The streams of data sets: powers, once for each set, and tags, for each segment, which a client sends; and the leaves
 * of the tree over a segment's commitments. Rows say how
 * many bytes of a stream count; they are written after the bytes are durable. Bytes beyond that length, left by a
 * crash, are overwritten.
 */
import { InvalidInputError, TallystickError } from "../../core/errors.ts";

/** `tags-7`: those of segment 7. `leaves-7`: of the tree over its commitments, which the provider makes. */
export type DataSetStream = "powers-a" | "powers-b" | `tags-${number}` | `leaves-${number}`;

/** All streams of a segment. */
export function segmentStreams(id: number): DataSetStream[] {
  return [`tags-${id}`, `leaves-${id}`];
}

export interface DataSetStreams {
  /**
   * Writes a body at an offset, durably. A stream that does not exist is made.
   * @param limitBytes most bytes that the stream may still receive
   * @returns bytes written
   * @throws InvalidInputError when the body is longer than that; DiskFullError, DiskFailedError,
   *   DatabaseUnavailableError. The caller then counts nothing, and the next attempt overwrites what was written.
   */
  write(
    dataSetId: number,
    stream: DataSetStream,
    offsetBytes: number,
    body: AsyncIterable<Uint8Array>,
    limitBytes: number,
  ): Promise<number>;

  /**
   * @returns exactly `lengthBytes` bytes.
   * @throws TallystickError DISK_FAILED when the stream is shorter or cannot be read
   */
  read(dataSetId: number, stream: DataSetStream, offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;

  /** @returns bytes in the stream, 0 when there is none */
  size(dataSetId: number, stream: DataSetStream): Promise<number>;

  /** Removes one stream; none is fine. */
  removeStream(dataSetId: number, stream: DataSetStream): Promise<void>;

  /** Removes all streams of a data set. */
  remove(dataSetId: number): Promise<void>;

  /** Ids of data sets that have streams and perhaps no row. */
  list(): Promise<number[]>;
}

export function bodyTooLong(stream: DataSetStream, limitBytes: number): InvalidInputError {
  return new InvalidInputError(`the body is longer than what is missing of ${stream}`, {
    party: "client",
    check: "length",
    expected: `at most ${limitBytes} bytes`,
    received: `more than ${limitBytes} bytes`,
  });
}

export function streamTooShort(stream: DataSetStream, expectedBytes: number, receivedBytes: number): TallystickError {
  return new TallystickError(`the stored ${stream} are shorter than they should be`, {
    code: "DISK_FAILED",
    party: "provider",
    check: "length",
    expected: `${expectedBytes} bytes`,
    received: `${receivedBytes} bytes`,
  });
}
