/**
 * The data plane of a put, stage after stage: read, chunk, derive keys, seal and assemble, place, tag, store. Memory is
 * what the stages hold: about six batches of 4 MiB, whatever is put.
 */

import { type AssembledRoot, Assembler } from "./assemble.ts";
import { chunkFiles, type ReadCounter } from "./chunk-files.ts";
import { deriveKeys, type KeyOracle } from "./derive-keys.ts";
import type { EntrySource } from "./source.ts";
import { distinct, type Placement, type StoreTotals, storeObjects } from "./store-objects.ts";

export interface StoreTreeContext {
  readonly oracle: KeyOracle;
  readonly place: Placement;
  readonly domain: string;
  readonly counter: ReadCounter;
  readonly totals: StoreTotals;
  /** Called when the counts have changed. */
  readonly onChange: () => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Stores the entries of a source. When it resolves, all objects are durable; nothing has been recorded anywhere.
 *
 * @throws FileUnreadableError, FileChangedError; TallystickError of the committee or a provider
 */
export async function storeTree(source: EntrySource, context: StoreTreeContext): Promise<AssembledRoot> {
  const { oracle, place, domain, counter, totals, onChange, signal } = context;
  const assembler = new Assembler(oracle, domain, signal);
  const chunked = chunkFiles(source.entries(), counter, signal);
  const objects = distinct(assembler.assemble(deriveKeys(chunked, oracle, domain, signal)));
  await storeObjects(objects, place, totals, onChange, signal);
  return assembler.result;
}
