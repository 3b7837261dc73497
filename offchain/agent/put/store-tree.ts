/**
 * The data plane of a put, stage after stage: read and chunk, frame, collect, derive keys, seal, assemble, place, tag,
 * store. Memory is what the stages hold, stated where each is built, whatever is put.
 */

import type { KeyMode } from "../../core/recipe/recipe.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import { type DataStages, localStages } from "../pipeline/data-stages.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import type { SourceFile, SourceRun } from "../platform.ts";
import { AfterDurable } from "./after-durable.ts";
import { type AssembledRoot, Assembler } from "./assemble.ts";
import { chunkFiles, chunksOf, type ReadChunk, type ReadCounter, type ReadInput } from "./chunk-files.ts";
import { collectContents, type FramedChunk, type FramedInput } from "./collect-contents.ts";
import type { ContentCache } from "./content-cache.ts";
import { deriveKeys, type KeyOracle } from "./derive-keys.ts";
import { sealContents } from "./seal-contents.ts";
import type { EntrySource } from "./source.ts";
import { distinct, type Placement, type StoreTotals, storeObjects } from "./store-objects.ts";

/** Chunks and entries being framed, and the memory of the chunks among them. */
const FRAMES_AHEAD = { concurrency: 64, maximumWeight: 8 * 1024 * 1024 } as const;

export interface StoreTreeContext {
  readonly oracle: KeyOracle;
  readonly place: Placement;
  readonly domain: string;
  /** How the keys of chunks derive. Default: one evaluation per chunk. */
  readonly keyMode?: KeyMode | undefined;
  readonly counter: ReadCounter;
  readonly totals: StoreTotals;
  /** Told of what is left out. Default: a file that cannot be read ends the put. */
  readonly remark?: SourceRun["remark"];
  /** Called when the counts have changed. */
  readonly onChange: () => void;
  /** Takes the metadata of every entry, in listing order; awaited before the next one. */
  readonly onEntry?: ((metadata: EntryMetadata) => Promise<void>) | undefined;
  /** What need not be read; told what is stored. Not for lanes that tag: they need the bytes of every object. */
  readonly cache?: ContentCache | undefined;
  /** Where frames are compressed and sealed. Default: in this thread. */
  readonly stages?: DataStages | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Stores the entries of a source. When it resolves, all objects are durable; nothing has been recorded anywhere.
 *
 * @throws FileUnreadableError, FileChangedError; TallystickError of the committee or a provider
 */
export async function storeTree(source: EntrySource, context: StoreTreeContext): Promise<AssembledRoot> {
  const { oracle, place, domain, keyMode = "oprf", counter, totals, onChange, onEntry, signal } = context;
  const { stages = localStages, remark, cache } = context;
  const { allocate } = stages;
  const release = (bytes: Uint8Array) => stages.release(bytes);
  const derivation = { oracle, domain, keyMode, signal };
  const durable = new AfterDurable();
  const assembler = new Assembler({ ...derivation, stages, onEntry, cache, durable });
  // A file of a bundle could not be read without the stubs of its neighbours: packages are not put together.
  const bundles = keyMode !== "revocable";
  const frame = <Input extends ReadInput>(read: AsyncIterable<Input>) =>
    mapOrdered(read, (item) => frameItem(item, stages, bundles), { ...FRAMES_AHEAD, weigh: memoryOf });
  const run: SourceRun = { ...(remark === undefined ? {} : { remark }), ...(cache === undefined ? {} : cache.run) };
  const framed = frame(chunkFiles(source.entries(run), counter, { cache, allocate, signal }));
  const readAgain = (file: SourceFile) => chunksOnly(frame(chunksOf(file, { allocate, signal })));
  const keyed = deriveKeys(collectContents(framed, { keyMode, readAgain, release, cache }), derivation);
  const objects = durable.counting(distinct(assembler.assemble(sealContents(keyed, stages, keyMode)), release));
  const onGroup = (count: number) => {
    durable.confirm(count);
    onChange();
  };
  await storeObjects(objects, place, totals, { onGroup, release, signal });
  cache?.session.finish();
  return assembler.result;
}

function memoryOf(item: ReadInput): number {
  return item.kind === "chunk" ? item.stored.buffer.byteLength : 0;
}

async function* chunksOnly(input: AsyncIterable<FramedInput>): AsyncGenerator<FramedChunk, void, undefined> {
  for await (const item of input) if (item.kind === "chunk") yield item;
}

/** @param bundles whether small files are put together */
async function frameItem(item: ReadInput, stages: DataStages, bundles: boolean): Promise<FramedInput> {
  if (item.kind === "entry") return item;
  const { kind, stored, sizeBytes, isSmallFile }: ReadChunk = item;
  return { kind, sizeBytes, isSmallFile: isSmallFile && bundles, ...(await stages.frame(stored)) };
}
