/**
 * Pages of the file cache: records of consecutive entries, in listing order. A page, before it is sealed:
 *
 *   record   u16 length of key ‖ key ‖ stamp (40) ‖ u32 length of attributes + 1, or 0 ‖ attributes ‖
 *            u32 length of value + 1, or 0 ‖ value
 *   stamp    device, inode, size, modification time, status-change time: 64 bits each, in the machine's order
 *
 * The key of an entry is its path below the root, each slash replaced by a zero byte, which makes the order of bytes
 * that of the listing. The key of the root is empty.
 */
import { pathToBytes } from "../../core/recipe/path-name.ts";
import { type Attributes, parseDump, writeDump } from "./extended-attributes.ts";
import type { WalkedEntry } from "./walk.ts";

const STAMP_BYTES = 40;
const NO_ATTRIBUTES = new Uint8Array();
/** Under which attributes are written: the command's text form needs a path. */
const DUMP_PATH = "/";

/** A record within its page, and where its parts are. */
export interface PageRecord {
  readonly key: Uint8Array;
  /** The whole record, to be written again as it is. */
  readonly bytes: Uint8Array;
  readonly stamp: Uint8Array;
  /** Undefined when it is not known whether there are any. */
  readonly attributes: Attributes | undefined;
  readonly value: Uint8Array | undefined;
}

/** @param relative path below the root; empty for the root */
export function pageKey(relative: string): Uint8Array {
  const separated = relative.replaceAll("/", "\0");
  // Faster than an encoder for the many short ones.
  return separated.isWellFormed() ? Buffer.from(separated) : pathToBytes(separated);
}

/** What tells whether an entry is the one that was recorded. */
export function stampOf({ identity, sizeBytes }: WalkedEntry): Uint8Array {
  const stamp = new BigUint64Array(STAMP_BYTES / 8);
  stamp[0] = identity.device;
  stamp[1] = identity.inode;
  stamp[2] = BigInt(sizeBytes);
  stamp[3] = identity.mtimeNanos;
  stamp[4] = identity.ctimeNanos;
  return new Uint8Array(stamp.buffer);
}

export function encodeRecord(record: Pick<PageRecord, "key" | "stamp" | "attributes" | "value">): Uint8Array {
  const { key, stamp, value } = record;
  const attributes = encodeAttributes(record.attributes);
  const length = 2 + key.length + STAMP_BYTES + 4 + (attributes?.length ?? 0) + 4 + (value?.length ?? 0);
  const bytes = Buffer.allocUnsafe(length);
  let at = bytes.writeUInt16LE(key.length, 0);
  bytes.set(key, at);
  bytes.set(stamp, at + key.length);
  at += key.length + STAMP_BYTES;
  for (const part of [attributes, value]) {
    at = bytes.writeUInt32LE(part === undefined ? 0 : part.length + 1, at);
    if (part !== undefined) bytes.set(part, at);
    at += part?.length ?? 0;
  }
  return bytes;
}

/** @param page as `encodeRecord` made its records, one after the other */
export function decodePage(page: Uint8Array): PageRecord[] {
  const view = Buffer.from(page.buffer, page.byteOffset, page.length);
  const records: PageRecord[] = [];
  for (let start = 0; start < view.length; ) {
    const keyEnd = start + 2 + view.readUInt16LE(start);
    let at = keyEnd + STAMP_BYTES;
    const parts = [undefined, undefined].map(() => {
      const length = view.readUInt32LE(at);
      const from = at + 4;
      at = from + Math.max(length - 1, 0);
      return length === 0 ? undefined : view.subarray(from, at);
    });
    const [attributes, value] = parts;
    records.push({
      key: view.subarray(start + 2, keyEnd),
      bytes: view.subarray(start, at),
      stamp: view.subarray(keyEnd, keyEnd + STAMP_BYTES),
      attributes: decodeAttributes(attributes),
      value,
    });
    start = at;
  }
  return records;
}

const NONE: Attributes = new Map();

function encodeAttributes(attributes: Attributes | undefined): Uint8Array | undefined {
  if (attributes === undefined) return undefined;
  return attributes.size === 0 ? NO_ATTRIBUTES : writeDump(new Map([[DUMP_PATH, attributes]]));
}

function decodeAttributes(bytes: Uint8Array | undefined): Attributes | undefined {
  if (bytes === undefined) return undefined;
  return bytes.length === 0 ? NONE : (parseDump(bytes).get(DUMP_PATH) ?? NONE);
}
