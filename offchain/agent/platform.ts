/**
 * Ports: what the agent needs from the place it runs in. `node/` implements them on files and SQLite, `browser/` on the
 * storage of a page; the rest of `agent/` imports neither. Random bytes, hashes and ciphers come from `#primitives` in
 * the same way.
 */

import type { TallystickError } from "../core/errors.ts";
import type { DirectoryEntry, FileEntry, RegularFileEntry, SymlinkEntry } from "../core/recipe/recipe.ts";
import type { EntryMetadata } from "../core/snapshot/entry-metadata.ts";
import type { PartyOptions } from "../http/client.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Clock } from "./clock.ts";
import type { DataSetJournal } from "./data-sets/journal.ts";
import type { WrongAnswerStore } from "./keys/wrong-answer-store.ts";
import type { DataStages } from "./pipeline/data-stages.ts";
import type { InputError } from "./put/input-errors.ts";
import type { LeftEntry } from "./read/obstacles.ts";

export interface AgentPlatform {
  readonly catalogue: Catalogue;
  readonly dataSets: DataSetJournal;
  readonly preparations: PreparationStore;
  readonly lock: HomeLock;
  /** Files by path. Absent where programs have no file system. */
  readonly files?: FileSystemPort;
  /** What is known of files that a put has stored before. Absent where programs have no file system. */
  readonly fileCache?: FileCache;
  /** Evidence against key nodes. Absent where nothing can be kept of it. */
  readonly wrongAnswers?: WrongAnswerStore;
  /** How requests are sent. */
  readonly http: PartyOptions;
  readonly clock: Clock;
  /** Where puts come from, for the list of snapshots. */
  readonly origin?: { readonly host: string; readonly user: string };
  /**
   * Where puts and gets compress, encrypt, decrypt and decompress, and where a put computes the OPRF. Absent: in the
   * thread of the agent.
   */
  readonly openStages?: () => DataStages;
  /** Releases the catalogue and everything else that is open. */
  close(): Promise<void>;
}

/** Sources and targets that are named by path. */
export interface FileSystemPort {
  /**
   * One root per path, each resolved as the system does it. Nothing is read yet.
   * @throws InvalidInputError for an empty path, or one without a base name
   * @throws FileUnreadableError for a path that leads nowhere
   */
  roots(paths: readonly string[], options?: SourceOptions): EntryRoot[];
  /** Makes the folder if it is absent. @throws TallystickError DISK_FULL, DISK_FAILED */
  openTarget(folder: string, options: TargetOptions): Promise<RestoreTarget>;
}

/** What is to be left out of what is below the named paths. */
export interface SourceOptions {
  /**
   * Patterns in gitignore syntax, relative to the top of the put: `/photos/raw` speaks of `raw` in the root named
   * `photos`, `*.tmp` of all files with such a name. Files named `.tallystickignore` say the same of their folder.
   */
  readonly exclude?: readonly string[];
  /** Of folders that are marked as caches by a CACHEDIR.TAG, store the folder and the tag only. */
  readonly excludeCaches?: boolean;
  /** Of folders on another file system than their root, store the folder only. */
  readonly oneFileSystem?: boolean;
}

/**
 * What a put knows of the files that it has stored before, so that an unchanged one is not read again. Values are
 * opaque here; they are sealed at rest.
 */
export interface FileCache {
  /** @throws DiskFullError, DiskFailedError */
  open(options: FileCacheOptions): FileCacheSession;
  /**
   * Forgets everything, since data turned out to be lost: the next put reads every file and stores what is missing.
   * @throws DiskFullError, DiskFailedError
   */
  forget(): void;
}

export interface FileCacheOptions {
  /** Values of one scope are not found in another: whatever keys and object ids depend on besides content. */
  readonly scope: string;
  /** 32 bytes; a secret of the identity. */
  readonly secret: Uint8Array;
  readonly nowSeconds: number;
  /** Finds nothing, and records everything anew. */
  readonly distrusted?: boolean;
  /** Only looks things up: nothing is recorded or forgotten. */
  readonly isReadOnly?: boolean;
}

/** A bundle of small files; the key of a part of the recipe. */
export type RememberedKind = "bundle" | "chunk key" | "file key";

