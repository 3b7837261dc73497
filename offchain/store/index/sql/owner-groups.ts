/** Ownership groups: tables `owner_groups`, `group_nodes`, `group_members`, `group_rekeys` and `group_stub_files`. */
import { sql, type Transaction } from "kysely";
import {
  type GroupChangeRows,
  type GroupWrite,
  type ListedMember,
  MEMBER_BYTES,
  type MemberChange,
  type OwnerGroupIndex,
  type StoredGroup,
  type StoredMember,
} from "../owner-group-index.ts";
import { STUB_ROW_BYTES } from "../stub-file-index.ts";
import { canonicalAddress } from "./accounts.ts";
import type { OwnerGroupTables } from "./owner-group-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { chargeStubBytes, dropStubFile, type StubFileTables } from "./stub-files.ts";

const PARTS = ["group_nodes", "group_members", "group_rekeys", "group_stub_files"] as const;

type GroupRow = OwnerGroupTables["owner_groups"];

export class SqlOwnerGroupIndex implements OwnerGroupIndex {
  readonly #database: SqlDatabase<OwnerGroupTables>;

  constructor(database: SqlDatabase<OwnerGroupTables>) {
    this.#database = database;
  }

  async find(groupId: Uint8Array): Promise<StoredGroup | undefined> {
    const row = await this.#database.run((database) =>
      database.selectFrom("owner_groups").selectAll().where("group_id", "=", groupId).executeTakeFirst(),
    );
    return row && groupOf(row);
  }

  async findOf(account: string, digest: Uint8Array): Promise<StoredGroup | undefined> {
    const owner = canonicalAddress(account);
    const row = await this.#database.run((database) =>
      database
        .selectFrom("owner_groups")
        .innerJoin("group_members", "group_members.group_id", "owner_groups.group_id")
        .selectAll("owner_groups")
        .where("group_members.account", "=", owner)
        .where("group_members.digest", "=", digest)
        .where("group_members.state", "=", "member")
        .executeTakeFirst(),
    );
    return row && groupOf(row);
  }

  async memberships(account: string): Promise<readonly Uint8Array[]> {
    const owner = canonicalAddress(account);
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("group_members")
        .select("group_id")
        .where("account", "=", owner)
        .where("state", "=", "member")
        .execute(),
    );
    return rows.map((row) => row.group_id);
  }

  async load(groupId: Uint8Array): Promise<{ group: StoredGroup; rows: readonly Uint8Array[] } | undefined> {
    for (;;) {
      const group = await this.find(groupId);
      if (group === undefined) return undefined;
      const rows = await this.#database.run((database) =>
        database.selectFrom("group_nodes").select("encoded").where("group_id", "=", groupId).execute(),
      );
      // A change between the two statements would mix two epochs.
      if ((await this.find(groupId))?.epoch === group.epoch) return { group, rows: rows.map(({ encoded }) => encoded) };
    }
  }

  async member(groupId: Uint8Array, account: string): Promise<StoredMember | undefined> {
    const owner = canonicalAddress(account);
    return this.#database.run((database) =>
      database
        .selectFrom("group_members")
        .select(["account", "state", "secret", "since"])
        .where("group_id", "=", groupId)
        .where("account", "=", owner)
        .executeTakeFirst(),
    );
  }

  async members(groupId: Uint8Array, after: string | undefined, limit: number): Promise<readonly ListedMember[]> {
    const last = after === undefined ? "" : canonicalAddress(after);
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("group_members")
        .select(["account", "state", "secret", "since", ownStubFiles.as("own")])
        .where("group_id", "=", groupId)
        .where("account", ">", last)
        .orderBy("account")
        .limit(limit)
        .execute(),
    );
    return rows.map(({ own, ...member }) => ({ ...member, hasOwnStubFile: Number(own) > 0 }));
  }

  async revokedCount(groupId: Uint8Array): Promise<number> {
    const row = await this.#database.run((database) =>
      database
        .selectFrom("group_members")
        .select(sql<number>`CAST(COUNT(*) AS BIGINT)`.as("count"))
        .where("group_id", "=", groupId)
        .where("state", "=", "revoked")
        .executeTakeFirst(),
    );
    return Number(row?.count ?? 0);
  }

  /** Not repeated after a broken connection: the second time, the caller's own epoch would be the one in place. */
  async write({ group, members, ...rows }: GroupChangeRows, expected: number): Promise<GroupWrite> {
    const changes = members.map(({ account, becomes }) => ({ owner: canonicalAddress(account), becomes }));
    // In one order, as `passStubFiles`.
    changes.sort((a, b) => (a.owner < b.owner ? -1 : 1));
    return this.#database.write(async (transaction) => {
      const charges: number[] = [];
      // Locks the accounts, so that two of their changes take turns, and after them the group.
      for (const { owner, becomes } of changes) {
        const charge = await this.#charge(transaction, group, owner, becomes?.state === "member");
        if (charge === "elsewhere") return "elsewhere";
        charges.push(charge);
      }
      if (!(await putGroup(transaction, group, expected))) return "changed";
      for (const [at, { owner, becomes }] of changes.entries()) {
        await chargeStubBytes(stubPart(transaction), owner, charges[at] ?? 0);
        await putMember(transaction, group, owner, becomes);
      }
      await putRows(transaction, group.groupId, rows);
      return "written";
    });
  }

  /** What the change adds to what the account is charged. The row of the account is locked. */
  async #charge(
    transaction: Transaction<OwnerGroupTables>,
    { groupId, digest }: StoredGroup,
    owner: string,
    joins: boolean,
  ): Promise<number | "elsewhere"> {
    await chargeStubBytes(stubPart(transaction), owner, 0);
    const before = await transaction
      .selectFrom("group_members")
      .select("group_id")
      .where("account", "=", owner)
      .where("digest", "=", digest)
      .where("state", "=", "member")
      .executeTakeFirst();
    const isHere = before !== undefined && Buffer.compare(before.group_id, groupId) === 0;
    if (joins && before !== undefined && !isHere) return "elsewhere";
    return (joins ? MEMBER_BYTES : 0) - (isHere ? MEMBER_BYTES : 0);
  }

  async removeOwnStubFile(groupId: Uint8Array, account: string): Promise<boolean> {
    const owner = canonicalAddress(account);
    return this.#database.write(
      async (transaction) => {
        // Locks the account: a revocation at the same time comes before all of this, or after it.
        await chargeStubBytes(stubPart(transaction), owner, 0);
        const member = await transaction
          .selectFrom("group_members")
          .innerJoin("group_stub_files", "group_stub_files.group_id", "group_members.group_id")
          .select("digest")
          .where("group_members.group_id", "=", groupId)
          .where("account", "=", owner)
          .where("state", "=", "member")
          .executeTakeFirst();
        if (member === undefined) return false;
        await dropStubFile(stubPart(transaction), owner, member.digest);
        return true;
      },
      { repeatable: true },
    );
  }

  async readmit(groupId: Uint8Array, account: string): Promise<boolean> {
    const owner = canonicalAddress(account);
    return this.#database.write(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom("group_members")
        .where("group_id", "=", groupId)
        .where("account", "=", owner)
        .where("state", "=", "revoked")
        .executeTakeFirstOrThrow();
      return numDeletedRows > 0n;
    });
  }

  async remove(groupId: Uint8Array): Promise<void> {
    await this.#database.write(
      async (transaction) => {
        // An update that changes nothing locks the row: nobody joins meanwhile.
        const group = await transaction
          .updateTable("owner_groups")
          .set({ members: sql`members` })
          .where("group_id", "=", groupId)
          .returning("founder")
          .executeTakeFirst();
        if (group === undefined) return;
        const members = transaction
          .selectFrom("group_members")
          .select("account")
          .where("group_id", "=", groupId)
          .where("state", "=", "member");
        const accounts = (await members.orderBy("account").execute()).map(({ account }) => account);
        const file = await transaction
          .selectFrom("group_stub_files")
          .select(stubFileBytes.as("bytes"))
          .where("group_id", "=", groupId)
          .executeTakeFirst();
        for (const account of accounts) await chargeStubBytes(stubPart(transaction), account, -MEMBER_BYTES);
        if (file !== undefined)
          await chargeStubBytes(stubPart(transaction), group.founder, -(Number(file.bytes) + STUB_ROW_BYTES));
        for (const part of PARTS) await transaction.deleteFrom(part).where("group_id", "=", groupId).execute();
        await transaction.deleteFrom("owner_groups").where("group_id", "=", groupId).execute();
      },
      { repeatable: true },
    );
  }

  async rekey(groupId: Uint8Array, epoch: number): Promise<Uint8Array | undefined> {
    const row = await this.#database.run((database) =>
      database
        .selectFrom("group_rekeys")
        .select("encoded")
        .where("group_id", "=", groupId)
        .where("epoch", "=", epoch)
        .executeTakeFirst(),
    );
    return row?.encoded;
  }

  async stubFile(groupId: Uint8Array): Promise<{ epoch: number; sealed: Uint8Array } | undefined> {
    return this.#database.run((database) =>
      database
        .selectFrom("group_stub_files")
        .select(["epoch", "sealed"])
        .where("group_id", "=", groupId)
        .executeTakeFirst(),
    );
  }

  /** Not repeated after a broken connection, as `write`. */
  async replaceStubFile(
    groupId: Uint8Array,
    expected: number,
    { epoch, sealed }: { readonly epoch: number; readonly sealed: Uint8Array },
  ): Promise<boolean> {
    return this.#database.write(async (transaction) => {
      const group = await transaction
        .selectFrom("owner_groups")
        .select(["founder", "digest"])
        .where("group_id", "=", groupId)
        .executeTakeFirst();
      if (group === undefined) return false;
      const { founder, digest } = group;
      await chargeStubBytes(stubPart(transaction), founder, 0);
      const found = await transaction
        .selectFrom("group_stub_files")
        .select(["epoch", stubFileBytes.as("bytes")])
        .where("group_id", "=", groupId)
        .executeTakeFirst();
      if ((found?.epoch ?? 0) !== expected) return false;
      const before = found === undefined ? 0 : Number(found.bytes) + STUB_ROW_BYTES;
      await chargeStubBytes(stubPart(transaction), founder, sealed.length + STUB_ROW_BYTES - before);
      await transaction
        .insertInto("group_stub_files")
        .values({ group_id: groupId, epoch, sealed })
        .onConflict((conflict) => conflict.column("group_id").doUpdateSet({ epoch, sealed }))
        .execute();
      await dropStubFile(stubPart(transaction), founder, digest);
      return true;
    });
  }
}

