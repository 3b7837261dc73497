/**
 * Restores a put: a pipeline from the listing to a target. Chunks are fetched several at a time, bounded by bytes and
 * across files, and written in order. What the target already has is not fetched.
 */

import type { ChunkRef, FileEntry, RootRecipe } from "../../core/recipe/recipe.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import type { FileSink, RestoreTarget } from "../platform.ts";
import { locateError } from "./locate-error.ts";
import { chunkRefs, type ObjectSource, openedChunk, readListing } from "./read-content.ts";

/** Steps being prepared: bounds open files as well. */
const STEPS_AHEAD = 16;
/** Plaintext being fetched or waiting to be written. */
const BYTES_AHEAD = 8 * 1024 * 1024;

export interface RestoreTotals {
  entries: number;
  /** Plaintext bytes of restored files. */
  bytes: number;
  /** Of these, fetched from the provider; the target had the others already. */
  downloadedBytes: number;
}

export interface RestoreOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called after every step. */
  readonly onStep: () => void;
}

type Step =
  | { readonly kind: "entry"; readonly entry: Exclude<FileEntry, { type: "file" }> }
  | { readonly kind: "open"; readonly sink: FileSink }
  | { readonly kind: "chunk"; readonly sink: FileSink; readonly ref: ChunkRef; readonly offset: number }
  | { readonly kind: "finish"; readonly sink: FileSink };

type ReadyStep = Step & { readonly bytes?: Uint8Array; readonly fetched?: boolean };

/**
 * @param root recipe of the put, verified against its data id.
 * @param target is finished only if everything was restored.
 * @param totals counts as the restore proceeds.
 * @throws IntegrityError naming file, offset and object when stored bytes are not what was put
 * @throws TallystickError CONFLICT when something else is where an entry belongs; DISK_FULL, DISK_FAILED; whatever the
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
  try {
    const steps = planSteps(root, source, target, sinks, options.signal);
    const ready = mapOrdered(steps, (step) => prepare(step, source, options.signal), {
      concurrency: STEPS_AHEAD,
      maximumWeight: BYTES_AHEAD,
      weigh: (step) => (step.kind === "chunk" ? step.ref.sizeBytes : 0),
    });
    for await (const step of ready) {
      options.signal?.throwIfAborted();
      await carryOut(step, target, totals);
      if (step.kind === "finish") sinks.delete(step.sink);
      options.onStep();
    }
    await target.finish();
  } finally {
    // After a failure the parts stay: the next attempt verifies what is in them and fetches only the rest.
    for (const sink of sinks) await sink.close();
  }
}

async function* planSteps(
  root: RootRecipe,
  source: ObjectSource,
  target: RestoreTarget,
  sinks: Set<FileSink>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Step, void, undefined> {
  for await (const entry of readListing(root, source, signal)) {
    if (entry.type !== "file") {
      yield { kind: "entry", entry };
      continue;
    }
    const sink = await target.openFile(entry);
    sinks.add(sink);
    yield { kind: "open", sink };
    let offset = 0;
    for await (const ref of chunkRefs(entry.content, source, signal)) {
      yield { kind: "chunk", sink, ref, offset };
      offset += ref.sizeBytes;
    }
    yield { kind: "finish", sink };
  }
}

async function prepare(step: Step, source: ObjectSource, signal: AbortSignal | undefined): Promise<ReadyStep> {
  if (step.kind !== "chunk") return step;
  const { sink, ref, offset } = step;
  const present = await sink.reuse(ref, offset);
  if (present !== undefined) return { ...step, bytes: present, fetched: false };
  try {
    return { ...step, bytes: await openedChunk(source, ref, signal), fetched: true };
  } catch (error) {
    throw locateError(error, sink.entry.path, offset, ref.id);
  }
}

async function carryOut(step: ReadyStep, target: RestoreTarget, totals: RestoreTotals): Promise<void> {
  switch (step.kind) {
    case "entry":
      await target.before(step.entry);
      if (step.entry.type === "directory") await target.makeFolder(step.entry);
      else await target.makeLink(step.entry);
      totals.entries += 1;
      return;
    case "open":
      await target.before(step.sink.entry);
      return;
    case "chunk":
      if (step.bytes === undefined) return;
      await step.sink.write(step.bytes, step.fetched === true);
      totals.bytes += step.bytes.length;
      totals.downloadedBytes += step.fetched === true ? step.bytes.length : 0;
      return;
    case "finish":
      await step.sink.finish();
      totals.entries += 1;
  }
}
