/**
 * `npm run bench:index`: what a provider's index costs when it is small and when it is large, on SQLite and PostgreSQL,
 * and how many claims a provider answers.
 *
 *   npm run bench:index -- [--objects 200000] [--engine sqlite|postgresql] [--no-claims] [--json]
 *
 * Bars: an insert in fsynced batches of 256 at 10 million objects costs at most 5 times what it costs at 10 thousand, a
 * look-up at most 2.5 times; 64 clients at once get at least 0.9 times the throughput of one.
 *
 * The small and the large index take turns, batch by batch, so that both meet the same load of the machine.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sql } from "kysely";
import { checksumAddress } from "../../offchain/core/encoding/address.ts";
import { PROVIDER_MIGRATIONS } from "../../offchain/csp/tables.ts";
import type { RecordedChunk } from "../../offchain/store/index/chunk-index.ts";
import { openPostgresqlDatabase } from "../../offchain/store/index/sql/open-postgresql.ts";
import { openSqliteDatabase } from "../../offchain/store/index/sql/open-sqlite.ts";
import { SqlProviderIndex } from "../../offchain/store/index/sql/provider-index.ts";
import type { ProviderTables } from "../../offchain/store/index/sql/provider-tables.ts";
import type { SqlDatabase } from "../../offchain/store/index/sql/sql-database.ts";
import type { Database } from "../../offchain/store/index/sqlite.ts";
import { PostgresqlServer } from "../../test/helpers/postgresql.ts";
import { median } from "./data-figures.ts";
import { type ClaimFigures, measureClaims } from "./index-claims.ts";

const SMALL_OBJECTS = 10_000;
const BATCH_OBJECTS = 256;
/** Enough that several checkpoints fall into them. */
const MEASURED_BATCHES = 96;
/** Objects of one transaction while an index is filled. */
const FILL_OBJECTS = 100_000;
/** SQLite's cache while an index is filled: inserting millions of random digests into the usual one takes hours. */
const FILL_CACHE_KIB = 4 * 1024 * 1024;
const BAR = { insert: 5, lookUp: 2.5, clients: 0.9 };
const ACCOUNT = checksumAddress(new Uint8Array(20).fill(0xa1));
/** As docs/operating.md advises. */
const POSTGRESQL_SETTINGS = [
  "shared_buffers=1GB",
  "max_wal_size=8GB",
  "checkpoint_timeout=30min",
  "wal_compression=lz4",
];

type Engine = "sqlite" | "postgresql";

interface Cost {
  /** Mean over the batches: what checkpoints cost is part of it. */
  readonly microseconds: number;
  readonly medianMicroseconds: number;
}

interface IndexFigures {
  readonly engine: Engine;
  readonly objects: number;
  readonly fillSeconds: number;
  readonly insert: { readonly small: Cost; readonly large: Cost; readonly ratio: number };
  readonly lookUp: { readonly small: Cost; readonly large: Cost; readonly ratio: number };
}

/** Digests are random, and need not be remembered. */
function digestOf(k: number): Uint8Array {
  return new Uint8Array(createHash("sha256").update(`object ${k}`).digest());
}

function chunkOf(k: number): RecordedChunk {
  const digest = digestOf(k);
  const challenges = Array.from({ length: 8 }, () => ({ nonce: digest.subarray(0, 16), answer: digest }));
  return { digest, sizeBytes: 65_536, challenges };
}

/** Rows of the objects first to last. SQLite is given a function for the hash. */
function fillStatements(engine: Engine, first: number, last: number): readonly string[] {
  const isSqlite = engine === "sqlite";
  const numbers = isSqlite
    ? `(WITH RECURSIVE n (k) AS (VALUES (${first}) UNION ALL SELECT k + 1 FROM n WHERE k < ${last}) SELECT k FROM n)`
    : `(SELECT k FROM generate_series(${first}, ${last}) AS s (k))`;
  const digest = isSqlite ? "digest_of(k)" : "sha256(convert_to('object ' || k, 'UTF8'))";
  const packed = isSqlite ? "zeroblob(384)" : "decode(repeat('00', 384), 'hex')";
  return [
    `INSERT INTO challenge_sets (id, digest, packed) SELECT k + 1, ${digest}, ${packed} FROM ${numbers} AS numbers`,
    `INSERT INTO chunks (digest, size_bytes, state, stored_at, challenge_set)
       SELECT ${digest}, 65536, 'stored', 1, k + 1 FROM ${numbers} AS numbers`,
    `INSERT INTO owners (account, digest, since) SELECT '${ACCOUNT}', ${digest}, 1 FROM ${numbers} AS numbers`,
    ...(isSqlite ? [] : [`SELECT setval(pg_get_serial_sequence('challenge_sets', 'id'), ${last + 1})`]),
  ];
}

