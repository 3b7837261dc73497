/** `get`: from a data id to files on disk, with nothing but the identity and the deployment's addresses. */

import type { RootRecipe } from "../../core/recipe/recipe.ts";
import { openRoot } from "../../core/recipe/tree.ts";
import type { AgentContext } from "../context.ts";
import { openFileKey } from "../keys/file-key.ts";
import type { NodeReport } from "../keys/quorum.ts";
import { requireFolder } from "../node/target-folder.ts";
import type { GetProgress, ProgressListener } from "../progress.ts";
import { restore } from "./restore.ts";

export interface GetOptions {
  /** Replace files that are there and differ. Default: leave them alone and fail. */
  readonly overwrite?: boolean;
  readonly onProgress?: ProgressListener<GetProgress> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface GetReport {
  readonly dataId: string;
  readonly entries: number;
  /** Plaintext bytes of all files. */
  readonly totalBytes: number;
  /** Of these, fetched now; the rest was on disk and was verified. */
  readonly downloadedBytes: number;
  /** What each key node answered. */
  readonly nodes: readonly NodeReport[];
  readonly seconds: number;
}

/**
 * Restores a put into a folder.
 *
 * @throws TallystickError NOT_FOUND, NOT_OWNER, SHARES_MISSING for the key; CONFLICT, DISK_FULL, DISK_FAILED for the folder
 * @throws IntegrityError naming file, offset and object when stored bytes are not what was put
 */
export async function get(
  context: AgentContext,
  dataId: string,
  folder: string,
  options: GetOptions = {},
): Promise<GetReport> {
  const started = performance.now();
  const { signal, overwrite = false } = options;
  requireFolder(folder);
  const totals = { entries: 0, bytes: 0, downloadedBytes: 0 };
  let root: RootRecipe | undefined;
  const tell = (phase: GetProgress["phase"]) =>
    options.onProgress?.({
      operation: "get",
      phase,
      totalEntries: root?.entryCount ?? 0,
      totalBytes: root?.totalBytes ?? 0,
      restoredEntries: totals.entries,
      restoredBytes: totals.bytes,
      downloadedBytes: totals.downloadedBytes,
    });
  tell("keys");
  const { fileKey, nodes } = await openFileKey(context, dataId);
  const providers = context.providers();
  try {
    root = openRoot(fileKey, dataId, await providers.fetch(dataId, signal));
  } finally {
    fileKey.fill(0);
  }
  await restore(root, dataId, providers, folder, totals, { overwrite, signal, onStep: () => tell("restoring") });
  tell("done");
  return {
    dataId,
    entries: totals.entries,
    totalBytes: totals.bytes,
    downloadedBytes: totals.downloadedBytes,
    nodes,
    seconds: (performance.now() - started) / 1000,
  };
}
