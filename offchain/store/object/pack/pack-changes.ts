/**
 * What a run of records changes in the index, in the order of the records: the one place that knows what a record
 * means, for writing and for replay.
 */
import type { ObjectHead, RecordHead } from "./pack-codec.ts";
import { HEAD_BYTES, headBytes } from "./pack-codec.ts";
import type { IndexChanges, Location, PackIndex } from "./pack-index.ts";

/** Bytes that the record of an object takes in its pack. */
export function recordBytes(id: string, lengthBytes: number): number {
  return HEAD_BYTES + id.length + lengthBytes;
}

export class PackChanges {
  readonly #index: Pick<PackIndex, "find">;
  readonly #pack: number;
  readonly #exists: (pack: number) => boolean;
  readonly #objects = new Map<string, Location | undefined>();
  readonly #liveBytes = new Map<number, number>();
  #removalBytes = 0;

  /**
   * @param pack the pack that the records are in
   * @param exists whether a pack is still there
   */
  constructor(index: Pick<PackIndex, "find">, pack: number, exists: (pack: number) => boolean) {
    this.#index = index;
    this.#pack = pack;
    this.#exists = exists;
  }

  /** Where an object is after the records so far. */
  current(id: string): Location | undefined {
    return this.#objects.has(id) ? this.#objects.get(id) : this.#index.find(id);
  }

  /** The first pack that is still there and may hold a record of the object. */
  firstPackOf({ firstPack, pack }: Location): number {
    return this.#exists(firstPack) ? firstPack : pack;
  }

  /** @param offset where the record starts */
  addObject(head: ObjectHead, offset: number): void {
    const before = this.current(head.id);
    if (before !== undefined) this.#addLive(before.pack, -recordBytes(head.id, before.lengthBytes));
    this.#addLive(this.#pack, recordBytes(head.id, head.lengthBytes));
    this.#objects.set(head.id, {
      pack: this.#pack,
      offset: offset + headBytes(head),
      lengthBytes: head.lengthBytes,
      firstPack: before === undefined ? this.#pack : this.firstPackOf(before),
    });
  }

  addRemoval(head: RecordHead & { readonly kind: "removal" }): void {
    this.#removalBytes += headBytes(head);
    const before = this.current(head.id);
    if (before === undefined) return;
    this.#addLive(before.pack, -recordBytes(head.id, before.lengthBytes));
    this.#objects.set(head.id, undefined);
  }

  /** Notes that an earlier record of a stored object is in a pack from `firstPack` on. */
  widen(id: string, at: Location, firstPack: number): void {
    if (firstPack < at.firstPack) this.#objects.set(id, { ...at, firstPack });
  }

  #addLive(pack: number, bytes: number): void {
    this.#liveBytes.set(pack, (this.#liveBytes.get(pack) ?? 0) + bytes);
  }

  /** @param bytes length of the pack with these records */
  toIndex(bytes: number): IndexChanges {
    const pack = { number: this.#pack, bytes, addedRemovalBytes: this.#removalBytes };
    return { objects: this.#objects, liveBytes: this.#liveBytes, pack };
  }
}