/** The cache during one put. It is handed to the sources, which know the files. */
export interface FileCacheSession {
  /** What was remembered of a content, by its digest. */
  find(kind: RememberedKind, digest: Uint8Array): Uint8Array | undefined;
  /** Of a bundle, called once it is durable. */
  remember(kind: RememberedKind, digest: Uint8Array, value: Uint8Array): void;
  /** After the last entry: what was not met is forgotten. */
  finish(): void;
  /** Called in any case, last. What was remembered so far stays. */
  close(): void;
}

/** Something that is not stored, or not as it is. What has `changed` is stored as it was read. */
export interface SourceRemark {
  readonly kind:
    | "unreadable"
    | "changed"
    | "special"
    | "excluded"
    | "cache"
    | "other-file-system"
    | "home"
    | "link"
    | "time"
    | "attributes"
    /** Attributes of one entry that cannot be read, or not be stored. */
    | "lost-attributes"
    /** What a restore that did not end has left behind. */
    | "part";
  /** For people: of this machine, not of the put. Empty when the remark is about all of it. */
  readonly path: string;
  readonly reason: string;
  readonly error?: TallystickError;
}

/** One pass over the entries of a source. The object is the pass: roots that are given the same one share its state. */
export interface SourceRun {
  /** Told of what is left out. Without it, a file that cannot be read as it is ends the pass with an error. */
  readonly remark?: (remark: SourceRemark) => void;
  /** Whether only types and sizes are needed: owners, links and attributes are absent. */
  readonly brief?: boolean;
  /** Of this platform. Absent when nothing is to be remembered. */
  readonly cache?: FileCacheSession;
}

/** A named file, folder or link, with everything below it. */
export interface EntryRoot {
  /** Path of its first entry: one component. */
  readonly name: string;
  /** For messages that tell two roots of one name apart. */
  readonly origin: string;
  /**
   * The entry itself and what is below it, in listing order (`comparePaths`). May be called more than once: first to
   * measure.
   * @throws FileUnreadableError, InvalidInputError for the root itself
   */
  entries(run?: SourceRun): AsyncIterable<SourceEntry>;
}

interface SourceEntryCommon {
  /** Starts with the name of the root, `/` separated. */
  readonly path: string;
  /** Of a file, those of its opening once it has been read: ask for them after its content. */
  readonly metadata: EntryMetadata;
  /**
   * Keeps a value with the entry for the next put. To be called in listing order, for every entry that is stored, once
   * all it refers to is durable. An entry that changed while it was read, or so shortly before that its times may not
   * tell the next change, is forgotten instead. Absent without a cache.
   */
  readonly remember?: (value?: Uint8Array) => void;
}

