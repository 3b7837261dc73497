/**
 * Restores a put: a pipeline from the listing to a target. Pieces are fetched and opened several at a time, bounded by
 * bytes and across files, and written in order. Chunks that the target already has are not fetched, and those that
 * occur again are fetched once where the target can be read (restored-chunks.ts). A bundle is fetched for the first of
 * its files, whether or not the target has them: nothing in a recipe tells the content of one file of it.
 *
 * An object that is lost or damaged costs the files that need it, and something that is in the way, or that the file
 * system refuses, costs what belongs there (obstacles.ts). The others are restored.
 */

import { equalBytes } from "#primitives";
import type { TallystickError } from "../../core/errors.ts";
import { showPath } from "../../core/recipe/path-name.ts";
import type { ChunkRef, FileEntry, RegularFileEntry, RootRecipe } from "../../core/recipe/recipe.ts";
import { isPlaintextOf } from "../../core/recipe/tree.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import type { DataStages } from "../pipeline/data-stages.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import type { FileSink, RestoreEntry, RestoreTarget } from "../platform.ts";
import { restate } from "../restate-error.ts";
import { isDamage } from "./damage.ts";
import { locateError } from "./locate-error.ts";
import type { ObjectSource } from "./object-source.ts";
import { type LeftEntry, LeftError, Obstacles } from "./obstacles.ts";
import { OpenedBundles } from "./opened-bundles.ts";
import { type ContentPiece, contentPieces, openedPiece, readListing } from "./read-content.ts";
import { type HeldChunk, RestoredChunks } from "./restored-chunks.ts";
import { belowOrAt, noSuchPath } from "./tree-path.ts";
import { withMetadata } from "./with-metadata.ts";

/** Steps being prepared: bounds open files as well. */
const STEPS_AHEAD = 16;
/** Plaintext being fetched or waiting to be written. */
const BYTES_AHEAD = 8 * 1024 * 1024;

export interface RestoreTotals {
  entries: number;
  /** Plaintext bytes of restored files. */
  bytes: number;
  /** Of these, fetched from the provider. The others were in the target already, or occurred before. */
  downloadedBytes: number;
}

export interface RestoreOptions {
  /** Modes, times and the rest, one for each entry in listing order. Default: none, and the target's defaults. */
  readonly metadata?: AsyncIterable<EntryMetadata> | undefined;
  /** Restores this entry and what is below it only, under the last name of the path. */
  readonly path?: string | undefined;
  /**
   * Told of every file that could not be restored. Default: after the others were restored, the first failure is
   * thrown.
   */
  readonly onDamage?: ((damaged: DamagedFile) => void) | undefined;
  /**
   * Told of every entry that is not restored because something is in its way, or because the file system refuses it.
   * Default: after the others were restored, the first error is thrown.
   */
  readonly onLeft?: ((left: LeftEntry) => void) | undefined;
  /** Where chunks are opened. Default: in this thread. */
  readonly stages?: DataStages | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after every step. */
  readonly onStep: () => void;
}

/** A file that cannot be read as it was put. */
export interface DamagedFile {
  /** Empty for the metadata of the entries. */
  readonly path: string;
  readonly error: TallystickError;
}

type Step =
  | { readonly kind: "entry"; readonly entry: RestoreEntry<Exclude<FileEntry, { type: "file" }>> }
  | { readonly kind: "left"; readonly entry: RestoreEntry; readonly error: LeftError }
  | { readonly kind: "open"; readonly sink: FileSink }
  | { readonly kind: "piece"; readonly sink: FileSink; readonly piece: ContentPiece }
  | { readonly kind: "damage"; readonly sink: FileSink; readonly damage: TallystickError }
  | { readonly kind: "finish"; readonly sink: FileSink };

/** The bytes of a piece. */
interface ReadyPiece {
  readonly bytes: Uint8Array;
  /** Whether the target had them where they belong. */
  readonly isPresent: boolean;
  readonly isDownloaded: boolean;
  /** What holds the bytes, unless they have memory of their own. */
  readonly held?: HeldChunk;
}

type ReadyStep = Step & {
  readonly ready?: ReadyPiece;
  /** Why the piece cannot be read. */
  readonly damage?: TallystickError;
  /** What its file is left for. */
  readonly obstacle?: LeftError;
};

