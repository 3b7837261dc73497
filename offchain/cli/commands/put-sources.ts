/** Options of `put` about the files it stores, and what it prints about those it leaves out. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { fileUnreadable } from "../../agent/node/file-errors.ts";
import { systemPath } from "../../agent/node/system-path.ts";
import type { SourceOptions } from "../../agent/platform.ts";
import type { LeftOutReport } from "../../agent/put/left-out.ts";
import { pathFromBytes } from "../../core/recipe/path-name.ts";

export interface SourceCommandOptions {
  readonly exclude?: readonly string[];
  readonly excludeFile?: readonly string[];
  readonly excludeCaches?: boolean;
  readonly oneFileSystem?: boolean;
  readonly forceRescan?: boolean;
}

const LABELS: Readonly<Record<keyof LeftOutReport["counts"], string>> = {
  unreadable: "could not be read",
  changed: "changed while being read, stored as read",
  special: "devices, sockets and pipes",
  excluded: "excluded",
  cache: "contents of caches",
  "other-file-system": "contents of folders on other file systems",
  home: "home folder of this command",
  link: "named links, stored as links",
  time: "files with a time that cannot be stored",
  attributes: "no extended attributes",
  "lost-attributes": "extended attributes that could not be read or are too large",
  part: "parts of restores that did not end",
};

const collected = (value: string, earlier: readonly string[] = []) => [...earlier, value];

export function sourceOptions(command: Command): Command {
  return command
    .option(
      "--exclude <pattern>",
      "leave out what matches, in gitignore syntax from the top of the put; may be repeated. Files named " +
        ".tallystickignore say the same for their folder",
      collected,
    )
    .option("--exclude-file <file>", "read such patterns from a file, one a line; may be repeated", collected)
    .option("--exclude-caches", "of folders with a CACHEDIR.TAG, store the folder and the tag only")
    .option("--one-file-system", "of folders on another file system, store the folder only")
    .option("--force-rescan", "read every file, also those that are unchanged since they were put before");
}

/** @throws FileUnreadableError for a file of patterns */
export function readSourceOptions(options: SourceCommandOptions): SourceOptions & { readonly forceRescan: boolean } {
  const exclude = [...(options.excludeFile ?? []).map(patternsOf), ...(options.exclude ?? [])];
  return {
    exclude,
    excludeCaches: options.excludeCaches === true,
    oneFileSystem: options.oneFileSystem === true,
    forceRescan: options.forceRescan === true,
  };
}

/** Kinds of what is in the put, though not as it is. */
const STORED: ReadonlySet<keyof LeftOutReport["counts"]> = new Set([
  "changed",
  "lost-attributes",
  "link",
  "time",
  "attributes",
]);

/** One line per kind of what was left out, or is not stored as it is. */
export function leftOutLines({ counts, incomplete }: LeftOutReport): string[] {
  const kinds = Object.entries(counts) as [keyof typeof LABELS, number][];
  const lines = kinds.map(
    ([kind, count]) => `  ${STORED.has(kind) ? "remark  " : "left out"}   ${count}: ${LABELS[kind]}`,
  );
  return incomplete ? [...lines, "  incomplete  some of what was named is not stored as it is; the rest is"] : lines;
}

function patternsOf(file: string): string {
  try {
    return pathFromBytes(readFileSync(systemPath(file)));
  } catch (cause) {
    throw fileUnreadable(file, cause);
  }
}
