/** The provider's database: sessions and budgets of the daemon, and the index. */
import { BUDGET_TABLES } from "../daemon/quota.ts";
import { SESSION_TABLES } from "../daemon/sessions.ts";
import { PROVIDER_INDEX_TABLES } from "../store/index/sqlite/provider-tables.ts";

/** Migrations in order; the database's `user_version` counts those that have run. Never edit one that was released. */
export const PROVIDER_MIGRATIONS: readonly string[] = [SESSION_TABLES + BUDGET_TABLES + PROVIDER_INDEX_TABLES];
