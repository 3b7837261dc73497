/** Files of this machine as sources and targets of the agent. */

import type { EntryRoot, FileSystemPort, SourceEntry } from "../platform.ts";
import { LocalTarget } from "./local-target.ts";
import { readFile } from "./read-file.ts";
import { type WalkedEntry, walk, walkRoots } from "./walk.ts";

export const localFiles: FileSystemPort = {
  roots: (paths) =>
    walkRoots(paths).map(
      (root): EntryRoot => ({ name: root.name, origin: root.path, entries: () => sources(walk(root)) }),
    ),
  openTarget: (folder, { dataId, overwrite }) => LocalTarget.open(folder, dataId, overwrite),
};

async function* sources(walked: AsyncIterable<WalkedEntry>): AsyncGenerator<SourceEntry, void, undefined> {
  for await (const entry of walked) {
    const { path, mode, mtimeNanos, type, sizeBytes, target = "" } = entry;
    const common = { path, metadata: { mode, mtimeNanos } };
    if (type === "file") yield { ...common, type, sizeBytes, read: (signal) => readFile(entry, signal) };
    else if (type === "directory") yield { ...common, type };
    else yield { ...common, type, target };
  }
}
