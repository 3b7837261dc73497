/** Files of this machine as sources and targets of the agent. */

import { type BigIntStats, statSync } from "node:fs";
import { InvalidInputError } from "../../core/errors.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import { encodeMetadata } from "../../core/snapshot/metadata-item.ts";
import type {
  EntryRoot,
  FileSystemPort,
  SourceEntry,
  SourceFile,
  SourceOptions,
  SourceRemark,
  SourceRun,
} from "../platform.ts";
import { FileChangedError, type InputError, isInputError } from "../put/input-errors.ts";
import { type Attributes, attributesInParts, hasAttributeCommands } from "./extended-attributes.ts";
import { SqliteCacheSession } from "./file-cache.ts";
import { LocalTarget } from "./local-target.ts";
import { OwnerNames } from "./owner-names.ts";
import { BYTES_READ, type ReadFileOptions, readFile } from "./read-file.ts";
import { type EntryHandle, RememberedEntries } from "./remembered-entries.ts";
import { systemPath } from "./system-path.ts";
import { isChangedSince, LinkGroups, metadataAtOpening, type WalkedEntry, type WalkOptions, walk } from "./walk.ts";
import { type WalkRoot, walkRoots } from "./walk-roots.ts";

const NONE: Attributes = new Map();
/** Entries between two turns of the event loop, and in one call for extended attributes. */
const BATCH_ENTRIES = 4096;

/** @param homeDir of this command: left out of what is stored, because every put changes it */
export function openLocalFiles(homeDir?: string): FileSystemPort {
  return {
    roots: (paths, options = {}) => {
      const passes = new WeakMap<SourceRun, Pass>();
      return walkRoots(paths).map((root): EntryRoot => {
        const entries = (run: SourceRun = {}) => {
          const pass = passes.get(run) ?? newPass(run, options, homeDir);
          passes.set(run, pass);
          return sources(root, run, pass);
        };
        return { name: root.name, origin: root.path, entries };
      });
    },
    openTarget: (folder, targetOptions) => LocalTarget.open(folder, targetOptions),
  };
}

export const localFiles: FileSystemPort = openLocalFiles();

/** What the roots of one run share. */
interface Pass {
  readonly options: WalkOptions;
  /** Asked when the first entry comes whose attributes are not known: it starts a process. */
  readonly hasAttributes: () => boolean;
}

function newPass(run: SourceRun, options: SourceOptions, homeDir: string | undefined): Pass {
  const stat =
    homeDir === undefined ? undefined : statSync(systemPath(homeDir), { bigint: true, throwIfNoEntry: false });
  const walkOptions: WalkOptions = {
    ...options,
    ...(run.remark === undefined ? {} : { remark: run.remark }),
    ...(stat === undefined ? {} : { home: { device: stat.dev, inode: stat.ino } }),
    ...(run.brief === true ? {} : { names: new OwnerNames(), links: new LinkGroups() }),
  };
  if (run.brief === true) return { options: walkOptions, hasAttributes: () => false };
  let found: boolean | undefined;
  const ask = (): boolean => {
    const isThere = hasAttributeCommands();
    if (!isThere)
      run.remark?.({
        kind: "attributes",
        path: "",
        reason:
          "extended attributes are not stored: the commands getfattr and setfattr (package attr) are not installed",
      });
    return isThere;
  };
  return { options: walkOptions, hasAttributes: () => (found ??= ask()) };
}

async function* sources(root: WalkRoot, run: SourceRun, pass: Pass): AsyncGenerator<SourceEntry, void, undefined> {
  const list = run.cache instanceof SqliteCacheSession ? run.cache.list(root.path) : undefined;
  const remembered = list === undefined ? undefined : new RememberedEntries(list, root.name.length);
  let batch: WalkedEntry[] = [];
  remembered?.startBatch();
  for (const entry of walk(root, pass.options)) {
    batch.push(entry);
    if (batch.length < BATCH_ENTRIES) continue;
    for await (const some of described(batch, run, pass, remembered)) for (const each of some) yield each;
    batch = [];
    // The walk itself never waits.
    await new Promise(setImmediate);
    remembered?.startBatch();
  }
  for await (const some of described(batch, run, pass, remembered)) for (const each of some) yield each;
}

