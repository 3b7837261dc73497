/** The tree of a snapshot: entries of its listing, each with its metadata, whole or below a path. */

import type { FileEntry, RootRecipe } from "../../core/recipe/recipe.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import type { AgentContext } from "../context.ts";
import type { RestoreEntry } from "../platform.ts";
import type { ObjectSource } from "../read/object-source.ts";
import { openStoredRoot } from "../read/open-root.ts";
import { readListing } from "../read/read-content.ts";
import { belowOrAt, noSuchPath } from "../read/tree-path.ts";
import { withMetadata } from "../read/with-metadata.ts";
import { readingSnapshotKeys } from "./account-keys.ts";
import { readMetadata } from "./read-metadata.ts";
import type { ResolvedPlace } from "./resolve.ts";

/** A tree that is open for reading. */
export interface SnapshotTree {
  readonly dataId: string;
  readonly snapshot?: Snapshot;
  readonly root: RootRecipe;
  /** Length of the sealed root. */
  readonly rootBytes: number;
  readonly source: ObjectSource;
  /** Metadata of each entry in listing order; absent for data that no snapshot names. */
  metadata(signal?: AbortSignal): AsyncIterable<EntryMetadata> | undefined;
}

/**
 * A tree without the stubs of a revocable put: its entries can be read, and the contents of its files cannot.
 * @param source where the objects come from; default: whichever provider has them
 * @throws TallystickError NOT_FOUND, NOT_OWNER, SHARES_MISSING for the key; IntegrityError for a damaged root
 */
export async function openTree(
  context: AgentContext,
  { dataId, snapshot }: Pick<ResolvedPlace, "dataId" | "snapshot">,
  signal?: AbortSignal,
  source: ObjectSource = context.providers(),
): Promise<SnapshotTree> {
  const { root, sealedBytes } = await openStoredRoot(context, dataId, signal, undefined, { keepers: [] });
  const keys = await readingSnapshotKeys(context, snapshot);
  return {
    dataId,
    ...(snapshot === undefined ? {} : { snapshot }),
    root,
    rootBytes: sealedBytes,
    source,
    metadata: (stop) => (snapshot === undefined ? undefined : readMetadata(keys, snapshot.metadataId, source, stop)),
  };
}

/**
 * The entries of a tree in listing order.
 * @param path only this entry and what is below it
 * @throws TallystickError NOT_FOUND after the last entry when there is none of this path
 * @throws IntegrityError when listing or metadata are damaged
 */
export async function* treeEntries(
  tree: Pick<SnapshotTree, "root" | "source" | "metadata">,
  path?: string,
  signal?: AbortSignal,
): AsyncGenerator<RestoreEntry<FileEntry>, void, undefined> {
  const entries = withMetadata(readListing(tree.root, tree.source, signal), tree.metadata(signal));
  if (path === undefined) {
    yield* entries;
    return;
  }
  const isWanted = belowOrAt(path);
  let isFound = false;
  for await (const entry of entries) {
    if (isWanted(entry.path)) {
      isFound = true;
      yield entry;
    } else if (isFound) {
      // What is below a path follows it without a gap.
      return;
    }
  }
  if (!isFound) throw noSuchPath(path);
}
