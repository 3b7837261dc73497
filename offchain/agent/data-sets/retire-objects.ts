/** What `forget` and `rm` do about the data set of this device: slices that hold only released objects go out of it. */

import { isAddressEqual } from "../../core/encoding/address.ts";
import type { AgentContext } from "../context.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { openDataSetLane } from "./lane.ts";
import type { DataSetReport } from "./lane-report.ts";

/**
 * Takes released objects out of this device's data set at a provider: from the next epoch on, slices with nothing else
 * are neither proven nor paid.
 *
 * @param ids content ids
 * @returns undefined when this device has no running set there
 * @throws as `openDataSetLane` and `DataSetLane.commit`
 */
export async function retireObjects(
  context: AgentContext,
  provider: StorageProvider,
  ids: readonly string[],
  signal?: AbortSignal,
): Promise<DataSetReport | undefined> {
  const { storageEscrow } = context.deployment.contracts;
  const isHere = (await context.platform.dataSets.sets()).some(
    (set) =>
      set.isOwn &&
      set.delegate === undefined &&
      set.state === "running" &&
      isAddressEqual(set.provider, provider.account) &&
      isAddressEqual(set.escrow, storageEscrow),
  );
  if (!isHere || ids.length === 0) return undefined;
  const lane = await openDataSetLane(context, provider);
  lane.retire(ids);
  return await context.exclusive(() => lane.commit(undefined, signal), signal);
}
