/** The packs of a file store on disk, for tests that look at them or damage them behind the store's back. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  bodyBytes,
  decodeHead,
  decodePackHeader,
  headBytes,
  MAX_HEAD_BYTES,
  PACK_HEADER_BYTES,
} from "../../offchain/store/object/pack/pack-codec.ts";

export function packFiles(root: string): string[] {
  const folder = join(root, "packs");
  return readdirSync(folder)
    .filter((name) => name.endsWith(".pack"))
    .sort()
    .map((name) => join(folder, name));
}

export interface PackedObject {
  readonly file: string;
  /** Of its bytes. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** What the packs hold, by id; also while a provider uses them. */
export function packedObjects(root: string): Map<string, PackedObject> {
  const objects = new Map<string, PackedObject>();
  for (const file of packFiles(root)) {
    const bytes = readFileSync(file);
    const { salt = new Uint8Array(8) } = decodePackHeader(bytes) ?? {};
    for (let at = PACK_HEADER_BYTES; ; ) {
      const head = decodeHead(bytes.subarray(at, at + MAX_HEAD_BYTES), salt);
      if (head === undefined || head.kind === "contents") break;
      const offset = at + headBytes(head);
      if (head.kind === "object") objects.set(head.id, { file, offset, sizeBytes: head.lengthBytes });
      else objects.delete(head.id);
      at = offset + bodyBytes(head);
    }
  }
  return objects;
}

/** Changes bytes of a file. */
export function flipBytes(file: string, offsets: Iterable<number>): void {
  const bytes = readFileSync(file);
  for (const offset of offsets) bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  writeFileSync(file, bytes);
}

export function flipByte(file: string, offset: number): void {
  flipBytes(file, [offset]);
}

/** Changes one byte of a stored object. @param at byte of the object */
export function rotObject(root: string, id: string, at: number): void {
  const object = packedObjects(root).get(id);
  if (object === undefined) throw new Error(`no pack holds ${id}`);
  flipByte(object.file, object.offset + at);
}

/** Changes a byte of each object, and one more after every `everyBytes` bytes. */
export function damageObjects(root: string, everyBytes = Number.POSITIVE_INFINITY): void {
  for (const { file, offset, sizeBytes } of packedObjects(root).values()) {
    const places = Math.ceil(sizeBytes / everyBytes) || 1;
    flipBytes(
      file,
      Array.from({ length: places }, (_, k) => offset + (k === 0 ? 0 : k * everyBytes)),
    );
  }
}
