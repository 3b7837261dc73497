/**
 * The body of `PUT /v1/preparations/:salt`: manifest hash (32) ‖ X ‖ XA ‖ XB (256 each) ‖ the encoded manifest. The
 * hash comes first, so that a provider that knows the preparation answers without reading the manifest.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import type { AuditPublicKey } from "../audit/keys.ts";
import { encodedManifestHash } from "../audit/manifest.ts";

const HASH_BYTES = 32;
const POINT_BYTES = 256;
/** Bytes before the manifest. */
export const PREPARATION_HEAD_BYTES = HASH_BYTES + 3 * POINT_BYTES;

/** What comes before the manifest. */
export interface PreparationHead {
  /** 32 bytes. */
  readonly manifestHash: Uint8Array;
  readonly key: AuditPublicKey;
}

/** @param manifest encoded @returns the pieces of the body */
export function preparationBody(manifest: Uint8Array, { X, XA, XB }: AuditPublicKey): Uint8Array[] {
  return [concatBytes(encodedManifestHash(manifest), X, XA, XB), manifest];
}

/** @param head exactly `PREPARATION_HEAD_BYTES` bytes; the points are not checked here */
export function readPreparationHead(head: Uint8Array): PreparationHead {
  const point = (k: number): Uint8Array => head.slice(HASH_BYTES + k * POINT_BYTES, HASH_BYTES + (k + 1) * POINT_BYTES);
  return { manifestHash: head.slice(0, HASH_BYTES), key: { X: point(0), XA: point(1), XB: point(2) } };
}
