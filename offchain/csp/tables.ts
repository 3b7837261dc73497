/** The provider's database: sessions and budgets of the daemon, and the index. */
import { BUDGET_TABLES, type BudgetTables } from "../daemon/quota.ts";
import { DELEGATE_SESSION_TABLES, SESSION_TABLES, type SessionTables } from "../daemon/sessions.ts";
import { DELEGATE_TABLES } from "../store/index/sql/delegates.ts";
import { DEVICE_SNAPSHOT_TABLES } from "../store/index/sql/device-snapshots.ts";
import type { Migrations } from "../store/index/sql/migrate.ts";
import { OWNER_GROUP_TABLES } from "../store/index/sql/owner-group-tables.ts";
import { PROVIDER_INDEX_TABLES, type ProviderTables } from "../store/index/sql/provider-tables.ts";

export type CspTables = ProviderTables & SessionTables & BudgetTables;

/** Steps in order, for SQLite and PostgreSQL. Never edit one that was released. */
export const PROVIDER_MIGRATIONS: Migrations = {
  "0001 tables": (types) => [...SESSION_TABLES(types), ...BUDGET_TABLES(types), ...PROVIDER_INDEX_TABLES(types)],
  "0002 ownership groups": OWNER_GROUP_TABLES,
  "0003 delegates": DELEGATE_TABLES,
  "0004 sessions of delegates": DELEGATE_SESSION_TABLES,
  "0005 snapshots of devices": DEVICE_SNAPSHOT_TABLES,
};
