/**
 * Metadata of one entry of a put as one CBOR item. It does not name its entry: the n-th item belongs to the n-th entry
 * of the listing.
 *
 *   item  [mode, mtime, [uid?], [gid?], user, group, [[name, value], …], [link group?], flags]
 *
 * An optional number is an array of none or one. Names are byte strings, empty where there is none. Flag 1: sparse.
 */

import { asArray, asBytes, asInt64, asInteger, type CborValue, decodeCbor } from "../encoding/cbor.ts";
import { CborWriter } from "../encoding/cbor-writer.ts";
import { compareBytes } from "../encoding/compare-bytes.ts";
import { InvalidInputError } from "../errors.ts";
import { pathFromBytes, pathToBytes } from "../recipe/path-name.ts";
import type { EntryMetadata } from "./entry-metadata.ts";

/** Longest encoded item: Linux allows 64 KiB for one attribute, and some file systems many of them. */
export const MAX_METADATA_ITEM_BYTES = 1_048_576;
/** Nesting of an item: item, attributes, attribute. */
export const METADATA_DEPTH = 3;
export const MAX_XATTRS = 1024;
export const MAX_XATTR_NAME_BYTES = 255;
/** What Linux allows at most (XATTR_SIZE_MAX). */
export const MAX_XATTR_VALUE_BYTES = 65_536;
export const MAX_OWNER_NAME_BYTES = 255;

const PERMISSION_BITS = 0o7777;
/** User and group numbers of POSIX systems have 32 bits. */
const MAX_OWNER_NUMBER = 0xffff_ffff;
const SPARSE = 1;
const what = "metadata item";
const field = (name: string) => ({ what, name });

const writer = new CborWriter();
const NO_NAME = new Uint8Array(0);

/** @throws InvalidInputError if it breaks a limit, because what is written must be readable */
export function encodeMetadata(metadata: EntryMetadata): Uint8Array {
  const { mode, mtimeNanos, uid, gid, user, group, xattrs, linkGroup, sparse } = metadata;
  // All is checked before anything is written: the writer is shared, and a failure must leave nothing in it.
  const userName = nameToBytes(user, "user");
  const groupName = nameToBytes(group, "group");
  const attributes = attributesToBytes(xattrs);
  asInteger(mode, 0, PERMISSION_BITS, field("mode"));
  asInt64(mtimeNanos, field("modification time"));
  if (uid !== undefined) asInteger(uid, 0, MAX_OWNER_NUMBER, field("user number"));
  if (gid !== undefined) asInteger(gid, 0, MAX_OWNER_NUMBER, field("group number"));
  if (linkGroup !== undefined) asInteger(linkGroup, 0, Number.MAX_SAFE_INTEGER, field("link group"));
  writer.array(9);
  writer.integer(mode);
  writer.integer(mtimeNanos);
  writeOptional(uid);
  writeOptional(gid);
  writer.bytes(userName);
  writer.bytes(groupName);
  writer.array(attributes.length);
  for (const [name, value] of attributes) {
    writer.array(2);
    writer.bytes(name);
    writer.bytes(value);
  }
  writeOptional(linkGroup);
  writer.integer(sparse === true ? SPARSE : 0);
  const bytes = writer.take();
  if (bytes.length <= MAX_METADATA_ITEM_BYTES) return bytes;
  throw new InvalidInputError(`${what} is too long`, {
    check: "size",
    expected: `at most ${MAX_METADATA_ITEM_BYTES} bytes`,
    received: `${bytes.length} bytes`,
  });
}