/**
 * @param root recipe of the put, verified against its data id.
 * @param target is finished when everything was restored that could be.
 * @param totals counts as the restore proceeds.
 * @throws IntegrityError naming file, offset and object when stored bytes are not what was put, unless `onDamage` is
 *   told
 * @throws TallystickError NOT_FOUND when no entry has the path
 * @throws InTheWayError when something else is where an entry belongs, RefusedError when the file system refuses one,
 *   unless `onLeft` is told
 * @throws TallystickError CONFLICT when that happens while the restore is running; DISK_FULL, DISK_FAILED; whatever the
 *   source throws
 */
export async function restore(
  root: RootRecipe,
  source: ObjectSource,
  target: RestoreTarget,
  totals: RestoreTotals,
  options: RestoreOptions,
): Promise<void> {
  const sinks = new Set<FileSink>();
  const damaged = new Map<FileSink | "metadata", DamagedFile>();
  const obstacles = new Obstacles(options.onLeft);
  const left = new Set<FileSink>();
  const isGivenUp = (sink: FileSink) => left.has(sink) || damaged.has(sink);
  const noteDamage = (whose: FileSink | "metadata", error: TallystickError) => {
    if (damaged.has(whose)) return;
    const file = { path: whose === "metadata" ? "" : whose.entry.path, error };
    damaged.set(whose, file);
    options.onDamage?.(file);
  };
  try {
    const onMetadataDamage = (error: TallystickError) => noteDamage("metadata", error);
    const steps = planSteps(root, source, target, { sinks, obstacles, isGivenUp, onMetadataDamage }, options);
    const bundles = new OpenedBundles(source);
    const chunks = new RestoredChunks(source, options);
    const ready = mapOrdered(steps, (step) => prepare(step, source, { bundles, chunks, isGivenUp }, options.signal), {
      concurrency: STEPS_AHEAD,
      maximumWeight: BYTES_AHEAD,
      weigh: (step) => (step.kind === "piece" ? step.piece.sizeBytes : 0),
    });
    for await (const step of ready) {
      options.signal?.throwIfAborted();
      const sink = "sink" in step ? step.sink : undefined;
      if (sink !== undefined && step.damage !== undefined && !left.has(sink)) noteDamage(sink, step.damage);
      if (sink === undefined || !isGivenUp(sink)) {
        try {
          await carryOut(step, target, chunks, obstacles, totals);
        } catch (error) {
          if (!(error instanceof LeftError)) throw error;
          if (sink !== undefined) left.add(sink);
          obstacles.note("sink" in step ? step.sink.entry : step.entry, error);
        }
      }
      step.ready?.held?.release();
      if (step.kind === "finish") {
        // The part of a file that was given up stays, as after a failure.
        if (isGivenUp(step.sink)) await step.sink.close();
        left.delete(step.sink);
        sinks.delete(step.sink);
      }
      options.onStep();
    }
    await target.finish();
    const [first] = damaged.values();
    if (first !== undefined && options.onDamage === undefined) throw first.error;
    if (obstacles.first !== undefined && options.onLeft === undefined) throw obstacles.first;
  } finally {
    // After a failure the parts stay: the next attempt verifies what is in them and fetches only the rest.
    for (const sink of sinks) await sink.close();
    await target.close();
  }
}

interface Plan {
  /** Those that are open. */
  readonly sinks: Set<FileSink>;
  readonly obstacles: Obstacles;
  readonly isGivenUp: (sink: FileSink) => boolean;
  readonly onMetadataDamage: (error: TallystickError) => void;
}

