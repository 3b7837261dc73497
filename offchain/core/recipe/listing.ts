/**
 * Listings: the entries of a put as a CBOR sequence (RFC 8742), written and read as a stream. Memory is bounded by one
 * entry and the names of the folders around it, whatever the number of entries.
 *
 * Both directions enforce three rules. Paths ascend strictly in listing order (path-name.ts), so none occurs
 * twice. The folder that holds an entry is itself an entry before it: a reader that creates entries in order never
 * writes through something that is not a folder it made, such as a symbolic link that leads out of the destination. The
 * files of a bundle come in the order of the bundle, from its first to its last, and none of another bundle between.
 */
import { measureItem } from "../encoding/cbor.ts";
import { IntegrityError, InvalidInputError } from "../errors.ts";
import { MAX_BUNDLE_SPAN } from "./bundle.ts";
import { comparePaths, isBelow, parentLength, pathFromBytes, pathToBytes, showPath } from "./path-name.ts";
import { decodeEntry, ENTRY_DEPTH, encodeEntry, type FileEntry, MAX_ENTRY_BYTES, type SegmentRef } from "./recipe.ts";

/** What a listing adds up to; the root recipe states it. */
export interface ListingTotals {
  readonly entryCount: number;
  /** Plaintext bytes of all files. */
  readonly totalBytes: number;
}

/** Checks that the files of a bundle follow each other without a gap. */
class BundleOrder {
  /** The file before, while the bundle has more. */
  #previous: SegmentRef | undefined;
  /** Entries since the first file of the bundle, that included. */
  #span = 0;

  accept(entry: FileEntry): void {
    if (this.#previous !== undefined) this.#span += 1;
    if (entry.type !== "file" || !("segment" in entry.content)) return;
    const { segment } = entry.content;
    const previous = this.#previous;
    const follows =
      previous === undefined
        ? segment.position === 0 && segment.offset === 0
        : segment.id === previous.id &&
          segment.bundleBytes === previous.bundleBytes &&
          segment.position === previous.position + 1 &&
          segment.offset === previous.offset + previous.sealedBytes &&
          this.#span <= MAX_BUNDLE_SPAN;
    if (!follows) {
      throw new InvalidInputError("listing has a bundled file that does not follow the one before it", {
        check: "order within a bundle",
        expected:
          previous === undefined ? "the first file of a bundle" : `file ${previous.position + 1} of ${previous.id}`,
        received: `file ${segment.position} of ${segment.id}, ${showPath(entry.path)}`,
      });
    }
    if (previous === undefined) this.#span = 1;
    this.#previous = segment.offset + segment.sealedBytes === segment.bundleBytes ? undefined : segment;
  }

  /** Whether a bundle lacks its last files. */
  get isIncomplete(): boolean {
    return this.#previous !== undefined;
  }
}

/** Checks that entries come in order and inside folders that came before. */
class ListingOrder {
  readonly bundles = new BundleOrder();
  #previous: Uint8Array | undefined;
  /** Paths of the folders around the current position, outermost first. */
  readonly #folders: Uint8Array[] = [];
  entryCount = 0;
  totalBytes = 0;

