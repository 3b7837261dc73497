/** A PostgreSQL database as a `SqlDatabase`, through a pool of connections. */
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from "kysely";
import pg from "pg";
import { InvalidInputError } from "../../../core/errors.ts";
import { type Migrations, migrate } from "./migrate.ts";
import { asTypedError, breaksConnection, passingFailure } from "./postgresql-errors.ts";
import { SqlDatabase } from "./sql-database.ts";

export interface PostgresqlOptions {
  /** `postgresql://user:password@host:port/name`. */
  readonly url: string;
  /** Most connections of this process; default 10. */
  readonly connections?: number;
}

const CONNECT_MILLISECONDS = 5000;
const STATEMENT_MILLISECONDS = 30_000;
/** How long the server is waited for beyond the time at which it should have cancelled a statement. */
const SILENCE_MILLISECONDS = STATEMENT_MILLISECONDS + 5000;

/** Type numbers of pg_type: integers of 64 bits, and bytes, come as the queries' types say. */
const INT8 = 20;
const BYTEA = 17;

/** @throws InvalidInputError for a number that JavaScript cannot hold */
export function parseInteger(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value)) return value;
  throw new InvalidInputError("a number in the database is too large", { check: "integer", received: text });
}

function parserOf(oid: number, format?: unknown): (value: string) => unknown {
  const parser = pg.types.getTypeParser(oid, format as "text");
  if (format === "binary") return parser;
  if (oid === INT8) return parseInteger;
  // Not a Buffer, which is another type to whoever compares.
  if (oid === BYTEA) return (text) => new Uint8Array(parser(text) as Buffer);
  return parser;
}

/** Where a database is, without user and password. @throws InvalidInputError for a text that is no such URL */
function locationOf(url: string): { location: string; secrets: readonly string[] } {
  if (!URL.canParse(url) || !/^postgres(?:ql)?:$/.test(new URL(url).protocol)) {
    throw new InvalidInputError("the address of the database is not a URL of PostgreSQL", {
      check: "database URL",
      expected: "postgresql://user:password@host:port/name",
    });
  }
  const { hostname, port, pathname, password, searchParams } = new URL(url);
  const host = hostname === "" ? (searchParams.get("host") ?? "localhost") : hostname;
  const secrets = [password, decodeURIComponent(password), searchParams.get("password") ?? "", url];
  return {
    location: `postgresql://${host}:${port === "" ? "5432" : port}${pathname}`,
    secrets: [...new Set(secrets)].filter((secret) => secret !== ""),
  };
}

/** Takes connections that broke out of the pool, which otherwise gives them to the next caller. */
class CheckedPool implements PostgresPool {
  readonly #pool: pg.Pool;
  readonly options: object;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.options = {};
  }

  async connect(): Promise<PostgresPoolClient> {
    const client = await this.#pool.connect();
    let broken = false;
    const note = (): void => {
      broken = true;
    };
    // Without a listener, the error of a connection that is in use would end the process.
    client.on("error", note);
    const query = async (text: string, parameters: readonly unknown[]): Promise<unknown> => {
      try {
        return await client.query(text, [...parameters]);
      } catch (error) {
        if (breaksConnection(error)) note();
        throw error;
      }
    };
    return {
      query: query as PostgresPoolClient["query"],
      release: (destroy = false) => {
        client.off("error", note);
        client.release(destroy || broken);
      },
    };
  }

  end(): Promise<void> {
    return this.#pool.end();
  }
}

/**
 * Connects to a database, and migrates it as needed.
 * @throws UnknownVersionError when a newer build has migrated it; InvalidInputError for a wrong URL; TallystickError
 *   DATABASE_UNAVAILABLE
 */
export async function openPostgresqlDatabase<Tables>(
  { url, connections = 10 }: PostgresqlOptions,
  migrations: Migrations,
): Promise<SqlDatabase<Tables>> {
  const { location, secrets } = locationOf(url);
  const pool = new pg.Pool({
    connectionString: url,
    max: connections,
    application_name: "tallystick-csp",
    connectionTimeoutMillis: CONNECT_MILLISECONDS,
    statement_timeout: STATEMENT_MILLISECONDS,
    query_timeout: SILENCE_MILLISECONDS,
    idle_in_transaction_session_timeout: 2 * STATEMENT_MILLISECONDS,
    keepAlive: true,
    types: { getTypeParser: parserOf as typeof pg.types.getTypeParser },
  });
  // An idle connection that breaks leaves the pool; the next call makes another.
  pool.on("error", () => undefined);
  const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: new CheckedPool(pool) }) });
  const database = new SqlDatabase<Tables>({
    engine: "postgresql",
    location,
    kysely,
    passingFailure,
    asTyped: (error, unknownOutcome) => asTypedError(error, location, secrets, unknownOutcome),
    close: () => kysely.destroy(),
  });
  try {
    await database.run((connected) => migrate(connected, "postgresql", migrations, location));
  } catch (error) {
    await database.close();
    throw error;
  }
  return database;
}
