/** Fourth stage of a put: chunks and bundles are sealed, several at a time. */
import type { ChunkRef, KeyMode } from "../../core/recipe/recipe.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import type { DataStages } from "../pipeline/data-stages.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import type { BundleRef } from "./bundle-ref.ts";
import type { KnownBundle, Repeated } from "./collect-contents.ts";
import type { KeyedInput } from "./derive-keys.ts";

/** Objects being sealed. */
const UNDER_WAY = 4;

export type SealedInput =
  | Repeated
  | KnownBundle
  | { readonly kind: "chunk"; readonly content: string; readonly ref: ChunkRef; readonly object: SealedObject }
  | { readonly kind: "bundle"; readonly content: string; readonly ref: BundleRef; readonly object: SealedObject }
  | Extract<KeyedInput, { kind: "entry" }>;

/** @param keyMode `revocable`: chunks become packages, and the key of their references is the stub */
export function sealContents(
  input: AsyncIterable<KeyedInput>,
  stages: DataStages,
  keyMode: KeyMode,
): AsyncIterable<SealedInput> {
  return mapOrdered(input, (item) => sealItem(item, stages, keyMode), { concurrency: UNDER_WAY });
}

async function sealItem(item: KeyedInput, stages: DataStages, keyMode: KeyMode): Promise<SealedInput> {
  if (item.kind === "chunk" && keyMode === "revocable") {
    const { content, sizeBytes } = item;
    const { stub: key, ...object } = await stages.pack(item.frame, item.key);
    return {
      kind: "chunk",
      content,
      ref: { id: object.id, key, sizeBytes, sealedBytes: object.sealed.length },
      object,
    };
  }
  if (item.kind === "chunk") {
    const { content, key, sizeBytes } = item;
    const object = await stages.seal(item.frame, key);
    return {
      kind: "chunk",
      content,
      ref: { id: object.id, key, sizeBytes, sealedBytes: object.sealed.length },
      object,
    };
  }
  if (item.kind === "bundle") {
    const { content, key } = item;
    const object = await stages.sealBundle(item.frames, key);
    return { kind: "bundle", content, ref: { id: object.id, key, bundleBytes: object.sealed.length }, object };
  }
  return item;
}
