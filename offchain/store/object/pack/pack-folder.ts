/** The files of a store of packs: `<root>/packs/0000000001.pack` and so on. */

import type * as nodeFileSystem from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode } from "../../disk/disk-errors.ts";
import { syncFolderAsync } from "../../disk/durable-file.ts";
import type { Allocate } from "../object-store.ts";
import type { ReadAt } from "./pack-walk.ts";

/** The calls of node:fs/promises that the store uses; tests replace them with failing ones. */
export type FileSystem = Pick<typeof nodeFileSystem, "mkdir" | "open" | "readdir" | "readFile" | "stat" | "unlink">;

/** Packs that are open for reading at a time. */
const OPEN_PACKS = 64;
const NAME = /^(\d{10})\.pack$/;

export function packName(number: number): string {
  return `${String(number).padStart(10, "0")}.pack`;
}

/** The number in a file name; undefined for a file that is no pack. */
export function packNumber(name: string): number | undefined {
  const digits = NAME.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

interface OpenPack {
  readonly handle: Promise<FileHandle>;
  users: number;
  dropped: boolean;
}

export class PackFolder {
  readonly folder: string;
  readonly #files: FileSystem;
  /** The least recently used first. */
  readonly #open = new Map<number, OpenPack>();

  constructor(root: string, files: FileSystem) {
    this.folder = join(root, "packs");
    this.#files = files;
  }

  path(number: number): string {
    return join(this.folder, packName(number));
  }

  async prepare(): Promise<void> {
    await this.#files.mkdir(this.folder, { recursive: true, mode: 0o700 });
    await syncFolderAsync(this.folder, this.#files);
  }

  /** Numbers of the packs in ascending order. Other files, such as what a copying program left, are passed over. */
  async numbers(): Promise<number[]> {
    const names = await this.#files.readdir(this.folder);
    return names
      .map(packNumber)
      .filter((number) => number !== undefined)
      .sort((a, b) => a - b);
  }

  async size(number: number): Promise<number> {
    return (await this.#files.stat(this.path(number))).size;
  }

  /** Creates a pack with its header; file and name are durable. */
  async create(number: number, header: Uint8Array): Promise<FileHandle> {
    const handle = await this.#files.open(this.path(number), "wx", 0o600);
    try {
      await writeAll(handle, [header], 0);
      await handle.sync();
      await syncFolderAsync(this.folder, this.#files);
      return handle;
    } catch (error) {
      await handle.close();
      await this.#files.unlink(this.path(number)).catch(() => undefined);
      throw error;
    }
  }

  openForWriting(number: number): Promise<FileHandle> {
    return this.#files.open(this.path(number), "r+");
  }

  /** Removes a pack; readers that have it open finish. */
  async remove(number: number): Promise<void> {
    this.#drop(number);
    await this.#files.unlink(this.path(number));
    await syncFolderAsync(this.folder, this.#files);
  }

  /** Reads up to `lengthBytes` bytes; fewer where the pack ends. @returns undefined when there is no such pack */
  async read(
    number: number,
    offset: number,
    lengthBytes: number,
    allocate: Allocate = newBytes,
  ): Promise<Uint8Array | undefined> {
    try {
      return await this.#using(number, (handle) => readFully(handle, allocate(lengthBytes), offset));
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** A reader that uses one buffer again and again. */
  reader(number: number): ReadAt {
    let buffer = new Uint8Array(0);
    return (offset, lengthBytes) => {
      if (buffer.length < lengthBytes) buffer = newBytes(lengthBytes);
      const target = buffer.subarray(0, lengthBytes);
      return this.#using(number, (handle) => readFully(handle, target, offset));
    };
  }

  async #using<T>(number: number, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    const pack = this.#take(number);
    try {
      return await work(await pack.handle);
    } catch (error) {
      // A failed open must not be found by the next reader.
      if (systemErrorCode(error) !== undefined) this.#drop(number);
      throw error;
    } finally {
      pack.users -= 1;
      closeUnused(pack);
    }
  }

  #take(number: number): OpenPack {
    const known = this.#open.get(number);
    const pack = known ?? { handle: this.#files.open(this.path(number), "r"), users: 0, dropped: false };
    pack.users += 1;
    this.#open.delete(number);
    this.#open.set(number, pack);
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= OPEN_PACKS) break;
      this.#drop(oldest);
    }
    return pack;
  }

  #drop(number: number): void {
    const pack = this.#open.get(number);
    if (pack === undefined) return;
    this.#open.delete(number);
    pack.dropped = true;
    closeUnused(pack);
  }

  close(): void {
    for (const number of [...this.#open.keys()]) this.#drop(number);
  }
}

function closeUnused(pack: OpenPack): void {
  if (!pack.dropped || pack.users > 0) return;
  // A file that could not be opened needs no closing, and a failing close loses nothing of a file that was read.
  pack.handle.then((handle) => handle.close()).catch(() => undefined);
}

/** Memory of its own, which is not cleared because all of it is written. */
function newBytes(lengthBytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(lengthBytes).buffer);
}

async function readFully(handle: FileHandle, target: Uint8Array, offset: number): Promise<Uint8Array> {
  let filled = 0;
  while (filled < target.length) {
    const { bytesRead } = await handle.read(target, filled, target.length - filled, offset + filled);
    if (bytesRead === 0) return target.subarray(0, filled);
    filled += bytesRead;
  }
  return target;
}

/** The kernel takes so many pieces in one call. */
const PIECES_AT_ONCE = 1000;

/** Writes pieces one after the other. A write may take fewer bytes than it was given; the next one reports why. */
export async function writeAll(handle: FileHandle, pieces: readonly Uint8Array[], offset: number): Promise<void> {
  let at = offset;
  for (let first = 0; first < pieces.length; first += PIECES_AT_ONCE) {
    let left = pieces.slice(first, first + PIECES_AT_ONCE);
    while (left.length > 0) {
      const { bytesWritten } = await handle.writev(left, at);
      at += bytesWritten;
      left = after(left, bytesWritten);
    }
  }
}

/** What is left of pieces after some bytes of them. */
function after(pieces: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let passed = 0;
  for (const [k, piece] of pieces.entries()) {
    if (passed + piece.length > bytes) return [piece.subarray(bytes - passed), ...pieces.slice(k + 1)];
    passed += piece.length;
  }
  return [];
}
