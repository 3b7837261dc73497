/**
 * The snapshot list at one provider: read, appended to, rewritten. The provider keeps its head under compare-and-swap,
 * so that devices which change it at the same time take turns: the one that comes late reads again, makes its change on
 * what it finds, and repeats.
 *
 * A provider could present an old head, or one that continues an old head. This device remembers the newest head that
 * it has seen, and refuses an older one, and one that does not follow from it.
 *
 * What devices that only write have left at the provider is taken over by whoever reads the list, in one change that
 * also says how far. Until then it is shown with the list.
 */

import { contentId } from "../../core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import {
  earlierHeads,
  type HeadName,
  idAtVersion,
  MAX_HEAD_BYTES,
  MAX_PAGE_BYTES,
  MAX_PAGE_RECORDS,
  openHead,
  openPage,
  type PageRef,
  type SnapshotHead,
  sealHead,
  sealPage,
  type TakenOver,
  withTakenOver,
} from "../../core/snapshot/list-objects.ts";
import { recordBytes, type Snapshot } from "../../core/snapshot/snapshot.ts";
import type { SnapshotKeys } from "../../core/snapshot/snapshot-keys.ts";
import type { Catalogue } from "../catalogue.ts";
import type { Clock } from "../clock.ts";
import type { HeadKeeper, ObjectStorage } from "../providers/storage-provider.ts";
import { restate } from "../restate-error.ts";
import { keepObjects, type NeededObjects } from "./confirm-objects.ts";
import type { DeviceFault, DeviceSource, Takeover } from "./device-source.ts";
import { requirePagesOf, takeOverFrom } from "./take-over.ts";

/** Records in a head before they move to a page; the other half of the head is for the names of pages. */
const RECENT_BYTES = MAX_HEAD_BYTES / 2;
/** Records on one page, below its limit by what the page itself takes. */
const PAGE_BYTES = MAX_PAGE_BYTES - 1024;
/** A page with fewer records is filled up when the list is rewritten, or records move to it. */
const SMALL_PAGE_RECORDS = 256;
const PAGES_AHEAD = 4;
/** Attempts at a change while other devices change the list as well. */
const ATTEMPTS = 30;
const FIRST_DELAY_MILLISECONDS = 20;
const LONGEST_DELAY_MILLISECONDS = 2000;

export type ListKeeper = HeadKeeper & ObjectStorage & { readonly account: string };

/** The list as one head tells it. */
export interface ReadList {
  /** 0 when there is no head. */
  readonly version: number;
  readonly snapshots: readonly Snapshot[];
  /** Page objects that the head names. */
  readonly pages: readonly string[];
  /** What is wrong with what devices have left. */
  readonly faults: readonly DeviceFault[];
}

export interface ReadOptions {
  /** A loss of snapshots of devices is known: what is left is taken over. */
  readonly acceptGaps?: boolean;
}

export interface SnapshotListContext {
  readonly provider: ListKeeper;
  readonly keys: SnapshotKeys;
  readonly catalogue: Pick<Catalogue, "listHead" | "sawListHead">;
  readonly clock: Pick<Clock, "pause">;
  /** Under which the catalogue remembers the head: names deployment and provider. */
  readonly listName: string;
  /** Devices that leave snapshots at the provider. */
  readonly devices?: DeviceSource;
}

/** What a change came to. */
export interface ListChange {
  readonly version: number;
  readonly removed: readonly Snapshot[];
  /** Page objects that the list no longer names. */
  readonly replacedPages: readonly string[];
}

interface Page {
  readonly ref: PageRef;
  readonly records: readonly Snapshot[];
}

/** A head and the id of its bytes. */
type ReadHead = SnapshotHead & HeadName;

/** What stands for the head of a list that no device has begun. */
const NO_HEAD: ReadHead = { version: 0, id: "", pages: [], recent: [], earlier: [], devices: [] };

interface Edit {
  readonly pages: readonly PageRef[];
  readonly recent: readonly Snapshot[];
  readonly removed: readonly Snapshot[];
  /** Default: as before. */
  readonly devices?: readonly TakenOver[];
}

export class SnapshotList {
  readonly #context: SnapshotListContext;

