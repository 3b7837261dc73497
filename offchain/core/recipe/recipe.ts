/**
 * Recipes describe how to rebuild a put: contents, names and nothing else, so that two users with the same tree have
 * one data id. Modes, times and owners are the owner's, see core/snapshot. Canonical CBOR (see cbor.ts); byte layouts
 * below, integers and arrays as CBOR writes them.
 *
 *   chunk reference   [digest (32), key (32), size, sealed size]            size: plaintext bytes, 1 to 2097135
 *                     [digest (32), stub, size, sealed size]                of a package: position in the stub file
 *   list reference    [digest (32), size]                                   size: plaintext bytes under it
 *   list object       [1, level, [reference, …]]                            1 to 8192 references; level 0 lists chunks
 *   content           [0, [chunk reference, …]]  up to 8, inline  |  [1, level, digest (32), key (32)]
 *                     [2, digest (32), key (32), bundle size, position, offset, sealed size]
 *   entry             [1, path, size, content]  file  |  [2, path]  folder  |  [3, path, target]  symbolic link
 *   root              [1, domain, key mode, entry count, total bytes, listing size, listing content]
 *
 * The listing is a CBOR sequence (RFC 8742) of entries in path order, chunked and stored as a file would be. A digest
 * is the SHA-256 inside the content id of the sealed object. Sealed forms and keys: encryption.ts, segments.ts. Every
 * format that begins with an array whose first item is not 1 is of another version and is refused as such.
 */

import {
  CHUNK_OVERHEAD_BYTES,
  domainBytes,
  RECIPE_FORMAT_VERSION,
  RECIPE_OVERHEAD_BYTES,
} from "../crypto/encryption.ts";
import { SEGMENT_OVERHEAD_BYTES } from "../crypto/segments.ts";
import { asArray, asBytes, asInteger, type CborValue, decodeCbor, encodeCbor } from "../encoding/cbor.ts";
import { contentIdFromDigest, DIGEST_BYTES, digestOf } from "../encoding/content-id.ts";
import { InvalidInputError, UnknownVersionError } from "../errors.ts";
import { MAX_STUBS } from "../revocable/stub-file.ts";
import { BUNDLE_LIMITS, MAX_BUNDLE_SPAN } from "./bundle.ts";
import { FRAME_HEAD_BYTES, MAX_FRAME_BYTES } from "./frame.ts";
import { checkPath, pathFromBytes, pathToBytes, showPath } from "./path-name.ts";

/** Most references in one list object. */
export const MAX_LIST_REFS = 8192;
/** Longest list object, sealed. */
export const MAX_SEALED_RECIPE_BYTES = 1_048_576;
/** Most chunks that an entry carries inline. */
export const MAX_INLINE_CHUNKS = 8;
/** Highest level of a list: 8192^4 chunks are more than any file size allows. */
export const MAX_LIST_LEVEL = 3;
/** Longest encoded entry. */
export const MAX_ENTRY_BYTES = 32_768;
/** Longest target of a symbolic link in bytes. */
export const MAX_TARGET_BYTES = 8192;

const MAX_ROOT_BYTES = 4096;
const MAX_SIZE = Number.MAX_SAFE_INTEGER;
const KEY_BYTES = 32;
/** Of a package whose stub was not looked up. */
const NO_KEY = new Uint8Array(0);
/** The shortest frame: one byte, stored. */
const MIN_FRAME_BYTES = FRAME_HEAD_BYTES + 1;

/** A chunk of plaintext and how to get it. */
export interface ChunkRef {
  /** Content id of the sealed chunk. */
  readonly id: string;
  /** 32 bytes. Of a package the stub, 64 bytes, once it was looked up; see chunk-object.ts. */
  readonly key: Uint8Array;
  /** Position of the stub in the stub file of the put, when the object is a package (revocable/package.ts). */
  readonly stub?: number;
  /** Plaintext bytes. */
  readonly sizeBytes: number;
  /** Bytes of the object, which an audit manifest states. */
  readonly sealedBytes: number;
}