/** As `SqlDatabase.part`: the tables of stub files, among all. */
function stubPart(transaction: Transaction<OwnerGroupTables>): Transaction<StubFileTables> {
  return transaction as unknown as Transaction<StubFileTables>;
}

/** How many own stub files of the put the account of a row of `group_members` has: none or one. */
const ownStubFiles = sql<number>`(SELECT CAST(COUNT(*) AS BIGINT) FROM stub_files
  WHERE stub_files.account = group_members.account AND stub_files.digest = group_members.digest)`;

const stubFileBytes = sql<number>`CAST(length(sealed) AS BIGINT)`;

/** @returns whether the expected epoch was in place. The row is locked from here on. */
async function putGroup(
  transaction: Transaction<OwnerGroupTables>,
  group: StoredGroup,
  expected: number,
): Promise<boolean> {
  const { groupId, epoch, salt, groupKey, messageDigest, nextNode, members } = group;
  const moving = { epoch, salt, group_key: groupKey, message_digest: messageDigest, next_node: nextNode, members };
  if (expected === 0) {
    const { digest, founder, nonce, rejoin, objects } = group;
    const fixed = { group_id: groupId, digest, founder: canonicalAddress(founder), nonce, rejoin, objects };
    const inserted = await transaction
      .insertInto("owner_groups")
      .values({ ...fixed, ...moving })
      .onConflict((conflict) => conflict.column("group_id").doNothing())
      .returning("epoch")
      .execute();
    return inserted.length > 0;
  }
  const { numUpdatedRows } = await transaction
    .updateTable("owner_groups")
    .set(moving)
    .where("group_id", "=", groupId)
    .where("epoch", "=", expected)
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}