/** @throws InvalidInputError */
export function decodeMetadata(bytes: Uint8Array): EntryMetadata {
  const value = decodeCbor(bytes, MAX_METADATA_ITEM_BYTES, METADATA_DEPTH, what);
  const [mode, mtime, uids, gids, userName, groupName, attributes, links, flags] = asArray(value, 9, 9, field("shape"));
  const uid = optionalFrom(uids, 0, MAX_OWNER_NUMBER, "user number");
  const gid = optionalFrom(gids, 0, MAX_OWNER_NUMBER, "group number");
  const user = nameFrom(userName, "user");
  const group = nameFrom(groupName, "group");
  const xattrs = attributesFrom(attributes);
  const linkGroup = optionalFrom(links, 0, Number.MAX_SAFE_INTEGER, "link group");
  const sparse = asInteger(flags, 0, SPARSE, field("flags")) === SPARSE;
  return {
    mode: asInteger(mode, 0, PERMISSION_BITS, field("mode")),
    mtimeNanos: asInt64(mtime, field("modification time")),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...(xattrs.size === 0 ? {} : { xattrs }),
    ...(linkGroup === undefined ? {} : { linkGroup }),
    ...(sparse ? { sparse } : {}),
  };
}

function writeOptional(value: number | undefined): void {
  writer.array(value === undefined ? 0 : 1);
  if (value !== undefined) writer.integer(value);
}

function optionalFrom(value: CborValue | undefined, min: number, max: number, name: string): number | undefined {
  const [only] = asArray(value, 0, 1, field(name));
  return only === undefined ? undefined : asInteger(only, min, max, field(name));
}

function nameToBytes(name: string | undefined, role: string): Uint8Array {
  if (name === undefined) return NO_NAME;
  const bytes = asBytes(pathToBytes(name), 1, MAX_OWNER_NAME_BYTES, field(role));
  requireNoNul(bytes, role);
  return bytes;
}

function attributesToBytes(xattrs: EntryMetadata["xattrs"]): [Uint8Array, Uint8Array][] {
  if (xattrs === undefined) return [];
  if (xattrs.size > MAX_XATTRS) {
    throw new InvalidInputError(`${what} has too many attributes`, {
      check: "number of attributes",
      expected: `at most ${MAX_XATTRS}`,
      received: String(xattrs.size),
    });
  }
  const attributes = [...xattrs].map(([text, value]): [Uint8Array, Uint8Array] => {
    const name = asBytes(pathToBytes(text), 1, MAX_XATTR_NAME_BYTES, field("attribute name"));
    requireNoNul(name, "attribute name");
    return [name, asBytes(value, 0, MAX_XATTR_VALUE_BYTES, field("attribute value"))];
  });
  return attributes.sort(([one], [other]) => compareBytes(one, other));
}

function nameFrom(value: CborValue | undefined, role: string): string | undefined {
  const bytes = asBytes(value, 0, MAX_OWNER_NAME_BYTES, field(role));
  requireNoNul(bytes, role);
  return bytes.length === 0 ? undefined : pathFromBytes(bytes);
}

/** Names ascend strictly, so that one set of attributes has one encoding and no name occurs twice. */
function attributesFrom(value: CborValue | undefined): Map<string, Uint8Array> {
  const attributes = new Map<string, Uint8Array>();
  let previous: Uint8Array | undefined;
  for (const one of asArray(value, 0, MAX_XATTRS, field("number of attributes"))) {
    const [nameValue, valueValue] = asArray(one, 2, 2, field("attribute"));
    const name = asBytes(nameValue, 1, MAX_XATTR_NAME_BYTES, field("attribute name"));
    requireNoNul(name, "attribute name");
    if (previous !== undefined && compareBytes(previous, name) >= 0) {
      throw new InvalidInputError(`${what} has attributes out of order`, {
        check: "attribute order",
        expected: "names that ascend, each once",
      });
    }
    previous = name;
    attributes.set(pathFromBytes(name), asBytes(valueValue, 0, MAX_XATTR_VALUE_BYTES, field("attribute value")));
  }
  return attributes;
}

function requireNoNul(bytes: Uint8Array, name: string): void {
  if (!bytes.includes(0)) return;
  throw new InvalidInputError(`${what} has a NUL byte in its ${name}`, { check: name });
}
