/**
 * The bytes of a pack: a file, or an object of an object service, that holds many objects. Docs/spec.md, section
 * "Packs". Nothing here reads or writes: `pack-walk.ts` reads packs through a function, whatever keeps them.
 *
 *   header    "TSPACK" ‖ u16 version ‖ salt (8) ‖ u32 CRC-32 of what precedes
 *   record    head ‖ body
 *   head      "TSRC" ‖ u8 kind ‖ u8 n ‖ u16 0 ‖ u32 a ‖ u32 b ‖ u32 CRC-32 of salt ‖ the preceding 16 bytes ‖ id; id
 * (n)
 *   footer    u32 offset of the contents ‖ salt (8) ‖ u32 CRC-32 of what precedes ‖ "TSPE"
 *
 * A pack that takes no more records ends with a record of kind `contents` and the footer. The salt is secret: whoever
 * stores an object could otherwise put a forged head into it, and have it taken for a record where the real head before
 * it is damaged.
 */
import { crc32 } from "node:zlib";
import { equalBytes, sha256 } from "#primitives";
import { digestOf } from "../../../core/encoding/content-id.ts";
import { isObjectId } from "../object-store.ts";

export const PACK_VERSION = 1;
export const PACK_HEADER_BYTES = 20;
export const PACK_FOOTER_BYTES = 20;
export const SALT_BYTES = 8;
/** Bytes of a head before its id. */
export const HEAD_BYTES = 20;
/** Longest head: ids have 128 characters at most. */
export const MAX_HEAD_BYTES = HEAD_BYTES + 128;
/** Offsets have 32 bits. */
export const MAX_PACK_BYTES = 0xffff_ffff;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const HEADER_MAGIC = encoder.encode("TSPACK");
export const HEAD_MAGIC = encoder.encode("TSRC");
const FOOTER_MAGIC = encoder.encode("TSPE");
const KINDS = { object: 1, removal: 2, contents: 3 } as const;

/** An object, of `lengthBytes` bytes that follow the head. `checksum`: the first four bytes of their SHA-256. */
export interface ObjectHead {
  readonly kind: "object";
  readonly id: string;
  readonly lengthBytes: number;
  readonly checksum: number;
}

/** The object was removed. Its records are in no pack before `firstPack` and in none after `lastPack`. */
export interface RemovalHead {
  readonly kind: "removal";
  readonly id: string;
  readonly firstPack: number;
  readonly lastPack: number;
}

/** The heads of all records before this one, each followed by its offset in the pack. */
export interface ContentsHead {
  readonly kind: "contents";
  readonly lengthBytes: number;
  readonly checksum: number;
}

export type RecordHead = ObjectHead | RemovalHead | ContentsHead;

/** The bytes as numbers, in big-endian order. */
export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function hasAt(bytes: Uint8Array, at: number, magic: Uint8Array): boolean {
  return magic.every((byte, k) => bytes[at + k] === byte);
}

/** The first four bytes of SHA-256, big-endian. */
export function checksumOf(digest: Uint8Array): number {
  return viewOf(digest).getUint32(0);
}

/** The checksum of an object's bytes. Under a content id it is known without hashing them again. */
export function checksumFor(id: string, bytes: Uint8Array): number {
  return checksumOf(digestIn(id) ?? sha256(bytes));
}

/** The SHA-256 that a content id names; undefined for other ids. */
export function digestIn(id: string): Uint8Array | undefined {
  try {
    return digestOf(id);
  } catch {
    return undefined;
  }
}

/** Whether a body with this SHA-256 is what its head describes. */
export function fitsDigest(head: ObjectHead | ContentsHead, digest: Uint8Array): boolean {
  if (checksumOf(digest) !== head.checksum) return false;
  const named = head.kind === "object" ? digestIn(head.id) : undefined;
  return named === undefined || equalBytes(named, digest);
}

export function headBytes(head: RecordHead): number {
  return HEAD_BYTES + (head.kind === "contents" ? 0 : head.id.length);
}

/** Bytes that follow the head. */
export function bodyBytes(head: RecordHead): number {
  return head.kind === "removal" ? 0 : head.lengthBytes;
}