export interface SourceFile extends SourceEntryCommon {
  readonly type: "file";
  /** The value that was remembered, if the file is unchanged since. */
  readonly cached?: Uint8Array;
  /** Absent for a stream whose length is not known before its end. */
  readonly sizeBytes?: number;
  /** Whether the content is gone once it was read, as that of a stream is. */
  readonly isReadOnce?: boolean;
  /**
   * The content, once. A piece is valid until the next one is asked for: its memory is used again.
   * @throws FileUnreadableError, FileChangedError; before the first piece only, if the pass takes remarks
   */
  read(signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * Tells the pass that the file is left out because of the error that `read` threw before its first piece. Absent when
   * the error is to end the pass.
   */
  readonly leaveOut?: (error: InputError) => void;
}

export type SourceEntry =
  | SourceFile
  | (SourceEntryCommon & { readonly type: "directory" })
  | (SourceEntryCommon & { readonly type: "symlink"; readonly target: string });

export interface TargetOptions {
  readonly dataId: string;
  /** Whether what exists and differs may be replaced. */
  readonly overwrite: boolean;
  /** Told of metadata that cannot be restored here. */
  readonly remark?: (remark: TargetRemark) => void;
  /**
   * Told of an entry that is not restored, although the call about it has returned: it waited for others to be finished
   * with it. Default: that ends the restore.
   */
  readonly onLeft?: (left: LeftEntry) => void;
}

/** Something that is restored, but not with all of its metadata. */
export interface TargetRemark {
  readonly kind: "owner" | "attributes" | "mode" | "time";
  /** Empty when the remark names it, or is about all of it. */
  readonly path: string;
  readonly reason: string;
}

/**
 * An entry to be restored. Without metadata, files get the mode 0644, folders 0755, and the time is when they are made.
 */
export type RestoreEntry<Entry extends FileEntry = FileEntry> = Entry & { readonly metadata?: EntryMetadata };

/**
 * Where a put is restored into. Entries come in listing order, each folder before what is in it. `openFile` may be
 * called some entries ahead of the others.
 */
export interface RestoreTarget {
  /**
   * Finishes the folders that do not hold the entry. Called before anything else is done about it. Throws nothing that
   * concerns a single entry.
   */
  before(entry: FileEntry): Promise<void>;
  /** @throws InTheWayError when something else is there; RefusedError */
  makeFolder(entry: RestoreEntry<DirectoryEntry>): Promise<void>;
  /** @throws InTheWayError when something else is there and may not be replaced; RefusedError */
  makeLink(entry: RestoreEntry<SymlinkEntry>): Promise<void>;
  /** @throws InTheWayError when something else is there and may not be replaced; RefusedError */
  openFile(entry: RestoreEntry<RegularFileEntry>): Promise<FileSink>;
  /** Called after the last entry. */
  finish(): Promise<void>;
  /** Called in any case, last. After a failure, what existed gets back what was changed to work in it. */
  close(): Promise<void>;
}

/** A piece of a file that the target may have already. */
export interface ExpectedPiece {
  readonly sizeBytes: number;
  /** Whether bytes of this length are the piece. */
  isRight(bytes: Uint8Array): Promise<boolean>;
}

/** Takes one file, piece after piece. */
export interface FileSink {
  readonly entry: RestoreEntry<RegularFileEntry>;
  /**
   * Plaintext of the piece if the target has it, verified; undefined when it must be fetched.
   * @throws InTheWayError when something else is there and may not be replaced, so that nothing is fetched for it; also
   *   `write` and `finish` may find that, and throw RefusedError
   */
  reuse(piece: ExpectedPiece, offset: number): Promise<Uint8Array | undefined>;
  /**
   * Takes the next bytes. They are valid until the promise is settled: their memory is used again.
   * @param fetched false for bytes that `reuse` returned
   */
  write(bytes: Uint8Array, fetched: boolean): Promise<void>;
  /** To read again what was written. Absent where that cannot be done: what occurs again is downloaded again. */
  readonly written?: WrittenFile;
  /** Called after the last piece. */
  finish(): Promise<void>;
  /** Releases the file; an unfinished one may be continued by a later attempt. */
  close(): Promise<void>;
}

/** A file of a target as a place to read what was written into it. It outlives the sink. */
export interface WrittenFile {
  /**
   * Reads bytes that `write` has taken. Somebody else may have changed the file since: whoever reads verifies.
   * @returns whether the memory was filled. False when there is no such file any more, and for whatever else fails
   */
  read(into: Uint8Array, offset: number): Promise<boolean>;
}

/** Manifests and tags of segments, by id, until the provider has verified them. */
export interface PreparationStore {
  /** Starts a preparation under a fresh salt. */
  create(salt: string): Promise<PreparationWriter>;
  /** A finished preparation; undefined when there is none. */
  find(salt: string): Promise<StoredPreparation | undefined>;
  remove(salt: string): Promise<void>;
  /**
   * Removes preparations, finished or not, that were last written before the time (milliseconds), except the needed
   * ones.
   */
  removeAbandoned(needed: ReadonlySet<string>, before: number): Promise<void>;
}

export interface PreparationWriter {
  append(tags: Uint8Array): Promise<void>;
  /** Makes tags and manifest durable. Until it resolves, `find` does not return the preparation. */
  finish(manifest: Uint8Array): Promise<void>;
  /** Removes what was written. */
  discard(): Promise<void>;
}

export interface StoredPreparation {
  readonly salt: string;
  readonly manifest: Uint8Array;
  /** @returns fewer bytes than asked for at the end of the tags. */
  readTags(offset: number, length: number): Promise<Uint8Array>;
}

/** Serializes what must not run twice at once for one catalogue: recording a key, signing a state of a data set. */
export interface HomeLock {
  /**
   * Waits until nobody else holds the lock, runs the work, and releases it.
   *
   * @param onWait called once if somebody else holds it.
   * @throws the signal's reason while waiting; whatever the work throws
   */
  exclusive<Result>(work: () => Promise<Result>, options?: ExclusiveOptions): Promise<Result>;
}

export interface ExclusiveOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onWait?: () => void;
}
