/**
 * The data plane of a put, stage after stage: walk, chunk, derive keys, seal and assemble, observe, store. Memory is what the
 * stages hold: about six batches of 4 MiB, whatever is put.
 */

import type { SealedObject } from "../../core/recipe/tree.ts";
import { walk } from "../node/walk.ts";
import type { ProviderSet } from "../providers/provider-set.ts";
import { type AssembledRoot, Assembler } from "./assemble.ts";
import { chunkFiles, type ReadCounter } from "./chunk-files.ts";
import { deriveKeys, type KeyOracle } from "./derive-keys.ts";
import { distinct, type StoreTotals, storeObjects } from "./store-objects.ts";

export interface StoreTreeContext {
  readonly oracle: KeyOracle;
  readonly providers: Pick<ProviderSet, "store">;
  readonly domain: string;
  /** Sees every distinct object once, in order, before it is stored: possession tags are made here. */
  readonly observe?: ((object: SealedObject) => void) | undefined;
  readonly counter: ReadCounter;
  readonly totals: StoreTotals;
  /** Called when the counts have changed. */
  readonly onChange: () => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Stores what is under the paths. When it resolves, all objects are durable; nothing has been recorded anywhere.
 *
 * @throws FileUnreadableError, FileChangedError; TallystickError of the committee or the provider
 */
export async function storeTree(paths: readonly string[], context: StoreTreeContext): Promise<AssembledRoot> {
  const { oracle, providers, domain, counter, totals, onChange, signal } = context;
  const assembler = new Assembler(oracle, domain, signal);
  const chunked = chunkFiles(walk(paths), counter, signal);
  const objects = distinct(assembler.assemble(deriveKeys(chunked, oracle, domain, signal)));
  await storeObjects(observed(objects, context.observe), providers, totals, onChange, signal);
  return assembler.result;
}

async function* observed(
  objects: AsyncIterable<SealedObject>,
  observe: ((object: SealedObject) => void) | undefined,
): AsyncGenerator<SealedObject, void, undefined> {
  for await (const object of objects) {
    observe?.(object);
    yield object;
  }
}