/** A small file within a bundle, see bundle.ts. */
export interface SegmentRef {
  /** Content id of the bundle. */
  readonly id: string;
  /** Key of the bundle, 32 bytes. */
  readonly key: Uint8Array;
  /** Bytes of the bundle. */
  readonly bundleBytes: number;
  /** Place among the files of the bundle, from 0. */
  readonly position: number;
  /** Where the sealed file begins in the bundle. */
  readonly offset: number;
  /** Length of the sealed file. */
  readonly sealedBytes: number;
  /** Plaintext bytes. */
  readonly sizeBytes: number;
}

/** A tree of list objects, all sealed under one file key. */
export interface BlobRef {
  /** Level of the top list: 0 lists chunks, level n lists lists of level n − 1. */
  readonly level: number;
  /** Content id of the sealed top list. */
  readonly id: string;
  /** File key, 32 bytes. */
  readonly key: Uint8Array;
  /** Plaintext bytes of the whole content. */
  readonly sizeBytes: number;
}

/** The bytes of a listing, or of a file that is not in a bundle: few chunks inline, or a tree. No bytes: no chunks. */
export type ChunkedContent = { readonly chunks: readonly ChunkRef[] } | { readonly blob: BlobRef };

/** The bytes of a file. */
export type Content = ChunkedContent | { readonly segment: SegmentRef };

interface EntryCommon {
  /** Relative, `/` separated; see path-name.ts for names that are not UTF-8. */
  readonly path: string;
}

export interface RegularFileEntry extends EntryCommon {
  readonly type: "file";
  readonly sizeBytes: number;
  readonly content: Content;
}

export interface DirectoryEntry extends EntryCommon {
  readonly type: "directory";
}

export interface SymlinkEntry extends EntryCommon {
  readonly type: "symlink";
  /** Kept as it is, and never followed. Same string form as paths. */
  readonly target: string;
}

export type FileEntry = RegularFileEntry | DirectoryEntry | SymlinkEntry;

/**
 * How the keys of a file's chunks derive: `oprf` from one evaluation per chunk, so that equal chunks of any two files
 * are stored once; `merkle` from one evaluation per file, so that only equal files are; `revocable` as `oprf`, and the
 * chunks are packages, whose stubs are in a stub file and not in the recipe.
 */
export type KeyMode = "oprf" | "merkle" | "revocable";
const KEY_MODES: readonly KeyMode[] = ["oprf", "merkle", "revocable"];

/** What one put stored. */
export interface RootRecipe {
  readonly version: typeof RECIPE_FORMAT_VERSION;
  /** Dedup domain of all keys below. */
  readonly domain: string;
  /** How the keys of chunks derive. */
  readonly keyMode: KeyMode;
  readonly entryCount: number;
  /** Plaintext bytes of all files. */
  readonly totalBytes: number;
  readonly listingBytes: number;
  readonly listing: ChunkedContent;
}

/** A list object of level 1 and up points to lists by these. */
export interface ListRef {
  readonly id: string;
  readonly sizeBytes: number;
}

export type ListObject =
  | { readonly level: 0; readonly refs: readonly ChunkRef[] }
  | { readonly level: number; readonly refs: readonly ListRef[] };

/** Bytes that a content says it has. */
export function contentBytes(content: Content): number {
  if ("segment" in content) return content.segment.sizeBytes;
  return "blob" in content ? content.blob.sizeBytes : sumSizes(content.chunks);
}

function sumSizes(refs: readonly { readonly sizeBytes: number }[]): number {
  return refs.reduce((sum, ref) => sum + ref.sizeBytes, 0);
}

/** The version comes before everything else, so that a newer format is told from a damaged one. */
function checkVersion(bytes: Uint8Array, what: string): void {
  const [head, version] = bytes;
  if (head === undefined || version === undefined || head >> 5 !== 4 || version > 0x17) return;
  if (version !== RECIPE_FORMAT_VERSION) throw new UnknownVersionError(what, version, [RECIPE_FORMAT_VERSION]);
}

// References

function chunkRefToCbor(ref: ChunkRef): CborValue {
  return [digestOf(ref.id), ref.stub ?? ref.key, ref.sizeBytes, ref.sealedBytes];
}

