/**
 * Reads a pack from one record to the next, through any function that reads bytes. Where bytes are no record, the walk
 * goes on at the next head that is one, so that damage costs what it hit and nothing else.
 */
import { createSha256, sha256 } from "#primitives";
import {
  bodyBytes,
  decodeFooter,
  decodeHead,
  decodePackHeader,
  HEAD_MAGIC,
  headBytes,
  MAX_HEAD_BYTES,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
  type RecordHead,
} from "./pack-codec.ts";

/** Reads some bytes of a pack; fewer where it ends. What it returns is used before the next call. */
export type ReadAt = (offset: number, lengthBytes: number) => Promise<Uint8Array>;

/** A record, or bytes that are none. */
export type WalkedPiece =
  | { readonly kind: "record"; readonly offset: number; readonly head: RecordHead; readonly digest?: Uint8Array }
  | { readonly kind: "gap"; readonly offset: number; readonly lengthBytes: number; readonly isTail: boolean };

export interface WalkOptions {
  readonly salt: Uint8Array;
  /** Where the first head is expected. */
  readonly from?: number;
  /** End of the pack; the footer of a complete pack is not part of the walk. */
  readonly end: number;
  /** Bodies are read and hashed; else they are passed over. */
  readonly hashBodies: boolean;
}

/** Bytes read at once when bodies are hashed, and when they are passed over. */
const READ_BYTES = 1024 * 1024;
const SKIM_BYTES = 32 * 1024;
/** A body up to this size is hashed by one call, even if part of it is read again for that: calls cost more. */
const WHOLE_BODY_BYTES = 64 * 1024;

/** Buffers what was read, so that many small records are one read. */
class Window {
  readonly #read: ReadAt;
  readonly #end: number;
  readonly #blockBytes: number;
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;

  constructor(read: ReadAt, end: number, blockBytes: number) {
    this.#read = read;
    this.#end = end;
    this.#blockBytes = blockBytes;
  }

  /** Up to `lengthBytes` bytes from an offset, at most one block; fewer where the pack ends. */
  async at(offset: number, lengthBytes: number): Promise<Uint8Array> {
    const inside = offset - this.#start;
    if (inside < 0 || inside + lengthBytes > this.#bytes.length) {
      this.#bytes = await this.#read(offset, Math.max(Math.min(this.#blockBytes, this.#end - offset), 0));
      this.#start = offset;
    }
    return this.#bytes.subarray(offset - this.#start, offset - this.#start + lengthBytes);
  }

  /** What is buffered from an offset on, at least one byte unless the pack ends there. */
  async some(offset: number, mostBytes: number): Promise<Uint8Array> {
    const inside = offset - this.#start;
    const buffered = inside < 0 ? 0 : this.#bytes.length - inside;
    return this.at(offset, buffered > 0 ? Math.min(buffered, mostBytes) : Math.min(this.#blockBytes, mostBytes));
  }
}

export async function* walkPack(read: ReadAt, options: WalkOptions): AsyncGenerator<WalkedPiece, void, undefined> {
  const { salt, from = PACK_HEADER_BYTES, end, hashBodies } = options;
  const window = new Window(read, end, hashBodies ? READ_BYTES : SKIM_BYTES);
  for (let offset = from; offset < end; ) {
    const head = decodeHead(await window.at(offset, MAX_HEAD_BYTES), salt);
    if (head === undefined || offset + headBytes(head) + bodyBytes(head) > end) {
      const next = await nextHead(window, offset + 1, end, salt);
      yield { kind: "gap", offset, lengthBytes: next - offset, isTail: next === end };
      offset = next;
      continue;
    }
    const bodyOffset = offset + headBytes(head);
    const digest =
      hashBodies && head.kind !== "removal" ? await hashBody(window, bodyOffset, bodyBytes(head)) : undefined;
    yield { kind: "record", offset, head, ...(digest === undefined ? {} : { digest }) };
    offset = bodyOffset + bodyBytes(head);
  }
}

async function hashBody(window: Window, offset: number, lengthBytes: number): Promise<Uint8Array> {
  if (lengthBytes <= WHOLE_BODY_BYTES) return sha256(await window.at(offset, lengthBytes));
  const hash = createSha256();
  for (let done = 0; done < lengthBytes; ) {
    const piece = await window.some(offset + done, lengthBytes - done);
    if (piece.length === 0) break;
    hash.update(piece);
    done += piece.length;
  }
  return hash.digest();
}

/** Offset of the next head that is one, or the end of the pack. */
async function nextHead(window: Window, from: number, end: number, salt: Uint8Array): Promise<number> {
  for (let offset = from; offset < end; ) {
    const bytes = await window.at(offset, Math.min(SKIM_BYTES, end - offset));
    if (bytes.length === 0) return end;
    const found = indexOf(bytes, HEAD_MAGIC);
    if (found < 0) {
      // The magic may lie across two windows.
      offset += Math.max(bytes.length - HEAD_MAGIC.length + 1, 1);
      continue;
    }
    const head = decodeHead(await window.at(offset + found, MAX_HEAD_BYTES), salt);
    if (head !== undefined && offset + found + headBytes(head) + bodyBytes(head) <= end) return offset + found;
    offset += found + 1;
  }
  return end;
}

function indexOf(bytes: Uint8Array, pattern: Uint8Array): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(pattern);
}

/** What the two ends of a pack say about it. */
export interface PackFrame {
  /** Undefined when neither end is readable. */
  readonly salt: Uint8Array | undefined;
  /** Undefined when the header is damaged. */
  readonly version: number | undefined;
  /** Offset of the record of kind `contents`: the pack is complete. */
  readonly contentsOffset: number | undefined;
  /** End of the records. */
  readonly end: number;
}

/** Reads header and footer. @param sizeBytes of the pack */
export async function readPackFrame(read: ReadAt, sizeBytes: number): Promise<PackFrame> {
  const header = decodePackHeader(await read(0, PACK_HEADER_BYTES));
  const footerAt = sizeBytes - PACK_FOOTER_BYTES;
  const footer = footerAt < PACK_HEADER_BYTES ? undefined : decodeFooter(await read(footerAt, PACK_FOOTER_BYTES));
  return {
    salt: header?.salt ?? footer?.salt,
    version: header?.version,
    contentsOffset: footer?.contentsOffset,
    end: footer === undefined ? sizeBytes : footerAt,
  };
}
