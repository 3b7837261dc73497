/** The end of a put: a snapshot in the list of every provider that has the data. */

import { contentIdFromDigest, DIGEST_BYTES } from "../../core/encoding/content-id.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { pathToBytes } from "../../core/recipe/path-name.ts";
import {
  MAX_HOST_BYTES,
  MAX_SNAPSHOT_PATHS,
  makeSnapshot,
  type Snapshot,
  type SnapshotTotals,
} from "../../core/snapshot/snapshot.ts";
import type { AgentContext } from "../context.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { restate } from "../restate-error.ts";
import { snapshotListAt } from "./account-keys.ts";
import { isReleased, type NeededObjects } from "./confirm-objects.ts";

/** Bytes of all paths of a record together. */
const PATHS_BYTES = 8192;

/** What a user may say about a snapshot. */
export interface SnapshotLabels {
  readonly tags?: readonly string[];
  /** Default: the name of this machine. */
  readonly host?: string;
  /** Default: when the put began. */
  readonly time?: Date;
}

export interface PutFacts {
  readonly dataId: string;
  readonly metadataId: string;
  /** Milliseconds since the epoch. */
  readonly startedAtMillis: number;
  /** What was put, as it was named. */
  readonly paths: readonly string[];
  readonly totals: SnapshotTotals;
  readonly unreadEntries: number;
  /** Address of a device that only writes. */
  readonly device?: string;
}

/** Refuses labels that no record can carry, before anything is stored. @throws InvalidInputError */
export function checkLabels(context: AgentContext, labels: SnapshotLabels): void {
  if (labels.host === "") {
    throw new InvalidInputError("the name of the host is empty", {
      party: "you",
      check: "host",
      expected: "a name, so that latest:<host> can name it",
      hint: "leave it out to have the name of this machine",
    });
  }
  if (labels.host?.includes(":") === true) {
    throw new InvalidInputError("the name of a host has a colon", {
      party: "you",
      check: "host",
      expected: "a name without a colon, so that latest:<host>:<path> can name it",
      received: JSON.stringify(labels.host.slice(0, 80)),
    });
  }
  const nothing = contentIdFromDigest(new Uint8Array(DIGEST_BYTES));
  const totals = { entries: 0, bytes: 0, addedObjects: 0, addedBytes: 0 };
  snapshotOf(context, labels, {
    dataId: nothing,
    metadataId: nothing,
    startedAtMillis: 0,
    paths: ["/"],
    totals,
    unreadEntries: 0,
  });
}

/** What the user should know about a time that is most likely a mistake; undefined for others. */
export function timeRemark(context: AgentContext, { time }: SnapshotLabels): string | undefined {
  if (time === undefined || time.getTime() <= context.platform.clock.now()) return undefined;
  return (
    `the snapshot is to have the time ${time.toISOString()}, which is in the future: until then, \`latest\` names it ` +
    "only where there is no other, and `forget` keeps it"
  );
}

/** @throws InvalidInputError for labels that break a limit */
export function snapshotOf(context: AgentContext, labels: SnapshotLabels, facts: PutFacts): Snapshot {
  const { host = "unknown", user = "" } = context.platform.origin ?? {};
  return makeSnapshot({
    dataId: facts.dataId,
    metadataId: facts.metadataId,
    timeMillis: labels.time?.getTime() ?? facts.startedAtMillis,
    host: labels.host ?? host.slice(0, MAX_HOST_BYTES),
    user,
    paths: shortenPaths(facts.paths),
    tags: labels.tags ?? [],
    totals: facts.totals,
    unreadEntries: facts.unreadEntries,
    ...(facts.device === undefined ? {} : { device: facts.device }),
  });
}

/**
 * Appends the snapshot to the list of each provider. Idempotent.
 * @param neededAt what the snapshot needs at a provider
 * @throws TallystickError of the first provider whose list could not be changed, after the others were; as `isReleased`
 *   tells, before any other
 */
export async function recordSnapshot(
  context: AgentContext,
  providers: readonly StorageProvider[],
  snapshot: Snapshot,
  neededAt: (provider: StorageProvider) => NeededObjects,
  signal?: AbortSignal,
): Promise<void> {
  const outcomes = await Promise.allSettled(
    providers.map((provider) => snapshotListAt(context, provider).append(snapshot, neededAt(provider), signal)),
  );
  const failures = outcomes.filter((outcome) => outcome.status === "rejected");
  const released = failures.find(({ reason }) => isReleased(reason));
  if (released !== undefined) throw released.reason;
  const [failure] = failures;
  if (failure === undefined) return;
  if (!(failure.reason instanceof TallystickError)) throw failure.reason;
  throw restate(failure.reason, `the data is stored, but no snapshot of it is listed: ${failure.reason.message}`, {});
}

/** Paths for a record: where they are too many or too long, the folders that hold them. */
export function shortenPaths(paths: readonly string[]): string[] {
  let shortened = [...new Set(paths)];
  while (shortened.length > MAX_SNAPSHOT_PATHS || sumBytes(shortened) > PATHS_BYTES) {
    const folders = shortened.map((path) => path.slice(0, Math.max(path.lastIndexOf("/"), 0)) || "/");
    shortened = [...new Set(folders)];
  }
  return shortened;
}

function sumBytes(paths: readonly string[]): number {
  return paths.reduce((sum, path) => sum + pathToBytes(path).length, 0);
}
