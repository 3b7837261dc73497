/**
 * Stage of a put: contents get their keys from the committee, in batches bounded by bytes (memory) and by number (one
 * request to a node), several batches at a time.
 */

import { chunkKey, fileKey, type KeyKind, oprfInput } from "../../core/crypto/encryption.ts";
import { merkleChunkKey, merkleSecret } from "../../core/crypto/merkle-keys.ts";
import { bundleKey } from "../../core/crypto/segments.ts";
import { TallystickError } from "../../core/errors.ts";
import type { KeyMode } from "../../core/recipe/recipe.ts";
import { packageKey } from "../../core/revocable/package.ts";
import { MAXIMUM_BATCH } from "../../core/wire/nbm.ts";
import { batch, flatten } from "../pipeline/batch.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import type { CollectedEntry, CollectedInput, KnownBundle, NewBundle, NewChunk, Repeated } from "./collect-contents.ts";

/**
 * Frames in one batch, and batches that wait for the committee. The answers to a batch cost a proof at each node and
 * its verification here, as much as two keys, whatever its size. Batches of 20 MiB take some hundredths less time, and
 * those of 6 MiB some more; a put of 4 GiB takes 329 MiB of memory with these.
 */
const BATCH_BYTES = 12 * 1024 * 1024;
const BATCHES_UNDER_WAY = 1;

interface Keyed {
  readonly key: Uint8Array;
}

export type KeyedInput =
  | Repeated
  | KnownBundle
  | (NewChunk & Keyed)
  | (NewBundle & Keyed)
  | (CollectedEntry & { readonly fileKey?: Uint8Array });

/** What derives keys: a committee, or a stand-in of tests. */
export interface KeyOracle {
  /** Threshold OPRF: 64 bytes per input. */
  evaluate(inputs: readonly Uint8Array[], signal?: AbortSignal): Promise<Uint8Array[]>;
}

export interface KeyDerivation {
  readonly oracle: KeyOracle;
  readonly domain: string;
  readonly keyMode: KeyMode;
  readonly signal?: AbortSignal | undefined;
}

/** @throws TallystickError QUORUM_FAILED, RATE_LIMITED */
export function deriveKeys(input: AsyncIterable<CollectedInput>, derivation: KeyDerivation): AsyncIterable<KeyedInput> {
  const batches = batch(input, {
    maximumItems: MAXIMUM_BATCH,
    maximumWeight: BATCH_BYTES,
    weigh: (item) => weightOf(item),
  });
  const evaluated = mapOrdered(batches, (items) => evaluateBatch(items, derivation), {
    concurrency: BATCHES_UNDER_WAY,
  });
  return assignKeys(flatten(evaluated), derivation.keyMode === "revocable" ? packageKey : chunkKey);
}

function weightOf(item: CollectedInput): number {
  if (item.kind === "chunk") return item.frame.length;
  return item.kind === "bundle" ? item.frames.reduce((sum, frame) => sum + frame.length, 0) : 0;
}

/** What an item needs an evaluation for. */
function wanted(
  item: CollectedInput,
  keyMode: KeyMode,
): { readonly kind: KeyKind; readonly digest: Uint8Array } | undefined {
  if (item.kind === "bundle") return item;
  if (item.kind === "file root") return { kind: "merkle", digest: item.digest };
  if (keyMode === "merkle") return undefined;
  if (item.kind === "chunk") return item;
  if (item.kind !== "entry" || item.fileDigest === undefined) return undefined;
  return { kind: "file", digest: item.fileDigest };
}

interface Evaluated {
  readonly item: CollectedInput;
  readonly output?: Uint8Array | undefined;
}

async function evaluateBatch(
  items: readonly CollectedInput[],
  { oracle, domain, keyMode, signal }: KeyDerivation,
): Promise<Evaluated[]> {
  const inputs = items.map((item) => wanted(item, keyMode));
  const asked = inputs.flatMap((input) => (input === undefined ? [] : [oprfInput(domain, input.kind, input.digest)]));
  const outputs = (asked.length === 0 ? [] : await oracle.evaluate(asked, signal)).values();
  return items.map((item, index) => (inputs[index] === undefined ? { item } : { item, output: nextOutput(outputs) }));
}

/** The keys of one file in mode `merkle`. */
interface FileSecrets {
  readonly secret: Uint8Array;
  readonly fileKey: Uint8Array;
}

/** An evaluated root of a file holds for what follows, until the entry of the file. */
async function* assignKeys(
  input: AsyncIterable<Evaluated>,
  keyOfChunk: (output: Uint8Array) => Uint8Array,
): AsyncGenerator<KeyedInput, void, undefined> {
  let file: FileSecrets | undefined;
  for await (const { item, output } of input) {
    switch (item.kind) {
      case "file root":
        file = { secret: merkleSecret(present(output)), fileKey: fileKey(present(output)) };
        break;
      case "chunk":
        yield {
          ...item,
          key: output === undefined ? merkleChunkKey(present(file).secret, item.digest) : keyOfChunk(output),
        };
        break;
      case "bundle":
        yield { ...item, key: bundleKey(present(output)) };
        break;
      case "entry":
        if (item.fileDigest === undefined) yield item;
        else yield { ...item, fileKey: output === undefined ? present(file).fileKey : fileKey(output) };
        file = undefined;
        break;
      default:
        yield item;
    }
  }
}

/** The key of one content, outside a batch. */
export async function deriveKey(
  { oracle, domain, signal }: KeyDerivation,
  kind: "chunk" | "file",
  digest: Uint8Array,
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

function present<Value>(value: Value | undefined): Value {
  if (value !== undefined) return value;
  throw new TallystickError("a content came without what its key derives from", { code: "INTERNAL" });
}