async function putMember(
  transaction: Transaction<OwnerGroupTables>,
  { groupId, digest }: StoredGroup,
  owner: string,
  becomes: MemberChange["becomes"],
): Promise<void> {
  await transaction.deleteFrom("group_members").where("group_id", "=", groupId).where("account", "=", owner).execute();
  if (becomes === undefined) return;
  const row = { group_id: groupId, account: owner, digest, ...becomes };
  await transaction.insertInto("group_members").values(row).execute();
}

async function putRows(
  transaction: Transaction<OwnerGroupTables>,
  groupId: Uint8Array,
  { nodes, removed, rekeys, keptFrom }: Omit<GroupChangeRows, "group" | "members">,
): Promise<void> {
  const ofGroup = { group_id: groupId };
  if (removed.length > 0) {
    await transaction.deleteFrom("group_nodes").where("group_id", "=", groupId).where("node", "in", removed).execute();
  }
  for (const row of nodes) {
    await transaction
      .insertInto("group_nodes")
      .values({ ...ofGroup, ...row })
      .onConflict((conflict) => conflict.columns(["group_id", "node"]).doUpdateSet({ encoded: row.encoded }))
      .execute();
  }
  await transaction.deleteFrom("group_rekeys").where("group_id", "=", groupId).where("epoch", "<", keptFrom).execute();
  for (const rekey of rekeys)
    await transaction
      .insertInto("group_rekeys")
      .values({ ...ofGroup, ...rekey })
      .execute();
}

