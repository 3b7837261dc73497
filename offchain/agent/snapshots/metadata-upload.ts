/**
 * Stores the metadata of a put while the put runs: items in, sealed objects to every provider that the put goes to. One
 * group of objects is on its way at a time; the next is made meanwhile.
 */

import type { SealedObject } from "../../core/recipe/tree.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import { MetadataWriter } from "../../core/snapshot/metadata-stream.ts";
import type { SnapshotKeys } from "../../core/snapshot/snapshot-keys.ts";
import type { ObjectStorage } from "../providers/storage-provider.ts";
import type { StoreTotals } from "../put/store-objects.ts";

export class MetadataUpload {
  readonly #writer: MetadataWriter;
  readonly #providers: readonly Pick<ObjectStorage, "store">[];
  readonly #totals: StoreTotals;
  readonly #signal: AbortSignal | undefined;
  #storing: Promise<void> = Promise.resolve();

  /** @param totals counts the objects as they are stored, each provider on its own */
  constructor(
    keys: SnapshotKeys,
    providers: readonly Pick<ObjectStorage, "store">[],
    totals: StoreTotals,
    signal?: AbortSignal,
  ) {
    this.#writer = new MetadataWriter(keys);
    this.#providers = providers;
    this.#totals = totals;
    this.#signal = signal;
  }

  /** Takes the metadata of the next entry. @throws InvalidInputError; what a provider throws */
  async push(metadata: EntryMetadata): Promise<void> {
    const objects = await this.#writer.push(metadata);
    if (objects.length > 0) await this.#begin(objects);
  }

  /** Ends the stream. @returns content id of the metadata root; everything is durable then */
  async finish(): Promise<string> {
    await this.#begin(await this.#writer.finish());
    await this.#storing;
    return this.#writer.rootId;
  }

  async #begin(objects: readonly SealedObject[]): Promise<void> {
    await this.#storing;
    this.#storing = this.#store(objects);
    // A failure is met by the next call; until then it must not count as unhandled.
    this.#storing.catch(() => undefined);
  }

  async #store(objects: readonly SealedObject[]): Promise<void> {
    await Promise.all(
      this.#providers.map(async (provider) => {
        const { uploaded } = await provider.store(objects, this.#signal);
        for (const { id, sealed } of objects) {
          this.#totals.objects += 1;
          this.#totals.bytes += sealed.length;
          this.#totals.uploadedObjects += uploaded.has(id) ? 1 : 0;
          this.#totals.uploadedBytes += uploaded.has(id) ? sealed.length : 0;
        }
      }),
    );
  }
}
