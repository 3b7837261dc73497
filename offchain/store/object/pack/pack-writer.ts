/**
 * Appends records to the last pack. What callers hand in while a commit is under way goes into the next one: however
 * many they are, they share one sync. A commit is visible, and acknowledged, when it is durable.
 */
import type { FileHandle } from "node:fs/promises";
import { randomBytes } from "#primitives";
import { InvalidInputError } from "../../../core/errors.ts";
import { asDiskError, DiskFullError } from "../../disk/disk-errors.ts";
import type { NamedBytes } from "../object-store.ts";
import { PackChanges } from "./pack-changes.ts";
import {
  checksumFor,
  encodeHead,
  encodePackHeader,
  MAX_PACK_BYTES,
  PACK_HEADER_BYTES,
  type RecordHead,
  SALT_BYTES,
} from "./pack-codec.ts";
import { PackContents } from "./pack-contents.ts";
import { type PackFolder, writeAll } from "./pack-folder.ts";
import type { Location, PackIndex } from "./pack-index.ts";

/** Something to be done to one object. */
export type Operation =
  | { readonly kind: "put"; readonly object: NamedBytes }
  | { readonly kind: "remove"; readonly id: string }
  /** Stores the bytes again unless the object has changed since. */
  | { readonly kind: "move"; readonly object: NamedBytes; readonly from: Location }
  /** Stores a removal again where it is still needed. */
  | { readonly kind: "keep-removal"; readonly id: string; readonly firstPack: number; readonly lastPack: number };

/** A pack that takes records. */
export interface ActivePack {
  readonly number: number;
  readonly salt: Uint8Array;
  readonly handle: FileHandle;
  readonly contents: PackContents;
  /** Durable bytes. */
  bytes: number;
}

export interface WriterOptions {
  readonly folder: PackFolder;
  readonly index: PackIndex;
  readonly active: ActivePack | undefined;
  /** Numbers of all packs; the writer adds to it. */
  readonly packs: Set<number>;
  /** A pack of this size takes no more. */
  readonly packBytes: number;
}

interface Batch {
  readonly operations: readonly Operation[];
  readonly bytes: number;
  readonly resolve: (done: number) => void;
  readonly reject: (error: unknown) => void;
}

/** A pack's contents take about 6 MiB in memory when it holds so many objects. */
const MAX_PACK_RECORDS = 65_536;
const COMMIT_BYTES = 32 * 1024 * 1024;
/** Smaller pieces are copied together, because each piece of a write costs the kernel some work. */
const COPIED_BYTES = 32 * 1024;

