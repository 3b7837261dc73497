/** Migrations of a database by kysely's Migrator: one list for both engines. */
import { type Kysely, sql } from "kysely";
import { Migrator } from "kysely/migration";
import { UnknownVersionError } from "../../../core/errors.ts";
import { definitionsFor, type SqlEngine, type TableDefinitions } from "./column-types.ts";

/**
 * Steps of a schema by name, in the order of their names: `0001 tables`. Steps are appended, and never edited once
 * released.
 */
export type Migrations = Readonly<Record<string, TableDefinitions>>;

const TABLE = "schema_migrations";

/**
 * Brings a database to the latest step. Each process takes the migrator's lock before it looks, so that of several that
 * start at once, one migrates. All pending steps are one transaction.
 *
 * @param location for the error.
 * @throws UnknownVersionError when a newer build has migrated the database
 */
export async function migrate(
  // biome-ignore lint/suspicious/noExplicitAny: the tables of a schema that is not there yet have no type
  database: Kysely<any>,
  engine: SqlEngine,
  migrations: Migrations,
  location: string,
): Promise<void> {
  const names = Object.keys(migrations).sort();
  const migrator = new Migrator({
    db: database,
    provider: { getMigrations: async () => Object.fromEntries(names.map((name) => [name, stepOf(name)])) },
    migrationTableName: TABLE,
    migrationLockTableName: `${TABLE}_lock`,
  });
  function stepOf(name: string) {
    return {
      // biome-ignore lint/suspicious/noExplicitAny: as above
      up: async (transaction: Kysely<any>) => {
        const definitions = migrations[name];
        if (definitions === undefined) return;
        for (const statement of definitionsFor(engine, definitions)) await sql.raw(statement).execute(transaction);
      },
    };
  }
  await requireKnown(database, names, location);
  const { error } = await migrator.migrateToLatest();
  if (error === undefined) return;
  // A newer build may have migrated since the look above.
  await requireKnown(database, names, location);
  throw error;
}

async function requireKnown(
  // biome-ignore lint/suspicious/noExplicitAny: as above
  database: Kysely<any>,
  names: readonly string[],
  location: string,
): Promise<void> {
  const tables = await database.introspection.getTables({ withInternalKyselyTables: true });
  if (!tables.some(({ name }) => name === TABLE)) return;
  const applied = await database.selectFrom(TABLE).select("name").execute();
  const unknown = applied.map(({ name }) => String(name)).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new UnknownVersionError(`database ${location}`, unknown, names);
}
