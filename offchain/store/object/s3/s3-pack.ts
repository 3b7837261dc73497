/**
 * Packs as objects of a bucket: docs/spec.md, section "Packs". A pack is written at once and has its contents at its
 * end, so that one request makes objects and their index durable together.
 */
import { equalBytes, randomBytes, sha256 } from "#primitives";
import { digestOf } from "../../../core/encoding/content-id.ts";
import { toHex } from "../../../core/encoding/hex.ts";
import type { NamedBytes } from "../object-store.ts";
import {
  bodyBytes,
  checksumFor,
  decodeFooter,
  decodeHead,
  encodeHead,
  encodePackHeader,
  HEAD_BYTES,
  headBytes,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
  type RecordHead,
  SALT_BYTES,
} from "../pack/pack-codec.ts";
import { decodeContents, PackContents } from "../pack/pack-contents.ts";
import { readPackFrame, walkPack } from "../pack/pack-walk.ts";
import { StoredBytesError } from "../store-service.ts";
import type { S3Bucket } from "./s3-bucket.ts";

/** Where an object is within a pack. */
export interface PackedObject {
  readonly id: string;
  /** Of its bytes, after the head. */
  readonly offset: number;
  readonly lengthBytes: number;
}

/** The end of a pack that is read first: the contents of about 700 objects. */
const TAIL_BYTES = 64 * 1024;

/** Name of a pack: 12 hexadecimal digits of milliseconds since 1970, and 16 random ones. Names order by time. */
export const PACK_NAME = /^[0-9a-f]{12}-[0-9a-f]{16}$/;

export function packName(timeMilliseconds: number): string {
  return `${timeMilliseconds.toString(16).padStart(12, "0")}-${toHex(randomBytes(8)).slice(2)}`;
}

export function timeOfPack(name: string): number {
  return Number.parseInt(name.slice(0, 12), 16);
}

/** @returns the pieces of a pack, in order, and what is where in it; the bytes of the objects are not copied */
export function assemblePack(objects: readonly NamedBytes[]): { pieces: Uint8Array[]; entries: PackedObject[] } {
  const salt = randomBytes(SALT_BYTES);
  const contents = new PackContents();
  const pieces = [encodePackHeader(salt)];
  const entries: PackedObject[] = [];
  let offset = PACK_HEADER_BYTES;
  for (const { id, bytes } of objects) {
    const head: RecordHead = { kind: "object", id, lengthBytes: bytes.length, checksum: checksumFor(id, bytes) };
    contents.add({ head, offset }, salt);
    pieces.push(encodeHead(head, salt), bytes);
    entries.push({ id, offset: offset + headBytes(head), lengthBytes: bytes.length });
    offset += headBytes(head) + bytes.length;
  }
  pieces.push(contents.trailer(offset, salt));
  return { pieces, entries };
}

/** What a pack in a bucket holds. */
export interface PackReading {
  readonly entries: readonly PackedObject[];
  /** Its end is damaged, and the records were found one by one. */
  readonly isDamaged: boolean;
}

/**
 * Reads what a pack holds, from its end.
 * @returns undefined when the pack is gone
 * @throws StoreServiceError
 */
export async function readPack(bucket: S3Bucket, key: string, sizeBytes: number): Promise<PackReading | undefined> {
  try {
    const entries = await readContents(bucket, key, sizeBytes);
    return entries === undefined ? undefined : { entries, isDamaged: false };
  } catch (error) {
    if (!(error instanceof StoredBytesError)) throw error;
    return await searchPack(bucket, key, sizeBytes);
  }
}

/** @throws StoredBytesError for an end that is not a pack's, after it was read several times */
async function readContents(bucket: S3Bucket, key: string, sizeBytes: number): Promise<PackedObject[] | undefined> {
  const damaged = () => new StoredBytesError(bucket.name, key, "no pack");
  if (sizeBytes < PACK_HEADER_BYTES + PACK_FOOTER_BYTES) throw damaged();
  const tailAt = Math.max(0, sizeBytes - TAIL_BYTES);
  let found: { contentsOffset: number; salt: Uint8Array } | undefined;
  const tail = await bucket.getRange(key, tailAt, sizeBytes - tailAt, key, (bytes) => {
    found = decodeFooter(bytes.subarray(-PACK_FOOTER_BYTES));
    if (found === undefined || found.contentsOffset >= sizeBytes) throw damaged();
  });
  if (tail === undefined || found === undefined) return undefined;
  const { contentsOffset, salt } = found;
  const end = sizeBytes - PACK_FOOTER_BYTES;
  let entries: PackedObject[] | undefined;
  const decode = (bytes: Uint8Array) => {
    const head = decodeHead(bytes, salt);
    const decoded = head?.kind === "contents" ? decodeContents(head, bytes.subarray(HEAD_BYTES), salt) : undefined;
    if (decoded === undefined) throw damaged();
    entries = decoded.flatMap(({ head, offset }) => toEntry(head, offset, contentsOffset));
  };
  if (contentsOffset >= tailAt) decode(tail.subarray(contentsOffset - tailAt, tail.length - PACK_FOOTER_BYTES));
  else await bucket.getRange(key, contentsOffset, end - contentsOffset, key, decode);
  return entries;
}

/** Goes through the records of a pack whose end is damaged. */
async function searchPack(bucket: S3Bucket, key: string, sizeBytes: number): Promise<PackReading | undefined> {
  let isGone = false;
  const read = async (offset: number, lengthBytes: number): Promise<Uint8Array> => {
    const length = Math.min(lengthBytes, sizeBytes - offset);
    if (length <= 0) return new Uint8Array();
    const bytes = await bucket.getRange(key, offset, length);
    isGone ||= bytes === undefined;
    return bytes ?? new Uint8Array();
  };
  const { salt, end } = await readPackFrame(read, sizeBytes);
  const entries: PackedObject[] = [];
  if (salt !== undefined) {
    for await (const piece of walkPack(read, { salt, end, hashBodies: false })) {
      if (piece.kind === "record") entries.push(...toEntry(piece.head, piece.offset, end));
    }
  }
  return isGone ? undefined : { entries, isDamaged: true };
}

/** Records of removals are for packs on a disk; a bucket has removals of its own. */
function toEntry(head: RecordHead, offset: number, end: number): PackedObject[] {
  if (head.kind !== "object" || offset + headBytes(head) + bodyBytes(head) > end) return [];
  return [{ id: head.id, offset: offset + headBytes(head), lengthBytes: head.lengthBytes }];
}

/**
 * Reads an object from a pack.
 * @returns undefined when the pack is gone
 * @throws StoredBytesError for bytes that the id does not name, after they were read several times; StoreServiceError
 */
export async function readPacked(
  bucket: S3Bucket,
  key: string,
  { id, offset, lengthBytes }: PackedObject,
): Promise<Uint8Array | undefined> {
  // No service has a range of no bytes.
  if (lengthBytes === 0) return new Uint8Array();
  return await bucket.getRange(key, offset, lengthBytes, `object ${id} in ${key}`, (bytes) => {
    if (!equalBytes(sha256(bytes), digestOf(id))) throw new StoredBytesError(bucket.name, id, "another SHA-256");
  });
}