export class PackWriter {
  readonly #options: WriterOptions;
  #active: ActivePack | undefined;
  #waiting: Batch[] = [];
  #running: Promise<void> | undefined;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#active = options.active;
  }

  /** The pack that takes records. */
  get activePack(): number | undefined {
    return this.#active?.number;
  }

  /**
   * Does the operations, in order, in one durable commit.
   * @returns how many of them had an effect
   * @throws DiskFullError, DiskFailedError
   */
  submit(operations: readonly Operation[]): Promise<number> {
    if (operations.length === 0) return Promise.resolve(0);
    const bytes = operations.reduce((sum, op) => sum + ("object" in op ? op.object.bytes.length : 0), 0);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operations, bytes, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Has the next record start a new pack, so that the one so far can be compacted. */
  async startNewPack(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    this.#running = this.#complete().finally(() => {
      this.#running = this.#waiting.length > 0 ? this.#run() : undefined;
    });
    await this.#running;
  }

  /** Resolves when everything handed in is done. */
  async close(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    await this.#active?.handle.close();
    this.#active = undefined;
  }

  async #run(): Promise<void> {
    // Lets the callers of this turn join the first commit.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batches = this.#takeBatches();
      await this.#commitAll(batches);
    }
    this.#running = undefined;
  }

  #takeBatches(): Batch[] {
    let bytes = 0;
    let count = 0;
    for (const batch of this.#waiting) {
      bytes += batch.bytes;
      if (count > 0 && bytes > COMMIT_BYTES) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #commitAll(batches: readonly Batch[]): Promise<void> {
    try {
      const done = await this.#commit(batches);
      for (const [k, batch] of batches.entries()) batch.resolve(done[k] ?? 0);
    } catch (cause) {
      const error = asDiskError(cause, `writing ${describe(batches.flatMap(({ operations }) => operations))}`);
      if (error instanceof DiskFullError && batches.length > 1) {
        // A smaller part may still fit.
        for (const batch of batches) await this.#commitAll([batch]);
        return;
      }
      for (const batch of batches) batch.reject(error);
    }
  }

  /** @returns for each batch, how many of its operations had an effect */
  async #commit(batches: readonly Batch[]): Promise<number[]> {
    const active = this.#active ?? (await this.#createPack());
    const changes = new PackChanges(this.#options.index, active.number, (pack) => this.#options.packs.has(pack));
    const write = new RecordPieces(active.bytes, active.salt);
    const done = batches.map(
      ({ operations }) =>
        operations.filter((operation) => apply(operation, changes, write, this.#options.packs)).length,
    );
    if (write.end > MAX_PACK_BYTES) {
      throw new InvalidInputError("the objects are too large for a pack", {
        check: "object size",
        expected: `at most ${MAX_PACK_BYTES} bytes in one commit`,
      });
    }
    try {
      if (write.end > active.bytes) {
        await writeAll(active.handle, write.pieces, active.bytes);
        await active.handle.datasync();
      }
      this.#options.index.apply(changes.toIndex(write.end));
    } catch (error) {
      await this.#abandon(active);
      throw error;
    }
    active.bytes = write.end;
    for (const entry of write.entries) active.contents.add(entry, active.salt);
    if (active.bytes >= this.#options.packBytes || active.contents.count >= MAX_PACK_RECORDS) await this.#complete();
    return done;
  }

  async #createPack(): Promise<ActivePack> {
    const { folder, index, packs } = this.#options;
    let number = 1;
    for (const known of packs) number = Math.max(number, known + 1);
    const salt = randomBytes(SALT_BYTES);
    const handle = await folder.create(number, encodePackHeader(salt));
    try {
      index.addPack(number, salt, PACK_HEADER_BYTES);
    } catch (error) {
      await handle.close().catch(() => undefined);
      await folder.remove(number).catch(() => undefined);
      throw error;
    }
    packs.add(number);
    this.#active = { number, salt, handle, contents: new PackContents(), bytes: PACK_HEADER_BYTES };
    return this.#active;
  }

  /**
   * After a failed write: removes what was written. Where that fails too, this pack takes no further record, because a
   * failed sync leaves unknown what of the file is durable (A. Rebello et al., "Can applications recover from fsync
   * failures?", USENIX ATC 2020).
   */
  async #abandon(active: ActivePack): Promise<void> {
    this.#active = undefined;
    try {
      await active.handle.truncate(active.bytes);
      await active.handle.datasync();
      // The file is durably what it was before, so it can go on.
      this.#active = active;
    } catch {
      // The first failure is the useful one. The index says where the pack ends.
      await this.#finish(active, active.bytes);
    }
  }

  /** Ends the pack that takes records, with its contents. */
  async #complete(): Promise<void> {
    const active = this.#active;
    if (active === undefined) return;
    this.#active = undefined;
    let bytes = active.bytes;
    try {
      const trailer = active.contents.trailer(active.bytes, active.salt);
      await writeAll(active.handle, [trailer], active.bytes);
      await active.handle.datasync();
      bytes += trailer.length;
    } catch {
      // The contents are a copy: a pack without them is read from head to head.
      await active.handle.truncate(active.bytes).catch(() => undefined);
    }
    await this.#finish(active, bytes);
  }

  async #finish(active: ActivePack, bytes: number): Promise<void> {
    await active.handle.close().catch(() => undefined);
    try {
      this.#options.index.completePack(active.number, bytes);
    } catch {
      // The next start finds the pack's end by reading it.
    }
  }
}

