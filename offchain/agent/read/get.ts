/** `get`: from a data id to files, streams or bytes, with nothing but the identity and the deployment's addresses. */

import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { RootRecipe } from "../../core/recipe/recipe.ts";
import type { AgentContext } from "../context.ts";
import type { KeySource } from "../keys/file-key.ts";
import type { NodeReport } from "../keys/node-reports.ts";
import type { HealedShare, Healing } from "../keys/share-healing.ts";
import type { RestoreTarget, TargetRemark } from "../platform.ts";
import type { AgentLogger, GetProgress, ProgressListener } from "../progress.ts";
import { restate } from "../restate-error.ts";
import { readingSnapshotKeys } from "../snapshots/account-keys.ts";
import { readMetadata } from "../snapshots/read-metadata.ts";
import { dataIdIn, type ResolvedPlace, resolvePlace } from "../snapshots/resolve.ts";
import { resolveListed } from "../snapshots/snapshot-lists.ts";
import type { ByteRange } from "./byte-range.ts";
import type { LeftEntry } from "./obstacles.ts";
import { openStoredRoot } from "./open-root.ts";
import { findFile, type ReadEntry, type ReadFile, readBytes, readEntries } from "./read-entries.ts";
import { type DamagedFile, restore } from "./restore.ts";
import { withStubsOf } from "./stubbed-source.ts";

/** Files that an error names. */
const MOST_NAMED = 100;
/** Entries in the way that a report has: a tree restored over another one would name millions. */
const MOST_LEFT = 10_000;

