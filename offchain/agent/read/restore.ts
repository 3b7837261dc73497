/**
 * Restores a put: a pipeline from the listing to files on disk. Chunks are fetched several at a time, bounded by bytes and across
 * the borders of files, and written in order. What is already right on disk is not fetched.
 */

import type { ChunkRef, FileEntry, RootRecipe } from "../../core/recipe/recipe.ts";
import { FileWriter } from "../node/file-writer.ts";
import { TargetFolder } from "../node/target-folder.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import { chunkRefs, locateError, type ObjectSource, openedChunk, readListing } from "./read-content.ts";

/** Steps being prepared: bounds open files as well. */
const STEPS_AHEAD = 16;
/** Plaintext being fetched or waiting to be written. */
const BYTES_AHEAD = 8 * 1024 * 1024;

export interface RestoreTotals {
  entries: number;
  /** Plaintext bytes of restored files. */
  bytes: number;
  /** Of these, fetched from the provider; the others were on disk already. */
  downloadedBytes: number;
}

export interface RestoreOptions {
  readonly overwrite: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called after every step. */
  readonly onStep: () => void;
}

type Step =
  | { readonly kind: "entry"; readonly entry: Exclude<FileEntry, { type: "file" }> }
  | { readonly kind: "open"; readonly writer: FileWriter }
  | { readonly kind: "chunk"; readonly writer: FileWriter; readonly ref: ChunkRef; readonly offset: number }
  | { readonly kind: "finish"; readonly writer: FileWriter };

type ReadyStep = Step & { readonly bytes?: Uint8Array; readonly fetched?: boolean };

/**
 * @param root recipe of the put, verified against its data id.
 * @param folder where the top entries go; made if need be.
 * @param totals counts as the restore proceeds.
 * @throws IntegrityError naming file, offset and object when stored bytes are not what was put
 * @throws TallystickError CONFLICT when something else is where an entry belongs; DISK_FULL, DISK_FAILED; whatever the source throws
 */
export async function restore(
  root: RootRecipe,
  dataId: string,
  source: ObjectSource,
  folder: string,
  totals: RestoreTotals,
  options: RestoreOptions,
): Promise<void> {
  const target = await TargetFolder.open(folder, dataId, options.overwrite);
  const writers = new Set<FileWriter>();
  try {
    const steps = planSteps(root, source, target, writers, options.signal);
    const ready = mapOrdered(steps, (step) => prepare(step, source, options.signal), {
      concurrency: STEPS_AHEAD,
      maximumWeight: BYTES_AHEAD,
      weigh: (step) => (step.kind === "chunk" ? step.ref.sizeBytes : 0),
    });
    for await (const step of ready) {
      options.signal?.throwIfAborted();
      await carryOut(step, target, totals);
      if (step.kind === "finish") writers.delete(step.writer);
      options.onStep();
    }
    await target.leaveAll();
  } finally {
    // After a failure the parts stay: the next attempt verifies what is in them and fetches only the rest.
    for (const writer of writers) await writer.close();
  }
}

async function* planSteps(
  root: RootRecipe,
  source: ObjectSource,
  target: TargetFolder,
  writers: Set<FileWriter>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Step, void, undefined> {
  for await (const entry of readListing(root, source, signal)) {
    if (entry.type !== "file") {
      yield { kind: "entry", entry };
      continue;
    }
    const writer = await FileWriter.open(target, entry);
    writers.add(writer);
    yield { kind: "open", writer };
    let offset = 0;
    for await (const ref of chunkRefs(entry.content, source, signal)) {
      yield { kind: "chunk", writer, ref, offset };
      offset += ref.sizeBytes;
    }
    yield { kind: "finish", writer };
  }
}

async function prepare(step: Step, source: ObjectSource, signal: AbortSignal | undefined): Promise<ReadyStep> {
  if (step.kind !== "chunk") return step;
  const { writer, ref, offset } = step;
  const present = await writer.reuse(ref, offset);
  if (present !== undefined) return { ...step, bytes: present, fetched: false };
  try {
    return { ...step, bytes: await openedChunk(source, ref, signal), fetched: true };
  } catch (error) {
    throw locateError(error, writer.entry.path, offset, ref.id);
  }
}

async function carryOut(step: ReadyStep, target: TargetFolder, totals: RestoreTotals): Promise<void> {
  switch (step.kind) {
    case "entry":
      await target.leaveFoldersBefore(step.entry);
      if (step.entry.type === "directory") await target.makeFolder(step.entry);
      else await target.makeLink(step.entry);
      totals.entries += 1;
      return;
    case "open":
      await target.leaveFoldersBefore(step.writer.entry);
      return;
    case "chunk":
      if (step.bytes === undefined) return;
      await step.writer.write(step.bytes, step.fetched === true);
      totals.bytes += step.bytes.length;
      totals.downloadedBytes += step.fetched === true ? step.bytes.length : 0;
      return;
    case "finish":
      await step.writer.finish();
      totals.entries += 1;
  }
}
