/**
 * Gives restored files, folders and links their metadata. Order matters: a change of owner clears set-id bits and
 * capabilities, a file that may not be written takes no attributes, and a change of any of these would come after the
 * time. Extended attributes are set by a command for many entries at once, so entries that have some wait in a queue;
 * everything behind them that has to come later (their folder) waits as well.
 *
 * Metadata that cannot be set here costs nothing but itself, and is remarked.
 */
import {
  type BigIntStats,
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
import { asDiskError } from "../../store/disk/disk-errors.ts";
import type { RestoreEntry, TargetOptions, TargetRemark } from "../platform.ts";
import { type LeftEntry, LeftError } from "../read/obstacles.ts";
import {
  type Attributes,
  hasAttributeCommands,
  readAttributes,
  removeAttribute,
  writeAttributes,
} from "./extended-attributes.ts";
import { storedTime, timeArgument } from "./file-times.ts";
import { OwnerNames } from "./owner-names.ts";
import { asEntryError, refusalOf } from "./refusals.ts";
import { systemPath } from "./system-path.ts";

/** Entries in the queue. Each file among them is open. */
const QUEUED_ENTRIES = 128;
/** What gives rights to others than mode and owner do. */
const GIVING_RIGHTS = ["system.posix_acl_access", "system.posix_acl_default", "security.capability"];
const MODE_BITS = 0o7777n;
const SET_UID = 0o4000;
const SET_GID = 0o2000;
const ROOT = 0;
/** Mode of files and folders without metadata. */
const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;

export interface Unfinished {
  readonly entry: RestoreEntry;
  /** What it is called in remarks. */
  readonly path: string;
  /** Where it is for calls of the system, under its temporary or its own name; of a folder, one that is followed. */
  readonly place: string;
  /** Of a file; open. It is closed before `done`. */
  readonly file?: number | undefined;
  /** Whether it was there before, and may have attributes that it is not to have. */
  readonly isExisting?: boolean;
  /** Called once its metadata are set. */
  readonly done: () => void;
}

/** Has no metadata to set, and waits for those that have. */
interface Waiting {
  readonly entry?: undefined;
  readonly done: () => void;
}

/** Whether user and group are the wanted ones. */
interface Owned {
  readonly user: boolean;
  readonly group: boolean;
}

const FOREIGN: Owned = { user: false, group: false };

export class MetadataWriter {
  readonly #names = new OwnerNames();
  readonly #remark: (remark: TargetRemark) => void;
  readonly #onLeft: (left: LeftEntry) => void;
  readonly #uid = process.geteuid?.();
  #queue: (Unfinished | Waiting)[] = [];

  constructor({ remark = () => undefined, onLeft = endRestore }: Pick<TargetOptions, "remark" | "onLeft">) {
    this.#remark = remark;
    this.#onLeft = onLeft;
  }

  /** Sets the metadata now, or after those of the entries that wait. */
  async finish(unfinished: Unfinished): Promise<void> {
    const { entry } = unfinished;
    const hasAttributes = (entry.metadata?.xattrs?.size ?? 0) > 0 || mayHaveOthers(unfinished);
    // A folder must stay writable until all that is in it is done.
    if (!hasAttributes && (this.#queue.length === 0 || entry.type !== "directory")) {
      this.#complete(unfinished);
      return;
    }
    await this.#wait(unfinished);
  }

  /** Calls `done` once the entries that wait now are finished. */
  async after(done: () => void): Promise<void> {
    if (this.#queue.length === 0) done();
    else await this.#wait({ done });
  }

  /** Finishes the entries that wait. One that cannot get its name is told to `onLeft`. */
  async flush(): Promise<void> {
    if (this.#queue.length === 0) return;
    // First, because it clears capabilities.
    const unfinished = this.#queue.filter((one) => one.entry !== undefined);
    const owned = new Map(unfinished.map((one) => [one, this.#setOwner(one)]));
    await this.#setAttributes(unfinished);
    // One by one: after a failure, those behind it are still there to be given up.
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (next.entry === undefined) next.done();
      else this.#completeLate(next, owned.get(next));
    }
  }

  /** Gives up the entries that wait; their parts stay. */
  abandon(): void {
    for (const { file } of this.#queue.filter((one) => one.entry !== undefined))
      if (file !== undefined) closeSync(file);
    this.#queue = [];
  }

  async #wait(one: Unfinished | Waiting): Promise<void> {
    this.#queue.push(one);
    if (this.#queue.length >= QUEUED_ENTRIES) await this.flush();
  }

  async #setAttributes(queue: readonly Unfinished[]): Promise<void> {
    const files = new Map<string, Attributes>();
    const paths = new Map<string, string>();
    await this.#removeOthers(queue.filter(mayHaveOthers));
    for (const one of queue) {
      const { xattrs } = one.entry.metadata ?? {};
      if (xattrs === undefined) continue;
      files.set(ownPlace(one), xattrs);
      paths.set(ownPlace(one), one.path);
    }
    if (files.size === 0) return;
    if (!hasAttributeCommands()) {
      const reason = "extended attributes are not restored: the command setfattr (package attr) is not installed";
      this.#remark({ kind: "attributes", path: "", reason });
      return;
    }
    this.#tell(await writeAttributes(files), paths);
  }

  /** Removes what gives rights to others than mode and owner do, and is not stored. */
  async #removeOthers(existing: readonly Unfinished[]): Promise<void> {
    if (existing.length === 0 || !hasAttributeCommands()) return;
    const byPlace = new Map(existing.map((one) => [ownPlace(one), one]));
    const paths = new Map(existing.map((one) => [ownPlace(one), one.path]));
    const found = await readAttributes([...byPlace.keys()]);
    for (const name of GIVING_RIGHTS) {
      const places = [...byPlace]
        .filter(
          ([place, { entry }]) => found.get(place)?.has(name) === true && entry.metadata?.xattrs?.has(name) !== true,
        )
        .map(([place]) => place);
      if (places.length > 0) this.#tell(await removeAttribute(name, places), paths);
    }
  }

  /** @param said by a command, a line for each entry that it failed for @param paths of entries, by their places */
  #tell(said: readonly string[], paths: ReadonlyMap<string, string>): void {
    for (const line of said) {
      const [place, path] = [...paths].find(([own]) => line.includes(`${own}:`)) ?? ["", ""];
      this.#remark({ kind: "attributes", path: "", reason: place === "" ? line : line.replace(place, () => path) });
    }
  }

  #completeLate(unfinished: Unfinished, owned: Owned | undefined): void {
    try {
      this.#complete(unfinished, owned);
    } catch (error) {
      if (!(error instanceof LeftError)) throw error;
      this.#onLeft({ path: unfinished.entry.path, error });
    }
  }

  #complete(unfinished: Unfinished, ownedBefore?: Owned): void {
    const { file, path, done } = unfinished;
    try {
      const owned = ownedBefore ?? this.#setOwner(unfinished);
      this.#orRemark("mode", path, () => setMode(unfinished, owned));
      this.#orRemark("time", path, () => setTime(unfinished));
    } catch (error) {
      throw asEntryError(error, path);
    } finally {
      if (file !== undefined) closeSync(file);
    }
    done();
  }

  /** Runs work; what the file system refuses, such as changes of a file of somebody else, is remarked. */
  #orRemark(kind: "mode" | "time", path: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      const reason = refusalOf(error);
      if (reason === undefined) throw error;
      this.#remark({ kind, path, reason: `its ${kind} cannot be set: ${reason}` });
    }
  }

  #setOwner(unfinished: Unfinished): Owned {
    const { entry, path, place, file } = unfinished;
    const { metadata, type } = entry;
    if (metadata?.uid === undefined || metadata.gid === undefined) return FOREIGN;
    // A name means the same person on another machine, where a number may not.
    const uid = (metadata.user === undefined ? undefined : this.#names.uidOf(metadata.user)) ?? metadata.uid;
    const gid = (metadata.group === undefined ? undefined : this.#names.gidOf(metadata.group)) ?? metadata.gid;
    const stat = statOf(unfinished);
    if (Number(stat.uid) === uid && Number(stat.gid) === gid) return { user: true, group: true };
    // Others than root may give a file to a group of theirs at most.
    const wantedUid = this.#uid === ROOT ? uid : Number(stat.uid);
    try {
      if (file === undefined) (type === "symlink" ? lchownSync : chownSync)(systemPath(place), wantedUid, gid);
      else fchownSync(file, wantedUid, gid);
      if (wantedUid === uid) return { user: true, group: true };
      this.#notOwned(path);
      return { user: false, group: true };
    } catch {
      this.#notOwned(path);
      return { user: Number(stat.uid) === uid, group: Number(stat.gid) === gid };
    }
  }

  #notOwned(path: string): void {
    this.#remark({ kind: "owner", path, reason: "user or group cannot be set by this user; set-id bits are left out" });
  }
}

