/**
 * Second stage of a put: contents get their keys from the committee, in batches bounded by bytes (memory) and by
 * number (one request to a node), several batches at a time.
 */

import { chunkKey, fileKey, oprfInput } from "../../core/crypto/encryption.ts";
import { TallystickError } from "../../core/errors.ts";
import { MAXIMUM_BATCH } from "../../core/wire/nbm.ts";
import { batch, flatten } from "../pipeline/batch.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import type { ChunkedInput, NewChunk, ReadEntry, RepeatedChunk } from "./chunk-files.ts";

/** Plaintext in one batch. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** Batches waiting for the committee. */
const BATCHES_UNDER_WAY = 2;

export type KeyedInput =
  | RepeatedChunk
  | (NewChunk & { readonly key: Uint8Array })
  | (ReadEntry & { readonly fileKey?: Uint8Array });

/** What derives keys: a committee, or a stand-in of tests. */
export interface KeyOracle {
  /** Threshold OPRF: 64 bytes per input. */
  evaluate(inputs: readonly Uint8Array[], signal?: AbortSignal): Promise<Uint8Array[]>;
}

/** @throws TallystickError QUORUM_FAILED, RATE_LIMITED */
export function deriveKeys(
  input: AsyncIterable<ChunkedInput>,
  oracle: KeyOracle,
  domain: string,
  signal?: AbortSignal,
): AsyncIterable<KeyedInput> {
  const batches = batch(input, {
    maximumItems: MAXIMUM_BATCH,
    maximumWeight: BATCH_BYTES,
    weigh: (item) => (item.kind === "chunk" ? item.plaintext.length : 0),
  });
  const keyed = mapOrdered(batches, (items) => keysForBatch(items, oracle, domain, signal), {
    concurrency: BATCHES_UNDER_WAY,
  });
  return flatten(keyed);
}

async function keysForBatch(
  items: readonly ChunkedInput[],
  oracle: KeyOracle,
  domain: string,
  signal: AbortSignal | undefined,
): Promise<KeyedInput[]> {
  const inputs: Uint8Array[] = [];
  for (const item of items) {
    if (item.kind === "chunk") inputs.push(oprfInput(domain, "chunk", item.digest));
    else if (item.kind === "entry" && item.fileDigest !== undefined) {
      inputs.push(oprfInput(domain, "file", item.fileDigest));
    }
  }
  const outputs = (inputs.length === 0 ? [] : await oracle.evaluate(inputs, signal)).values();
  return items.map((item): KeyedInput => {
    if (item.kind === "chunk") return { ...item, key: chunkKey(nextOutput(outputs)) };
    if (item.kind === "entry" && item.fileDigest !== undefined)
      return { ...item, fileKey: fileKey(nextOutput(outputs)) };
    return item;
  });
}

/** The key of one content, outside a batch. */
export async function deriveKey(
  oracle: KeyOracle,
  domain: string,
  kind: "chunk" | "file",
  digest: Uint8Array,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const outputs = await oracle.evaluate([oprfInput(domain, kind, digest)], signal);
  const output = nextOutput(outputs.values());
  return kind === "chunk" ? chunkKey(output) : fileKey(output);
}

function nextOutput(outputs: Iterator<Uint8Array>): Uint8Array {
  const next = outputs.next();
  if (next.done === true) throw new TallystickError("the key oracle gave too few outputs", { code: "INTERNAL" });
  return next.value;
}
