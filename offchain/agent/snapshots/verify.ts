/**
 * Reads every object of a snapshot again without restoring anything: each object once, several at a time, from one
 * provider. What is missing or damaged is reported by file, and the rest is read all the same.
 */

import type { TallystickError } from "../../core/errors.ts";
import type { RegularFileEntry } from "../../core/recipe/recipe.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import { isDamage } from "../read/damage.ts";
import type { ObjectSource } from "../read/object-source.ts";
import { OpenedBundles } from "../read/opened-bundles.ts";
import { type ContentPiece, contentPieces, openedPiece } from "../read/read-content.ts";
import type { DamagedFile } from "../read/restore.ts";
import { type SnapshotTree, treeEntries } from "./snapshot-tree.ts";

/** Pieces being read, and their plaintext. */
const PIECES_AHEAD = { concurrency: 16, maximumWeight: 16 * 1024 * 1024 } as const;

export interface VerifyTotals {
  entries: number;
  /** Plaintext bytes of all files. */
  bytes: number;
  /** Objects that were read, and their bytes. */
  objects: number;
  objectBytes: number;
}

export interface VerifyReport extends Readonly<VerifyTotals> {
  readonly damaged: readonly DamagedFile[];
  /** Why times, modes and owners cannot be read, or not all of them. */
  readonly metadataError?: TallystickError;
  /** Why the provider's stub file of a revocable put does not serve; it was opened with another provider's, if any. */
  readonly stubFileError?: TallystickError;
}

interface Found {
  readonly path: string;
  readonly piece?: ContentPiece;
  /** Why the pieces of the file could not be told. */
  readonly error?: TallystickError;
}

/**
 * @param onStep called after every piece
 * @throws IntegrityError when the listing itself is damaged: what it lists cannot be told; what the source throws
 */
export async function verifyTree(
  tree: SnapshotTree,
  path: string | undefined,
  onStep: (totals: Readonly<VerifyTotals>) => void = () => undefined,
  signal?: AbortSignal,
): Promise<VerifyReport> {
  const totals: VerifyTotals = { entries: 0, bytes: 0, objects: 0, objectBytes: 0 };
  const source = countingSource(tree.source, totals);
  const bundles = new OpenedBundles(source);
  /** Chunks that were asked for. Files of a bundle follow each other, and the bundle is kept meanwhile. */
  const chunks = new Map<string, Promise<TallystickError | undefined>>();
  const check = async ({ path: file, piece, error }: Found): Promise<DamagedFile | undefined> => {
    if (piece === undefined) return error === undefined ? undefined : { path: file, error };
    const reading = chunks.get(piece.id) ?? damageOf(openedPiece(piece, source, bundles, signal));
    if ("chunk" in piece.ref) chunks.set(piece.id, reading);
    const damage = await reading;
    return damage === undefined ? undefined : { path: file, error: damage };
  };
  const pieces = piecesOf({ root: tree.root, source, metadata: () => undefined }, path, totals, signal);
  const damaged = new Map<string, DamagedFile>();
  const results = mapOrdered(pieces, check, { ...PIECES_AHEAD, weigh: ({ piece }) => piece?.sizeBytes ?? 0 });
  for await (const result of results) {
    signal?.throwIfAborted();
    if (result !== undefined && !damaged.has(result.path)) damaged.set(result.path, result);
    onStep(totals);
  }
  const metadataError = await damageOf(readAll(tree.metadata(signal)));
  return { ...totals, damaged: [...damaged.values()], ...(metadataError === undefined ? {} : { metadataError }) };
}

async function readAll(items: AsyncIterable<unknown> | undefined): Promise<void> {
  if (items === undefined) return;
  for await (const _ of items);
}

async function* piecesOf(
  tree: Pick<SnapshotTree, "root" | "source" | "metadata">,
  path: string | undefined,
  totals: VerifyTotals,
  signal: AbortSignal | undefined,
): AsyncGenerator<Found, void, undefined> {
  for await (const entry of treeEntries(tree, path, signal)) {
    totals.entries += 1;
    if (entry.type !== "file") continue;
    totals.bytes += entry.sizeBytes;
    yield* piecesOfFile(entry, tree.source, signal);
  }
}

/** A damaged list makes one file unreadable, not those after it. */
async function* piecesOfFile(
  { path, content }: RegularFileEntry,
  source: ObjectSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<Found, void, undefined> {
  try {
    for await (const piece of contentPieces(content, source, 0, signal)) yield { path, piece };
  } catch (error) {
    if (!isDamage(error)) throw error;
    yield { path, error };
  }
}

async function damageOf(reading: Promise<unknown>): Promise<TallystickError | undefined> {
  try {
    await reading;
    return undefined;
  } catch (error) {
    if (isDamage(error)) return error;
    throw error;
  }
}

function countingSource(source: ObjectSource, totals: VerifyTotals): ObjectSource {
  return {
    stubs: source.stubs,
    async fetch(id, signal) {
      const object = await source.fetch(id, signal);
      totals.objects += 1;
      totals.objectBytes += object.length;
      return object;
    },
  };
}
