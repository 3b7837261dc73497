/** Joins a walk with what the file cache knows of its root, and decides what may be remembered. */
import type { Attributes } from "./extended-attributes.ts";
import type { FileCacheList } from "./file-cache-list.ts";
import { type PageRecord, pageKey, stampOf } from "./file-cache-page.ts";
import type { FileIdentity, WalkedEntry } from "./walk.ts";

const NANOS_PER_MILLISECOND = 1_000_000n;
const NANOS_PER_SECOND = 1_000_000_000n;
/** Steps of a file system's clock: two ticks of the slowest timer of Linux. */
const FINE_STEP_NANOS = 20n * NANOS_PER_MILLISECOND;
/** Of one that keeps seconds: FAT counts in twos. */
const COARSE_STEP_NANOS = 2n * NANOS_PER_SECOND;

/** What a source does about one entry. */
export interface EntryHandle {
  readonly value: Uint8Array | undefined;
  readonly remember: (value?: Uint8Array) => void;
  /** The entry is not what was walked. */
  forget(): void;
}

export class RememberedEntries {
  readonly #list: FileCacheList;
  readonly #prefixLength: number;
  #walkedAtNanos = 0n;

  /** @param nameLength of the root, with which the paths of its entries start */
  constructor(list: FileCacheList, nameLength: number) {
    this.#list = list;
    this.#prefixLength = nameLength + 1;
  }

  /** To be called before entries are looked at: their times are held against the time of this call. */
  startBatch(): void {
    this.#walkedAtNanos = BigInt(Date.now()) * NANOS_PER_MILLISECOND;
  }

  find(entry: WalkedEntry): PageRecord | undefined {
    return this.#list.find(this.#keyOf(entry), stampOf(entry));
  }

  handle(entry: WalkedEntry, found: PageRecord | undefined, attributes: Attributes | undefined): EntryHandle {
    const walkedAtNanos = this.#walkedAtNanos;
    let isForgotten = false;
    const remember = (value?: Uint8Array) => {
      if (isForgotten) return;
      const isKept = found !== undefined && isSame(found.value, value) && found.attributes !== undefined;
      if (isKept) {
        this.#list.write(found, found);
      } else if (found !== undefined || !mayChangeUnseen(entry.identity, walkedAtNanos)) {
        this.#list.write({ key: this.#keyOf(entry), stamp: stampOf(entry), attributes, value });
      }
    };
    const forget = () => {
      isForgotten = true;
    };
    return { value: found?.value, remember, forget };
  }

  #keyOf({ path }: WalkedEntry): Uint8Array {
    return pageKey(path.slice(this.#prefixLength));
  }
}

/**
 * Whether an entry may change after it was looked at and have the same times: its file system's clock may not have
 * moved since the last change ("racily clean" in the words of git).
 */
export function mayChangeUnseen({ ctimeNanos, mtimeNanos }: FileIdentity, walkedAtNanos: bigint): boolean {
  const isCoarse = ctimeNanos % NANOS_PER_SECOND === 0n;
  const step = isCoarse ? COARSE_STEP_NANOS : FINE_STEP_NANOS;
  // A modification time is also set by programs, to any time.
  const isJustModified = mtimeNanos >= walkedAtNanos - step && mtimeNanos <= walkedAtNanos + step;
  return ctimeNanos >= walkedAtNanos - step || isJustModified;
}

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return Buffer.compare(one, other) === 0;
}
