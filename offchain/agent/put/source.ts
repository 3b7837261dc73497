/** What one put stores: paths of the platform and named content, as one sequence of entries in listing order. */

import { InvalidInputError } from "../../core/errors.ts";
import { comparePaths, pathToBytes } from "../../core/recipe/path-name.ts";
import type { EntryRoot, FileSystemPort, SourceEntry, SourceOptions, SourceRun } from "../platform.ts";
import { type NamedInput, namedRoots } from "./named-inputs.ts";

/** A path, where the platform has files, or content under a name. */
export type PutInput = string | NamedInput;

export interface InputTotals {
  readonly entries: number;
  /** Of streams of unknown length nothing is counted. */
  readonly bytes: number;
}

export interface EntrySource {
  /** Names of the roots as they were given, for people. */
  readonly name: string;
  /** The roots as this machine names them. */
  readonly origins: readonly string[];
  /** May be called more than once; the content of a stream can be read once only. */
  entries(run?: SourceRun): AsyncIterable<SourceEntry>;
}

/**
 * @param files absent where programs have no file system.
 * @throws InvalidInputError for no input, equal names, malformed names, a path without a file system
 */
export function openSource(
  inputs: readonly PutInput[],
  files: FileSystemPort | undefined,
  options: SourceOptions = {},
): EntrySource {
  if (inputs.length === 0) throw new InvalidInputError("no path given", { party: "you", check: "paths" });
  const paths = inputs.filter((input) => typeof input === "string");
  const named = inputs.filter((input) => typeof input !== "string");
  if (paths.length > 0 && files === undefined) throw noFiles();
  const given = [...(files?.roots(paths, options) ?? []), ...namedRoots(named)];
  const roots = given.toSorted((a, b) => comparePaths(pathToBytes(a.name), pathToBytes(b.name)));
  for (const [index, root] of roots.entries()) {
    const previous = roots[index - 1];
    if (previous?.name === root.name) throw sameName(previous, root);
  }
  const origins = given.map(({ origin }) => origin);
  const name = given.map((root) => root.name).join(", ");
  return { name, origins, entries: (run = {}) => allEntries(roots, run) };
}

/** Counts entries and bytes before the put. @throws what the roots of the source throw */
export async function measure(source: EntrySource, signal?: AbortSignal): Promise<InputTotals> {
  let entries = 0;
  let bytes = 0;
  for await (const entry of source.entries({ brief: true })) {
    signal?.throwIfAborted();
    entries += 1;
    if (entry.type === "file") bytes += entry.sizeBytes ?? 0;
  }
  return { entries, bytes };
}

async function* allEntries(roots: readonly EntryRoot[], run: SourceRun): AsyncGenerator<SourceEntry, void, undefined> {
  for (const root of roots) yield* root.entries(run);
}

function sameName(one: EntryRoot, other: EntryRoot): InvalidInputError {
  if (one.origin === other.origin) {
    return new InvalidInputError(`${one.name} is given twice`, {
      party: "you",
      check: "paths",
      received: `${one.origin}, twice`,
      hint: "name each path once",
    });
  }
  return new InvalidInputError(`two of the paths are named ${one.name}`, {
    party: "you",
    check: "paths",
    received: `${one.origin} and ${other.origin}`,
    hint: "put them separately, or put the folder that holds both",
  });
}

function noFiles(): InvalidInputError {
  return new InvalidInputError("this platform has no files that can be named by path", {
    party: "you",
    check: "paths",
    expected: "File objects, bytes, blobs or streams with a name",
  });
}
