/**
 * The metadata of a put as sealed objects: a stream of items (metadata-item.ts), cut by content, framed and sealed
 * under keys that only the owner can derive, and a root that names the pieces.
 *
 *   piece      AES-256-GCM(kdf(metadata key, "metadata-chunk-key", SHA-256(frame)), 12 zero bytes,
 *              tag("metadata-chunk") ‖ u8 1 ‖ scope ‖ u64 length of the frame, frame)
 *   root       u8 1 ‖ AES-256-GCM-SIV(kdf(metadata key, "metadata-root-key"), 12 zero bytes,
 *              tag("metadata-root") ‖ u8 1 ‖ scope, [1, item count, stream bytes, [piece reference, …]])
 *   reference  [digest of the object (32), SHA-256 of the frame (32), stream bytes of the piece, bytes of the object]
 *
 * A key belongs to one frame in one scope, so the constant nonce is sound. No OPRF: metadata deduplicates within one
 * account only, and nobody else can guess a key that derives from a secret. Everything is deterministic: an unchanged
 * tree gives the same objects, which the provider has already.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { aes256GcmOpen, aes256GcmSeal, sha256 } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { asArray, asBytes, asInteger, type CborValue, decodeCbor, encodeCbor } from "../encoding/cbor.ts";
import { contentId, contentIdFromDigest, DIGEST_BYTES, digestOf } from "../encoding/content-id.ts";
import { u64be } from "../encoding/integers.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../errors.ts";
import { CHUNK_LIMITS } from "../recipe/chunker.ts";
import { FRAME_HEAD_BYTES, MAX_FRAME_BYTES, readFrame } from "../recipe/frame.ts";
import type { SealedObject } from "../recipe/tree.ts";
import {
  openWith,
  requireSnapshotVersion,
  SNAPSHOT_FORMAT_VERSION,
  SNAPSHOT_OVERHEAD_BYTES,
  type SnapshotKeys,
  sealWith,
} from "./snapshot-keys.ts";

/** Most pieces of one stream: 8 GiB of metadata on average. */
export const MAX_METADATA_PIECES = 8192;
/** Longest sealed root. */
export const MAX_METADATA_ROOT_BYTES = 1_048_576;

const GCM_TAG_BYTES = 16;
/** The shortest frame: one byte, stored. */
const MIN_FRAME_BYTES = FRAME_HEAD_BYTES + 1;
const MAX_SEALED_BYTES = MAX_FRAME_BYTES + GCM_TAG_BYTES;
const ZERO_NONCE = new Uint8Array(12);
const CHUNK_TAG = domainTag("metadata-chunk");
const ROOT_DEPTH = 3;
const what = "metadata root";
const field = (name: string) => ({ what, name });

/** A piece of a metadata stream and how to get it. */
export interface MetadataPiece {
  /** Content id of the sealed piece. */
  readonly id: string;
  /** SHA-256 of the frame: its key derives from it. */
  readonly frameDigest: Uint8Array;
  /** Bytes of the stream, before framing. */
  readonly sizeBytes: number;
  /** Bytes of the object. */
  readonly sealedBytes: number;
}

export interface MetadataRoot {
  readonly itemCount: number;
  readonly streamBytes: number;
  readonly pieces: readonly MetadataPiece[];
}

/** Seals one framed piece. @param sizeBytes stream bytes in the frame */
export function sealMetadataPiece(
  keys: SnapshotKeys,
  frame: Uint8Array,
  sizeBytes: number,
): { piece: MetadataPiece; object: SealedObject } {
  const frameDigest = sha256(frame);
  const key = pieceKey(keys, frameDigest);
  const sealed = aes256GcmSeal(key, ZERO_NONCE, pieceAad(keys, frame.length), frame);
  key.fill(0);
  const id = contentId(sealed);
  return { piece: { id, frameDigest, sizeBytes, sealedBytes: sealed.length }, object: { id, sealed } };
}

/** @returns the stream bytes of the piece @throws IntegrityError for other bytes than were sealed */
export async function openMetadataPiece(
  keys: SnapshotKeys,
  piece: MetadataPiece,
  sealed: Uint8Array,
): Promise<Uint8Array> {
  const key = pieceKey(keys, piece.frameDigest);
  const frameBytes = sealed.length - GCM_TAG_BYTES;
  const frame =
    sealed.length !== piece.sealedBytes
      ? undefined
      : aes256GcmOpen(key, ZERO_NONCE, pieceAad(keys, frameBytes), sealed);
  key.fill(0);
  if (frame !== undefined) return await readFrame(frame, piece.sizeBytes, `metadata object ${piece.id}`);
  throw new IntegrityError(`metadata object ${piece.id} does not decrypt`, {
    check: "AES-256-GCM tag",
    details: { id: piece.id },
  });
}

