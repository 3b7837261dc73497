/**
 * What one account may cost the provider: stored bytes and objects, the head of its snapshot list, data sets that are
 * not opened, requests. Accounts cost nothing, so a floor of free disk space protects what was acknowledged, however
 * many accounts there are. All of it is decided before the bytes of a request are taken; a head is small, and is taken
 * first.
 *
 * An account may store what its data sets cover in addition to the free part, and more for a deposit. The deposit is
 * the account's money on chain, as in `daemon/admission.ts`: it is not locked.
 */
import { statfs } from "node:fs/promises";
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { digestOf } from "../core/encoding/content-id.ts";
import { TallystickError } from "../core/errors.ts";
import { MAX_BODY_CHUNKS, MAX_CHUNK_BODY_BYTES } from "../core/wire/csp.ts";
import { Uint256Text } from "../core/wire/schema.ts";
import { Rates } from "../daemon/quota.ts";
import { asDiskError } from "../store/disk/disk-errors.ts";
import type { ProviderIndex } from "../store/index/provider-index.ts";
import { STUB_ROW_BYTES } from "../store/index/stub-file-index.ts";

const GIB = 2 ** 30;
const closed = { additionalProperties: false };
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** The field `quotas` of a provider's configuration. */
export const QuotasSchema = Type.Object(
  {
    /** Bytes that an account may own without data set or deposit. */
    storedBytes: Type.Optional(Count),
    /** Objects that an account may own without data set or deposit. */
    objects: Type.Optional(Count),
    /** Most states of a data set that are signed in an epoch. */
    statesPerEpoch: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
    /** Most states of a data set that are sent, at the provider's cost, in an epoch; the last one waits for its end. */
    transactionsPerEpoch: Type.Optional(Type.Integer({ minimum: 2, maximum: 100_000 })),
    /** Data sets of an account that are not on chain, and segments that no state includes. */
    unused: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
    requestsPerMinute: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000_000 })),
    /** Nothing is taken while less than this is free on a disk of the provider. */
    freeDiskBytes: Type.Optional(Count),
    /** Each time an account has this much on chain, it may own another GiB; 0 for nothing. */
    weiPerGib: Type.Optional(Uint256Text),
  },
  closed,
);

export type Quotas = Required<Static<typeof QuotasSchema>>;

export const QUOTA_DEFAULTS: Quotas = {
  storedBytes: 64 * GIB,
  objects: 1_000_000,
  statesPerEpoch: 48,
  transactionsPerEpoch: 6,
  unused: 32,
  requestsPerMinute: 30_000,
  freeDiskBytes: GIB,
  weiPerGib: "0",
};

/** Objects that come with each GiB of a deposit: 64 KiB each. */
const OBJECTS_PER_GIB = 16_384;
/** How long the free space, and an account's funds, are used again. */
const DISK_MILLISECONDS = 1000;
const FUNDS_MILLISECONDS = 60_000;
const MOST_CACHED = 10_000;

interface Amount {
  readonly bytes: number;
  readonly chunks: number;
}

export interface AccountQuotasOptions {
  readonly quotas: Quotas;
  readonly index: Pick<ProviderIndex, "chunks" | "dataSets" | "heads" | "stubFiles" | "deviceSnapshots">;
  /** Folders whose disks must keep the floor. */
  readonly folders: readonly string[];
  /** What an account has on chain, in wei. */
  readonly fundsOf: (account: string) => Promise<bigint>;
  /** Free bytes of a folder's disk. */
  readonly freeBytes?: (folder: string) => Promise<number>;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

export class AccountQuotas {
  readonly #options: AccountQuotasOptions;
  readonly #now: () => number;
  readonly #requests: Rates;
  /** Bodies that are being received, by account. */
  readonly #uploads = new Map<string, number>();
  readonly #funds = new Map<string, { wei: bigint; until: number }>();
  #free = { bytes: 0, until: Number.NEGATIVE_INFINITY };

  constructor(options: AccountQuotasOptions) {
    const { quotas, now = () => performance.now() } = options;
    this.#options = options;
    this.#now = now;
    const limit = { scope: "requests", capacity: quotas.requestsPerMinute, periodSeconds: 60 };
    this.#requests = new Rates(limit, now);
  }

  /** Counts a request. @throws TallystickError RATE_LIMITED */
  countRequest(account: string): void {
    this.#requests.take(account.toLowerCase());
  }

  /**
   * Runs an upload if the account has room for it. An account below its limit may send one more body, so it exceeds the
   * limit by one body at most.
   * @throws TallystickError RATE_LIMITED, STORAGE_UNAVAILABLE
   */
  async upload<T>(account: string, work: () => Promise<T>): Promise<T> {
    const key = account.toLowerCase();
    const others = this.#uploads.get(key) ?? 0;
    this.#uploads.set(key, others + 1);
    try {
      await this.requireDisk();
      await this.#requireRoom(account, {
        bytes: others * MAX_CHUNK_BODY_BYTES + 1,
        chunks: others * MAX_BODY_CHUNKS + 1,
      });
      return await work();
    } finally {
      const left = (this.#uploads.get(key) ?? 1) - 1;
      if (left === 0) this.#uploads.delete(key);
      else this.#uploads.set(key, left);
    }
  }

