/** Folders for comparison: everything a round trip must keep, entry by entry. */

import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { expect } from "chai";

/** Error of Node's `utimes`, which takes seconds as a double. */
const TIME_TOLERANCE_NANOS = 1000n;

export interface TreeEntry {
  /** Below the folder; bytes as Latin-1, so that any name compares. */
  readonly path: string;
  readonly type: "file" | "folder" | "link" | "other";
  /** Permission, set-id and sticky bits. */
  readonly mode: string;
  readonly mtimeNanos: bigint;
  /** SHA-256 of a file, target of a link. */
  readonly content?: string;
}

/** All entries below a folder, or the one that a path names, in byte order of their names. */
export function readTree(root: string | Buffer): TreeEntry[] {
  return below(Buffer.from(root), Buffer.from(""));
}

/** Asserts that two trees are the same, bytes, modes, names, targets, and times to the microsecond. */
export function expectSameTree(found: readonly TreeEntry[], wanted: readonly TreeEntry[]): void {
  const text = (entries: readonly TreeEntry[]) => entries.map(({ mtimeNanos: _time, ...rest }) => rest);
  expect(text(found)).to.deep.equal(text(wanted));
  const times = new Map(wanted.map(({ path, mtimeNanos }) => [path, mtimeNanos]));
  for (const { path, mtimeNanos } of found) {
    const difference = mtimeNanos - (times.get(path) ?? 0n);
    const distance = difference < 0n ? -difference : difference;
    expect(distance <= TIME_TOLERANCE_NANOS, `time of ${path} is off by ${difference} ns`).to.equal(true);
  }
}

function below(root: Buffer, path: Buffer): TreeEntry[] {
  const folder = path.length === 0 ? root : Buffer.concat([root, Buffer.from("/"), path]);
  const stat = lstatSync(folder, { bigint: true });
  const entry = { path: path.toString("latin1"), mode: (stat.mode & 0o7777n).toString(8), mtimeNanos: stat.mtimeNs };
  if (stat.isSymbolicLink()) {
    // The permissions of a link mean nothing and cannot be set.
    const { mode: _mode, ...rest } = entry;
    return [
      { ...rest, mode: "", type: "link", content: readlinkSync(folder, { encoding: "buffer" }).toString("latin1") },
    ];
  }
  if (stat.isFile()) {
    return [{ ...entry, type: "file", content: createHash("sha256").update(readFileSync(folder)).digest("hex") }];
  }
  if (!stat.isDirectory()) return [{ ...entry, type: "other" }];
  const names = readdirSync(folder, { encoding: "buffer" }).sort(Buffer.compare);
  const inside = names.flatMap((name) =>
    below(root, path.length === 0 ? name : Buffer.concat([path, Buffer.from("/"), name])),
  );
  return [{ ...entry, type: "folder" }, ...inside];
}