/** The entries of a batch, as many at a time as their attributes allow. */
async function* described(
  batch: readonly WalkedEntry[],
  run: SourceRun,
  { hasAttributes }: Pass,
  remembered: RememberedEntries | undefined,
): AsyncGenerator<SourceEntry[], void, undefined> {
  const known = batch.map((entry) => remembered?.find(entry));
  const sourceOf = (index: number, read?: Attributes, isKept = true): SourceEntry[] => {
    const walked = batch[index];
    if (walked === undefined) return [];
    const attributes = known[index]?.attributes ?? read;
    const storable = storableAttributes(walked, attributes, run);
    const hasSome = storable !== undefined && storable.size > 0;
    const entry = hasSome ? { ...walked, metadata: { ...walked.metadata, xattrs: storable } } : walked;
    // What could not be read is asked for again by the next put.
    const handle = remembered?.handle(walked, known[index], isKept ? attributes : undefined);
    return [source(entry, run, handle)];
  };
  const isUnknown = (index: number) => index < batch.length && known[index]?.attributes === undefined;
  const unknown = batch.filter((_, index) => isUnknown(index));
  let next = 0;
  if (unknown.length > 0 && hasAttributes()) {
    for await (const part of attributesInParts(unknown.map(({ absolutePath }) => absolutePath))) {
      const some: SourceEntry[] = [];
      for (const path of part.paths) {
        while (next < batch.length && !isUnknown(next)) some.push(...sourceOf(next++));
        const reason = part.unread.get(path);
        if (reason !== undefined) tellLost(path, reason, run);
        some.push(...sourceOf(next++, part.found.get(path) ?? NONE, reason === undefined));
      }
      yield some;
    }
  }
  yield batch.slice(next).flatMap((_, index) => sourceOf(next + index));
}

/** @returns none for those that are beyond what an item of metadata may hold: the entry is stored without them */
function storableAttributes(
  { absolutePath, metadata }: WalkedEntry,
  attributes: Attributes | undefined,
  run: SourceRun,
): Attributes | undefined {
  if (attributes === undefined || attributes.size === 0) return attributes;
  try {
    encodeMetadata({ ...metadata, xattrs: attributes });
    return attributes;
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    const limit = error.expected === undefined ? "" : ` (${error.expected}, not ${error.received ?? "this"})`;
    tellLost(absolutePath, `${error.message}${limit}`, run);
    return NONE;
  }
}

function tellLost(path: string, reason: string, { remark }: SourceRun): void {
  remark?.({ kind: "lost-attributes", path, reason: `its extended attributes are not stored: ${reason}` });
}

function source(entry: WalkedEntry, run: SourceRun, handle: EntryHandle | undefined): SourceEntry {
  const { path, metadata, type } = entry;
  const common = { path, metadata, ...(handle === undefined ? {} : { remember: handle.remember }) };
  if (type === "directory") return { ...common, type };
  if (type === "symlink") return { ...common, type, target: entry.target ?? "" };
  const cached = handle?.value === undefined ? {} : { cached: handle.value };
  let sizeAtOpening: number | undefined;
  const onOpen = (opened: BigIntStats) => {
    // Of a file that is read twice, the first reading counts.
    if (sizeAtOpening !== undefined) return;
    sizeAtOpening = Number(opened.size);
    if (!isChangedSince(entry, opened)) return;
    handle?.forget();
    file.metadata = metadataAtOpening(metadata, opened);
  };
  const read = readerOf(entry, run, handle);
  const file: SourceFile & { metadata: EntryMetadata } = {
    ...common,
    type,
    sizeBytes: entry.sizeBytes,
    ...cached,
    ...read,
    read: (signal) => read.read({ onOpen, limitBytes: sizeAtOpening, signal }),
  };
  return file;
}

interface Reader extends Pick<SourceFile, "leaveOut"> {
  read(options: ReadFileOptions): AsyncIterable<Uint8Array>;
}

function readerOf(entry: WalkedEntry, { remark }: SourceRun, handle: EntryHandle | undefined): Reader {
  if (remark === undefined) return { read: (options) => readFile(entry, options) };
  let isTold = false;
  const tell = (kind: SourceRemark["kind"], error: InputError, consequence: string) => {
    handle?.forget();
    if (!isTold) remark({ kind, path: entry.absolutePath, reason: `${error.reason}; ${consequence}`, error });
    isTold = true;
  };
  return {
    read: (options) => readLeniently(entry, (error) => tell("changed", error, "stored as it was read"), options),
    leaveOut: (error) => tell("unreadable", error, "left out"),
  };
}

/**
 * A file that cannot be opened, or of which nothing can be read, can be left out. Later its chunks may have been stored
 * already, and a file of which a part is old and a part is new is of more use than none: its content is what was read.
 */
async function* readLeniently(
  entry: WalkedEntry,
  tell: (error: InputError) => void,
  { onOpen, ...options }: ReadFileOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  let isOpen = false;
  let hasBegun = false;
  const opened = (stat: BigIntStats) => {
    isOpen = true;
    onOpen?.(stat);
  };
  try {
    for await (const piece of readFile(entry, { ...options, onOpen: opened })) {
      hasBegun = true;
      yield piece;
    }
  } catch (error) {
    if (!isInputError(error)) throw error;
    // An empty file that was written to meanwhile is stored empty. One of /proc has a content that cannot be read so.
    const isWrittenTo = isOpen && error instanceof FileChangedError && error.check !== BYTES_READ;
    if (!hasBegun && !isWrittenTo) throw error;
    tell(error);
  }
}
