/** What devices that only write have left for their account: tables `device_lists` and `device_entries`. */
import type { Transaction } from "kysely";
import { equalBytes } from "#primitives";
import type {
  DeviceList,
  DeviceSnapshotIndex,
  LeaveOutcome,
  StoredEntry,
  WaitingLimits,
} from "../device-snapshot-index.ts";
import { canonicalAddress } from "./accounts.ts";
import type { TableDefinitions } from "./column-types.ts";
import { type HeadTables, lockReleases } from "./heads.ts";
import type { SqlDatabase } from "./sql-database.ts";

export interface DeviceSnapshotTables {
  device_lists: {
    account: string;
    delegate: string;
    position: number;
    digest: Uint8Array;
    taken: number;
    waiting_bytes: number;
  };
  device_entries: { account: string; delegate: string; position: number; entry: Uint8Array };
}

/** A migration of the provider's. digest: of the last entry, whose row stays; waiting_bytes: of those after `taken`. */
export const DEVICE_SNAPSHOT_TABLES: TableDefinitions = ({ bytes, integer, clustered }) => [
  `CREATE TABLE device_lists (
    account TEXT NOT NULL,
    delegate TEXT NOT NULL,
    position ${integer} NOT NULL,
    digest ${bytes} NOT NULL,
    taken ${integer} NOT NULL,
    waiting_bytes ${integer} NOT NULL CHECK (waiting_bytes >= 0),
    PRIMARY KEY (account, delegate),
    CHECK (taken >= 0 AND taken <= position)
  ) ${clustered}`,
  `CREATE TABLE device_entries (
    account TEXT NOT NULL,
    delegate TEXT NOT NULL,
    position ${integer} NOT NULL,
    entry ${bytes} NOT NULL,
    PRIMARY KEY (account, delegate, position)
  ) ${clustered}`,
];

type Tables = DeviceSnapshotTables & HeadTables;

export class SqlDeviceSnapshotIndex implements DeviceSnapshotIndex {
  readonly #database: SqlDatabase<Tables>;
  readonly #countedFrom: number;

  /** @param countedFrom see `SqlHeadIndex` */
  constructor(database: SqlDatabase<Tables>, countedFrom: number) {
    this.#database = database;
    this.#countedFrom = countedFrom;
  }

