/**
 * Third stage of a put: contents get their keys from the committee, in batches bounded by bytes (memory) and by number
 * (one request to a node), several batches at a time.
 */

import { chunkKey, fileKey, type KeyKind, oprfInput } from "../../core/crypto/encryption.ts";
import { bundleKey } from "../../core/crypto/segments.ts";
import { TallystickError } from "../../core/errors.ts";
import { MAXIMUM_BATCH } from "../../core/wire/nbm.ts";
import { batch, flatten } from "../pipeline/batch.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import type { CollectedEntry, CollectedInput, NewBundle, NewChunk, Repeated } from "./collect-contents.ts";

/** Frames in one batch. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** Batches waiting for the committee. */
const BATCHES_UNDER_WAY = 2;

interface Keyed {
  readonly key: Uint8Array;
}

export type KeyedInput =
  | Repeated
  | (NewChunk & Keyed)
  | (NewBundle & Keyed)
  | (CollectedEntry & { readonly fileKey?: Uint8Array });

/** What derives keys: a committee, or a stand-in of tests. */
export interface KeyOracle {
  /** Threshold OPRF: 64 bytes per input. */
  evaluate(inputs: readonly Uint8Array[], signal?: AbortSignal): Promise<Uint8Array[]>;
}

/** @throws TallystickError QUORUM_FAILED, RATE_LIMITED */
export function deriveKeys(
  input: AsyncIterable<CollectedInput>,
  oracle: KeyOracle,
  domain: string,
  signal?: AbortSignal,
): AsyncIterable<KeyedInput> {
  const batches = batch(input, {
    maximumItems: MAXIMUM_BATCH,
    maximumWeight: BATCH_BYTES,
    weigh: (item) => weightOf(item),
  });
  const keyed = mapOrdered(batches, (items) => keysForBatch(items, oracle, domain, signal), {
    concurrency: BATCHES_UNDER_WAY,
  });
  return flatten(keyed);
}

function weightOf(item: CollectedInput): number {
  if (item.kind === "chunk") return item.frame.length;
  return item.kind === "bundle" ? item.frames.reduce((sum, frame) => sum + frame.length, 0) : 0;
}

const KEY_OF: Readonly<Record<KeyKind, (output: Uint8Array) => Uint8Array>> = {
  chunk: chunkKey,
  file: fileKey,
  bundle: bundleKey,
};

/** What an item needs a key for. */
function wanted(item: CollectedInput): { readonly kind: KeyKind; readonly digest: Uint8Array } | undefined {
  if (item.kind === "chunk" || item.kind === "bundle") return item;
  if (item.kind !== "entry" || item.fileDigest === undefined) return undefined;
  return { kind: "file", digest: item.fileDigest };
}

async function keysForBatch(
  items: readonly CollectedInput[],
  oracle: KeyOracle,
  domain: string,
  signal: AbortSignal | undefined,
): Promise<KeyedInput[]> {
  const inputs = items.flatMap((item) => {
    const key = wanted(item);
    return key === undefined ? [] : [oprfInput(domain, key.kind, key.digest)];
  });
  const outputs = (inputs.length === 0 ? [] : await oracle.evaluate(inputs, signal)).values();
  return items.map((item): KeyedInput => {
    if (item.kind === "chunk" || item.kind === "bundle") {
      return { ...item, key: KEY_OF[item.kind](nextOutput(outputs)) };
    }
    if (item.kind === "entry" && item.fileDigest !== undefined) {
      return { ...item, fileKey: fileKey(nextOutput(outputs)) };
    }
    return item;
  });
}

/** The key of one content, outside a batch. */
export async function deriveKey(
  oracle: KeyOracle,
  domain: string,
  kind: KeyKind,
  digest: Uint8Array,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const outputs = await oracle.evaluate([oprfInput(domain, kind, digest)], signal);
  return KEY_OF[kind](nextOutput(outputs.values()));
}

function nextOutput(outputs: Iterator<Uint8Array>): Uint8Array {
  const next = outputs.next();
  if (next.done === true) throw new TallystickError("the key oracle gave too few outputs", { code: "INTERNAL" });
  return next.value;
}
