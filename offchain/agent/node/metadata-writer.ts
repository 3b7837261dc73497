/**
 * Gives restored files, folders and links their metadata. Order matters: a change of owner clears set-id bits and
 * capabilities, a file that may not be written takes no attributes, and a change of any of these would come after the
 * time. Extended attributes are set by a command for many entries at once, so entries that have some wait in a queue;
 * everything behind them that has to come later (their folder) waits as well.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  futimesSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  statSync,
  utimesSync,
} from "node:fs";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import type { TargetRemark } from "../platform.ts";
import { type Attributes, hasAttributeCommands, writeAttributes } from "./extended-attributes.ts";
import { timeArgument } from "./file-times.ts";
import { OwnerNames } from "./owner-names.ts";
import { systemPath } from "./system-path.ts";

/** Entries in the queue. Each file among them is open. */
const QUEUED_ENTRIES = 128;
const SET_UID = 0o4000;
const SET_GID = 0o2000;
const ROOT = 0;
/** Mode of files and folders without metadata. */
const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;

export interface Unfinished {
  readonly type: "file" | "directory" | "symlink";
  /** What it is called in remarks. */
  readonly path: string;
  /** Where it is for calls of the system, under its temporary or its own name; of a folder, one that is followed. */
  readonly place: string;
  /** Of a file; open. It is closed before `done`. */
  readonly file?: number | undefined;
  readonly metadata: EntryMetadata | undefined;
  /** Called once its metadata are set. */
  readonly done: () => void;
}

/** Has no metadata to set, and waits for those that have. */
interface Waiting {
  readonly type: "nothing";
  readonly done: () => void;
}

export class MetadataWriter {
  readonly #names = new OwnerNames();
  readonly #remark: (remark: TargetRemark) => void;
  readonly #uid = process.geteuid?.();
  #queue: (Unfinished | Waiting)[] = [];

  constructor(remark: (remark: TargetRemark) => void) {
    this.#remark = remark;
  }

  /** Sets the metadata now, or after those of the entries that wait. */
  async finish(entry: Unfinished): Promise<void> {
    const hasAttributes = (entry.metadata?.xattrs?.size ?? 0) > 0;
    // A folder must stay writable until all that is in it is done.
    if (!hasAttributes && (this.#queue.length === 0 || entry.type !== "directory")) {
      this.#complete(entry);
      return;
    }
    await this.#wait(entry);
  }

  /** Calls `done` once the entries that wait now are finished. */
  async after(done: () => void): Promise<void> {
    if (this.#queue.length === 0) done();
    else await this.#wait({ type: "nothing", done });
  }

  /** Finishes the entries that wait. */
  async flush(): Promise<void> {
    const queue = this.#queue;
    if (queue.length === 0) return;
    this.#queue = [];
    // First, because it clears capabilities.
    const unfinished = queue.filter((entry) => entry.type !== "nothing");
    for (const entry of unfinished) this.#setOwner(entry);
    await this.#setAttributes(unfinished);
    for (const entry of queue) {
      if (entry.type === "nothing") entry.done();
      else this.#complete(entry);
    }
  }

  /** Gives up the entries that wait; their parts stay. */
  abandon(): void {
    for (const entry of this.#queue) if (entry.type === "file" && entry.file !== undefined) closeSync(entry.file);
    this.#queue = [];
  }

  async #wait(entry: Unfinished | Waiting): Promise<void> {
    this.#queue.push(entry);
    if (this.#queue.length >= QUEUED_ENTRIES) await this.flush();
  }

  async #setAttributes(queue: readonly Unfinished[]): Promise<void> {
    const files = new Map<string, Attributes>();
    const paths = new Map<string, string>();
    for (const { type, path, place, metadata } of queue) {
      if (metadata?.xattrs === undefined) continue;
      // The command follows no link, and the path of a folder may be one: what is in it, by its own name, is none.
      const own = type === "directory" ? `${place}/.` : place;
      files.set(own, metadata.xattrs);
      paths.set(own, path);
    }
    if (files.size === 0) return;
    if (!hasAttributeCommands()) {
      const reason = "extended attributes are not restored: the command setfattr (package attr) is not installed";
      this.#remark({ kind: "attributes", path: "", reason });
      return;
    }
    for (const said of await writeAttributes(files)) {
      const [place, path] = [...paths].find(([own]) => said.includes(`${own}:`)) ?? ["", ""];
      this.#remark({ kind: "attributes", path: "", reason: place === "" ? said : said.replace(place, () => path) });
    }
  }

  #complete(entry: Unfinished): void {
    const { type, place, file, metadata } = entry;
    const owned = this.#setOwner(entry);
    const time = metadata === undefined ? undefined : timeArgument(metadata.mtimeNanos);
    if (type === "symlink") {
      if (time !== undefined) lutimesSync(systemPath(place), time, time);
    } else if (file !== undefined) {
      fchmodSync(file, modeOf(metadata, FILE_MODE, owned));
      if (time !== undefined) futimesSync(file, time, time);
    } else {
      chmodSync(systemPath(place), metadata?.mode ?? FOLDER_MODE);
      if (time !== undefined) utimesSync(systemPath(place), time, time);
    }
    if (file !== undefined) closeSync(file);
    entry.done();
  }

  /** @returns whether user and group are the wanted ones */
  #setOwner({ type, path, place, file, metadata }: Unfinished): { readonly user: boolean; readonly group: boolean } {
    if (metadata?.uid === undefined || metadata.gid === undefined) return { user: false, group: false };
    // A name means the same person on another machine, where a number may not.
    const uid = (metadata.user === undefined ? undefined : this.#names.uidOf(metadata.user)) ?? metadata.uid;
    const gid = (metadata.group === undefined ? undefined : this.#names.gidOf(metadata.group)) ?? metadata.gid;
    const stat = file === undefined ? (type === "symlink" ? lstatSync : statSync)(systemPath(place)) : fstatSync(file);
    if (stat.uid === uid && stat.gid === gid) return { user: true, group: true };
    // Others than root may give a file to a group of theirs at most.
    const wantedUid = this.#uid === ROOT ? uid : stat.uid;
    try {
      if (file === undefined) (type === "symlink" ? lchownSync : chownSync)(systemPath(place), wantedUid, gid);
      else fchownSync(file, wantedUid, gid);
      if (wantedUid === uid) return { user: true, group: true };
      this.#notOwned(path);
      return { user: false, group: true };
    } catch {
      this.#notOwned(path);
      return { user: stat.uid === uid, group: stat.gid === gid };
    }
  }

  #notOwned(path: string): void {
    this.#remark({ kind: "owner", path, reason: "user or group cannot be set by this user; set-id bits are left out" });
  }
}

/** A set-id bit gives the rights of the owner, so it is kept only with the owner that it was set for. */
function modeOf(
  metadata: EntryMetadata | undefined,
  fallback: number,
  owned: { readonly user: boolean; readonly group: boolean },
): number {
  if (metadata === undefined) return fallback;
  return metadata.mode & ~(owned.user ? 0 : SET_UID) & ~(owned.group ? 0 : SET_GID);
}
