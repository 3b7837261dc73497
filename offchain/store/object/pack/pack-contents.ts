/** The contents of a pack: the heads of its records and where each starts, written when the pack takes no more. */
import { sha256 } from "#primitives";
import {
  type ContentsHead,
  checksumOf,
  decodeHead,
  encodeFooter,
  encodeHeadInto,
  fitsDigest,
  HEAD_BYTES,
  headBytes,
  MAX_HEAD_BYTES,
  PACK_FOOTER_BYTES,
  type RecordHead,
  viewOf,
} from "./pack-codec.ts";

/** A record of a pack, by the head that describes it. */
export interface PackEntry {
  readonly head: RecordHead;
  /** Where the head starts. */
  readonly offset: number;
}

/** Collects the contents of a pack while its records are written. */
export class PackContents {
  #bytes = new Uint8Array(4096);
  #length = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add({ head, offset }: PackEntry, salt: Uint8Array): void {
    if (this.#length + MAX_HEAD_BYTES + 4 > this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#bytes.length);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#length += encodeHeadInto(this.#bytes, this.#length, head, salt);
    viewOf(this.#bytes).setUint32(this.#length, offset);
    this.#length += 4;
    this.#count += 1;
  }

  /** The end of a pack: the record of kind `contents` with its body, and the footer. */
  trailer(offset: number, salt: Uint8Array): Uint8Array {
    const body = this.#bytes.subarray(0, this.#length);
    const head = { kind: "contents", lengthBytes: body.length, checksum: checksumOf(sha256(body)) } as const;
    const bytes = new Uint8Array(HEAD_BYTES + body.length + PACK_FOOTER_BYTES);
    encodeHeadInto(bytes, 0, head, salt);
    bytes.set(body, HEAD_BYTES);
    bytes.set(encodeFooter(offset, salt), HEAD_BYTES + body.length);
    return bytes;
  }
}

/** Reads the body of a record of kind `contents`. @returns undefined for a body that is not what its head describes */
export function decodeContents(head: ContentsHead, body: Uint8Array, salt: Uint8Array): PackEntry[] | undefined {
  if (body.length !== head.lengthBytes || !fitsDigest(head, sha256(body))) return undefined;
  const entries: PackEntry[] = [];
  for (let at = 0; at < body.length; ) {
    const entry = decodeHead(body.subarray(at, at + MAX_HEAD_BYTES), salt);
    if (entry === undefined) return undefined;
    const end = at + headBytes(entry) + 4;
    if (end > body.length) return undefined;
    entries.push({ head: entry, offset: viewOf(body).getUint32(end - 4) });
    at = end;
  }
  return entries;
}
