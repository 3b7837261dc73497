/** Files of this machine as sources and targets of the agent. */

import { statSync } from "node:fs";
import { InvalidInputError } from "../../core/errors.ts";
import { encodeMetadata } from "../../core/snapshot/metadata-item.ts";
import type { EntryRoot, FileSystemPort, SourceEntry, SourceFile, SourceOptions, SourceRun } from "../platform.ts";
import { FileChangedError, type InputError, isInputError } from "../put/input-errors.ts";
import { type Attributes, attributesInParts, hasAttributeCommands } from "./extended-attributes.ts";
import { SqliteCacheSession } from "./file-cache.ts";
import { LocalTarget } from "./local-target.ts";
import { OwnerNames } from "./owner-names.ts";
import { readFile } from "./read-file.ts";
import { type EntryHandle, RememberedEntries } from "./remembered-entries.ts";
import { systemPath } from "./system-path.ts";
import { LinkGroups, type WalkedEntry, type WalkOptions, walk } from "./walk.ts";
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
    const xattrs = storable === undefined || storable.size === 0 ? {} : { xattrs: storable };
    const entry = { ...walked, metadata: { ...walked.metadata, ...xattrs } };
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
  return { ...common, type, sizeBytes: entry.sizeBytes, ...cached, ...reader(entry, run, handle) };
}

function reader(
  entry: WalkedEntry,
  { remark }: SourceRun,
  handle: EntryHandle | undefined,
): Pick<SourceFile, "read" | "leaveOut"> {
  if (remark === undefined) return { read: (signal) => readFile(entry, signal) };
  const tell = (error: InputError, consequence: string) => {
    handle?.forget();
    const kind = error instanceof FileChangedError ? "changed" : "unreadable";
    remark({ kind, path: entry.absolutePath, reason: `${error.reason}; ${consequence}`, error });
  };
  return {
    read: (signal) => readLeniently(entry, (error) => tell(error, "stored as it was read"), signal),
    leaveOut: (error) => tell(error, "left out"),
  };
}

/**
 * A file that fails before its first piece can be left out. Later its chunks may have been stored already, and a file
 * of which a part is old and a part is new is of more use than none: its content is what was read.
 */
async function* readLeniently(
  entry: WalkedEntry,
  tell: (error: InputError) => void,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let hasBegun = false;
  try {
    for await (const piece of readFile(entry, signal)) {
      hasBegun = true;
      yield piece;
    }
  } catch (error) {
    if (!hasBegun || !isInputError(error)) throw error;
    tell(error);
  }
}