  constructor(context: SnapshotListContext) {
    this.#context = context;
  }

  /**
   * All snapshots, in the order in which they were appended, those last that devices have left and that could not be
   * taken over.
   * @throws IntegrityError naming the provider when the list is damaged, older than one seen before, or does not follow
   *   from it; what the provider throws
   */
  async read(signal?: AbortSignal, { acceptGaps = false }: ReadOptions = {}): Promise<ReadList> {
    const before = await this.#head(signal);
    const { devices, provider } = this.#context;
    const options = { acceptGaps, takeOver: (one: Takeover) => this.#takeOver(one, signal), signal };
    const left = await takeOverFrom(devices, provider.name, before.devices, options);
    const head = left.isChanged ? await this.#head(signal) : before;
    const pages = await this.#pages(head, signal);
    const snapshots = [...pages.flatMap(({ records }) => records), ...head.recent];
    const listed = new Set(snapshots.map(({ id }) => id));
    return {
      version: head.version,
      snapshots: [...snapshots, ...left.snapshots.filter(({ id }) => !listed.has(id))],
      pages: pages.map(({ ref }) => ref.id),
      faults: left.faults,
    };
  }

  /**
   * Another home of the owner may take over at the same time: only one of them changes the list.
   * @returns whether the list says so much to be taken over; the other home may have seen less
   */
  async #takeOver({ snapshots, from, upTo }: Takeover, signal: AbortSignal | undefined): Promise<boolean> {
    let isTaken = false;
    await this.#change(async (head) => {
      const known = head.devices.find(({ device }) => device === upTo.device)?.position ?? 0;
      isTaken = known === from || known >= upTo.position;
      if (known !== from) return undefined;
      const edit = await this.#withAppended(head, snapshots, signal);
      requirePagesOf(edit.pages.length, this.#context.provider.name, upTo.device);
      return { ...edit, devices: withTakenOver(head.devices, upTo) };
    }, signal);
    return isTaken;
  }

  /** The list with the snapshots that are not in it. */
  async #withAppended(
    head: ReadHead,
    snapshots: readonly Snapshot[],
    signal: AbortSignal | undefined,
  ): Promise<Edit & { readonly appended: number }> {
    const pages = await this.#pages(head, signal);
    const listed = new Set([...pages.flatMap(({ records }) => records), ...head.recent].map(({ id }) => id));
    const fresh = snapshots.filter(({ id }) => !listed.has(id) && listed.add(id));
    const recent = [...head.recent, ...fresh];
    const appended = fresh.length;
    if (sumBytes(recent) <= RECENT_BYTES) return { pages: head.pages, recent, removed: [], appended };
    return { pages: await this.#moveToPages({ ...head, recent }, signal), recent: [], removed: [], appended };
  }

  /**
   * Appends a snapshot. One that is there already changes nothing.
   * @param needed what the snapshot needs; it is listed only when all of that is confirmed
   * @throws as `read`; CONFLICT after many attempts; as `keepObjects`
   */
  async append(snapshot: Snapshot, needed: NeededObjects, signal?: AbortSignal): Promise<ListChange> {
    let confirmed = needed.releases;
    return await this.#change(async (head, releases) => {
      if (head.recent.some(({ id }) => id === snapshot.id)) return undefined;
      if (releases !== confirmed) await keepObjects(this.#context.provider, needed.ids(signal), signal);
      confirmed = releases;
      const recent = [...head.recent, snapshot];
      if (sumBytes(recent) <= RECENT_BYTES) return { pages: head.pages, recent, removed: [] };
      // The new record stays in the head, where an attempt after a lost answer finds it.
      return { pages: await this.#moveToPages(head, signal), recent: [snapshot], removed: [] };
    }, signal);
  }

  /**
   * Appends the snapshots that are not in the list, in their order and in one change.
   * @param needed what they need together, as for `append`
   * @returns with how many were appended
   * @throws as `append`
   */
  async appendAll(
    snapshots: readonly Snapshot[],
    needed: NeededObjects,
    signal?: AbortSignal,
  ): Promise<ListChange & { readonly appended: number }> {
    let confirmed = needed.releases;
    let appended = 0;
    const change = await this.#change(async (head, releases) => {
      const edit = await this.#withAppended(head, snapshots, signal);
      appended = edit.appended;
      if (appended === 0) return undefined;
      if (releases !== confirmed) await keepObjects(this.#context.provider, needed.ids(signal), signal);
      confirmed = releases;
      return edit;
    }, signal);
    return { ...change, appended };
  }

  /** Removes snapshots. @param isRemoved is asked about each, again at each attempt @throws as `append` */
  async remove(isRemoved: (snapshot: Snapshot) => boolean, signal?: AbortSignal): Promise<ListChange> {
    return await this.#change(async (head) => {
      const pages = await this.#pages(head, signal);
      const removed = [...pages.flatMap(({ records }) => records), ...head.recent].filter(isRemoved);
      if (removed.length === 0) return undefined;
      const kept = (snapshot: Snapshot) => !isRemoved(snapshot);
      return { pages: await this.#repack(pages, kept, signal), recent: head.recent.filter(kept), removed };
    }, signal);
  }

  /** @param edit what it stores or keeps is counted on; it is given the releases that were counted before */
  async #change(
    edit: (head: ReadHead, releases: number) => Promise<Edit | undefined>,
    signal?: AbortSignal,
  ): Promise<ListChange> {
    const { provider, keys, catalogue, clock, listName } = this.#context;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const releases = await provider.releases(signal);
      const head = await this.#head(signal);
      const edited = await edit(head, releases);
      if (edited === undefined) return { version: head.version, removed: [], replacedPages: [] };
      const version = head.version + 1;
      const { pages, recent, devices = head.devices } = edited;
      const earlier = earlierHeads(head.version === 0 ? undefined : head);
      const sealed = sealHead(keys, provider.account, { version, pages, recent, earlier, devices });
      if (await provider.replaceHead({ version: head.version, releases }, sealed, signal)) {
        await catalogue.sawListHead(listName, { version, id: contentId(sealed) });
        const named = new Set(pages.map(({ id }) => id));
        const replacedPages = head.pages.map(({ id }) => id).filter((id) => !named.has(id));
        return { version, removed: edited.removed, replacedPages };
      }
      const longest = Math.min(FIRST_DELAY_MILLISECONDS * 2 ** attempt, LONGEST_DELAY_MILLISECONDS);
      await clock.pause(longest * Math.random(), signal);
    }
    throw new TallystickError(`other devices keep changing the snapshot list at ${provider.name}`, {
      code: "CONFLICT",
      party: provider.name,
      check: "version of the snapshot list",
      hint: "run the command again when they are done",
      retryable: true,
    });
  }

  async #head(signal: AbortSignal | undefined): Promise<ReadHead> {
    const { provider, keys, catalogue, listName } = this.#context;
    // Before the head is asked for, because another command of this device may see a newer one meanwhile.
    const seen = await catalogue.listHead(listName);
    const sealed = await provider.head(signal);
    const head =
      sealed === undefined
        ? NO_HEAD
        : { ...(await this.#opened(() => openHead(keys, provider.account, sealed))), id: contentId(sealed) };
    if (seen !== undefined) requireFollows(provider.name, head, seen);
    if (head.version > (seen?.version ?? 0)) await catalogue.sawListHead(listName, head);
    return head;
  }

  async #pages({ pages }: ReadHead, signal: AbortSignal | undefined): Promise<Page[]> {
    const loaded: Page[] = [];
    for (let start = 0; start < pages.length; start += PAGES_AHEAD) {
      const group = pages.slice(start, start + PAGES_AHEAD);
      loaded.push(...(await Promise.all(group.map((ref) => this.#page(ref, signal)))));
    }
    return loaded;
  }

  async #page(ref: PageRef, signal: AbortSignal | undefined): Promise<Page> {
    const { provider, keys } = this.#context;
    const sealed = await provider.fetch(ref.id, signal);
    return { ref, records: await this.#opened(() => openPage(keys, ref, sealed)) };
  }

  /** Names the provider in what is wrong with its bytes. */
  async #opened<Result>(open: () => Result): Promise<Result> {
    try {
      return open();
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      const { name } = this.#context.provider;
      throw restate(error, `${name}: ${error.message}`, {
        party: name,
        hint: "the provider does not return the snapshot list that it was given; another provider may have one",
      });
    }
  }

  /** Moves the records of the head to its last page while that is small, and to new pages. */
  async #moveToPages(head: ReadHead, signal: AbortSignal | undefined): Promise<PageRef[]> {
    const last = head.pages.at(-1);
    const records = [...head.recent];
    const pages = [...head.pages];
    if (last !== undefined && last.recordCount < SMALL_PAGE_RECORDS) {
      records.unshift(...(await this.#page(last, signal)).records);
      pages.pop();
    }
    return [...pages, ...(await this.#store(records, signal))];
  }

  /** Pages without the removed records. A page that loses none is kept as it is, unless it is small. */
  async #repack(
    pages: readonly Page[],
    isKept: (snapshot: Snapshot) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<PageRef[]> {
    const packed: PageRef[] = [];
    let waiting: Snapshot[] = [];
    for (const { ref, records } of pages) {
      const kept = records.filter(isKept);
      if (kept.length === records.length && records.length >= SMALL_PAGE_RECORDS) {
        packed.push(...(await this.#store(waiting, signal)), ref);
        waiting = [];
      } else {
        waiting.push(...kept);
      }
    }
    return [...packed, ...(await this.#store(waiting, signal))];
  }

  /** Stores records on as few pages as they need. They are durable before a head names them. */
  async #store(records: readonly Snapshot[], signal: AbortSignal | undefined): Promise<PageRef[]> {
    const { provider, keys } = this.#context;
    const refs: PageRef[] = [];
    for (const group of pageGroups(records)) {
      const object: SealedObject = sealPage(keys, group);
      await provider.store([object], signal);
      refs.push({ id: object.id, recordCount: group.length });
    }
    return refs;
  }
}

function sumBytes(records: readonly Snapshot[]): number {
  return records.reduce((sum, record) => sum + recordBytes(record), 0);
}

function pageGroups(records: readonly Snapshot[]): Snapshot[][] {
  const groups: Snapshot[][] = [];
  let bytes = 0;
  for (const record of records) {
    const size = recordBytes(record);
    const last = groups.at(-1);
    if (last === undefined || last.length === MAX_PAGE_RECORDS || bytes + size > PAGE_BYTES) {
      groups.push([record]);
      bytes = size;
    } else {
      last.push(record);
      bytes += size;
    }
  }
  return groups;
}

/** A head that names none of the version seen is too far ahead to tell: it is taken. @throws IntegrityError */
function requireFollows(provider: string, head: ReadHead, seen: HeadName): void {
  if (head.version < seen.version) throw olderThanSeen(provider, seen.version, head.version);
  const received = idAtVersion(head, seen.version);
  if (received !== undefined && received !== seen.id) throw anotherThanSeen(provider, head, seen, received);
}

function anotherThanSeen(provider: string, head: HeadName, seen: HeadName, received: string): IntegrityError {
  const message = `${provider} returns a snapshot list that does not follow from the one this device has seen`;
  return new IntegrityError(message, {
    party: provider,
    check: "earlier versions of the snapshot list",
    expected: `version ${seen.version} is ${seen.id}`,
    received: `version ${head.version}, for which version ${seen.version} is ${received}`,
    hint:
      "the provider went back to an older list, and another device has changed that one, so that snapshots may be " +
      "missing: read them from another provider, or, if the loss is known and accepted, run " +
      "`tallystick snapshots --accept-older`",
  });
}

function olderThanSeen(provider: string, seen: number, received: number): IntegrityError {
  const message =
    received === 0
      ? `${provider} says that there is no snapshot list, but this device has seen one`
      : `${provider} returns an older snapshot list than this device has seen`;
  return new IntegrityError(message, {
    party: provider,
    check: "version of the snapshot list",
    expected: `version ${seen} or later`,
    received: received === 0 ? "none" : `version ${received}`,
    hint:
      "the provider lost or withholds newer snapshots: read them from another provider, or, if the loss is known " +
      "and accepted, run `tallystick snapshots --accept-older`",
  });
}