/** A database, and how statements of any length are run on it in one transaction. */
interface Opened {
  readonly database: SqlDatabase<ProviderTables>;
  readonly runAll: (statements: readonly string[]) => Promise<unknown>;
}

class Subject {
  readonly #opened: Opened;
  readonly #index: SqlProviderIndex;
  objects = 0;

  private constructor(opened: Opened, index: SqlProviderIndex) {
    this.#opened = opened;
    this.#index = index;
  }

  static async of(opened: Opened): Promise<Subject> {
    return new Subject(opened, await SqlProviderIndex.open(opened.database));
  }

  async grow(count: number): Promise<number> {
    const chunks = Array.from({ length: count }, (_, k) => chunkOf(this.objects + k));
    const start = performance.now();
    await this.#index.chunks.record(ACCOUNT, chunks, 1);
    this.objects += count;
    return performance.now() - start;
  }

  /** Adds what `grow` would add, in the same random order, by statements of the database alone. */
  async fill(objects: number): Promise<void> {
    const { database, runAll } = this.#opened;
    for (; this.objects < objects; this.objects = Math.min(objects, this.objects + FILL_OBJECTS)) {
      const [first, last] = [this.objects, Math.min(objects, this.objects + FILL_OBJECTS) - 1];
      await runAll(fillStatements(database.engine, first, last));
      if (last > SMALL_OBJECTS && (last + 1) % (10 * FILL_OBJECTS) === 0)
        process.stderr.write(`  ${last + 1} objects\n`);
    }
    if (database.engine === "sqlite") return;
    // As the server does by itself after a while.
    await runAll(["VACUUM ANALYZE"]);
    await runAll(["CHECKPOINT"]);
  }

  /** Looks a batch up, half of which is there. */
  async lookUp(): Promise<number> {
    const digests = Array.from({ length: BATCH_OBJECTS }, (_, k) =>
      digestOf(k % 2 === 0 ? Math.floor(Math.random() * this.objects) : -1 - Math.floor(Math.random() * 1e9)),
    );
    const start = performance.now();
    await this.#index.chunks.find(digests);
    return performance.now() - start;
  }

  close(): Promise<void> {
    return this.#index.close();
  }
}

function costOf(milliseconds: readonly number[]): Cost {
  const perObject = 1000 / BATCH_OBJECTS;
  const mean = milliseconds.reduce((sum, each) => sum + each, 0) / milliseconds.length;
  return { microseconds: mean * perObject, medianMicroseconds: median(milliseconds) * perObject };
}

async function compare(small: Subject, large: Subject, measure: (subject: Subject) => Promise<number>) {
  const [ofSmall, ofLarge]: [number[], number[]] = [[], []];
  for (let batch = 0; batch < MEASURED_BATCHES; batch++) {
    ofSmall.push(await measure(small));
    ofLarge.push(await measure(large));
  }
  const figures = { small: costOf(ofSmall), large: costOf(ofLarge) };
  return { ...figures, ratio: figures.large.microseconds / figures.small.microseconds };
}

async function measureIndex(
  engine: Engine,
  objects: number,
  open: (name: string) => Promise<Opened>,
): Promise<IndexFigures> {
  const opened = [await open("small"), await open("large")] as const;
  const [small, large] = [await Subject.of(opened[0]), await Subject.of(opened[1])];
  try {
    const start = performance.now();
    await small.fill(SMALL_OBJECTS);
    await large.fill(objects);
    const fillSeconds = (performance.now() - start) / 1000;
    // Look-ups first, at the sizes that the figures name.
    const lookUp = await compare(small, large, (subject) => subject.lookUp());
    const insert = await compare(small, large, (subject) => subject.grow(BATCH_OBJECTS));
    return { engine, objects, fillSeconds, insert, lookUp };
  } finally {
    for (const subject of [small, large]) await subject.close();
    for (const { database } of opened) await database.close();
  }
}