function chunkRefFromCbor(value: CborValue | undefined, what: string): ChunkRef {
  const [digest, key, size, sealed] = asArray(value, 4, 4, { what, name: "chunk reference" });
  const sizeBytes = asInteger(size, 1, MAX_FRAME_BYTES - FRAME_HEAD_BYTES, { what, name: "chunk size" });
  return {
    id: contentIdFromDigest(asBytes(digest, DIGEST_BYTES, DIGEST_BYTES, { what, name: "chunk digest" })),
    ...(typeof key === "number"
      ? { key: NO_KEY, stub: asInteger(key, 0, MAX_STUBS - 1, { what, name: "position of a stub" }) }
      : { key: asBytes(key, KEY_BYTES, KEY_BYTES, { what, name: "chunk key" }) }),
    sizeBytes,
    sealedBytes: sealedSize(sealed, sizeBytes, CHUNK_OVERHEAD_BYTES, what),
  };
}

/** A sealed frame is longer than the plaintext by codec byte and tag at most, namely when it is stored. */
function sealedSize(value: CborValue | undefined, sizeBytes: number, overheadBytes: number, what: string): number {
  const largest = FRAME_HEAD_BYTES + sizeBytes + overheadBytes;
  return asInteger(value, MIN_FRAME_BYTES + overheadBytes, largest, { what, name: "sealed size" });
}

function listRefFromCbor(value: CborValue | undefined, what: string): ListRef {
  const [digest, size] = asArray(value, 2, 2, { what, name: "list reference" });
  return {
    id: contentIdFromDigest(asBytes(digest, DIGEST_BYTES, DIGEST_BYTES, { what, name: "list digest" })),
    sizeBytes: asInteger(size, 1, MAX_SIZE, { what, name: "list size" }),
  };
}

// Lists

/**
 * Encodes a list object.
 * @throws InvalidInputError if it breaks a limit, because what is written must be readable
 */
export function encodeList(list: ListObject): Uint8Array {
  const refs = isChunkList(list)
    ? list.refs.map(chunkRefToCbor)
    : list.refs.map((ref) => [digestOf(ref.id), ref.sizeBytes]);
  const bytes = encodeCbor([RECIPE_FORMAT_VERSION, list.level, refs]);
  decodeList(bytes, list.level);
  return bytes;
}

/** Whether a list points to chunks. */
export function isChunkList(list: ListObject): list is Extract<ListObject, { level: 0 }> {
  return list.level === 0;
}

/**
 * Decodes a list object.
 * @param level what the reference to it promises
 * @throws UnknownVersionError, InvalidInputError
 */
export function decodeList(bytes: Uint8Array, level: number): ListObject {
  const what = "recipe list";
  checkVersion(bytes, what);
  const value = decodeCbor(bytes, MAX_SEALED_RECIPE_BYTES - RECIPE_OVERHEAD_BYTES, 3, what);
  const [, found, refs] = asArray(value, 3, 3, { what, name: "shape" });
  asInteger(found, level, level, { what, name: "level" });
  const values = asArray(refs, 1, MAX_LIST_REFS, { what, name: "number of references" });
  if (level === 0) return { level, refs: values.map((ref) => chunkRefFromCbor(ref, what)) };
  asInteger(level, 1, MAX_LIST_LEVEL, { what, name: "level" });
  return { level, refs: values.map((ref) => listRefFromCbor(ref, what)) };
}

// Contents

const INLINE = 0;
const TREE = 1;
const SEGMENT = 2;

function contentToCbor(content: Content): CborValue {
  if ("chunks" in content) return [INLINE, content.chunks.map(chunkRefToCbor)];
  if ("blob" in content) return [TREE, content.blob.level, digestOf(content.blob.id), content.blob.key];
  const { id, key, bundleBytes, position, offset, sealedBytes } = content.segment;
  return [SEGMENT, digestOf(id), key, bundleBytes, position, offset, sealedBytes];
}

function contentFromCbor(value: CborValue | undefined, sizeBytes: number, what: string): Content {
  const items = asArray(value, 2, 7, { what, name: "content" });
  const kind = asInteger(items[0], INLINE, SEGMENT, { what, name: "content kind" });
  if (kind === SEGMENT) return { segment: segmentFromCbor(items, sizeBytes, what) };
  return kind === INLINE ? { chunks: inlineFromCbor(items, sizeBytes, what) } : treeFromCbor(items, sizeBytes, what);
}