/** Names what is written, for messages. */
function describe(operations: readonly Operation[]): string {
  const [first] = operations;
  const id = first === undefined ? "" : "object" in first ? first.object.id : first.id;
  return operations.length === 1 ? `object ${id}` : `object ${id} and ${operations.length - 1} others`;
}

/** @returns whether the operation has an effect */
function apply(operation: Operation, changes: PackChanges, write: RecordPieces, packs: ReadonlySet<number>): boolean {
  if (operation.kind === "put") {
    write.addObject(operation.object, changes);
    return true;
  }
  if (operation.kind === "move") {
    const { object, from } = operation;
    const at = changes.current(object.id);
    if (at === undefined || at.pack !== from.pack || at.offset !== from.offset) return false;
    write.addObject(object, changes);
    return true;
  }
  const at = changes.current(operation.id);
  if (operation.kind === "remove") {
    if (at === undefined) return false;
    write.addRemoval(
      { kind: "removal", id: operation.id, firstPack: changes.firstPackOf(at), lastPack: at.pack },
      changes,
    );
    return true;
  }
  const { kind: _, ...removal } = operation;
  if (!isNeeded(removal, packs)) return false;
  // An object that was stored again supersedes the removal.
  if (at === undefined) write.addRemoval({ kind: "removal", ...removal }, changes);
  else changes.widen(operation.id, at, operation.firstPack);
  return true;
}

/** Whether a pack that may hold records of the removed object is still there. */
export function isNeeded(
  { firstPack, lastPack }: { readonly firstPack: number; readonly lastPack: number },
  packs: ReadonlySet<number>,
): boolean {
  if (firstPack === lastPack) return packs.has(firstPack);
  for (const pack of packs) if (pack >= firstPack && pack <= lastPack) return true;
  return false;
}

/** The records of a commit, as few pieces of memory. */
class RecordPieces {
  readonly pieces: Uint8Array[] = [];
  readonly entries: { head: RecordHead; offset: number }[] = [];
  readonly #salt: Uint8Array;
  #end: number;
  #joining: Uint8Array = new Uint8Array(0);
  #joinedBytes = 0;

  constructor(start: number, salt: Uint8Array) {
    this.#end = start;
    this.#salt = salt;
  }

  /** Length of the pack with these records. */
  get end(): number {
    return this.#end;
  }

  addObject({ id, bytes }: NamedBytes, changes: PackChanges): void {
    const head = { kind: "object", id, lengthBytes: bytes.length, checksum: checksumFor(id, bytes) } as const;
    changes.addObject(head, this.#end);
    this.#add(head);
    if (bytes.length > 0) this.#append(bytes);
  }

  addRemoval(head: RecordHead & { readonly kind: "removal" }, changes: PackChanges): void {
    changes.addRemoval(head);
    this.#add(head);
  }

  #add(head: RecordHead): void {
    this.entries.push({ head, offset: this.#end });
    this.#append(encodeHead(head, this.#salt));
  }

  #append(bytes: Uint8Array): void {
    this.#end += bytes.length;
    if (bytes.length > COPIED_BYTES) {
      this.pieces.push(bytes);
      return;
    }
    if (this.#joinedBytes + bytes.length > this.#joining.length) {
      this.#joining = Buffer.allocUnsafeSlow(8 * COPIED_BYTES);
      this.#joinedBytes = 0;
    }
    this.#joining.set(bytes, this.#joinedBytes);
    const last = this.pieces.at(-1);
    const start = this.#joinedBytes;
    this.#joinedBytes += bytes.length;
    // Extends the last piece where this one follows it in memory.
    if (last !== undefined && start > 0 && last.buffer === this.#joining.buffer) {
      this.pieces[this.pieces.length - 1] = this.#joining.subarray(start - last.length, this.#joinedBytes);
    } else {
      this.pieces.push(this.#joining.subarray(start, this.#joinedBytes));
    }
  }
}
