/** A put into a provider in memory, without chain or committee. */

import type { FileSystemPort } from "../../offchain/agent/platform.ts";
import type { AssembledRoot } from "../../offchain/agent/put/assemble.ts";
import { openSource, type PutInput } from "../../offchain/agent/put/source.ts";
import { onEvery } from "../../offchain/agent/put/store-objects.ts";
import { storeTree } from "../../offchain/agent/put/store-tree.ts";
import type { EntryMetadata } from "../../offchain/core/snapshot/entry-metadata.ts";
import { MemoryOracle, type MemoryProvider } from "./memory-data-plane.ts";

export interface StoredInMemory extends AssembledRoot {
  /** Of the entries, in listing order. */
  readonly metadata: readonly EntryMetadata[];
}

/** @param files absent: named content only */
export async function storeInMemory(
  provider: MemoryProvider,
  inputs: readonly PutInput[],
  files?: FileSystemPort,
): Promise<StoredInMemory> {
  const metadata: EntryMetadata[] = [];
  const assembled = await storeTree(openSource(inputs, files), {
    oracle: new MemoryOracle(),
    place: onEvery([{ provider }]),
    domain: "public",
    counter: { readBytes: 0, readEntries: 0 },
    totals: { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 },
    onChange: () => undefined,
    onEntry: async (value) => {
      metadata.push(value);
    },
  });
  return { ...assembled, metadata };
}
