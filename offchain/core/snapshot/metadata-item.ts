/**
 * Metadata of one entry of a put as one CBOR item. It does not name its entry: the n-th item belongs to the n-th entry
 * of the listing.
 *
 *   item  [mode, mtime, [uid?], [gid?], user, group, [[name, value], …], [link group?], flags]
 *
 * An optional number is an array of none or one. Names are byte strings, empty where there is none. Flag 1: sparse.
 */

import { asArray, asBytes, asInt64, asInteger, type CborValue, decodeCbor, encodeCbor } from "../encoding/cbor.ts";
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

/** @throws InvalidInputError if it breaks a limit, because what is written must be readable */
export function encodeMetadata(metadata: EntryMetadata): Uint8Array {
  const { mode, mtimeNanos, uid, gid, user, group, xattrs, linkGroup, sparse } = metadata;
  const attributes = [...(xattrs ?? [])].map(([name, value]): [Uint8Array, Uint8Array] => [pathToBytes(name), value]);
  attributes.sort(([one], [other]) => compareBytes(one, other));
  const bytes = encodeCbor([
    mode,
    asInt64(mtimeNanos, field("modification time")),
    optional(uid),
    optional(gid),
    nameToBytes(user, "user"),
    nameToBytes(group, "group"),
    attributes,
    optional(linkGroup),
    sparse === true ? SPARSE : 0,
  ]);
  decodeMetadata(bytes);
  return bytes;
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

function optional(value: number | undefined): readonly number[] {
  return value === undefined ? [] : [value];
}

function optionalFrom(value: CborValue | undefined, min: number, max: number, name: string): number | undefined {
  const [only] = asArray(value, 0, 1, field(name));
  return only === undefined ? undefined : asInteger(only, min, max, field(name));
}

function nameToBytes(name: string | undefined, role: string): Uint8Array {
  if (name === "") {
    throw new InvalidInputError(`${what} has an empty ${role} name`, { check: role, expected: "a name, or none" });
  }
  return pathToBytes(name ?? "");
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
