/**
 * Removals: objects of a bucket that say which objects of which packs were removed. A removal names packs, so it says
 * nothing about the same object in another pack, and the order in which packs and removals are read does not matter.
 */
import * as Type from "@sinclair/typebox/type";
import { Check } from "@sinclair/typebox/value";
import { PACK_NAME } from "./s3-pack.ts";

export const REMOVAL_VERSION = 1;
/** Largest removal that is read: about 50,000 ids. */
export const MAXIMUM_REMOVAL_BYTES = 4 * 1024 * 1024;
/** Objects in one removal. */
export const OBJECTS_PER_REMOVAL = 10_000;

const closed = { additionalProperties: false };
const RemovalDocument = Type.Object(
  {
    version: Type.Literal(REMOVAL_VERSION),
    /** Ids by the name of the pack. */
    removed: Type.Record(
      Type.String({ pattern: PACK_NAME.source }),
      Type.Array(Type.String({ maxLength: 128 })),
      closed,
    ),
  },
  closed,
);

/** An object of a pack that was removed. */
export interface Removed {
  readonly pack: string;
  readonly id: string;
}

export function encodeRemoval(removed: readonly Removed[]): Uint8Array {
  const byPack = new Map<string, string[]>();
  for (const { pack, id } of removed) byPack.set(pack, [...(byPack.get(pack) ?? []), id]);
  const document = { version: REMOVAL_VERSION, removed: Object.fromEntries([...byPack].sort()) };
  return new TextEncoder().encode(JSON.stringify(document));
}

/** @returns undefined for bytes that are no removal of this version */
export function decodeRemoval(bytes: Uint8Array): Removed[] | undefined {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
  if (!Check(RemovalDocument, document)) return undefined;
  return Object.entries(document.removed).flatMap(([pack, ids]) => ids.map((id) => ({ pack, id })));
}
