/** `get`: from a data id to files, streams or bytes, with nothing but the identity and the deployment's addresses. */

import { InvalidInputError } from "../../core/errors.ts";
import type { RootRecipe } from "../../core/recipe/recipe.ts";
import type { AgentContext } from "../context.ts";
import type { KeySource } from "../keys/file-key.ts";
import type { NodeReport } from "../keys/quorum.ts";
import type { RestoreTarget } from "../platform.ts";
import type { GetProgress, ProgressListener } from "../progress.ts";
import type { ByteRange } from "./byte-range.ts";
import { openStoredRoot } from "./open-root.ts";
import { findFile, type ReadEntry, type ReadFile, readBytes, readEntries } from "./read-entries.ts";
import { restore } from "./restore.ts";

export interface GetOptions {
  /** Where the key comes from; the account's own envelope first unless given, see agent/keys/file-key.ts. */
  readonly keySource?: KeySource;
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
  /** Of these, fetched now; the target had the rest, and it was verified. */
  readonly downloadedBytes: number;
  /** What each key node answered. */
  readonly nodes: readonly NodeReport[];
  readonly seconds: number;
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
 * Restores a put into a folder, or into another target.
 *
 * @param target folder of the platform's file system, or what implements one.
 * @throws TallystickError NOT_FOUND, NOT_OWNER, SHARES_MISSING for the key; CONFLICT, DISK_FULL, DISK_FAILED for the
 *   target
 * @throws IntegrityError naming file, offset and object when stored bytes are not what was put
 */
export async function get(
  context: AgentContext,
  dataId: string,
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
  const opened = await openStoredRoot(context, dataId, signal, options.keySource);
  root = opened.root;
  const opening = typeof target === "string" ? await files?.openTarget(target, { dataId, overwrite }) : target;
  if (opening === undefined) throw noFolders();
  await restore(root, context.providers(), opening, totals, { signal, onStep: () => tell("restoring") });
  tell("done");
  return {
    dataId,
    entries: totals.entries,
    totalBytes: totals.bytes,
    downloadedBytes: totals.downloadedBytes,
    nodes: opened.nodes,
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
export async function getFile(context: AgentContext, dataId: string, options: FileOptions = {}): Promise<ReadFile> {
  const { root } = await openStoredRoot(context, dataId, options.signal);
  return await findFile(root, context.providers(), options.path, options.signal);
}

/**
 * The content of one file, or a part of it, as a stream that fetches the chunks of the part alone.
 *
 * @throws InvalidInputError for a range that is none; as `getFile`
 */
export async function getStream(
  context: AgentContext,
  dataId: string,
  options: ContentOptions = {},
): Promise<ReadableStream<Uint8Array>> {
  return (await getFile(context, dataId, options)).stream(options.range);
}

/**
 * The content of one small file, or a small part of one.
 *
 * @param options.maximumBytes default 64 MiB.
 * @throws InvalidInputError for more bytes, and for a range that is none; as `getFile`
 */
export async function getBytes(
  context: AgentContext,
  dataId: string,
  options: ContentOptions & { readonly maximumBytes?: number } = {},
): Promise<Uint8Array> {
  return await readBytes(await getFile(context, dataId, options), options.maximumBytes, options.range);
}

/** The entries of a put in listing order. @throws as `getFile` for the key, when the first entry is asked for */
export async function* getEntries(
  context: AgentContext,
  dataId: string,
  signal?: AbortSignal,
): AsyncGenerator<ReadEntry, void, undefined> {
  const { root } = await openStoredRoot(context, dataId, signal);
  yield* readEntries(root, context.providers(), signal);
}

function noFolders(): InvalidInputError {
  return new InvalidInputError("this platform has no folders that can be named by path", {
    party: "you",
    check: "output folder",
    expected: "a restore target, or getEntries, getStream or getBytes",
  });
}
