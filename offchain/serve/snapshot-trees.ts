/**
 * The snapshots of an account as folders: `<host>/<time>-<id>/…`, and `<host>/latest/…` for the newest of each host.
 * Those of a device that only writes are in `<host>@<address of the device>`: whoever has stolen it names any host.
 * Times are UTC with hyphens for colons, which some file systems do not take. The list is read when somebody asks, and
 * again for the first who asks when it is older than some seconds; a snapshot is opened only when it is entered.
 */

import type { ReadableTree } from "../agent/read/readable-tree.ts";
import { newest, SHORT_ID_LENGTH } from "../agent/snapshots/resolve.ts";
import { comparePaths, pathToBytes } from "../core/recipe/path-name.ts";
import type { Snapshot } from "../core/snapshot/snapshot.ts";
import { type MountedTree, MountedTrees } from "./mounted-trees.ts";

/** How long a list that was read is shown. */
const FRESH_MILLISECONDS = 5000;
const LATEST = "latest";

export interface SnapshotSource<Listed extends Snapshot> {
  /** All snapshots, those of one time in the order in which they were appended. */
  readonly list: () => Promise<readonly Listed[]>;
  /** The files of a snapshot. Opens nothing. */
  readonly tree: (snapshot: Listed) => ReadableTree;
  /** Milliseconds; default the clock of this machine, from any start. */
  readonly now?: () => number;
}

/** @throws what `list` throws, from each look-up that asks for it */
export function snapshotTrees<Listed extends Snapshot>({
  list,
  tree,
  now = () => performance.now(),
}: SnapshotSource<Listed>): ReadableTree {
  let read: { readonly folders: Promise<readonly MountedTree[]>; readonly until: number } | undefined;
  return new MountedTrees(async () => {
    if (read === undefined || read.until <= now()) {
      const folders = list().then((snapshots) => hostFolders(snapshots, tree));
      const mine = { folders, until: now() + FRESH_MILLISECONDS };
      read = mine;
      // The next one who asks tries again.
      folders.catch(() => {
        if (read === mine) read = undefined;
      });
    }
    return await read.folders;
  });
}

function hostFolders<Listed extends Snapshot>(
  snapshots: readonly Listed[],
  tree: (snapshot: Listed) => ReadableTree,
): MountedTree[] {
  const nameOf = ({ host, device }: Listed) => (device === undefined ? host : `${host}@${device}`);
  const byHost = [...Map.groupBy(snapshots, nameOf)];
  return inOrder(byHost.map(([host, ofHost]) => hostFolder(host, ofHost, tree)));
}

function hostFolder<Listed extends Snapshot>(
  host: string,
  snapshots: readonly Listed[],
  tree: (snapshot: Listed) => ReadableTree,
): MountedTree {
  const mounted = (name: string, snapshot: Listed): MountedTree => ({
    name,
    tree: tree(snapshot),
    modifiedMillis: snapshot.timeMillis,
  });
  const last = newest(snapshots);
  const folders = snapshots.map((snapshot) => mounted(snapshotName(snapshot), snapshot));
  if (last !== undefined) folders.push(mounted(LATEST, last));
  const ordered = inOrder(folders);
  return { name: hostName(host), tree: new MountedTrees(() => ordered), modifiedMillis: last?.timeMillis };
}

function snapshotName({ timeMillis, id }: Snapshot): string {
  const time = new Date(timeMillis).toISOString();
  return `${time.slice(0, time.indexOf(".")).replaceAll(":", "-")}Z-${id.slice(0, SHORT_ID_LENGTH)}`;
}

/** A host as one component of a path, another for each. */
function hostName(host: string): string {
  const name = host.replaceAll("%", "%25").replaceAll("/", "%2F").replaceAll("\0", "%00");
  return name === "." || name === ".." ? name.replaceAll(".", "%2E") : name;
}

/** As trees are listed: in the byte order of the names. */
function inOrder(folders: readonly MountedTree[]): MountedTree[] {
  return folders.toSorted((one, other) => comparePaths(pathToBytes(one.name), pathToBytes(other.name)));
}