/**
 * Gives the groups that an account has founded to another one, and its revocations: a revoked account does not come
 * back under another name. Its places among the members have been passed before, each by a rekey. Comes after
 * `passStubFiles`, which locks both accounts.
 */
export async function passGroups(transaction: Transaction<OwnerGroupTables>, from: string, to: string): Promise<void> {
  await transaction.updateTable("owner_groups").set({ founder: to }).where("founder", "=", from).execute();
  const known = transaction.selectFrom("group_members").select("group_id").where("account", "=", to);
  await transaction
    .updateTable("group_members")
    .set({ account: to })
    .where("account", "=", from)
    .where("state", "=", "revoked")
    .where("group_id", "not in", known)
    .execute();
  const { bytes } = await transaction
    .selectFrom("group_stub_files")
    .innerJoin("owner_groups", "owner_groups.group_id", "group_stub_files.group_id")
    .select(sql<number>`CAST(COALESCE(SUM(length(sealed) + ${STUB_ROW_BYTES}), 0) AS BIGINT)`.as("bytes"))
    .where("founder", "=", to)
    .executeTakeFirstOrThrow();
  const { count } = await transaction
    .selectFrom("group_members")
    .select(sql<number>`CAST(COUNT(*) AS BIGINT)`.as("count"))
    .where("account", "=", to)
    .where("state", "=", "member")
    .executeTakeFirstOrThrow();
  await chargeStubBytes(stubPart(transaction), to, Number(bytes) + Number(count) * MEMBER_BYTES);
}

function groupOf(row: GroupRow): StoredGroup {
  const { digest, founder, nonce, rejoin, objects, epoch, salt, members } = row;
  return {
    groupId: row.group_id,
    digest,
    founder,
    nonce,
    rejoin,
    objects,
    epoch,
    salt,
    groupKey: row.group_key,
    messageDigest: row.message_digest,
    nextNode: row.next_node,
    members,
  };
}
