/**
 * The body of `POST /v1/chunks`: frames of `[36-byte binary CID][u32be length][bytes]`, one after another, at most 32
 * MiB and 1024 frames. It is read as a stream: memory stays at one chunk and one network read, whatever the sender
 * does.
 */
import { equalBytes } from "#primitives";
import { contentIdFromDigest, contentIdToBytes } from "../core/encoding/content-id.ts";
import { InvalidInputError } from "../core/errors.ts";
import {
  BINARY_CID_BYTES,
  CHUNK_FRAME_HEAD_BYTES,
  MAX_BODY_CHUNKS,
  MAX_CHUNK_BODY_BYTES,
  MAX_CHUNK_BYTES,
} from "../core/wire/csp.ts";

/** CIDv1, codec raw, sha2-256, 32 bytes: the only kind of id there is. */
const CID_PREFIX = Uint8Array.of(0x01, 0x55, 0x12, 0x20);

export interface ChunkFrame {
  /** The id the sender claims; nothing has been checked against the bytes yet. */
  id: string;
  digest: Uint8Array;
  bytes: Uint8Array;
}

/**
 * The pieces of a body that carries objects. The bytes of the objects are not copied.
 * @throws InvalidInputError for an id that is not canonical
 */
export function chunkFrames(objects: readonly { id: string; bytes: Uint8Array }[]): Uint8Array[] {
  return objects.flatMap(({ id, bytes }) => {
    const head = new Uint8Array(CHUNK_FRAME_HEAD_BYTES);
    head.set(contentIdToBytes(id));
    new DataView(head.buffer).setUint32(BINARY_CID_BYTES, bytes.length);
    return [head, bytes];
  });
}

function malformed(message: string, check: string, expected: string, received: string): InvalidInputError {
  return new InvalidInputError(message, { party: "you", check, expected, received });
}

/** Takes exact byte counts out of a stream of pieces, and counts what has passed. */
class BodyReader {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #allocate: (sizeBytes: number) => Uint8Array;
  #piece: Uint8Array = new Uint8Array(0);
  #passedBytes = 0;

  constructor(source: AsyncIterable<Uint8Array>, allocate: (sizeBytes: number) => Uint8Array) {
    this.#source = source[Symbol.asyncIterator]();
    this.#allocate = allocate;
  }

  /** Makes at least one byte available; false at the end of the body. */
  async #fill(): Promise<boolean> {
    while (this.#piece.length === 0) {
      const next = await this.#source.next();
      if (next.done) return false;
      this.#piece = next.value;
      this.#passedBytes += next.value.length;
      if (this.#passedBytes > MAX_CHUNK_BODY_BYTES) {
        throw malformed(
          "the body is larger than a provider takes at once",
          "body size",
          `at most ${MAX_CHUNK_BODY_BYTES} bytes`,
          `more than ${MAX_CHUNK_BODY_BYTES} bytes`,
        );
      }
    }
    return true;
  }

  /**
   * @param what names the piece, for the error
   * @returns `sizeBytes` bytes in memory of the given kind, or undefined when the body ended before the first of them
   * @throws InvalidInputError when the body ends in the middle
   */
  async take(sizeBytes: number, what: string): Promise<Uint8Array | undefined> {
    if (!(await this.#fill())) return undefined;
    const taken = this.#allocate(sizeBytes);
    let filledBytes = 0;
    while (filledBytes < sizeBytes) {
      if (!(await this.#fill())) {
        throw malformed(`the body ends inside ${what}`, "frame", `${sizeBytes} bytes`, `${filledBytes} bytes`);
      }
      const part = this.#piece.subarray(0, sizeBytes - filledBytes);
      taken.set(part, filledBytes);
      filledBytes += part.length;
      this.#piece = this.#piece.subarray(part.length);
    }
    return taken;
  }
}

/**
 * Cuts a body into frames.
 * @param allocate - memory for the frames; all of it is overwritten
 * @throws InvalidInputError for a head that is no CIDv1 (raw, sha2-256), a length of zero or above `MAX_CHUNK_BYTES`,
 *   a body that ends inside a frame, an empty body, or one with too many bytes or frames
 */
export async function* readChunkFrames(
  body: AsyncIterable<Uint8Array>,
  allocate: (sizeBytes: number) => Uint8Array = (sizeBytes) => new Uint8Array(sizeBytes),
): AsyncGenerator<ChunkFrame> {
  const reader = new BodyReader(body, allocate);
  for (let position = 0; ; position++) {
    const head = await reader.take(CHUNK_FRAME_HEAD_BYTES, `the head of frame ${position}`);
    if (head === undefined) {
      if (position === 0) throw malformed("the body holds no chunk", "frame count", "at least 1", "0");
      return;
    }
    if (position >= MAX_BODY_CHUNKS) {
      throw malformed("the body holds too many chunks", "frame count", `at most ${MAX_BODY_CHUNKS}`, "more");
    }
    if (!equalBytes(head.subarray(0, CID_PREFIX.length), CID_PREFIX)) {
      throw malformed(
        `frame ${position} does not start with a chunk id`,
        "frame id",
        "binary CIDv1, codec raw, sha2-256",
        "another prefix",
      );
    }
    const digest = head.slice(CID_PREFIX.length, BINARY_CID_BYTES);
    const sizeBytes = new DataView(head.buffer, head.byteOffset).getUint32(BINARY_CID_BYTES);
    if (sizeBytes === 0 || sizeBytes > MAX_CHUNK_BYTES) {
      throw malformed(
        `frame ${position} has a length no chunk has`,
        "chunk size",
        `1 to ${MAX_CHUNK_BYTES} bytes`,
        `${sizeBytes} bytes`,
      );
    }
    const bytes = await reader.take(sizeBytes, `the chunk of frame ${position}`);
    if (bytes === undefined) {
      throw malformed(`the body ends before the chunk of frame ${position}`, "frame", `${sizeBytes} bytes`, "0 bytes");
    }
    yield { id: contentIdFromDigest(digest), digest, bytes };
  }
}
