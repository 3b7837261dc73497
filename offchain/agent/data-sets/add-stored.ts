/** Data that a provider stores already comes into this device's data set there: its own copy is read and tagged. */

import type { AgentContext } from "../context.ts";
import type { DataSetProgress, ProgressListener } from "../progress.ts";
import { chosenProviders } from "../providers/chosen-providers.ts";
import { objectOrder } from "../read/object-order.ts";
import { openStoredRoot } from "../read/open-root.ts";
import { readingSnapshotKeys, snapshotListAt } from "../snapshots/account-keys.ts";
import { metadataObjects } from "../snapshots/snapshot-objects.ts";
import { openDataSetLane } from "./lane.ts";
import type { DataSetReport } from "./lane-report.ts";
import type { LaneWishes } from "./wishes.ts";

export interface AddOptions extends LaneWishes {
  /** Account of a provider that has the data. Default: the one that puts go to. */
  readonly provider?: string;
  readonly onProgress?: ProgressListener<DataSetProgress> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Adds what is stored under a data id, with the metadata of its snapshots. Objects that are in the set already are not
 * read.
 * @throws as `get` does while reading, and as `put` does about the data set
 */
export async function addStored(
  context: AgentContext,
  dataId: string,
  { provider: wanted, onProgress, signal, ...wishes }: AddOptions = {},
): Promise<DataSetReport[]> {
  const reports: DataSetReport[] = [];
  for (const provider of await chosenProviders(context, wanted === undefined ? undefined : [wanted])) {
    const lane = await openDataSetLane(context, provider, wishes);
    try {
      const { root, sealedBytes } = await openStoredRoot(context, dataId, signal, undefined, { keepers: [] });
      let doneBytes = 0;
      const objects = async function* () {
        yield* objectOrder(dataId, root, sealedBytes, provider, signal);
        const { snapshots } = await snapshotListAt(context, provider).read(signal);
        const named = new Map(snapshots.filter((one) => one.dataId === dataId).map((one) => [one.metadataId, one]));
        for (const [id, one] of named) {
          yield* metadataObjects(await readingSnapshotKeys(context, one), id, { source: provider }, signal);
        }
      };
      for await (const { id } of objects()) {
        if (await lane.holds([id])) continue;
        const sealed = await provider.fetch(id, signal);
        await lane.tagger.add({ id, sealed });
        doneBytes += sealed.length;
        onProgress?.({ operation: "data-set", phase: "tagging", doneBytes, totalBytes: root.totalBytes });
      }
      reports.push(await context.exclusive(() => lane.commit(onProgress, signal), signal));
    } catch (error) {
      await lane.discard();
      throw error;
    }
  }
  return reports;
}
