/**
 * The streams of a preparation, which a client sends. The preparation's row says how many bytes of a stream count; it
 * is written after the bytes are durable. Bytes beyond that length, left by a crash, are overwritten.
 */
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { PreparationPart } from "./preparation-index.ts";

export interface PreparationStreams {
  /** Makes the streams of a preparation, empty and durable; what exists is kept. */
  create(preparationId: number): Promise<void>;

  /**
   * Writes a body at an offset, durably.
   * @param limitBytes - most bytes that the stream may still receive
   * @returns bytes written
   * @throws InvalidInputError when the body is longer than that; DiskFullError, DiskFailedError,
   *   DatabaseUnavailableError. The caller then counts nothing, and the next attempt overwrites what was written.
   */
  write(
    preparationId: number,
    part: PreparationPart,
    offsetBytes: number,
    body: AsyncIterable<Uint8Array>,
    limitBytes: number,
  ): Promise<number>;

  /** Copies the start of a stream from another preparation of the same account, durably. */
  copyStart(fromId: number, toId: number, part: PreparationPart, lengthBytes: number): Promise<void>;

  /**
   * @returns exactly `lengthBytes` bytes.
   * @throws TallystickError DISK_FAILED when the stream is shorter or cannot be read
   */
  read(preparationId: number, part: PreparationPart, offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;

  /** @returns bytes in the stream, 0 when there is none */
  size(preparationId: number, part: PreparationPart): Promise<number>;

  remove(preparationId: number): Promise<void>;

  /** Whether all streams are there; a crash while they were made may have left some out. */
  isWhole(preparationId: number): Promise<boolean>;

  /** Ids of preparations that have streams and perhaps no row. */
  list(): Promise<number[]>;
}

export function bodyTooLong(part: PreparationPart, limitBytes: number): InvalidInputError {
  return new InvalidInputError(`the body is longer than what is missing of ${part}`, {
    party: "client",
    check: "length",
    expected: `at most ${limitBytes} bytes`,
    received: `more than ${limitBytes} bytes`,
  });
}

export function streamTooShort(part: PreparationPart, expectedBytes: number, receivedBytes: number): TallystickError {
  return new TallystickError(`the stored ${part} are shorter than they should be`, {
    code: "DISK_FAILED",
    party: "provider",
    check: "length",
    expected: `${expectedBytes} bytes`,
    received: `${receivedBytes} bytes`,
  });
}