  async lists(account: string): Promise<DeviceList[]> {
    const owner = canonicalAddress(account);
    return await this.#database.run((database) =>
      database
        .selectFrom("device_lists")
        .select(["delegate as key", "position", "taken"])
        .where("account", "=", owner)
        .orderBy("delegate")
        .execute(),
    );
  }

  async last(account: string, key: string): Promise<Uint8Array | undefined> {
    const row = await this.#database.run((database) =>
      database
        .selectFrom("device_entries")
        .select("entry")
        .where("account", "=", canonicalAddress(account))
        .where("delegate", "=", canonicalAddress(key))
        .orderBy("position", "desc")
        .limit(1)
        .executeTakeFirst(),
    );
    return row?.entry;
  }

  async after(account: string, key: string, position: number, limits: WaitingLimits): Promise<Uint8Array[]> {
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("device_entries")
        .select("entry")
        .where("account", "=", canonicalAddress(account))
        .where("delegate", "=", canonicalAddress(key))
        .where("position", ">", position)
        .orderBy("position")
        .limit(limits.entries)
        .execute(),
    );
    let bytes = 0;
    const fitting = rows.findIndex(({ entry }, k) => {
      bytes += entry.length;
      return k > 0 && bytes > limits.bytes;
    });
    return rows.slice(0, fitting === -1 ? rows.length : fitting).map(({ entry }) => entry);
  }

  async leave(
    account: string,
    key: string,
    entry: StoredEntry,
    releases: number,
    limits: WaitingLimits,
  ): Promise<LeaveOutcome> {
    const place = { account: canonicalAddress(account), delegate: canonicalAddress(key) };
    const { position, previous, digest, bytes } = entry;
    return await this.#database.write(
      async (transaction): Promise<LeaveOutcome> => {
        const counted = await lockReleases(transaction, place.account, this.#countedFrom);
        const list = await listOf(transaction, place);
        // The answer to an earlier request was lost.
        if (list !== undefined && list.position === position && equalBytes(list.digest, digest)) return "kept";
        const before = list ?? { position: 0, digest: new Uint8Array(digest.length), taken: 0, waiting_bytes: 0 };
        if (position !== before.position + 1 || !equalBytes(previous, before.digest)) return "place";
        if (counted !== releases) return "releases";
        const waitingBytes = before.waiting_bytes + bytes.length;
        if (position - before.taken > limits.entries || waitingBytes > limits.bytes) return "full";
        await transaction
          .insertInto("device_entries")
          .values({ ...place, position, entry: bytes })
          .execute();
        // What was taken over was kept for its place alone.
        await removeThrough(transaction, place, before.taken);
        const row = { position, digest, waiting_bytes: waitingBytes };
        await transaction
          .insertInto("device_lists")
          .values({ ...place, ...row, taken: before.taken })
          .onConflict((conflict) => conflict.columns(["account", "delegate"]).doUpdateSet(row))
          .execute();
        return "kept";
      },
      { repeatable: true },
    );
  }

  async take(account: string, key: string, through: number): Promise<number> {
    const place = { account: canonicalAddress(account), delegate: canonicalAddress(key) };
    return await this.#database.write(
      async (transaction) => {
        // Whoever has no device leaves no row behind.
        if ((await listOf(transaction, place)) === undefined) return 0;
        // So that no entry is left meanwhile.
        await lockReleases(transaction, place.account, this.#countedFrom);
        const list = await listOf(transaction, place);
        if (list === undefined) return 0;
        const taken = Math.min(through, list.position);
        if (taken <= list.taken) return list.taken;
        await removeThrough(transaction, place, taken === list.position ? taken - 1 : taken);
        const rows = await transaction
          .selectFrom("device_entries")
          .select("entry")
          .where("account", "=", place.account)
          .where("delegate", "=", place.delegate)
          .where("position", ">", taken)
          .execute();
        await transaction
          .updateTable("device_lists")
          .set({ taken, waiting_bytes: rows.reduce((sum, { entry }) => sum + entry.length, 0) })
          .where("account", "=", place.account)
          .where("delegate", "=", place.delegate)
          .execute();
        return taken;
      },
      { repeatable: true },
    );
  }

  async bytesOf(account: string): Promise<number> {
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("device_lists")
        .select("waiting_bytes")
        .where("account", "=", canonicalAddress(account))
        .execute(),
    );
    return rows.reduce((sum, row) => sum + row.waiting_bytes, 0);
  }
}

interface Place {
  readonly account: string;
  readonly delegate: string;
}

async function listOf(transaction: Pick<Transaction<DeviceSnapshotTables>, "selectFrom">, place: Place) {
  return await transaction
    .selectFrom("device_lists")
    .select(["position", "digest", "taken", "waiting_bytes"])
    .where("account", "=", place.account)
    .where("delegate", "=", place.delegate)
    .executeTakeFirst();
}

async function removeThrough(
  transaction: Pick<Transaction<DeviceSnapshotTables>, "deleteFrom">,
  { account, delegate }: Place,
  position: number,
): Promise<void> {
  await transaction
    .deleteFrom("device_entries")
    .where("account", "=", account)
    .where("delegate", "=", delegate)
    .where("position", "<=", position)
    .execute();
}

/**
 * Whether devices have left snapshots that the account has not taken over; part of the transaction that carries out a
 * release, which could take what these need.
 */
export async function hasWaiting(
  transaction: Pick<Transaction<DeviceSnapshotTables>, "selectFrom">,
  account: string,
): Promise<boolean> {
  const row = await transaction
    .selectFrom("device_lists")
    .select("position")
    .where("account", "=", account)
    .whereRef("position", ">", "taken")
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