function chunkedContentFromCbor(value: CborValue | undefined, sizeBytes: number, what: string): ChunkedContent {
  const content = contentFromCbor(value, sizeBytes, what);
  if (!("segment" in content)) return content;
  throw new InvalidInputError(`${what} is in a bundle`, { check: "content kind", expected: "chunks or lists" });
}

function inlineFromCbor(items: readonly CborValue[], sizeBytes: number, what: string): ChunkRef[] {
  const [, refs] = asArray(items, 2, 2, { what, name: "inline content" });
  const chunks = asArray(refs, 0, MAX_INLINE_CHUNKS, { what, name: "number of inline chunks" }).map((ref) =>
    chunkRefFromCbor(ref, what),
  );
  if (sumSizes(chunks) === sizeBytes) return chunks;
  throw new InvalidInputError(`${what}: its chunks do not add up to its size`, {
    check: "size",
    expected: `${sizeBytes} bytes`,
    received: `${sumSizes(chunks)} bytes`,
  });
}

function treeFromCbor(items: readonly CborValue[], sizeBytes: number, what: string): { readonly blob: BlobRef } {
  const [, level, digest, key] = asArray(items, 4, 4, { what, name: "tree content" });
  if (sizeBytes === 0) throw new InvalidInputError(`${what} has a tree for no bytes`, { check: "size" });
  return {
    blob: {
      level: asInteger(level, 0, MAX_LIST_LEVEL, { what, name: "level" }),
      id: contentIdFromDigest(asBytes(digest, DIGEST_BYTES, DIGEST_BYTES, { what, name: "list digest" })),
      key: asBytes(key, KEY_BYTES, KEY_BYTES, { what, name: "file key" }),
      sizeBytes,
    },
  };
}

function segmentFromCbor(items: readonly CborValue[], size: number, what: string): SegmentRef {
  const [, digest, key, bundle, position, offset, sealed] = asArray(items, 7, 7, { what, name: "bundled content" });
  const sizeBytes = asInteger(size, 1, BUNDLE_LIMITS.fileBytes, { what, name: "size of a bundled file" });
  const sealedBytes = sealedSize(sealed, sizeBytes, SEGMENT_OVERHEAD_BYTES, what);
  const bundleBytes = asInteger(bundle, sealedBytes, BUNDLE_LIMITS.maxBytes, { what, name: "bundle size" });
  return {
    id: contentIdFromDigest(asBytes(digest, DIGEST_BYTES, DIGEST_BYTES, { what, name: "bundle digest" })),
    key: asBytes(key, KEY_BYTES, KEY_BYTES, { what, name: "bundle key" }),
    bundleBytes,
    position: asInteger(position, 0, MAX_BUNDLE_SPAN - 1, { what, name: "position in the bundle" }),
    offset: asInteger(offset, 0, bundleBytes - sealedBytes, { what, name: "offset in the bundle" }),
    sealedBytes,
    sizeBytes,
  };
}

/** The size beside a content is written once and must be the content's own. */
function requireSameSize(what: string, sizeBytes: number, content: Content): void {
  if (contentBytes(content) === sizeBytes) return;
  throw new InvalidInputError(`${what}: its content has another size`, {
    check: "size",
    expected: `${sizeBytes} bytes`,
    received: `${contentBytes(content)} bytes`,
  });
}

// Entries

const FILE = 1;
const DIRECTORY = 2;
const SYMLINK = 3;

/**
 * Encodes one entry of a listing.
 * @throws InvalidInputError if the entry breaks a rule of the format, because what is written must be readable
 */
export function encodeEntry(entry: FileEntry): Uint8Array {
  const path = pathToBytes(entry.path);
  checkPath(path);
  const what = `entry ${showPath(entry.path)}`;
  if (entry.type === "directory") return encodeCbor([DIRECTORY, path]);
  if (entry.type === "symlink") {
    const target = pathToBytes(entry.target);
    checkTarget(target, what);
    return encodeCbor([SYMLINK, path, target]);
  }
  requireSameSize(what, entry.sizeBytes, entry.content);
  const content = contentToCbor(entry.content);
  contentFromCbor(content, asInteger(entry.sizeBytes, 0, MAX_SIZE, { what, name: "size" }), what);
  return encodeCbor([FILE, path, entry.sizeBytes, content]);
}

