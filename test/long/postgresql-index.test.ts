/**
 * A provider's index on a real PostgreSQL server: the suite of test/store/index, what two processes decide between
 * them, and what happens when the server goes away in the middle of it.
 */
import { randomBytes } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { inspect } from "node:util";
import { expect } from "chai";
import { TallystickError } from "../../offchain/core/errors.ts";
import { type CspTables, PROVIDER_MIGRATIONS } from "../../offchain/csp/tables.ts";
import { SharedBudgets } from "../../offchain/daemon/quota.ts";
import type { RecordedChunk } from "../../offchain/store/index/chunk-index.ts";
import type { CosignedState, NewDataSet, ProvingLoad } from "../../offchain/store/index/data-set-index.ts";
import { RECONCILIATION } from "../../offchain/store/index/leases.ts";
import type { NewSegment } from "../../offchain/store/index/segment-index.ts";
import { requireLife } from "../../offchain/store/index/sql/leases.ts";
import { openPostgresqlDatabase } from "../../offchain/store/index/sql/open-postgresql.ts";
import { SqlProviderIndex } from "../../offchain/store/index/sql/provider-index.ts";
import type { SqlDatabase } from "../../offchain/store/index/sql/sql-database.ts";
import { manifestFacts } from "../csp/manifest-facts.ts";
import { freePort } from "../helpers/local-chain.ts";
import { DATABASE_PASSWORD, PostgresqlServer } from "../helpers/postgresql.ts";
import { until } from "../helpers/promises.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { emptyTables, placeOn } from "../store/index/places.ts";
import { describeProviderIndex } from "../store/index/provider-index-suite.ts";

const account = (k: number) => `0x${k.toString(16).padStart(40, "0")}`;
const chunk = (challenges = 8): RecordedChunk => ({
  digest: new Uint8Array(randomBytes(32)),
  sizeBytes: 100,
  challenges: Array.from({ length: challenges }, () => ({
    nonce: new Uint8Array(randomBytes(16)),
    answer: new Uint8Array(randomBytes(32)),
  })),
});

interface Process {
  readonly database: SqlDatabase<CspTables>;
  readonly index: SqlProviderIndex;
}

/** Passes a connection on until it is told to cut it, or to swallow what comes. */
class Wire {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Called with each message of the client; true cuts the connection before the server sees it. */
  cutsBefore: (text: string) => boolean = () => false;
  /** As above, cuts after the server has seen it and before the client sees the answer. */
  cutsAfter: (text: string) => boolean = () => false;
  isSilent = false;
  refuses = false;