export interface GetOptions {
  /** Where the key comes from; the account's own envelope first unless given, see agent/keys/file-key.ts. */
  readonly keySource?: KeySource;
  /** Replace files that are there and differ. Default: leave them alone. */
  readonly overwrite?: boolean;
  /**
   * Told of every file that cannot be restored because an object is lost or damaged. Default: `get` restores the
   * others, then throws the first failure.
   */
  readonly onDamage?: ((damaged: DamagedFile) => void) | undefined;
  /**
   * Told of every entry that is not restored because something else is there, which is left alone, or because the file
   * system refuses it. Default: `get` restores the others, then throws the first error.
   */
  readonly onLeft?: ((left: LeftEntry) => void) | undefined;
  readonly onProgress?: ProgressListener<GetProgress> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface GetReport {
  readonly dataId: string;
  /** The snapshot that times, modes and owners come from; none if no list names the data. */
  readonly snapshotId?: string;
  /** Files that could not be restored. */
  readonly damaged: readonly DamagedFile[];
  /** What was not restored because something else is there, or because the file system refuses it. */
  readonly left: LeftReport;
  /** Metadata that could not be set here: how many entries are restored without it, by its kind. */
  readonly notSet: NotSet;
  readonly entries: number;
  /** Plaintext bytes of all files. */
  readonly totalBytes: number;
  /** Of these, fetched now. The rest was in the target already or occurs again, and was verified there. */
  readonly downloadedBytes: number;
  /** What each key node answered. */
  readonly nodes: readonly NodeReport[];
  /** Key shares that members of the committee lacked, and have again by this read. */
  readonly healed: readonly HealedShare[];
  readonly seconds: number;
}

export type NotSet = Readonly<Partial<Record<TargetRemark["kind"], number>>>;

export interface LeftReport {
  readonly count: number;
  /** The first 10,000, in listing order. */
  readonly entries: readonly LeftEntry[];
}

export interface FileOptions {
  /** Path of the file in the put. Default: the put must have one file only. */
  readonly path?: string;
  readonly signal?: AbortSignal | undefined;
}

export interface ContentOptions extends FileOptions {
  /** The bytes to read; what is beyond the end of the file is left out. Default: all. */
  readonly range?: Partial<ByteRange>;
}

/**
 * Restores a snapshot, or a file or folder of one, into a folder or another target.
 *
 * @param place name of a snapshot or data id, perhaps with a path: see snapshots/resolve.ts.
 * @param target folder of the platform's file system, or what implements one.
 * @throws TallystickError NOT_FOUND, NOT_OWNER, SHARES_MISSING for the key; CONFLICT, DISK_FULL, DISK_FAILED for the
 *   target
 * @throws IntegrityError naming file, offset and object when stored bytes are not what was put
 */
export async function get(
  context: AgentContext,
  place: string,
  target: string | RestoreTarget,
  options: GetOptions = {},
): Promise<GetReport> {
  const started = performance.now();
  const { signal, overwrite = false } = options;
  const { files } = context.platform;
  if (target === "") throw new InvalidInputError("no folder to restore into", { party: "you", check: "output folder" });
  if (typeof target === "string" && files === undefined) throw noFolders();
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
  const { dataId, snapshot, path } = await placeWithSnapshot(context, place, signal);
  let healing: Healing | undefined;
  const opened = await openStoredRoot(context, dataId, signal, options.keySource, {
    onHealing: (begun) => {
      healing = begun;
    },
  });
  root = opened.root;
  const notSet: Partial<Record<TargetRemark["kind"], number>> = {};
  const tellOnce = toldOncePerKind(context.logger);
  const remark = (one: TargetRemark) => {
    notSet[one.kind] = (notSet[one.kind] ?? 0) + 1;
    tellOnce(one);
  };
  const metadata =
    snapshot === undefined
      ? undefined
      : readMetadata(await readingSnapshotKeys(context, snapshot), snapshot.metadataId, context.providers(), signal);
  const damaged: DamagedFile[] = [];
  const onDamage = (file: DamagedFile) => {
    damaged.push(file);
    options.onDamage?.(file);
  };
  const leftEntries: LeftEntry[] = [];
  let leftCount = 0;
  const onLeft = (left: LeftEntry) => {
    leftCount += 1;
    if (leftEntries.length < MOST_LEFT) leftEntries.push(left);
    options.onLeft?.(left);
  };
  const onLeftLate = (left: LeftEntry) => {
    totals.entries -= 1;
    onLeft(left);
  };
  const opening =
    typeof target === "string"
      ? await files?.openTarget(target, { dataId, overwrite, remark, onLeft: onLeftLate })
      : target;
  if (opening === undefined) throw noFolders();
  const stages = context.platform.openStages?.();
  try {
    await restore(root, withStubsOf(context.providers(), opened.stubs), opening, totals, {
      metadata,
      path,
      stages,
      signal,
      onDamage,
      onLeft,
      onStep: () => tell("restoring"),
    });
  } finally {
    await stages?.close();
  }
  const [first] = damaged;
  if (first !== undefined && options.onDamage === undefined) throw damageError(first, damaged);
  const left = { count: leftCount, entries: leftEntries };
  if (options.onLeft === undefined) throwLeft(left);
  const healed = (await healing?.finish()) ?? [];
  tell("done");
  return {
    dataId,
    ...(snapshot === undefined ? {} : { snapshotId: snapshot.id }),
    damaged,
    left,
    notSet,
    entries: totals.entries,
    totalBytes: totals.bytes,
    downloadedBytes: totals.downloadedBytes,
    nodes: opened.nodes,
    healed,
    seconds: (performance.now() - started) / 1000,
  };
}

/**
 * Finds one file of a put. Its content is fetched when it is read.
 *
 * @throws InvalidInputError without a path when the put is not a single file; TallystickError NOT_FOUND for a path that
 *   it has not
 * @throws TallystickError as `get` for the key
 */
export async function getFile(context: AgentContext, place: string, options: FileOptions = {}): Promise<ReadFile> {
  const { dataId, path } = await placeOf(context, place, options.signal);
  const { root, stubs } = await openStoredRoot(context, dataId, options.signal);
  return await findFile(root, withStubsOf(context.providers(), stubs), options.path ?? path, options.signal);
}

/**
 * The content of one file, or a part of it, as a stream that fetches the chunks of the part alone.
 *
 * @throws InvalidInputError for a range that is none; as `getFile`
 */
export async function getStream(
  context: AgentContext,
  place: string,
  options: ContentOptions = {},
): Promise<ReadableStream<Uint8Array>> {
  return (await getFile(context, place, options)).stream(options.range);
}

/**
 * The content of one small file, or a small part of one.
 *
 * @param options.maximumBytes default 64 MiB.
 * @throws InvalidInputError for more bytes, and for a range that is none; as `getFile`
 */
export async function getBytes(
  context: AgentContext,
  place: string,
  options: ContentOptions & { readonly maximumBytes?: number } = {},
): Promise<Uint8Array> {
  return await readBytes(await getFile(context, place, options), options.maximumBytes, options.range);
}

/** The entries of a put in listing order. @throws as `getFile` for the key, when the first entry is asked for */
export async function* getEntries(
  context: AgentContext,
  place: string,
  signal?: AbortSignal,
): AsyncGenerator<ReadEntry, void, undefined> {
  const { dataId } = await placeOf(context, place, signal);
  const { root, stubs } = await openStoredRoot(context, dataId, signal);
  yield* readEntries(root, withStubsOf(context.providers(), stubs), signal);
}

/**
 * What a place names, with the snapshot that has its metadata. Data that is named by its id is found without a list:
 * when no list can be read, it is restored without metadata.
 */
async function placeWithSnapshot(
  context: AgentContext,
  place: string,
  signal: AbortSignal | undefined,
): Promise<ResolvedPlace> {
  try {
    return await resolveListed(context, place, signal);
  } catch (error) {
    if (dataIdIn(place) === undefined || signal?.aborted === true || !(error instanceof TallystickError)) throw error;
    if (error.code === "INVALID_INPUT") throw error;
    context.logger.warn(
      { reason: error.message },
      "no list of snapshots can be read: files are restored without times, modes and owners",
    );
    return resolvePlace(place, []);
  }
}

/** Where the content of a file is: the lists are read only for names that need them. */
async function placeOf(context: AgentContext, place: string, signal: AbortSignal | undefined): Promise<ResolvedPlace> {
  return dataIdIn(place) === undefined ? await resolveListed(context, place, signal) : resolvePlace(place, []);
}

/** The first failure, and the names of all files that are missing. */
function damageError({ error }: DamagedFile, damaged: readonly DamagedFile[]): TallystickError {
  const names = damaged.slice(0, MOST_NAMED).map(({ path }) => path);
  return restate(error, error.message, { details: { ...error.details, damaged: names, damagedCount: damaged.length } });
}

/** The first error, and the names of what was not restored. */
function throwLeft({ count, entries }: LeftReport): void {
  const [first] = entries;
  if (first === undefined) return;
  const { error } = first;
  const left = entries.slice(0, MOST_NAMED).map(({ path }) => path);
  throw restate(error, error.message, { details: { ...error.details, left, leftCount: count } });
}

/** A whole system restored by somebody else than root would give the same remark for every file. */
function toldOncePerKind(logger: AgentLogger): (remark: TargetRemark) => void {
  const told = new Set<TargetRemark["kind"]>();
  return ({ kind, path, reason }) => {
    if (told.has(kind)) return;
    told.add(kind);
    logger.warn({}, `${path === "" ? "" : `${path}: `}${reason} (not repeated for others)`);
  };
}

function noFolders(): InvalidInputError {
  return new InvalidInputError("this platform has no folders that can be named by path", {
    party: "you",
    check: "output folder",
    expected: "a restore target, or getEntries, getStream or getBytes",
  });
}