/** @throws InvalidInputError for a target that no link can have */
function checkTarget(value: CborValue | undefined, what: string): Uint8Array {
  const target = asBytes(value, 1, MAX_TARGET_BYTES, { what, name: "link target" });
  if (target.includes(0)) throw new InvalidInputError(`${what}: its target holds a NUL byte`, { check: "link target" });
  return target;
}

/**
 * Decodes one entry of a listing. Order and parents are checked by the listing reader, which sees more than one entry.
 * @throws InvalidInputError
 */
export function decodeEntry(bytes: Uint8Array): FileEntry {
  const items = asArray(decodeCbor(bytes, MAX_ENTRY_BYTES, ENTRY_DEPTH, "entry"), 2, 4, {
    what: "entry",
    name: "shape",
  });
  const pathBytes = asBytes(items[1], 1, MAX_ENTRY_BYTES, { what: "entry", name: "path" });
  checkPath(pathBytes);
  const path = pathFromBytes(pathBytes);
  const what = `entry ${showPath(path)}`;
  const type = asInteger(items[0], FILE, SYMLINK, { what, name: "type" });
  if (type === DIRECTORY) {
    asArray(items, 2, 2, { what, name: "shape" });
    return { type: "directory", path };
  }
  if (type === SYMLINK) {
    asArray(items, 3, 3, { what, name: "shape" });
    return { type: "symlink", path, target: pathFromBytes(checkTarget(items[2], what)) };
  }
  asArray(items, 4, 4, { what, name: "shape" });
  const sizeBytes = asInteger(items[2], 0, MAX_SIZE, { what, name: "size" });
  return { type: "file", path, sizeBytes, content: contentFromCbor(items[3], sizeBytes, what) };
}

/** Nesting of an entry: entry, content, array of references, reference. */
export const ENTRY_DEPTH = 4;

// Root

/**
 * Encodes the root recipe of a put.
 * @throws InvalidInputError if it breaks a rule of the format
 */
export function encodeRoot(root: RootRecipe): Uint8Array {
  if (root.version !== RECIPE_FORMAT_VERSION) {
    throw new UnknownVersionError("root recipe", root.version, [RECIPE_FORMAT_VERSION]);
  }
  requireSameSize("root recipe", root.listingBytes, root.listing);
  const { version, entryCount, totalBytes, listingBytes } = root;
  const bytes = encodeCbor([
    version,
    domainBytes(root.domain),
    KEY_MODES.indexOf(root.keyMode),
    entryCount,
    totalBytes,
    listingBytes,
    contentToCbor(root.listing),
  ]);
  decodeRoot(bytes);
  return bytes;
}

/**
 * Decodes a root recipe.
 * @throws UnknownVersionError, InvalidInputError
 */
export function decodeRoot(bytes: Uint8Array): RootRecipe {
  const what = "root recipe";
  checkVersion(bytes, what);
  const value = decodeCbor(bytes, MAX_ROOT_BYTES, ENTRY_DEPTH, what);
  const [version, domain, mode, entryCount, totalBytes, listing, content] = asArray(value, 7, 7, {
    what,
    name: "shape",
  });
  asInteger(version, RECIPE_FORMAT_VERSION, RECIPE_FORMAT_VERSION, { what, name: "version" });
  const listingBytes = asInteger(listing, 0, MAX_SIZE, { what, name: "listing size" });
  return {
    version: RECIPE_FORMAT_VERSION,
    domain: decodeDomain(asBytes(domain, 1, 255, { what, name: "domain" })),
    keyMode: KEY_MODES[asInteger(mode, 0, KEY_MODES.length - 1, { what, name: "key mode" })] ?? "oprf",
    entryCount: asInteger(entryCount, 0, MAX_SIZE, { what, name: "entry count" }),
    totalBytes: asInteger(totalBytes, 0, MAX_SIZE, { what, name: "total size" }),
    listingBytes,
    listing: chunkedContentFromCbor(content, listingBytes, what),
  };
}

function decodeDomain(bytes: Uint8Array): string {
  const domain = pathFromBytes(bytes);
  domainBytes(domain); // Refuses bytes that are not UTF-8: they show as unpaired surrogates.
  return domain;
}