  /**
   * Refuses a claim that would take the account above its limit. What it owns already does not count again.
   * @throws TallystickError RATE_LIMITED
   */
  async requireClaim(account: string, chunks: readonly { id: string; sizeBytes: number }[]): Promise<void> {
    const owns = await this.#options.index.chunks.owns(
      account,
      chunks.map(({ id }) => digestOf(id)),
    );
    const added = chunks.filter((_, k) => !owns[k]);
    if (added.length === 0) return;
    const bytes = added.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    await this.#requireRoom(account, { bytes, chunks: added.length });
  }

  /**
   * Refuses a head of a snapshot list that would take the account above its limit. One that is not larger than the head
   * in its place is always taken: an account above its limit must be able to remove snapshots.
   * @throws TallystickError RATE_LIMITED, STORAGE_UNAVAILABLE
   */
  async requireHead(account: string, sizeBytes: number): Promise<void> {
    const growthBytes = sizeBytes - (await this.#options.index.heads.bytesOf(account));
    if (growthBytes <= 0) return;
    await this.requireDisk();
    await this.#requireRoom(account, { bytes: growthBytes, chunks: 0 });
  }

  /**
   * As `requireHead`, of a stub file: one that is not larger than the one in its place is always taken, so that an
   * account above its limit can revoke.
   * @param isNew it counts as an object as well, of the room that is asked for
   */
  async requireStubFile(account: string, growthBytes: number, isNew: boolean): Promise<void> {
    if (growthBytes <= 0) return;
    await this.requireDisk();
    await this.#requireRoom(account, { bytes: growthBytes + STUB_ROW_BYTES, chunks: isNew ? 1 : 0 });
  }

  /** As `requireHead`, of a snapshot that a device leaves. */
  async requireEntry(account: string, sizeBytes: number): Promise<void> {
    await this.requireDisk();
    await this.#requireRoom(account, { bytes: sizeBytes, chunks: 0 });
  }

  /** @throws TallystickError STORAGE_UNAVAILABLE while a disk has less free space than the floor */
  async requireDisk(): Promise<void> {
    const { folders, freeBytes = freeBytesOf, quotas } = this.#options;
    if (this.#free.until <= this.#now()) {
      const free = await Promise.all(folders.map(freeBytes));
      this.#free = { bytes: Math.min(...free), until: this.#now() + DISK_MILLISECONDS };
    }
    if (this.#free.bytes >= quotas.freeDiskBytes) return;
    throw new TallystickError("the provider has no room for more data", {
      code: "STORAGE_UNAVAILABLE",
      party: "provider",
      check: "free disk space",
      hint: "use another provider, or try again later",
      retryable: true,
      retryAfterSeconds: 600,
    });
  }

  async #requireRoom(account: string, added: Amount): Promise<void> {
    const { index, quotas } = this.#options;
    const owned = await index.chunks.usageOf(account);
    const { heads, stubFiles, deviceSnapshots } = index;
    const listBytes =
      (await heads.bytesOf(account)) + (await stubFiles.bytesOf(account)) + (await deviceSnapshots.bytesOf(account));
    const used = { chunks: owned.chunks, bytes: owned.bytes + listBytes };
    const covered = await index.dataSets.coveredOf(account);
    const free = { bytes: quotas.storedBytes + covered.bytes, chunks: quotas.objects + covered.chunks };
    if (fits(used, added, free)) return;
    const gib = await this.#gibOfDeposit(account);
    const limit = { bytes: free.bytes + gib * GIB, chunks: free.chunks + gib * OBJECTS_PER_GIB };
    if (fits(used, added, limit)) return;
    throw new TallystickError("the account has used up what it may store at this provider", {
      code: "RATE_LIMITED",
      party: "client",
      check: "stored data of the account",
      // Waiting changes nothing.
      retryable: false,
      expected: `at most ${limit.bytes} bytes in ${limit.chunks} objects`,
      received: `${used.bytes + added.bytes} bytes in ${used.chunks + added.chunks} objects`,
      hint:
        quotas.weiPerGib === "0"
          ? "have a data set cover what is stored, or use another provider"
          : `have a data set cover what is stored, have ${quotas.weiPerGib} wei on chain for each further GiB, ` +
            "or use another provider",
    });
  }

  async #gibOfDeposit(account: string): Promise<number> {
    const weiPerGib = BigInt(this.#options.quotas.weiPerGib);
    if (weiPerGib === 0n) return 0;
    const key = account.toLowerCase();
    let known = this.#funds.get(key);
    if (known === undefined || known.until <= this.#now()) {
      known = { wei: await this.#options.fundsOf(account), until: this.#now() + FUNDS_MILLISECONDS };
      this.#funds.delete(key);
      this.#funds.set(key, known);
      for (const oldest of this.#funds.keys()) {
        if (this.#funds.size <= MOST_CACHED) break;
        this.#funds.delete(oldest);
      }
    }
    const gib = known.wei / weiPerGib;
    return gib > 1_000_000n ? 1_000_000 : Number(gib);
  }
}

function fits(used: Amount, added: Amount, limit: Amount): boolean {
  return used.bytes + added.bytes <= limit.bytes && used.chunks + added.chunks <= limit.chunks;
}

async function freeBytesOf(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (cause) {
    throw asDiskError(cause, "reading the free disk space");
  }
}