  private constructor(port: number, target: number) {
    this.port = port;
    this.#server = createServer((client) => {
      if (this.refuses) return void client.destroy();
      const upstream = connect(target, "127.0.0.1");
      let drops = false;
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => {
          this.#sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      client.on("data", (bytes) => {
        const text = bytes.toString("latin1");
        if (this.cutsBefore(text)) return void client.destroy();
        if (this.cutsAfter(text)) drops = true;
        if (!this.isSilent) upstream.write(bytes);
      });
      upstream.on("data", (bytes) => {
        if (drops) client.destroy();
        else if (!this.isSilent) client.write(bytes);
      });
    });
  }

  static async to(target: number): Promise<Wire> {
    const wire = new Wire(await freePort(), target);
    await new Promise<void>((resolve) => wire.#server.listen(wire.port, "127.0.0.1", resolve));
    return wire;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

describe("PostgreSQL", () => {
  let server: PostgresqlServer;
  let url: string;
  const opened: Process[] = [];

  before(async () => {
    server = await PostgresqlServer.start(["deadlock_timeout=100ms"]);
    url = await server.createDatabase("provider");
  });
  after(() => server?.remove());
  afterEach(async () => {
    for (const { database, index } of opened.splice(0)) {
      await index.close().catch(() => undefined);
      await database.close();
    }
  });

  const openDatabase = (at = url, connections = 10) =>
    openPostgresqlDatabase<CspTables>({ url: at, connections }, PROVIDER_MIGRATIONS);
  async function open(at = url, options: { leaseMilliseconds?: number } = {}): Promise<Process> {
    const database = await openDatabase(at);
    const process = { database, index: await SqlProviderIndex.open(database.part(), options) };
    opened.push(process);
    return process;
  }
  const two = async () => [await open(), await open()] as const;

  describeProviderIndex(
    "a real server",
    async () => {
      const database = await openDatabase();
      await emptyTables(database.part());
      await database.close();
      return placeOn(
        async () => (await openDatabase()).part(),
        () => undefined,
      );
    },
    { survivesReopening: true },
  );

  it("is migrated once by processes that start at once", async () => {
    const fresh = await server.createDatabase("started_by_many");
    await Promise.all(Array.from({ length: 6 }, () => open(fresh)));
    const steps = await server.query("started_by_many", "SELECT name FROM schema_migrations");
    expect(steps).to.deep.equal(Object.keys(PROVIDER_MIGRATIONS).map((name) => ({ name })));
  });

  it("is refused when a newer build has migrated it", async () => {
    const fresh = await server.createDatabase("of_the_future");
    const newer = { ...PROVIDER_MIGRATIONS, "9999 later": () => ["CREATE TABLE later (id BIGINT)"] };
    await (await openPostgresqlDatabase({ url: fresh }, newer)).close();
    const error = await expectAsyncRejection(() => openDatabase(fresh), "UNKNOWN_VERSION");
    expect(error).to.include({ received: "9999 later" });
  });

  describe("with two processes", () => {
    it("gives each ownership challenge to one claim", async () => {
      const [here, there] = await two();
      const chunks = Array.from({ length: 40 }, () => chunk());
      await here.index.chunks.record(account(1), chunks, 5);
      const claim = ({ index }: Process, who: number, order: 1 | -1) =>
        index.chunks.takeChallenges(
          account(who),
          chunks.toSorted(() => order).map((each) => ({ ...each, spareNonce: new Uint8Array(randomBytes(16)) })),
          1e9,
        );
      // Eight challenges for twelve claims on each chunk, in opposite orders.
      const claims = await Promise.all(
        Array.from({ length: 12 }, (_, k) => claim(k % 2 === 0 ? here : there, k, k % 3 === 0 ? 1 : -1)),
      );
      const answered = claims.flat().filter(({ answer }) => answer !== undefined);
      expect(answered.length).to.equal(40 * 8);
      expect(new Set(answered.map(({ nonce }) => Buffer.from(nonce).toString("hex"))).size).to.equal(40 * 8);
    });

    it("counts every chunk, owner and byte once when both record the same", async () => {
      const [here, there] = await two();
      const before = await here.index.chunks.totals();
      const chunks = Array.from({ length: 300 }, () => chunk(1));
      const record = ({ index }: Process, owner: number, order: 1 | -1) =>
        index.chunks.record(account(owner), order === 1 ? chunks : chunks.toReversed(), 5);
      await Promise.all(
        [10, 11, 12, 13, 10, 11].flatMap((owner, k) => [record(here, owner, 1), record(there, owner, k % 2 ? 1 : -1)]),
      );
      const totals = await there.index.chunks.totals();
      expect(totals.chunks - before.chunks).to.equal(300);
      expect(totals.storedBytes - before.storedBytes).to.equal(300 * 100);
      expect(totals.ownedBytes - before.ownedBytes).to.equal(4 * 300 * 100);
      expect(await here.index.chunks.usageOf(account(11))).to.deep.equal({ chunks: 300, bytes: 300 * 100 });
      const sets = await server.query(
        "provider",
        "SELECT count(*)::int AS n FROM challenge_sets s LEFT JOIN chunks c ON c.challenge_set = s.id " +
          "WHERE c.digest IS NULL",
      );
      expect(sets).to.deep.equal([{ n: 0 }]);
    });

    const newSet = (owner: number, k: number): NewDataSet => ({
      account: account(owner),
      salt: new Uint8Array(32).fill(k),
      key: { X: Uint8Array.of(1), XA: Uint8Array.of(2), XB: Uint8Array.of(3) },
      auditKeyHash: new Uint8Array(32),
      sliceElements: 1024,
      phase: 0,
      touchedAt: 1,
    });
    const newSegment = (dataSetId: number, k: number, firstIndex = 1): NewSegment => ({
      dataSetId,
      name: new Uint8Array(32).fill(k),
      manifestHash: new Uint8Array(32),
      commitmentSeed: new Uint8Array(32),
      firstIndex,
      touchedAt: 1,
    });

    it("keeps the limit of data sets that are not opened", async () => {
      const processes = await two();
      const begin = (k: number) => (processes[k % 2] ?? processes[0]).index.dataSets.begin(newSet(77, k), 5);
      const outcomes = await Promise.all(Array.from({ length: 20 }, (_, k) => begin(k)));
      expect(outcomes.filter(({ outcome }) => outcome === "created").length).to.equal(5);
    });

    it("keeps the limit of segments, and gives an index to one of them", async () => {
      const processes = await two();
      const [{ index }] = processes;
      const set = await index.dataSets.begin(newSet(76, 1), 5);
      if (set.outcome !== "created") throw new Error("the set is not created");
      const of = (k: number) => (processes[k % 2] ?? processes[0]).index;
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, k) => of(k).segments.begin(newSegment(set.id, k), 5)),
      );
      const created = outcomes.flatMap((each, k) => (each.outcome === "created" ? [{ id: each.id, k }] : []));
      expect(created.length).to.equal(5);
      // All five begin at the same index. Each is completed by the process that began it.
      const given = await Promise.all(created.map(({ id, k }) => of(k).segments.complete(id, manifestFacts(3))));
      expect(given.filter((outcome) => outcome === "given").length).to.equal(1);
      expect((await index.dataSets.find(set.id))?.givenIndex).to.equal(3);
    });

    const stateOf = (k: number): CosignedState => ({
      version: 1n,
      retirements: 0,
      ranges: Uint8Array.of(k),
      contentHash: `0x${"00".repeat(32)}`,
      deadlineBlock: 10,
      userSignature: "0x01",
      providerSignature: "0x02",
      transaction: undefined,
    });

    it("signs a version once", async () => {
      const processes = await two();
      const set = await processes[0].index.dataSets.begin(newSet(75, 1), 5);
      if (set.outcome !== "created") throw new Error("the set is not created");
      const record = (k: number) =>
        (processes[k % 2] ?? processes[0]).index.dataSets.recordState(set.id, stateOf(k), {
          segments: [],
          provingMilliseconds: 1,
        });
      const outcomes = await Promise.all(Array.from({ length: 12 }, (_, k) => record(k)));
      expect(outcomes.filter((outcome) => outcome === "recorded").length).to.equal(1);
      const states = await processes[1].index.dataSets.statesOf(set.id);
      expect(states.map(({ version, ranges }) => [version, ranges[0]])).to.deep.equal([
        [1n, outcomes.indexOf("recorded")],
      ]);
    });

    it("gives the last place of a window to one", async () => {
      const processes = await two();
      const of = (k: number) => (processes[k % 2] ?? processes[0]).index.dataSets;
      const choosePhase = (loads: readonly ProvingLoad[]) => loads.length;
      const before = (await of(0).loads()).length;
      const begun = await Promise.all(
        Array.from({ length: 8 }, (_, k) => of(k).begin({ ...newSet(1000 + k, 1), phase: choosePhase }, 5)),
      );
      const ids = begun.flatMap((each) => (each.outcome === "created" ? [each.id] : []));
      const phases = (await of(1).loads()).filter(({ id }) => ids.includes(id)).map(({ phase }) => phase);
      // No two of them saw the same loads.
      expect(phases.sort((a, b) => a - b)).to.deep.equal(ids.map((_, k) => before + k));
      const requireRoom = (loads: readonly ProvingLoad[]) => {
        const promised = loads.filter(({ id }) => ids.includes(id)).reduce((sum, one) => sum + one.milliseconds, 0);
        if (promised + 30 > 100) throw new TallystickError("no room", { code: "RATE_LIMITED" });
      };
      const outcomes = await Promise.allSettled(
        ids.map((id, k) => of(k).recordState(id, stateOf(k), { segments: [], provingMilliseconds: 30, requireRoom })),
      );
      expect(outcomes.filter(({ status }) => status === "fulfilled").length).to.equal(3);
      for (const each of outcomes) if (each.status === "rejected") expect(each.reason.code).to.equal("RATE_LIMITED");
    });

    it("charges one budget", async () => {
      const processes = await two();
      const limit = { scope: "test", capacity: 30, periodSeconds: 86_400 };
      const budgets = processes.map(({ database }) => new SharedBudgets(database.part()));
      const outcomes = await Promise.allSettled(
        Array.from({ length: 50 }, (_, k) => budgets[k % 2]?.take(limit, account(9), 1)),
      );
      expect(outcomes.filter(({ status }) => status === "fulfilled").length).to.equal(30);
    });

    it("takes from a budget while full ones are forgotten", async () => {
      const processes = await two();
      const limit = { scope: "pruned", capacity: 1e6, periodSeconds: 1 };
      const [here, there] = processes.map(({ database }) => new SharedBudgets(database.part()));
      let over = false;
      const pruning = Array.from({ length: 6 }, async () => {
        while (!over) await there?.prune();
      });
      const taking = Array.from({ length: 6 }, async (_, k) => {
        for (let round = 0; round < 60; round++) await here?.take(limit, account(k), 1);
      });
      await Promise.all(taking).finally(() => {
        over = true;
      });
      await Promise.all(pruning);
    });

    it("answers a claim once", async () => {
      const [here, there] = await two();
      const id = new Uint8Array(randomBytes(16));
      const limits = { perAccount: 3, inAll: 100 };
      await here.index.claims.open({ id, account: account(1), objects: [], expiresAt: 1e9 }, limits);
      expect(await there.index.claims.find(id)).not.to.equal(undefined);
      const ends = await Promise.all([here, there, here, there].map(({ index }) => index.claims.end(id)));
      expect(ends.filter(Boolean).length).to.equal(1);
    });

    it("lets one hold a lease until it releases it, or for as long as it lives", async () => {
      const [first, second] = [
        await open(url, { leaseMilliseconds: 800 }),
        await open(url, { leaseMilliseconds: 800 }),
      ];
      const held = await Promise.all([first, second].map(({ index }) => index.leases.hold("scrub")));
      expect(held.filter(Boolean).length).to.equal(1);
      const [holder, other] = held[0] ? [first, second] : [second, first];
      await pause(2000);
      expect(await other.index.leases.hold("scrub")).to.equal(false);
      await holder.index.leases.release("scrub");
      expect(await other.index.leases.hold("scrub")).to.equal(true);
      // The process ends without a word: its connections are gone, and nobody renews.
      await other.database.close();
      await pause(1200);
      expect(await holder.index.leases.hold("scrub")).to.equal(true);
    });

    it("refuses what a process began in a life that another one has ended, until it has registered again", async () => {
      const fresh = await server.createDatabase("lapsed");
      const [lapsed, other] = [await open(fresh, { leaseMilliseconds: 800 }), await open(fresh)];
      const { life } = lapsed.index.leases;
      const some = chunk();
      const past = "extract(epoch FROM clock_timestamp()) * 1000 - 1000";
      const expire = () => server.query("lapsed", `UPDATE leases SET expires_at = ${past} WHERE name = '${life}'`);
      // Lapsed, and nobody has relied on it.
      await expire();
      await lapsed.index.chunks.record(account(79), [chunk()], 5, life);
      expect(await other.index.leases.endLapsed(3600)).to.equal(1);
      // While the transaction is under way that requires the life, it is not over.
      await lapsed.database.write(async (transaction) => {
        await requireLife(lapsed.database.part(), transaction as never, life);
        await expire();
        expect(await other.index.leases.endLapsed(0)).to.equal(1);
      });
      expect(await other.index.leases.hold(RECONCILIATION)).to.equal(true);
      await until("it has lapsed", async () => {
        await expire();
        return (await other.index.leases.endLapsed(0)) === 0;
      });
      const refused = await expectAsyncRejection(
        () => lapsed.index.chunks.record(account(79), [some], 5, life),
        "CONFLICT",
      );
      expect(refused).to.include({ check: "lease of the process", retryable: true });
      expect(await lapsed.index.chunks.find([some.digest])).to.deep.equal([undefined]);
      // Not while the other one counts on being alone.
      await pause(1000);
      expect(lapsed.index.leases.life).to.equal(life);
      await other.index.leases.release(RECONCILIATION);
      await until("it is registered again", () => lapsed.index.leases.life !== life);
      await lapsed.index.chunks.record(account(79), [some], 5, lapsed.index.leases.life);
      await expectAsyncRejection(() => lapsed.index.chunks.record(account(79), [some], 5, life), "CONFLICT");
      expect(await other.index.leases.endLapsed(0)).to.equal(1);
    });

    it("does not take a lease up again that lapsed, since another may have had it meanwhile", async () => {
      const stalled = await openDatabase();
      let now = 0;
      const leases = (await SqlProviderIndex.open(stalled.part(), { leaseMilliseconds: 800, now: () => now })).leases;
      opened.push({ database: stalled, index: { close: () => leases.close() } as SqlProviderIndex });
      expect(await leases.hold("scrub")).to.equal(true);
      const lost = leases.lost("scrub");
      now += 1000;
      expect(leases.holds("scrub")).to.equal(false);
      await until("it is lost", () => lost.aborted, 5);
    });

    it("leaves a manifest that arrives to the process that receives it, while that lives", async () => {
      const [first, second] = [
        await open(url, { leaseMilliseconds: 800 }),
        await open(url, { leaseMilliseconds: 800 }),
      ];
      const set = await first.index.dataSets.begin(
        {
          account: account(78),
          salt: new Uint8Array(32),
          key: { X: Uint8Array.of(1), XA: Uint8Array.of(2), XB: Uint8Array.of(3) },
          auditKeyHash: new Uint8Array(32),
          sliceElements: 1024,
          phase: 0,
          touchedAt: 1,
        },
        5,
      );
      const dataSetId = set.outcome === "created" ? set.id : 0;
      const creation = await first.index.segments.begin(
        {
          dataSetId,
          name: new Uint8Array(32),
          manifestHash: new Uint8Array(32),
          commitmentSeed: new Uint8Array(32),
          firstIndex: 1,
          touchedAt: 1,
        },
        5,
      );
      const id = creation.outcome === "created" ? creation.id : 0;
      const incomplete = async () => (await second.index.segments.incomplete({ own: false })).map((each) => each.id);
      await pause(1500);
      expect(await incomplete()).not.to.include(id);
      await first.database.close();
      await pause(1200);
      expect(await incomplete()).to.include(id);
      await second.index.segments.delete(id);
    });
  });

  describe("behind a connection that fails", () => {
    let wire: Wire;
    let reached: Process;
    beforeEach(async () => {
      wire = await Wire.to(server.port);
      reached = await open(server.url("provider", wire.port));
    });
    afterEach(() => wire.close());

    const isCommit = (text: string) => /\bcommit\b/i.test(text);
    const once = (test: (text: string) => boolean) => {
      let struck = false;
      return (text: string) => {
        if (struck || !test(text)) return false;
        struck = true;
        return true;
      };
    };

    it("repeats what was cut off in the middle of a transaction, and does it once", async () => {
      for (const [k, cut] of ["begin", 'insert into "chunks"', 'insert into "owners"', "commit"].entries()) {
        const owner = account(200 + k);
        wire.cutsBefore = once((text) => text.includes(cut));
        await reached.index.chunks.record(owner, [chunk(), chunk()], 5);
        expect(await reached.index.chunks.usageOf(owner), cut).to.deep.equal({ chunks: 2, bytes: 200 });
      }
    });

    it("repeats what may happen twice when the answer to the commit is lost", async () => {
      const owner = account(300);
      wire.cutsAfter = once(isCommit);
      await reached.index.chunks.record(owner, [chunk()], 5);
      expect(await reached.index.chunks.usageOf(owner)).to.deep.equal({ chunks: 1, bytes: 100 });
    });

    it("says that the outcome is unknown where repeating could do it twice", async () => {
      const releases = await reached.index.heads.releasesOf(account(301));
      wire.cutsAfter = once(isCommit);
      const replaced = reached.index.heads.replace(
        account(301),
        { version: 0, releases },
        { version: 1, sealed: Uint8Array.of(1) },
      );
      const error = await expectAsyncRejection(() => replaced, "DATABASE_UNAVAILABLE");
      expect(error.details?.outcome).to.contain("unknown");
      expect((await reached.index.heads.find(account(301)))?.version).to.equal(1);
    });

    it("gives up after a while, with an error that names the endpoint and no password", async () => {
      wire.refuses = true;
      wire.cut();
      const error = await expectAsyncRejection(() => reached.index.ping(), "DATABASE_UNAVAILABLE");
      expect(error).to.include({ retryable: true, party: `database postgresql://127.0.0.1:${wire.port}/provider` });
      for (const text of [inspect(error, { depth: 9, showHidden: true }), JSON.stringify(error), error.stack]) {
        expect(text).not.to.contain(DATABASE_PASSWORD);
      }
      wire.refuses = false;
      await reached.index.ping();
    }).timeout(120_000);

    it("goes on after a server that fell silent", async () => {
      wire.isSilent = true;
      const work = reached.index.ping();
      await pause(500);
      wire.cut();
      wire.isSilent = false;
      await work;
    });

    it("tells a wrong password without telling it", async () => {
      const wrong = server.url("provider").replace(DATABASE_PASSWORD, "wrong-7730aa");
      const error = await expectAsyncRejection(() => openDatabase(wrong), "DATABASE_UNAVAILABLE");
      expect(error.retryable).to.equal(false);
      expect(inspect(error, { depth: 9, showHidden: true })).not.to.contain("wrong-7730aa");
      await expectAsyncRejection(() => openDatabase(server.url("nowhere")), "DATABASE_UNAVAILABLE");
    });
  });

  it("loses nothing that was acknowledged when the server crashes again and again", async () => {
    const { index } = await open();
    const acknowledged: Uint8Array[] = [];
    // A record whose answer was lost may have happened all the same.
    const tried = new Map<string, Uint8Array[]>();
    let stop = false;
    const write = async (owner: string) => {
      const digests: Uint8Array[] = [];
      tried.set(owner, digests);
      while (!stop) {
        const some = Array.from({ length: 16 }, () => chunk(1));
        digests.push(...some.map(({ digest }) => digest));
        try {
          await index.chunks.record(owner, some, 5);
          acknowledged.push(...some.map(({ digest }) => digest));
        } catch (error) {
          expect(error).to.be.instanceOf(TallystickError).with.property("code", "DATABASE_UNAVAILABLE");
        }
      }
    };
    const writers = Promise.all(Array.from({ length: 4 }, (_, k) => write(account(400 + k))));
    for (let crash = 0; crash < 3; crash++) {
      await pause(300 + Math.random() * 700);
      await server.stop("SIGQUIT");
      await pause(Math.random() * 1000);
      await server.resume();
    }
    await pause(500);
    stop = true;
    await writers;
    expect(acknowledged.length).to.be.greaterThan(100);
    const rows = await index.chunks.find(acknowledged);
    expect(rows.every((row) => row?.stored === true)).to.equal(true);
    for (const [owner, digests] of tried) {
      const owned = (await index.chunks.owns(owner, digests)).filter(Boolean).length;
      expect(owned % 16, "each record as a whole or not at all").to.equal(0);
      expect(await index.chunks.usageOf(owner)).to.deep.equal({ chunks: owned, bytes: owned * 100 });
    }
  });
});