/** @throws InvalidInputError for a root that breaks a limit */
export function sealMetadataRoot(keys: SnapshotKeys, root: MetadataRoot): SealedObject {
  const plaintext = encodeCbor([
    SNAPSHOT_FORMAT_VERSION,
    root.itemCount,
    root.streamBytes,
    root.pieces.map(({ id, frameDigest, sizeBytes, sealedBytes }) => [
      digestOf(id),
      frameDigest,
      sizeBytes,
      sealedBytes,
    ]),
  ]);
  decodeMetadataRoot(plaintext);
  const sealed = sealWith(rootKey(keys), "metadata-root", keys.scope, new Uint8Array(0), plaintext);
  const object = concatBytes(Uint8Array.of(SNAPSHOT_FORMAT_VERSION), sealed);
  return { id: contentId(object), sealed: object };
}

/**
 * Opens a root under the account's keys, or those of a predecessor that has sealed it.
 * @param id content id that the bytes must have
 * @returns with the keys under which its pieces open
 * @throws IntegrityError for other bytes, UnknownVersionError, InvalidInputError
 */
export function openMetadataRootOf(
  keys: SnapshotKeys,
  id: string,
  sealed: Uint8Array,
): { readonly root: MetadataRoot; readonly keys: SnapshotKeys } {
  let failure: unknown;
  for (const one of [keys, ...(keys.earlier ?? [])]) {
    try {
      return { root: openMetadataRoot(one, id, sealed), keys: one };
    } catch (error) {
      if (!(error instanceof IntegrityError)) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

/**
 * @param id content id that the bytes must have
 * @throws IntegrityError for other bytes, UnknownVersionError, InvalidInputError
 */
export function openMetadataRoot(keys: SnapshotKeys, id: string, sealed: Uint8Array): MetadataRoot {
  const received = contentId(sealed);
  if (received !== id) {
    throw new IntegrityError(`object ${id} is not what its id names`, { check: "content id", expected: id, received });
  }
  requireSnapshotVersion(sealed, SNAPSHOT_OVERHEAD_BYTES, what);
  const label = `metadata root ${id}`;
  return decodeMetadataRoot(
    openWith(rootKey(keys), "metadata-root", keys.scope, new Uint8Array(0), sealed.subarray(1), label),
  );
}

function decodeMetadataRoot(bytes: Uint8Array): MetadataRoot {
  const value = decodeCbor(bytes, MAX_METADATA_ROOT_BYTES - SNAPSHOT_OVERHEAD_BYTES, ROOT_DEPTH, what);
  const [version, count, size, refs] = asArray(value, 4, 4, field("shape"));
  if (version !== SNAPSHOT_FORMAT_VERSION) {
    throw new UnknownVersionError(what, String(version), [SNAPSHOT_FORMAT_VERSION]);
  }
  const itemCount = asInteger(count, 0, Number.MAX_SAFE_INTEGER, field("item count"));
  const streamBytes = asInteger(size, 0, Number.MAX_SAFE_INTEGER, field("stream size"));
  const pieces = asArray(refs, 0, MAX_METADATA_PIECES, field("number of pieces")).map(pieceFrom);
  const sum = pieces.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
  if (sum !== streamBytes || itemCount > streamBytes) {
    throw new InvalidInputError(`${what} does not add up`, {
      check: "stream size",
      expected: `${streamBytes} bytes for ${itemCount} items`,
      received: `${sum} bytes`,
    });
  }
  return { itemCount, streamBytes, pieces };
}

function pieceFrom(value: CborValue): MetadataPiece {
  const [digest, frameDigest, size, sealed] = asArray(value, 4, 4, field("piece reference"));
  return {
    id: contentIdFromDigest(asBytes(digest, DIGEST_BYTES, DIGEST_BYTES, field("object digest"))),
    frameDigest: asBytes(frameDigest, DIGEST_BYTES, DIGEST_BYTES, field("frame digest")),
    sizeBytes: asInteger(size, 1, CHUNK_LIMITS.maxBytes, field("piece size")),
    sealedBytes: asInteger(sealed, MIN_FRAME_BYTES + GCM_TAG_BYTES, MAX_SEALED_BYTES, field("sealed size")),
  };
}

function pieceKey({ metadataKey }: SnapshotKeys, frameDigest: Uint8Array): Uint8Array {
  return kdf(metadataKey, "metadata-chunk-key", frameDigest);
}

function rootKey({ metadataKey }: SnapshotKeys): Uint8Array {
  return kdf(metadataKey, "metadata-root-key");
}

function pieceAad({ scope }: SnapshotKeys, frameBytes: number): Uint8Array {
  return concatBytes(CHUNK_TAG, Uint8Array.of(SNAPSHOT_FORMAT_VERSION), scope, u64be(BigInt(frameBytes)));
}