/** @param salt 8 random bytes, of this pack alone */
export function encodePackHeader(salt: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PACK_HEADER_BYTES);
  bytes.set(HEADER_MAGIC);
  viewOf(bytes).setUint16(6, PACK_VERSION);
  bytes.set(salt, 8);
  viewOf(bytes).setUint32(16, crc32(bytes.subarray(0, 16)));
  return bytes;
}

/** @returns version and salt, or undefined for bytes that are no header */
export function decodePackHeader(bytes: Uint8Array): { version: number; salt: Uint8Array } | undefined {
  if (bytes.length < PACK_HEADER_BYTES || !hasAt(bytes, 0, HEADER_MAGIC)) return undefined;
  if (viewOf(bytes).getUint32(16) !== crc32(bytes.subarray(0, 16))) return undefined;
  return { version: viewOf(bytes).getUint16(6), salt: bytes.slice(8, 16) };
}

/** Writes a head into a buffer. @returns its length */
export function encodeHeadInto(target: Uint8Array, at: number, head: RecordHead, salt: Uint8Array): number {
  const id = head.kind === "contents" ? "" : head.id;
  const bytes = target.subarray(at, at + HEAD_BYTES + id.length);
  bytes.set(HEAD_MAGIC);
  bytes[4] = KINDS[head.kind];
  bytes[5] = id.length;
  bytes[6] = 0;
  bytes[7] = 0;
  const view = viewOf(bytes);
  view.setUint32(8, head.kind === "removal" ? head.firstPack : head.lengthBytes);
  view.setUint32(12, head.kind === "removal" ? head.lastPack : head.checksum);
  encoder.encodeInto(id, bytes.subarray(HEAD_BYTES));
  view.setUint32(16, headCheck(bytes, salt));
  return bytes.length;
}

export function encodeHead(head: RecordHead, salt: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(headBytes(head));
  encodeHeadInto(bytes, 0, head, salt);
  return bytes;
}

function headCheck(head: Uint8Array, salt: Uint8Array): number {
  return crc32(head.subarray(HEAD_BYTES), crc32(head.subarray(0, 16), crc32(salt)));
}

/** Reads the head at the start of some bytes. @returns undefined for bytes that are no head of a pack with this salt */
export function decodeHead(bytes: Uint8Array, salt: Uint8Array): RecordHead | undefined {
  if (bytes.length < HEAD_BYTES || !hasAt(bytes, 0, HEAD_MAGIC) || bytes[6] !== 0 || bytes[7] !== 0) return undefined;
  const end = HEAD_BYTES + (bytes[5] ?? 0);
  const view = viewOf(bytes);
  if (bytes.length < end || view.getUint32(16) !== headCheck(bytes.subarray(0, end), salt)) return undefined;
  const [first, second] = [view.getUint32(8), view.getUint32(12)];
  const id = decoder.decode(bytes.subarray(HEAD_BYTES, end));
  if (bytes[4] === KINDS.contents) {
    return id === "" ? { kind: "contents", lengthBytes: first, checksum: second } : undefined;
  }
  if (!isObjectId(id)) return undefined;
  if (bytes[4] === KINDS.object) return { kind: "object", id, lengthBytes: first, checksum: second };
  if (bytes[4] === KINDS.removal) return { kind: "removal", id, firstPack: first, lastPack: second };
  return undefined;
}

/** @param contentsOffset where the record of kind `contents` starts */
export function encodeFooter(contentsOffset: number, salt: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PACK_FOOTER_BYTES);
  viewOf(bytes).setUint32(0, contentsOffset);
  bytes.set(salt, 4);
  viewOf(bytes).setUint32(12, crc32(bytes.subarray(0, 12)));
  bytes.set(FOOTER_MAGIC, 16);
  return bytes;
}

/** @param bytes the last 20 bytes of a pack @returns undefined for a pack without footer, or with a damaged one */
export function decodeFooter(bytes: Uint8Array): { contentsOffset: number; salt: Uint8Array } | undefined {
  if (bytes.length !== PACK_FOOTER_BYTES || !hasAt(bytes, 16, FOOTER_MAGIC)) return undefined;
  if (viewOf(bytes).getUint32(12) !== crc32(bytes.subarray(0, 12))) return undefined;
  return { contentsOffset: viewOf(bytes).getUint32(0), salt: bytes.slice(4, 12) };
}