async function onSqlite(objects: number): Promise<IndexFigures> {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-bench-index-"));
  try {
    return await measureIndex("sqlite", objects, async (name) => {
      const path = join(folder, `${name}.db`);
      let fills: Database | undefined;
      const database = await openSqliteDatabase<ProviderTables>(path, PROVIDER_MIGRATIONS, (handle) => {
        handle.function("digest_of", { deterministic: true }, (k) => digestOf(Number(k)));
        fills = handle;
      });
      const [{ cache_size: usual } = {}] = [fills?.prepare("PRAGMA cache_size").get()];
      const runAll = async (statements: readonly string[]) => {
        fills?.exec(`PRAGMA cache_size = -${FILL_CACHE_KIB}`);
        await database.write(
          async (transaction) => {
            for (const statement of statements) await sql.raw(statement).execute(transaction);
          },
          { durable: false },
        );
        fills?.exec(`PRAGMA cache_size = ${Number(usual)}`);
      };
      return { database, runAll };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function onPostgresql(objects: number): Promise<IndexFigures> {
  const server = await PostgresqlServer.start(POSTGRESQL_SETTINGS);
  try {
    return await measureIndex("postgresql", objects, async (name) => {
      const url = await server.createDatabase(name);
      const database = await openPostgresqlDatabase<ProviderTables>({ url }, PROVIDER_MIGRATIONS);
      // By a connection of its own: the server cancels a statement of the provider's connections after half a minute,
      // and VACUUM of millions of rows takes longer. Statements that are sent together are one transaction.
      return { database, runAll: (statements) => server.query(name, statements.join(";")) };
    });
  } finally {
    await server.remove();
  }
}

function print(figures: IndexFigures): void {
  const { engine, objects, insert, lookUp, fillSeconds } = figures;
  const line = (what: string, { small, large, ratio }: IndexFigures["insert"], bar: number) =>
    `  ${what}: ${small.microseconds.toFixed(1)} µs an object at ${SMALL_OBJECTS}, ` +
    `${large.microseconds.toFixed(1)} at ` +
    `${objects}: ${ratio.toFixed(2)}× (bar ${bar}×; medians ${small.medianMicroseconds.toFixed(1)} and ` +
    `${large.medianMicroseconds.toFixed(1)})\n`;
  process.stdout.write(
    `${engine}, filled in ${Math.round(fillSeconds)} s\n` +
      line("insert ", insert, BAR.insert) +
      line("look-up", lookUp, BAR.lookUp),
  );
}

function printClaims(figures: ClaimFigures): void {
  const { engine, one, many, ratio } = figures;
  process.stdout.write(
    `claims on ${engine}: ${one.perSecond.toFixed(1)} a second by one client, ${many.perSecond.toFixed(1)} by ` +
      `${many.clients}: ${ratio.toFixed(2)}× (bar ${BAR.clients}×); p50 ${many.p50Milliseconds.toFixed(0)} ms and ` +
      `p99 ${many.p99Milliseconds.toFixed(0)} ms under load, ${one.p50Milliseconds.toFixed(0)} and ` +
      `${one.p99Milliseconds.toFixed(0)} for one client\n`,
  );
}

const { values } = parseArgs({
  options: {
    objects: { type: "string", default: "200000" },
    engine: { type: "string" },
    "no-claims": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const objects = Number(values.objects);
const engines = (["sqlite", "postgresql"] as const).filter((each) => (values.engine ?? each) === each);
if (!Number.isSafeInteger(objects) || objects < SMALL_OBJECTS || engines.length === 0) {
  process.stderr.write(
    "usage: npm run bench:index -- [--objects n] [--engine sqlite|postgresql] [--no-claims] [--json]\n",
  );
  process.exit(2);
}

const indexes: IndexFigures[] = [];
const claims: ClaimFigures[] = [];
for (const engine of engines) {
  const figures = await (engine === "sqlite" ? onSqlite(objects) : onPostgresql(objects));
  indexes.push(figures);
  if (!values.json) print(figures);
  if (values["no-claims"]) continue;
  const answered = await measureClaims(engine);
  claims.push(answered);
  if (!values.json) printClaims(answered);
}
if (values.json) process.stdout.write(`${JSON.stringify({ indexes, claims, bars: BAR })}\n`);
// The chain's provider keeps timers.
process.exit(0);
