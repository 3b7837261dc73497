/**
 * Snapshots that a provider lists and that lie in no data set there which goes on: the set that this device had put
 * them into has ended or is going to, and the next put began another one with what it stored alone. Of sets of other
 * devices nobody here knows what is in them, so nothing is said of their snapshots.
 */

import { isAddressEqual } from "../../core/encoding/address.ts";
import type { AgentContext } from "../context.ts";
import { follow } from "../data-sets/following.ts";
import type { JournaledDataSet } from "../data-sets/journal.ts";
import { SHORT_ID_LENGTH } from "./resolve.ts";
import type { ListedSnapshot, SnapshotListing } from "./snapshot-lists.ts";

export interface UnkeptSnapshot {
  readonly snapshot: ListedSnapshot;
  /** Account of the provider. */
  readonly provider: string;
  /** The set that has ended. */
  readonly dataSet: string;
}

/**
 * @param lists asked for when a set of this device has ended
 * @throws TallystickError CHAIN_UNAVAILABLE; what `lists` throws
 */
export async function unkeptSnapshots(
  context: AgentContext,
  lists: () => Promise<Pick<SnapshotListing, "snapshots">>,
): Promise<UnkeptSnapshot[]> {
  const { dataSets: journal } = context.platform;
  const sets: JournaledDataSet[] = [];
  for (const set of await journal.sets()) {
    if (!isAddressEqual(set.escrow, context.deployment.contracts.storageEscrow)) continue;
    sets.push(set.state === "running" ? (await follow(context, set)).set : set);
  }
  // What was moved is in another set, which this device knows.
  const ended = sets.filter(({ state, agreed, movedTo }) => state === "ended" && agreed && movedTo === undefined);
  if (ended.length === 0) return [];
  const holds = async ({ salt }: JournaledDataSet, { dataId }: ListedSnapshot): Promise<boolean> =>
    (await journal.holders(salt, [dataId])).size > 0;
  const unkept: UnkeptSnapshot[] = [];
  for (const snapshot of (await lists()).snapshots) {
    for (const provider of snapshot.providers) {
      const there = (one: JournaledDataSet) => isAddressEqual(one.provider, provider);
      // A put adds the root last, and all that it needs with it or before.
      const before = await firstThat(ended.filter(there), (set) => holds(set, snapshot));
      if (before?.agreed === undefined) continue;
      const goesOn = sets.filter((set) => there(set) && set.state !== "ended");
      if ((await firstThat(goesOn, (set) => holds(set, snapshot))) !== undefined) continue;
      unkept.push({ snapshot, provider, dataSet: before.agreed.id });
    }
  }
  return unkept;
}

async function firstThat<Item>(
  items: readonly Item[],
  test: (item: Item) => Promise<boolean>,
): Promise<Item | undefined> {
  for (const item of items) if (await test(item)) return item;
  return undefined;
}

/** Snapshots that a warning names. */
const MOST_NAMED = 5;

/** For people; empty when all are kept. */
export function unkeptWarnings(unkept: readonly UnkeptSnapshot[]): string[] {
  if (unkept.length === 0) return [];
  const ids = [...new Set(unkept.map(({ snapshot }) => snapshot.id.slice(0, SHORT_ID_LENGTH)))];
  const more = ids.length - MOST_NAMED;
  const names = `${ids.slice(0, MOST_NAMED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  const [one = ""] = ids;
  const what = ids.length === 1 ? `snapshot ${names} is` : `snapshots ${names} are`;
  const command = `\`tallystick data-set add ${ids.length === 1 ? one : "<snapshot>"}\``;
  return [
    `${what} in no data set that goes on, and may go when the one that had it ends: ${command} takes ` +
      `${ids.length === 1 ? "it" : "each"} into the running one, or begins one`,
  ];
}
