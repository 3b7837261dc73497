/** The provider's database: SQLite in its folder, or PostgreSQL, which several processes of one provider may share. */
import { join, resolve } from "node:path";
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { InvalidInputError } from "../core/errors.ts";
import type { DaemonDatabase } from "../daemon/database.ts";
import type { SessionDatabase } from "../daemon/sessions.ts";
import { readPrivateFile } from "../store/disk/private-file.ts";
import { openPostgresqlDatabase } from "../store/index/sql/open-postgresql.ts";
import { openSqliteDatabase } from "../store/index/sql/open-sqlite.ts";
import { type ProviderIndexOptions, SqlProviderIndex } from "../store/index/sql/provider-index.ts";
import type { SqlDatabase } from "../store/index/sql/sql-database.ts";
import { type CspTables, PROVIDER_MIGRATIONS } from "./tables.ts";

const closed = { additionalProperties: false };

/** The field `database` of a provider's configuration. It holds no password: see `urlOf`. */
export const DatabaseSchema = Type.Union([
  Type.Object(
    { kind: Type.Literal("sqlite"), path: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })) },
    closed,
  ),
  Type.Object(
    {
      kind: Type.Literal("postgresql"),
      /** A file of mode 0600 with the URL, read when the environment variable is absent. */
      urlFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
      /** Most connections of this process. */
      connections: Type.Optional(Type.Integer({ minimum: 2, maximum: 1000 })),
    },
    closed,
  ),
]);

export type DatabaseConfig = Static<typeof DatabaseSchema>;

const URL_VARIABLE = "TALLYSTICK_DATABASE_URL";

/** Paths relative to `folder` become absolute. */
export function resolveDatabaseConfig(config: DatabaseConfig, folder: string): DatabaseConfig {
  if (config.kind === "sqlite") {
    return config.path === undefined ? config : { ...config, path: resolve(folder, config.path) };
  }
  return config.urlFile === undefined ? config : { ...config, urlFile: resolve(folder, config.urlFile) };
}

/** The URL, from the environment or a file, so that the password is in no command line and no configuration. */
function urlOf(config: Extract<DatabaseConfig, { kind: "postgresql" }>): string {
  const given = process.env[URL_VARIABLE];
  if (given !== undefined && given !== "") return given;
  const { urlFile } = config;
  if (urlFile === undefined) {
    throw new InvalidInputError("the address of the database is missing", {
      check: "database URL",
      hint: `set ${URL_VARIABLE}, or name a file of mode 0600 with database.urlFile`,
    });
  }
  return readPrivateFile(urlFile, { what: "file of the database's address" }).trim();
}

export class ProviderDatabase implements DaemonDatabase {
  readonly location: string;
  readonly sql: SqlDatabase<CspTables>;
  readonly index: SqlProviderIndex;
  readonly sessions: SessionDatabase;

  private constructor(sql: SqlDatabase<CspTables>, index: SqlProviderIndex) {
    this.location = sql.location;
    this.sql = sql;
    this.index = index;
    this.sessions = sql.part();
  }

  /** @throws UnknownVersionError, DiskFullError, DiskFailedError, InvalidInputError, DatabaseUnavailableError */
  static async open(
    config: DatabaseConfig,
    dataDir: string,
    options: ProviderIndexOptions = {},
  ): Promise<ProviderDatabase> {
    const sql =
      config.kind === "sqlite"
        ? await openSqliteDatabase<CspTables>(config.path ?? join(dataDir, "csp.db"), PROVIDER_MIGRATIONS)
        : await openPostgresqlDatabase<CspTables>(
            {
              url: urlOf(config),
              ...(config.connections === undefined ? {} : { connections: config.connections }),
            },
            PROVIDER_MIGRATIONS,
          );
    try {
      return new ProviderDatabase(sql, await SqlProviderIndex.open(sql.part(), options));
    } catch (error) {
      await sql.close();
      throw error;
    }
  }

  /** Whether other processes of the provider may be on this database. */
  get isShared(): boolean {
    return this.sql.engine === "postgresql";
  }

  setOnce(name: string, value: string): Promise<string> {
    return this.index.meta.setOnce(name, value);
  }

  exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.sql.exclusively(name, work);
  }

  ping(): Promise<void> {
    return this.index.ping();
  }

  async close(): Promise<void> {
    try {
      await this.index.close();
    } finally {
      await this.sql.close();
    }
  }
}
