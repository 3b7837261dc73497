/** Entries of a snapshot for people, in the form of `ls -l`, and for programs. */
import type { RestoreEntry } from "../agent/platform.ts";
import { formatBytes, formatTime, printable } from "./output.ts";

const TYPES = { file: "-", directory: "d", symlink: "l" } as const;
/** Read, write and execute of user, group and others; then set-user-id, set-group-id and sticky on the last of each. */
const RIGHTS = "rwxrwxrwx";
const SPECIAL = [
  { bit: 0o4000, at: 2, letter: "s" },
  { bit: 0o2000, at: 5, letter: "s" },
  { bit: 0o1000, at: 8, letter: "t" },
] as const;

/** @returns one line; without metadata, mode, owner and time are shown as unknown */
export function entryLine(entry: RestoreEntry): string {
  const { metadata } = entry;
  const user = metadata?.user ?? (metadata?.uid === undefined ? "-" : String(metadata.uid));
  const group = metadata?.group ?? (metadata?.gid === undefined ? "-" : String(metadata.gid));
  const size = entry.type === "file" ? formatBytes(entry.sizeBytes) : "-";
  const time = metadata === undefined ? "-".padEnd(25) : formatTime(Number(metadata.mtimeNanos / 1_000_000n));
  const target = entry.type === "symlink" ? ` -> ${entry.target}` : "";
  const suffix = entry.type === "directory" ? "/" : "";
  return (
    `${TYPES[entry.type]}${metadata === undefined ? "?????????" : rights(metadata.mode)}  ` +
    `${printable(`${user}:${group}`).padEnd(13)}  ${size.padStart(10)}  ${time}  ` +
    printable(`${entry.path}${suffix}${target}`)
  );
}

/** The entry with its metadata in one object, and without how its content is stored. */
export function entryDocument(entry: RestoreEntry): object {
  const { path, type, metadata } = entry;
  const { xattrs, ...facts } = metadata ?? {};
  return {
    path,
    type,
    ...(entry.type === "file" ? { sizeBytes: entry.sizeBytes } : {}),
    ...(entry.type === "symlink" ? { target: entry.target } : {}),
    ...facts,
    ...(xattrs === undefined ? {} : { xattrs: Object.fromEntries(xattrs) }),
  };
}

function rights(mode: number): string {
  const letters = [...RIGHTS].map((letter, k) => ((mode >> (8 - k)) & 1 ? letter : "-"));
  for (const { bit, at, letter } of SPECIAL) {
    if ((mode & bit) === 0) continue;
    letters[at] = letters[at] === "x" ? letter : letter.toUpperCase();
  }
  return letters.join("");
}
