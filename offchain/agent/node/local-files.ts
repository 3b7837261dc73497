/** Files of this machine as sources and targets of the agent. */

import { statSync } from "node:fs";
import type { EntryRoot, FileSystemPort, SourceEntry, SourceFile, SourceOptions, SourceRun } from "../platform.ts";
import { FileChangedError, type InputError, isInputError } from "../put/input-errors.ts";
import { type Attributes, hasAttributeCommands, readAttributes } from "./extended-attributes.ts";
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
    // Not `yield*`, which would await every entry twice.
    for (const each of await described(batch, run, pass, remembered)) yield each;
    batch = [];
    // The walk itself never waits.
    await new Promise(setImmediate);
    remembered?.startBatch();
  }
  for (const each of await described(batch, run, pass, remembered)) yield each;
}

async function described(
  batch: readonly WalkedEntry[],
  run: SourceRun,
  { hasAttributes }: Pass,
  remembered: RememberedEntries | undefined,
): Promise<SourceEntry[]> {
  const known = batch.map((entry) => remembered?.find(entry));
  const unknown = batch.filter((_, index) => known[index]?.attributes === undefined);
  const asked = unknown.length > 0 && hasAttributes();
  const found = asked ? await readAttributes(unknown.map(({ absolutePath }) => absolutePath)) : undefined;
  return batch.map((walked, index) => {
    const attributes = known[index]?.attributes ?? (asked ? (found?.get(walked.absolutePath) ?? NONE) : undefined);
    const hasSome = attributes !== undefined && attributes.size > 0;
    const entry = hasSome ? { ...walked, metadata: { ...walked.metadata, xattrs: attributes } } : walked;
    return source(entry, run, remembered?.handle(walked, known[index], attributes));
  });
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
