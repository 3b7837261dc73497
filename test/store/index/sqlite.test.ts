import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "chai";
import { InvalidInputError, TallystickError, UnknownVersionError } from "../../../offchain/core/errors.ts";
import { inTransaction, openDatabase } from "../../../offchain/store/index/sqlite.ts";
import { runOnSmallDisk } from "../../helpers/small-disk.ts";

const SQLITE_URL = new URL("../../../offchain/store/index/sqlite.ts", import.meta.url).href;
const MIGRATIONS = [
  "CREATE TABLE owner (id INTEGER PRIMARY KEY) STRICT",
  "CREATE TABLE item (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES owner (id), bytes BLOB) STRICT",
];

describe("sqlite store", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-sqlite-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const pathOf = (name: string) => join(folder, name);
  const rows = (database: DatabaseSync, sql: string) =>
    database
      .prepare(sql)
      .all()
      .map((row) => ({ ...row }));

  it("opens in write-ahead mode, fully synchronous, with foreign keys, in files of mode 0600", () => {
    const database = openDatabase(pathOf("deep/a.db"), { migrations: MIGRATIONS });
    expect(rows(database, "PRAGMA journal_mode")).to.deep.equal([{ journal_mode: "wal" }]);
    expect(rows(database, "PRAGMA synchronous")).to.deep.equal([{ synchronous: 2 }]);
    expect(rows(database, "PRAGMA busy_timeout")).to.deep.equal([{ timeout: 5000 }]);
    expect(() => database.exec("INSERT INTO item VALUES (1, 99, NULL)")).to.throw("FOREIGN KEY constraint failed");
    for (const suffix of ["", "-wal", "-shm"]) {
      expect(statSync(pathOf(`deep/a.db${suffix}`)).mode & 0o777, suffix).to.equal(0o600);
    }
    database.close();
  });

  it("migrates step by step, each step once, and keeps what was there", () => {
    const first = openDatabase(pathOf("a.db"), { migrations: MIGRATIONS.slice(0, 1) });
    first.exec("INSERT INTO owner VALUES (7)");
    first.close();
    const steps: number[] = [];
    const migrations = [...MIGRATIONS, () => void steps.push(3)];
    for (const _ of [1, 2]) {
      const database = openDatabase(pathOf("a.db"), { migrations });
      expect(rows(database, "SELECT id FROM owner")).to.deep.equal([{ id: 7 }]);
      expect(rows(database, "PRAGMA user_version")).to.deep.equal([{ user_version: 3 }]);
      database.close();
    }
    expect(steps).to.deep.equal([3]);
  });

  it("leaves schema and version as they were before a migration that fails half way", () => {
    const broken = [MIGRATIONS[0] ?? "", "CREATE TABLE item (id INTEGER) STRICT; CREATE TABLE nonsense"];
    expect(() => openDatabase(pathOf("a.db"), { migrations: broken })).to.throw("incomplete input");
    const plain = new DatabaseSync(pathOf("a.db"));
    expect(rows(plain, "PRAGMA user_version")).to.deep.equal([{ user_version: 1 }]);
    expect(rows(plain, "SELECT name FROM sqlite_schema")).to.deep.equal([{ name: "owner" }]);
    plain.close();
    // The repaired step runs where the broken one did.
    openDatabase(pathOf("a.db"), { migrations: MIGRATIONS }).close();
  });

  it("refuses a database that a newer build has migrated", () => {
    openDatabase(pathOf("a.db"), { migrations: MIGRATIONS }).close();
    expect(() => openDatabase(pathOf("a.db"), { migrations: MIGRATIONS.slice(0, 1) })).to.throw(
      UnknownVersionError,
      "has format version 2",
    );
  });

  it("takes all of a transaction or none of it", () => {
    const database = openDatabase(":memory:", { migrations: MIGRATIONS });
    expect(database.transaction(() => database.prepare("INSERT INTO owner VALUES (1)").run().changes)).to.equal(1);
    const failure = new Error("half way");
    expect(() =>
      database.transaction(() => {
        database.exec("INSERT INTO owner VALUES (2)");
        throw failure;
      }),
    ).to.throw(failure);
    expect(rows(database, "SELECT id FROM owner")).to.deep.equal([{ id: 1 }]);
    expect(database.isTransaction).to.equal(false);
  });

  it("lets an inner transaction fail alone", () => {
    const database = openDatabase(":memory:", { migrations: MIGRATIONS });
    inTransaction(database, () => {
      database.exec("INSERT INTO owner VALUES (1)");
      expect(() =>
        inTransaction(database, () => {
          database.exec("INSERT INTO owner VALUES (2)");
          throw new Error("inner");
        }),
      ).to.throw("inner");
      inTransaction(database, () => database.exec("INSERT INTO owner VALUES (3)"));
    });
    expect(rows(database, "SELECT id FROM owner")).to.deep.equal([{ id: 1 }, { id: 3 }]);
  });

  it("waits for the disk again after work that need not survive the machine, also when that fails", () => {
    const database = openDatabase(pathOf("a.db"), { migrations: MIGRATIONS });
    const level = () => rows(database, "PRAGMA synchronous");
    const during = database.transientTransaction(() => {
      database.exec("INSERT INTO owner VALUES (1)");
      return level();
    });
    expect([during, level()]).to.deep.equal([[{ synchronous: 1 }], [{ synchronous: 2 }]]);
    const failing = () =>
      database.transientTransaction(() => {
        database.exec("INSERT INTO owner VALUES (2)");
        throw new Error("half way");
      });
    expect(failing).to.throw("half way");
    expect(level()).to.deep.equal([{ synchronous: 2 }]);
    expect(rows(database, "SELECT id FROM owner")).to.deep.equal([{ id: 1 }]);
    database.close();
  });

  it("refuses asynchronous work in a transaction and undoes it", () => {
    const database = openDatabase(":memory:", { migrations: MIGRATIONS });
    const work = async () => database.exec("INSERT INTO owner VALUES (1)");
    expect(() => database.transaction(work)).to.throw(InvalidInputError, "must be synchronous");
    expect(rows(database, "SELECT id FROM owner")).to.deep.equal([]);
  });

  it("says that another process holds the lock, after the busy timeout", () => {
    const options = { migrations: MIGRATIONS, busyTimeoutMillis: 20 };
    const holder = openDatabase(pathOf("a.db"), options);
    const waiter = openDatabase(pathOf("a.db"), options);
    holder.transaction(() => {
      const attempt = () => waiter.transaction(() => undefined);
      expect(attempt).to.throw(TallystickError, "another process holds its lock").with.include({
        code: "DISK_FAILED",
        retryable: true,
      });
    });
    waiter.transaction(() => undefined);
    holder.close();
    waiter.close();
  });

  it("says that a file is no database, or that its folder cannot be made", () => {
    writeFileSync(
      pathOf("text.db"),
      "this is not a database, but long enough to have a header of a hundred bytes".repeat(4),
    );
    expect(() => openDatabase(pathOf("text.db"), { migrations: [] }))
      .to.throw(TallystickError, "damaged")
      .with.include({
        code: "DISK_FAILED",
      });
    expect(() => openDatabase(pathOf("text.db/below.db"), { migrations: [] }))
      .to.throw(TallystickError)
      .with.include({
        code: "DISK_FAILED",
      });
  });

  it("reports a full disk as such, keeps what was committed, and goes on when there is room", () => {
    const database = openDatabase(pathOf("a.db"), { migrations: MIGRATIONS });
    database.exec("INSERT INTO owner VALUES (1); PRAGMA max_page_count = 40");
    const insert = database.prepare("INSERT INTO item (owner, bytes) VALUES (1, zeroblob(4096))");
    let kept = 0;
    const fill = () => {
      for (;;) {
        database.transaction(() => insert.run());
        kept++;
      }
    };
    expect(fill).to.throw(TallystickError, "no space left").with.include({ code: "DISK_FULL", retryable: true });
    expect(kept).to.be.greaterThan(0);
    expect(rows(database, "SELECT count(*) AS n FROM item")).to.deep.equal([{ n: kept }]);
    database.exec("PRAGMA max_page_count = 1000");
    database.transaction(() => insert.run());
    expect(rows(database, "SELECT count(*) AS n FROM item")).to.deep.equal([{ n: kept + 1 }]);
    database.close();
  });

  it("meets a really full disk with a typed error and loses nothing committed", () => {
    const { kind, printed } = runOnSmallDisk(
      `
      import { join } from "node:path";
      import { openDatabase } from ${JSON.stringify(SQLITE_URL)};
      const migrations = ["CREATE TABLE item (bytes BLOB) STRICT"];
      const open = () => openDatabase(join(process.argv[1], "a.db"), { migrations });
      const database = open();
      const insert = database.prepare("INSERT INTO item VALUES (zeroblob(8192))");
      let acknowledged = 0;
      let code;
      try { for (;;) { insert.run(); acknowledged++; } } catch (error) { code = error.code; }
      // A second handle reads what is on disk, as after a crash.
      const kept = open().prepare("SELECT count(*) AS n FROM item").get().n;
      console.log(JSON.stringify({ code, acknowledged, kept }));
    `,
      1_000_000,
    );
    const { code, acknowledged, kept } = printed as { code: string; acknowledged: number; kept: number };
    // SQLite tells a full device from other failures; of a file size limit it says only that a write failed.
    expect(code).to.equal(kind === "file system" ? "DISK_FULL" : "DISK_FAILED");
    expect(acknowledged).to.be.greaterThan(10);
    expect(kept).to.equal(acknowledged);
  });

  it("says that the disk is full at whatever moment of opening space runs out", () => {
    const { kind, printed } = runOnSmallDisk(
      `
      import { appendFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
      import { join } from "node:path";
      import { openDatabase } from ${JSON.stringify(SQLITE_URL)};
      const migrations = ["CREATE TABLE item (bytes BLOB) STRICT"];
      const fill = join(process.argv[1], "fill");
      const outcomes = [];
      for (let pages = 0; pages < 12; pages++) {
        writeFileSync(fill, "");
        try {
          for (;;) appendFileSync(fill, new Uint8Array(4096));
        } catch (error) {
          if (!["ENOSPC", "EFBIG"].includes(error.code)) throw error;
        }
        truncateSync(fill, Math.max(0, statSync(fill).size - pages * 4096));
        try {
          const database = openDatabase(join(process.argv[1], "a.db"), { migrations });
          database.exec("INSERT INTO item VALUES (zeroblob(20000))");
          outcomes.push("opened");
          database.close();
        } catch (error) { outcomes.push(error.code); }
        for (const suffix of ["", "-wal", "-shm"]) rmSync(join(process.argv[1], "a.db" + suffix), { force: true });
      }
      console.log(JSON.stringify(outcomes));
    `,
      1_000_000,
    );
    const outcomes = printed as string[];
    expect(outcomes.length).to.equal(12);
    // A limit on the size of each file leaves room for other files, so there everything opens.
    expect(new Set(outcomes)).to.deep.equal(new Set([kind === "file system" ? "DISK_FULL" : "opened"]));
  });

  it("keeps every transaction that returned when the process is killed", () => {
    const script = `
      import { openDatabase } from ${JSON.stringify(SQLITE_URL)};
      import { writeSync } from "node:fs";
      const database = openDatabase(process.argv[1], { migrations: ["CREATE TABLE item (n INTEGER) STRICT"] });
      const insert = database.prepare("INSERT INTO item VALUES (?)");
      for (let n = 1; ; n++) {
        insert.run(n);
        writeSync(1, n + "\\n");
        if (n === 137) process.kill(process.pid, "SIGKILL");
      }
    `;
    const node = ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", script, pathOf("a.db")];
    const child = spawnSync(process.execPath, node, { encoding: "utf8" });
    expect(child.signal).to.equal("SIGKILL");
    const acknowledged = Number(child.stdout.trim().split("\n").at(-1));
    const database = openDatabase(pathOf("a.db"), { migrations: ["CREATE TABLE item (n INTEGER) STRICT"] });
    expect(rows(database, "SELECT max(n) AS n FROM item")).to.deep.equal([{ n: acknowledged }]);
    database.close();
  });
});