async function* planSteps(
  root: RootRecipe,
  source: ObjectSource,
  target: RestoreTarget,
  { sinks, obstacles, isGivenUp, onMetadataDamage }: Plan,
  { signal, metadata, path }: RestoreOptions,
): AsyncGenerator<Step, void, undefined> {
  const entries = withMetadata(readListing(root, source, signal), metadata, onMetadataDamage);
  for await (const entry of path === undefined ? entries : under(entries, path)) {
    if (entry.type !== "file") {
      yield { kind: "entry", entry };
      continue;
    }
    const opened = obstacles.above(entry) ?? (await openFile(target, entry));
    if (opened instanceof LeftError) {
      yield { kind: "left", entry, error: opened };
      continue;
    }
    const sink = opened;
    sinks.add(sink);
    yield { kind: "open", sink };
    try {
      for await (const piece of contentPieces(entry.content, source, 0, signal)) {
        // The rest of it is not asked for.
        if (isGivenUp(sink)) break;
        yield { kind: "piece", sink, piece };
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      yield { kind: "damage", sink, damage: restate(error, `${showPath(entry.path)}: ${error.message}`, {}) };
    }
    yield { kind: "finish", sink };
  }
}

async function openFile(target: RestoreTarget, entry: RestoreEntry<RegularFileEntry>): Promise<FileSink | LeftError> {
  try {
    return await target.openFile(entry);
  } catch (error) {
    if (error instanceof LeftError) return error;
    throw error;
  }
}

/** The entry of a path and those below it, under the last name of the path. @throws TallystickError NOT_FOUND */
async function* under(
  entries: AsyncIterable<RestoreEntry>,
  path: string,
): AsyncGenerator<RestoreEntry, void, undefined> {
  const isWanted = belowOrAt(path);
  const parentLength = path.lastIndexOf("/") + 1;
  let isFound = false;
  for await (const entry of entries) {
    if (isWanted(entry.path)) {
      isFound = true;
      yield { ...entry, path: entry.path.slice(parentLength) };
    } else if (isFound) {
      // What is below a path follows it without a gap.
      return;
    }
  }
  if (!isFound) throw noSuchPath(path);
}

async function prepare(
  step: Step,
  source: ObjectSource,
  { bundles, chunks, isGivenUp }: Pick<Plan, "isGivenUp"> & { bundles: OpenedBundles; chunks: RestoredChunks },
  signal: AbortSignal | undefined,
): Promise<ReadyStep> {
  if (step.kind !== "piece" || isGivenUp(step.sink)) return step;
  const { sink, piece } = step;
  const { ref, offset, id } = piece;
  try {
    const ready =
      "segment" in ref
        ? await readySegment(piece, sink, () =>
            located(() => openedPiece(piece, source, bundles, signal), sink, offset, id),
          )
        : await readyChunk(ref.chunk, offset, sink, chunks);
    return { ...step, ready };
  } catch (error) {
    if (error instanceof LeftError) return { ...step, obstacle: error };
    if (!isDamage(error)) throw error;
    return { ...step, damage: error };
  }
}

async function readySegment(
  { offset, sizeBytes }: ContentPiece,
  sink: FileSink,
  opened: () => Promise<Uint8Array>,
): Promise<ReadyPiece> {
  const bytes = await opened();
  // A file that is there and right is left in place, also where nothing may be overwritten.
  const present = await sink.reuse({ sizeBytes, isRight: async (found) => equalBytes(found, bytes) }, offset);
  return { bytes, isPresent: present !== undefined, isDownloaded: present === undefined };
}

async function readyChunk(ref: ChunkRef, offset: number, sink: FileSink, chunks: RestoredChunks): Promise<ReadyPiece> {
  const { sizeBytes, id } = ref;
  const present = await sink.reuse({ sizeBytes, isRight: (found) => isPlaintextOf(ref, found) }, offset);
  if (present !== undefined) {
    return { bytes: present, isPresent: true, isDownloaded: false };
  }
  const held = await located(() => chunks.take(ref, sink.written !== undefined), sink, offset, id);
  return { bytes: held.plaintext, isPresent: false, isDownloaded: held.isDownloaded, held };
}

/** Names file and offset in the error. */
async function located<Result>(
  work: () => Promise<Result>,
  { entry }: FileSink,
  offset: number,
  id: string,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw locateError(error, entry.path, offset, id);
  }
}

async function carryOut(
  step: ReadyStep,
  target: RestoreTarget,
  chunks: RestoredChunks,
  obstacles: Obstacles,
  totals: RestoreTotals,
): Promise<void> {
  const obstacle = step.obstacle ?? obstacles.above("sink" in step ? step.sink.entry : step.entry);
  if (obstacle !== undefined) throw obstacle;
  switch (step.kind) {
    case "left":
      throw step.error;
    case "entry":
      await target.before(step.entry);
      if (step.entry.type === "directory") await target.makeFolder(step.entry);
      else await target.makeLink(step.entry);
      totals.entries += 1;
      return;
    case "open":
      await target.before(step.sink.entry);
      return;
    case "piece": {
      if (step.ready === undefined) return;
      const { sink, piece, ready } = step;
      const { bytes, isPresent, isDownloaded, held } = ready;
      await sink.write(bytes, !isPresent);
      held?.writtenTo(sink.written, piece.offset);
      if (isPresent && "chunk" in piece.ref) chunks.found(piece.ref.chunk, bytes, sink.written, piece.offset);
      totals.bytes += bytes.length;
      totals.downloadedBytes += isDownloaded ? bytes.length : 0;
      return;
    }
    case "damage":
      return;
    case "finish":
      await step.sink.finish();
      totals.entries += 1;
  }
}
