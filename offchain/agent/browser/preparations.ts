/**
 * Prepared data sets in the storage of a page: a row per salt, and its tags in pieces of equal length. The manifest
 * enters the row last, and only a preparation that has one counts.
 */

import type { PreparationStore, PreparationWriter, StoredPreparation } from "../platform.ts";
import type { PageStore } from "./page-store.ts";

/** Tags of 165 MiB of data: few transactions, and little memory. */
const PIECE_BYTES = 64 * 1024;

export class PagePreparations implements PreparationStore {
  readonly #store: PageStore;

  constructor(store: PageStore) {
    this.#store = store;
  }

  async create(salt: string): Promise<PreparationWriter> {
    await this.#store.write(["preparations", "tags"], async (transaction) => {
      await transaction.objectStore("tags").delete(piecesOf(salt));
      await transaction.objectStore("preparations").put({ salt, writtenAt: Date.now() });
    });
    return new PagePreparationWriter(this.#store, salt);
  }

  async find(salt: string): Promise<StoredPreparation | undefined> {
    const row = await this.#store.read(["preparations"], (transaction) =>
      transaction.objectStore("preparations").get(salt),
    );
    if (row?.manifest === undefined) return undefined;
    const { manifest } = row;
    return { salt, manifest, readTags: (offset, length) => readPart(this.#store, salt, offset, length) };
  }

  async remove(salt: string): Promise<void> {
    await removePreparation(this.#store, salt);
  }

  async removeAbandoned(needed: ReadonlySet<string>, before: number): Promise<void> {
    const old = await this.#store.read(["preparations"], (transaction) =>
      transaction.objectStore("preparations").index("byTime").getAllKeys(IDBKeyRange.upperBound(before, true)),
    );
    for (const salt of old) if (!needed.has(salt)) await this.remove(salt);
  }
}

class PagePreparationWriter implements PreparationWriter {
  readonly #store: PageStore;
  readonly #salt: string;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  #pieceCount = 0;
  #filled = 0;

  constructor(store: PageStore, salt: string) {
    this.#store = store;
    this.#salt = salt;
  }

  async append(tags: Uint8Array): Promise<void> {
    for (let taken = 0; taken < tags.length; ) {
      const part = tags.subarray(taken, taken + PIECE_BYTES - this.#filled);
      this.#piece.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === PIECE_BYTES) await this.#flush();
    }
  }

  async finish(manifest: Uint8Array): Promise<void> {
    await this.#flush(manifest);
  }

  async discard(): Promise<void> {
    await removePreparation(this.#store, this.#salt);
  }

  /** Writes the piece in memory and the row. @param manifest given with the last piece */
  async #flush(manifest?: Uint8Array): Promise<void> {
    const salt = this.#salt;
    // Slices, because IndexedDB stores the whole buffer behind a view.
    const piece = this.#piece.slice(0, this.#filled);
    const row = { salt, writtenAt: Date.now() };
    await this.#store.write(["preparations", "tags"], async (transaction) => {
      await transaction.objectStore("tags").put(piece, [salt, this.#pieceCount]);
      const finished = manifest === undefined ? row : { ...row, manifest: manifest.slice() };
      await transaction.objectStore("preparations").put(finished);
    });
    this.#pieceCount += 1;
    this.#filled = 0;
  }
}

function piecesOf(salt: string): IDBKeyRange {
  return IDBKeyRange.bound([salt, 0], [salt, Number.POSITIVE_INFINITY]);
}

async function removePreparation(store: PageStore, salt: string): Promise<void> {
  await store.write(["preparations", "tags"], async (transaction) => {
    await transaction.objectStore("preparations").delete(salt);
    await transaction.objectStore("tags").delete(piecesOf(salt));
  });
}

async function readPart(store: PageStore, salt: string, offset: number, length: number): Promise<Uint8Array> {
  if (length === 0) return new Uint8Array(0);
  const first = Math.floor(offset / PIECE_BYTES);
  const last = Math.floor((offset + length - 1) / PIECE_BYTES);
  const pieces = await store.read(["tags"], (transaction) =>
    transaction.objectStore("tags").getAll(IDBKeyRange.bound([salt, first], [salt, last])),
  );
  const joined = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let filled = 0;
  for (const piece of pieces) {
    joined.set(piece, filled);
    filled += piece.length;
  }
  const start = offset - first * PIECE_BYTES;
  return joined.slice(start, start + length);
}