  accept(entry: FileEntry): void {
    const path = pathToBytes(entry.path);
    if (this.#previous !== undefined && comparePaths(this.#previous, path) >= 0) {
      const repeated = comparePaths(this.#previous, path) === 0;
      throw new InvalidInputError(repeated ? "listing names a path twice" : "listing is not in path order", {
        check: "path order",
        expected: `a path after ${showPath(pathFromBytes(this.#previous))}`,
        received: showPath(entry.path),
      });
    }
    for (let last = this.#folders.at(-1); last !== undefined && !isBelow(path, last); last = this.#folders.at(-1)) {
      this.#folders.pop();
    }
    if (parentLength(path) !== (this.#folders.at(-1)?.length ?? -1)) {
      throw new InvalidInputError("listing has an entry outside the folders before it", {
        check: "parent folder",
        expected: "its folder as an entry of its own, before it",
        received: showPath(entry.path),
      });
    }
    this.bundles.accept(entry);
    if (entry.type === "directory") this.#folders.push(path);
    this.#previous = path;
    this.entryCount += 1;
    this.totalBytes += entry.type === "file" ? entry.sizeBytes : 0;
    if (!Number.isSafeInteger(this.totalBytes)) {
      throw new InvalidInputError("listing is larger than can be counted", { check: "total size" });
    }
  }
}

/** Writes a listing entry by entry. */
export class ListingEncoder {
  readonly #order = new ListingOrder();

  /**
   * Encodes the next entry.
   * @returns its bytes, to be appended to the listing
   * @throws InvalidInputError if it breaks the format, the order, or comes before its folder
   */
  push(entry: FileEntry): Uint8Array {
    const bytes = encodeEntry(entry);
    this.#order.accept(entry);
    return bytes;
  }

  /** What was written so far. */
  get totals(): ListingTotals {
    return { entryCount: this.#order.entryCount, totalBytes: this.#order.totalBytes };
  }
}

/** Reads a listing that arrives in pieces. */
export class ListingDecoder {
  readonly #order = new ListingOrder();
  #rest: Uint8Array = new Uint8Array(0);

  /**
   * Takes the next piece of the listing.
   * @returns the entries it completes
   * @throws InvalidInputError for a malformed or oversize entry, or one out of order
   */
  *push(piece: Uint8Array): Generator<FileEntry, void, undefined> {
    let bytes = piece;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + piece.length);
      bytes.set(this.#rest);
      bytes.set(piece, this.#rest.length);
    }
    let start = 0;
    while (start < bytes.length) {
      // Reads no further than the longest entry: a head that announces more is refused at once.
      const window = bytes.subarray(start, start + MAX_ENTRY_BYTES);
      const length = measureItem(window, 0, ENTRY_DEPTH, "entry");
      if (length === undefined) {
        if (window.length < MAX_ENTRY_BYTES) break;
        throw new InvalidInputError("listing has an entry that is too long", {
          check: "entry size",
          expected: `at most ${MAX_ENTRY_BYTES} bytes`,
        });
      }
      const entry = decodeEntry(window.subarray(0, length));
      this.#order.accept(entry);
      start += length;
      yield entry;
    }
    this.#rest = bytes.slice(start);
  }

  /**
   * Ends the listing.
   * @param expected what the root recipe states
   * @throws IntegrityError if it ends within an entry or does not add up to what is expected
   */
  finish(expected?: ListingTotals): ListingTotals {
    if (this.#rest.length > 0) {
      throw new IntegrityError("listing ends in the middle of an entry", {
        check: "listing length",
        received: `${this.#rest.length} bytes left over`,
      });
    }
    if (this.#order.bundles.isIncomplete) {
      throw new IntegrityError("listing ends in the middle of a bundle", { check: "order within a bundle" });
    }
    const { entryCount, totalBytes } = this.#order;
    if (expected !== undefined && (entryCount !== expected.entryCount || totalBytes !== expected.totalBytes)) {
      throw new IntegrityError("listing is not the one its root recipe describes", {
        check: "listing totals",
        expected: `${expected.entryCount} entries, ${expected.totalBytes} bytes`,
        received: `${entryCount} entries, ${totalBytes} bytes`,
      });
    }
    return { entryCount, totalBytes };
  }
}

/**
 * Reads a listing as a stream of entries.
 * @param source plaintext pieces of any size
 * @param expected what the root recipe states; checked after the last entry
 * @throws InvalidInputError, IntegrityError as `ListingDecoder` does
 */
export async function* decodeListing(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  expected?: ListingTotals,
): AsyncGenerator<FileEntry, void, undefined> {
  const decoder = new ListingDecoder();
  for await (const piece of source) yield* decoder.push(piece);
  decoder.finish(expected);
}
