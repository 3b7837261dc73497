/**
 * The parties of the data plane in memory: a provider that stores objects, and a key oracle in the committee's place.
 */

import { createHmac } from "node:crypto";
import type { ExpectedHead } from "../../offchain/agent/providers/storage-provider.ts";
import type { ObjectSource } from "../../offchain/agent/read/object-source.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../offchain/core/errors.ts";
import type { SealedObject } from "../../offchain/core/recipe/tree.ts";
import { decodeEntry } from "../../offchain/core/snapshot/device-entry.ts";

/** Stores objects as a provider does, and lies or fails on request. */
export class MemoryProvider implements ObjectSource {
  readonly objects = new Map<string, Uint8Array>();
  fetched: string[] = [];
  failAfter = Number.POSITIVE_INFINITY;

  async store(objects: readonly SealedObject[]) {
    const uploaded = new Set<string>();
    for (const { id, sealed } of objects) {
      if (contentId(sealed) !== id) throw new Error(`object ${id} was sent with other bytes`);
      if (!this.objects.has(id)) uploaded.add(id);
      this.objects.set(id, sealed);
    }
    return { uploaded };
  }

  async fetch(id: string): Promise<Uint8Array> {
    if (this.fetched.length >= this.failAfter)
      throw new TallystickError("gone", { code: "UNREACHABLE", retryable: true });
    this.fetched.push(id);
    const sealed = this.objects.get(id);
    if (sealed === undefined) throw new TallystickError(`no object ${id}`, { code: "NOT_FOUND", party: "provider" });
    if (contentId(sealed) !== id) throw new IntegrityError("other bytes", { party: "provider", check: "SHA-256" });
    return sealed;
  }
}

/** A PRF in place of the committee: 64 bytes per input. */
export class MemoryOracle {
  evaluations = 0;

  async evaluate(inputs: readonly Uint8Array[]): Promise<Uint8Array[]> {
    this.evaluations += inputs.length;
    return inputs.map(
      (input) => new Uint8Array(createHmac("sha512", "secret of the committee").update(input).digest()),
    );
  }
}

/** A provider of objects that keeps a snapshot list's head as well. */
export class MemoryListKeeper extends MemoryProvider {
  readonly account: string;
  readonly name: string;
  /** Versions of the head, the newest last. */
  readonly heads: Uint8Array[] = [];
  readonly released: string[] = [];
  /** Objects that `keep` was asked about. */
  readonly kept: string[] = [];
  /** Releases that were counted. */
  releaseCount = 7;
  /** Replacements that were refused, because another device came first. */
  conflicts = 0;
  /** Called before each replacement is decided. */
  beforeReplace: () => Promise<void> = async () => undefined;

  /** What a device has left. */
  readonly isOfPredecessor = false;
  readonly left = new Map<string, Uint8Array[]>();
  readonly taken = new Map<string, number>();

  constructor(account: string) {
    super();
    this.account = account;
    this.name = `provider ${account.slice(0, 6)}`;
  }

  async head(): Promise<Uint8Array | undefined> {
    return this.heads.at(-1);
  }

  async replaceHead(expected: ExpectedHead, sealed: Uint8Array): Promise<boolean> {
    await this.beforeReplace();
    if (expected.version !== this.heads.length || expected.releases !== this.releaseCount) {
      this.conflicts += 1;
      return false;
    }
    this.heads.push(sealed);
    return true;
  }

  async releases(): Promise<number> {
    return this.releaseCount;
  }

  async deviceLists() {
    return [...this.left].map(([key, entries]) => ({
      key,
      position: entries.length,
      taken: this.taken.get(key) ?? 0,
    }));
  }

  async deviceEntries(key: string, position: number): Promise<readonly Uint8Array[]> {
    return this.left.get(key)?.slice(position, position + 3) ?? [];
  }

  async lastDeviceEntry(key: string): Promise<Uint8Array | undefined> {
    return this.left.get(key)?.at(-1);
  }

  async leaveEntry(key: string, entry: Uint8Array, releases: number): Promise<boolean> {
    if (releases !== this.releaseCount) return false;
    const entries = this.left.get(key) ?? [];
    this.left.set(key, entries);
    const { position } = decodeEntry(entry);
    if (position !== entries.length + 1) return false;
    entries.push(entry);
    return true;
  }

  async tookEntries(key: string, position: number): Promise<void> {
    this.taken.set(key, position);
  }

  async keep(ids: readonly string[]) {
    this.kept.push(...ids);
    return ids.filter((id) => !this.objects.has(id));
  }

  /** Carried out at once. */
  async release(ids: readonly string[], version: number) {
    if (version !== this.heads.length) throw new TallystickError("another head is in place", { code: "CONFLICT" });
    this.releaseCount += 1;
    const released = ids.filter((id) => this.objects.delete(id)).length;
    this.released.push(...ids);
    return { released };
  }
}