/** It must not count as a failure of the entry whose turn it is. */
function endRestore({ error }: LeftEntry): never {
  throw asDiskError(error.cause, error.message);
}

/** Where the commands find an entry. They follow no link, which the path of a folder may be: what is in it is none. */
function ownPlace({ entry, place }: Unfinished): string {
  return entry.type === "directory" ? `${place}/.` : place;
}

/** Attributes of what existed are looked at where the snapshot has those of a file system. */
function mayHaveOthers({ isExisting, entry }: Unfinished): boolean {
  return isExisting === true && entry.metadata?.uid !== undefined;
}

function statOf({ entry, place, file }: Unfinished): BigIntStats {
  if (file !== undefined) return fstatSync(file, { bigint: true });
  return (entry.type === "symlink" ? lstatSync : statSync)(systemPath(place), { bigint: true });
}

/** Only where it differs: whoever may not set a mode need not. */
function setMode(unfinished: Unfinished, owned: Owned): void {
  const { entry, place, file } = unfinished;
  const { metadata, type } = entry;
  if (type === "symlink") return;
  const mode = type === "file" ? modeOf(metadata, FILE_MODE, owned) : (metadata?.mode ?? FOLDER_MODE);
  if (Number(statOf(unfinished).mode & MODE_BITS) === mode) return;
  if (file === undefined) chmodSync(systemPath(place), mode);
  else fchmodSync(file, mode);
}

function setTime(unfinished: Unfinished): void {
  const { entry, place, file } = unfinished;
  if (entry.metadata === undefined) return;
  const { mtimeNanos } = entry.metadata;
  const time = timeArgument(mtimeNanos);
  try {
    if (file !== undefined) futimesSync(file, time, time);
    else (entry.type === "symlink" ? lutimesSync : utimesSync)(systemPath(place), time, time);
  } catch (error) {
    if (storedTime(statOf(unfinished).mtimeNs) !== storedTime(mtimeNanos)) throw error;
  }
}

/** A set-id bit gives the rights of the owner, so it is kept only with the owner that it was set for. */
function modeOf(metadata: EntryMetadata | undefined, fallback: number, owned: Owned): number {
  if (metadata === undefined) return fallback;
  return metadata.mode & ~(owned.user ? 0 : SET_UID) & ~(owned.group ? 0 : SET_GID);
}
