/**
 * One list of the file cache: the entries of one root, read in listing order beside a walk and written in the same
 * order behind it. A page is written again only when something in it has changed, so an unchanged tree writes nothing.
 * Every record stands for itself: a list whose writing was cut off holds old and new records, all of them valid.
 *
 * Memory: two pages at the reader, one at the writer, and the pages between them.
 */
import { decodePage, encodeRecord, type PageRecord } from "./file-cache-page.ts";

/** Records of one page at most: a page is read and written as a whole. */
export const PAGE_RECORDS = 512;

/** Where pages are kept, by the key of their first record. */
export interface PageStore {
  /** The first page whose key is after the given one; of all pages without one. */
  next(after: Uint8Array | undefined): { readonly first: Uint8Array; readonly page: Uint8Array } | undefined;
  /** Replaces a page, if there was one, by others: durable or not at all. */
  replace(old: Uint8Array | undefined, pages: readonly { first: Uint8Array; page: Uint8Array }[]): void;
  removeFrom(first: Uint8Array): void;
}

/** A page as it was read, and what becomes of it. */
interface Range {
  /** Key under which it is stored; undefined for the range before the first page of an empty list. */
  first: Uint8Array | undefined;
  readonly records: readonly PageRecord[];
  /** First key of the next page. */
  readonly end: Uint8Array | undefined;
  readonly written: { key: Uint8Array; bytes: Uint8Array }[];
  kept: number;
  /** Whether a part of it was written already. */
  isReplaced: boolean;
}

export interface ListOptions {
  /** Finds nothing, and records everything anew. */
  readonly distrusted?: boolean;
  /** Nothing is written, so one page is held. */
  readonly isReadOnly?: boolean;
}

export class FileCacheList {
  readonly #store: PageStore;
  readonly #distrusted: boolean;
  readonly #isReadOnly: boolean;
  /** From the writer's page to the reader's. */
  readonly #ranges: Range[] = [];
  #index = 0;
  #ahead: { readonly first: Uint8Array; readonly page: Uint8Array } | undefined;

  constructor(store: PageStore, { distrusted = false, isReadOnly = false }: ListOptions = {}) {
    this.#store = store;
    this.#distrusted = distrusted;
    this.#isReadOnly = isReadOnly;
    this.#ahead = store.next(undefined);
    this.#load();
  }

  /**
   * The record of an entry that is unchanged. Keys must grow from call to call.
   *
   * @param stamp of the entry now
   */
  find(key: Uint8Array, stamp: Uint8Array): PageRecord | undefined {
    for (let end = this.#last().end; end !== undefined && compare(key, end) >= 0; end = this.#last().end) this.#load();
    const { records } = this.#last();
    let record = records[this.#index];
    while (record !== undefined && compare(record.key, key) < 0) record = records[++this.#index];
    if (record === undefined || this.#distrusted || compare(record.key, key) !== 0) return undefined;
    return compare(record.stamp, stamp) === 0 ? record : undefined;
  }

  /** Keeps a record that `find` returned, or writes another. Keys must grow from call to call. */
  write(record: Omit<PageRecord, "bytes">, found?: PageRecord): void {
    const range = this.#writing(record.key);
    range.written.push({ key: record.key, bytes: found?.bytes ?? encodeRecord(record) });
    if (found !== undefined) range.kept += 1;
    // More than a page holds: it has changed, so the start of it can go.
    if (range.written.length > PAGE_RECORDS) this.#flush(range, PAGE_RECORDS);
  }

  /** After the last entry of the root: what was not written is gone. */
  finish(): void {
    for (let range = this.#ranges.shift(); range !== undefined; range = this.#ranges.shift()) {
      this.#close(range);
      if (this.#ranges.length === 0 && range.end !== undefined) this.#store.removeFrom(range.end);
    }
  }

  /** The range that a key belongs to; those before it are complete. */
  #writing(key: Uint8Array): Range {
    for (;;) {
      const [range] = this.#ranges;
      if (range === undefined) throw new Error("a cache list was written to after its end");
      if (range.end === undefined || compare(key, range.end) < 0) return range;
      this.#close(range);
      this.#ranges.shift();
      if (this.#ranges.length === 0) this.#load();
    }
  }

  #close(range: Range): void {
    const isUnchanged = range.kept === range.records.length && range.written.length === range.kept && !range.isReplaced;
    if (!isUnchanged) this.#flush(range, range.written.length);
  }

  #flush(range: Range, count: number): void {
    const pages: { first: Uint8Array; page: Uint8Array }[] = [];
    for (let start = 0; start < count; start += PAGE_RECORDS) {
      const records = range.written.slice(start, Math.min(start + PAGE_RECORDS, count));
      const [first] = records;
      if (first !== undefined) pages.push({ first: first.key, page: Buffer.concat(records.map(({ bytes }) => bytes)) });
    }
    this.#store.replace(range.first, pages);
    range.written.splice(0, count);
    range.first = undefined;
    range.isReplaced = true;
  }

  #last(): Range {
    const range = this.#ranges.at(-1);
    if (range === undefined) throw new Error("a cache list was read after its end");
    return range;
  }

  /** Makes the page that was read ahead the reader's. */
  #load(): void {
    const current = this.#ahead;
    this.#ahead = current === undefined ? undefined : this.#store.next(current.first);
    this.#index = 0;
    if (this.#isReadOnly) this.#ranges.length = 0;
    this.#ranges.push({
      first: current?.first,
      records: current === undefined ? [] : decodePage(current.page),
      end: this.#ahead?.first,
      written: [],
      kept: 0,
      isReplaced: false,
    });
  }
}

function compare(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}
