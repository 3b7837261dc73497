/** The ports of the agent in memory, so that tests of the SDK need neither a disk nor a database. */

import type { Catalogue, CataloguedAgreement, CataloguedPut } from "../../offchain/agent/catalogue.ts";
import { systemClock } from "../../offchain/agent/clock.ts";
import type {
  AgentPlatform,
  ExclusiveOptions,
  HomeLock,
  PreparationStore,
  PreparationWriter,
  StoredPreparation,
} from "../../offchain/agent/platform.ts";
import type { HeadName } from "../../offchain/core/snapshot/list-objects.ts";

export class MemoryCatalogue implements Catalogue {
  #account: string | undefined;
  readonly #puts = new Map<string, CataloguedPut>();
  readonly #agreements = new Map<string, CataloguedAgreement>();
  readonly #listHeads = new Map<string, HeadName>();

  async claimFor(account: string): Promise<string> {
    this.#account ??= account;
    return this.#account;
  }

  async savePut(put: CataloguedPut): Promise<void> {
    this.#puts.set(put.dataId, { ...put, storedAt: this.#puts.get(put.dataId)?.storedAt ?? put.storedAt });
  }

  async puts(): Promise<CataloguedPut[]> {
    return [...this.#puts.values()].sort((a, b) => b.storedAt - a.storedAt || (a.dataId < b.dataId ? -1 : 1));
  }

  async put(dataId: string): Promise<CataloguedPut | undefined> {
    return this.#puts.get(dataId);
  }

  async removePut(dataId: string): Promise<void> {
    this.#puts.delete(dataId);
  }

  async saveAgreement(agreement: CataloguedAgreement): Promise<void> {
    const { escrow, agreementId, salt } = agreement;
    const holder = agreementId === undefined ? undefined : await this.agreement(escrow, agreementId);
    if (holder !== undefined && holder.salt !== salt) {
      const { agreementId: _lost, ...rest } = holder;
      this.#agreements.set(holder.salt, rest);
    }
    this.#agreements.set(salt, agreement);
  }

  async agreements(dataId?: string): Promise<CataloguedAgreement[]> {
    const all = [...this.#agreements.values()].filter((one) => dataId === undefined || one.dataId === dataId);
    return all.sort((a, b) => a.createdAt - b.createdAt || (a.salt < b.salt ? -1 : 1));
  }

  async agreement(escrow: string, agreementId: bigint): Promise<CataloguedAgreement | undefined> {
    const sought = escrow.toLowerCase();
    return [...this.#agreements.values()].find(
      (one) => one.escrow.toLowerCase() === sought && one.agreementId === agreementId,
    );
  }

  async removeAgreement(salt: string): Promise<void> {
    if (this.#agreements.get(salt)?.agreementId === undefined) this.#agreements.delete(salt);
  }

  async listHead(list: string): Promise<HeadName | undefined> {
    return this.#listHeads.get(list);
  }

  async sawListHead(list: string, { version, id }: HeadName): Promise<void> {
    if (version > (this.#listHeads.get(list)?.version ?? 0)) this.#listHeads.set(list, { version, id });
  }

  async forgetListHead(list: string): Promise<void> {
    this.#listHeads.delete(list);
  }

  async close(): Promise<void> {}
}

export class MemoryPreparations implements PreparationStore {
  readonly #finished = new Map<string, { manifest: Uint8Array; tags: Uint8Array; writtenAt: number }>();

  async create(salt: string): Promise<PreparationWriter> {
    const pieces: Uint8Array[] = [];
    return {
      append: async (tags) => {
        pieces.push(tags.slice());
      },
      finish: async (manifest) => {
        this.#finished.set(salt, { manifest, tags: Uint8Array.from(Buffer.concat(pieces)), writtenAt: Date.now() });
      },
      discard: async () => {
        pieces.length = 0;
      },
    };
  }

  async find(salt: string): Promise<StoredPreparation | undefined> {
    const found = this.#finished.get(salt);
    if (found === undefined) return undefined;
    const { manifest, tags } = found;
    return { salt, manifest, readTags: async (offset, length) => tags.slice(offset, offset + length) };
  }

  async remove(salt: string): Promise<void> {
    this.#finished.delete(salt);
  }

  async removeAbandoned(needed: ReadonlySet<string>, before: number): Promise<void> {
    for (const [salt, { writtenAt }] of this.#finished) {
      if (writtenAt < before && !needed.has(salt)) this.#finished.delete(salt);
    }
  }
}

/** Runs work in the order of the calls. */
export class MemoryLock implements HomeLock {
  #last: Promise<unknown> = Promise.resolve();
  #holders = 0;

  async exclusive<Result>(work: () => Promise<Result>, options: ExclusiveOptions = {}): Promise<Result> {
    if (this.#holders > 0) options.onWait?.();
    this.#holders += 1;
    const turn = this.#last.then(async () => {
      options.signal?.throwIfAborted();
      return await work();
    });
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#holders -= 1;
    }
  }
}

export function memoryPlatform(changed: Partial<AgentPlatform> = {}): AgentPlatform {
  return {
    catalogue: new MemoryCatalogue(),
    preparations: new MemoryPreparations(),
    lock: new MemoryLock(),
    http: {
      transport: async () => {
        throw new TypeError("nobody is there");
      },
    },
    clock: systemClock,
    close: async () => undefined,
    ...changed,
  };
}
