/**
 * `npm run bench:kills`: kill -9 of the provider's process and of a put's process at random requests while both write,
 * on the file store or on a real S3 server (versitygw, which .ci/peers builds).
 *
 *   npm run bench:kills -- [--kills 1000] [--store file|s3] [--minutes n] [--json]
 *
 * After every kill, what was acknowledged since the one before is fetched and hashed. From time to time, and at the
 * end, so is everything that was ever acknowledged, and every put that has finished is read and compared. Bar: no
 * object and no put is missing or wrong. `--minutes` ends the run early. TALLYSTICK_TEST_SEED repeats the moments.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Agent } from "../../offchain/agent/node/index.ts";
import type { HttpStorageProvider } from "../../offchain/agent/providers/http-provider.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { notServed, providerFor } from "../../test/helpers/acknowledged.ts";
import { Interruptions, type Moment } from "../../test/helpers/interruptions.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../../test/helpers/local-net.ts";
import { newPerson, type Person, withAgentOf } from "../../test/helpers/people.ts";
import { type S3Server, startS3Server } from "../../test/helpers/real-peers.ts";
import { chance, SEED } from "../../test/helpers/seeded.ts";
import { type StartedCommand, startTallystick } from "../demo/command.ts";

const FULL_CHECK_KILLS = 200;
/** A kill that does not come about within this time means that nothing writes any more. */
const STRIKE_SECONDS = 120;
const LONGEST_DELAY_MILLISECONDS = 120;
/** Of one put: files that are chunks of their own, and files that share a bundle. */
const LARGE_FILES = 3;
const LARGE_FILE_BYTES = 300_000;
const SMALL_FILES = 20;
/** Clients beside the put that store small objects, so that the provider writes for several at once. */
const WRITERS = 2;
const WRITER_OBJECTS = 2;
const WRITER_OBJECT_BYTES = 8_000;
const WRITER_PAUSE_MILLISECONDS = 100;

type StoreKind = "file" | "s3";
type Victim = "provider" | "agent";

export interface KillFigures {
  readonly store: StoreKind;
  readonly seed: string;
  readonly minutes: number;
  readonly kills: Readonly<Record<Victim, number>>;
  readonly acknowledgedObjects: number;
  readonly fetchedObjects: number;
  readonly finishedPuts: number;
  /** Bar: 0. */
  readonly missingOrWrong: number;
}

/** Objects that the provider acknowledged to one account. */
class Account {
  readonly provider: HttpStorageProvider;
  readonly acknowledged = new Set<string>();
  /** Since the last check. */
  fresh: string[] = [];

  constructor(provider: HttpStorageProvider) {
    this.provider = provider;
  }

  note(ids: Iterable<string>): void {
    for (const id of ids) {
      if (this.acknowledged.has(id)) continue;
      this.acknowledged.add(id);
      this.fresh.push(id);
    }
  }
}

/** Puts of one person, each run again until it finishes. */
class Puts {
  readonly #net: LocalNet;
  readonly #person: Person;
  #command: StartedCommand | undefined;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();
  #count = 0;
  finished: { readonly dataId: string; readonly folder: string }[] = [];

  constructor(net: LocalNet, person: Person) {
    this.#net = net;
    this.#person = person;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** @returns whether a process was there to be killed */
  kill(): boolean {
    return this.#command?.process.kill("SIGKILL") ?? false;
  }

  /** Waits until the put that is under way has finished. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) await this.putOnce();
  }

  async putOnce(): Promise<void> {
    const folder = this.#makeFolder();
    for (;;) {
      this.#command = startTallystick(this.#person, ["--json", "put", folder, "--no-data-set"]);
      const { exitCode, stdout } = await this.#command.ended;
      if (exitCode !== 0) continue;
      this.finished.push({ dataId: (JSON.parse(stdout) as { dataId: string }).dataId, folder });
      return;
    }
  }

  #makeFolder(): string {
    const folder = join(this.#net.dir, `put ${this.#count++}`);
    mkdirSync(folder);
    for (let k = 0; k < LARGE_FILES; k++) writeFileSync(join(folder, `large ${k}`), randomBytes(LARGE_FILE_BYTES));
    for (let k = 0; k < SMALL_FILES; k++) writeFileSync(join(folder, `small ${k}`), randomBytes(1 + k * 500));
    return folder;
  }

  /** Reads what has finished since the last call. @returns data ids of those that are not as they were put */
  async damaged(): Promise<string[]> {
    const damaged: string[] = [];
    await withAgentOf(this.#net, this.#person, async (agent) => {
      for (const { dataId, folder } of this.finished.splice(0)) {
        try {
          if (!(await isIntact(agent, dataId, folder))) damaged.push(dataId);
        } catch (error) {
          if (!(error instanceof TallystickError) || error.retryable) throw error;
          damaged.push(dataId);
        }
        rmSync(folder, { recursive: true });
      }
    });
    return damaged;
  }
}

/** Whether a put gives back every file of a folder. Without a target: a restore starts threads for each put. */
async function isIntact(agent: Agent, dataId: string, folder: string): Promise<boolean> {
  const missing = new Set(readdirSync(folder));
  for await (const entry of agent.getEntries(dataId)) {
    if (entry.type !== "file") continue;
    const name = basename(entry.path);
    const bytes = await new Response(entry.stream()).bytes();
    if (Buffer.compare(bytes, readFileSync(join(folder, name))) !== 0) return false;
    missing.delete(name);
  }
  return missing.size === 0;
}

/** Stores objects until it is told to stop. What fails is not acknowledged. */
async function storeObjects(account: Account, isStopped: () => boolean): Promise<void> {
  while (!isStopped()) {
    const objects = Array.from({ length: WRITER_OBJECTS }, () => {
      const sealed = new Uint8Array(randomBytes(1 + Math.floor(Math.random() * WRITER_OBJECT_BYTES)));
      return { id: contentId(sealed), sealed };
    });
    try {
      await account.provider.store(objects);
      account.note(objects.map(({ id }) => id));
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
    }
    await pause(WRITER_PAUSE_MILLISECONDS);
  }
}

/** The request with this place among those that write at the provider. */
function toWrite(place: number): Moment["request"] {
  let passed = 0;
  return ({ method, path }) => {
    if (method !== "POST" || !/^\/v1\/(chunks|claims)/.test(path)) return false;
    passed += 1;
    return passed === place;
  };
}

class Bench {
  readonly #net: LocalNet;
  readonly #wires: Interruptions;
  readonly #puts: Puts;
  readonly #accounts: { readonly alice: Account; readonly writer: Account };
  readonly kills = { provider: 0, agent: 0 };
  fetched = 0;
  finishedPuts = 0;
  missingOrWrong = 0;

  private constructor(net: LocalNet, wires: Interruptions, puts: Puts, accounts: { alice: Account; writer: Account }) {
    this.#net = net;
    this.#wires = wires;
    this.#puts = puts;
    this.#accounts = accounts;
  }

  static async on(net: LocalNet, wires: Interruptions): Promise<Bench> {
    const deploymentFile = join(net.dir, "by-way-of-proxies.json");
    writeFileSync(deploymentFile, JSON.stringify(wires.deploymentOf(net)));
    const person = { ...(await newPerson(net, "alice")), deploymentFile };
    const alice = new Account(providerFor(net, person.recoveryPhrase));
    const writer = new Account(providerFor(net, newRecoveryPhrase()));
    return new Bench(net, wires, new Puts(net, person), { alice, writer });
  }

  get acknowledged(): number {
    return Object.values(this.#accounts).reduce((sum, { acknowledged }) => sum + acknowledged.size, 0);
  }

  /** @param until when no further kill begins, by `performance.now` */
  async run(kills: number, until: number): Promise<void> {
    await this.#puts.putOnce();
    const usualRequests = this.#wires.requests;
    this.#collect();
    let isStopped = false;
    const writers = Array.from({ length: WRITERS }, () => storeObjects(this.#accounts.writer, () => isStopped));
    this.#puts.start();
    while (this.#killed < kills && performance.now() < until) {
      await this.#strike(this.#killed, usualRequests);
      await this.#checkFresh();
      if (this.#killed % FULL_CHECK_KILLS === 0) await this.#checkAll();
    }
    isStopped = true;
    await Promise.all([...writers, this.#puts.stop()]);
    this.#collect();
    await this.#checkAll();
  }

  get #killed(): number {
    return this.kills.provider + this.kills.agent;
  }

  /** One kill, at a request that follows from the round. */
  async #strike(round: number, usualRequests: number): Promise<void> {
    const victim: Victim = chance(`${round}: victim`, 2) === 0 ? "provider" : "agent";
    const place = 1 + chance(`${round}: request`, victim === "agent" ? usualRequests : 6);
    const moment: Moment = {
      when: (["before", "after", "later"] as const)[chance(`${round}: when`, 3)] ?? "before",
      request: victim === "agent" ? place : toWrite(place),
      delayMilliseconds: chance(`${round}: delay`, LONGEST_DELAY_MILLISECONDS),
    };
    this.#collect();
    await new Promise<void>((resolve, reject) => {
      const late = () => reject(new Error(`nothing was struck at in ${STRIKE_SECONDS} seconds; ${this.#wires.struck}`));
      const timer = setTimeout(late, STRIKE_SECONDS * 1000);
      this.#wires.plan(moment, async () => {
        clearTimeout(timer);
        if (victim === "agent") {
          if (this.#puts.kill()) this.kills.agent += 1;
          resolve();
          return;
        }
        await this.#net.provider.process.stop("SIGKILL");
        this.kills.provider += 1;
        this.#net.provider.process.start().then(resolve, reject);
      });
    });
  }

  /** Takes over what the wires have seen. */
  #collect(): void {
    this.#accounts.alice.note(this.#wires.acknowledged);
    this.#wires.reset();
  }

  async #checkFresh(): Promise<void> {
    this.#collect();
    for (const account of Object.values(this.#accounts)) await this.#check(account, account.fresh.splice(0));
  }

  async #checkAll(): Promise<void> {
    for (const account of Object.values(this.#accounts)) {
      account.fresh = [];
      await this.#check(account, [...account.acknowledged]);
    }
    this.finishedPuts += this.#puts.finished.length;
    const damaged = await this.#puts.damaged();
    for (const dataId of damaged) process.stderr.write(`  put ${dataId} is damaged\n`);
    this.missingOrWrong += damaged.length;
    process.stderr.write(`  ${this.#killed} kills, ${this.acknowledged} objects: ${this.missingOrWrong} wrong\n`);
  }

  async #check({ provider }: Account, ids: readonly string[]): Promise<void> {
    const wrong = await notServed(provider, ids);
    this.fetched += ids.length;
    this.missingOrWrong += wrong.size;
    for (const [id, message] of wrong) process.stderr.write(`  ${id}: ${message}\n`);
  }
}

/** The configuration of a store on a server, with the file of its keys. */
function storeOn({ url, bucket, accessKeyId, secretAccessKey }: S3Server, folder: string): Record<string, unknown> {
  const credentialsFile = join(folder, "s3-credentials");
  const lines = [`aws_access_key_id=${accessKeyId}`, `aws_secret_access_key=${secretAccessKey}`, ""];
  writeFileSync(credentialsFile, lines.join("\n"), { mode: 0o600 });
  return { kind: "s3", endpoint: url, bucket, name: "killed", credentialsFile };
}

async function measureKills(store: StoreKind, kills: number, minutes: number): Promise<KillFigures> {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-bench-kills-"));
  const server = store === "s3" ? await startS3Server() : undefined;
  const net = await startLocalNet({
    ...SMALL_COMMITTEE,
    epochBlocks: 100_000,
    nbmConfig: { relayBudget: { perAccount: 100_000, total: 100_000, periodSeconds: 86_400 } },
    cspConfig: server === undefined ? {} : { store: storeOn(server, folder) },
  });
  const wires = await Interruptions.start(net);
  try {
    const bench = await Bench.on(net, wires);
    const begin = performance.now();
    await bench.run(kills, begin + minutes * 60_000);
    return {
      store,
      seed: SEED,
      minutes: (performance.now() - begin) / 60_000,
      kills: bench.kills,
      acknowledgedObjects: bench.acknowledged,
      fetchedObjects: bench.fetched,
      finishedPuts: bench.finishedPuts,
      missingOrWrong: bench.missingOrWrong,
    };
  } finally {
    await wires.stop();
    await net.stop();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "1000" },
    store: { type: "string", default: "file" },
    minutes: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const [kills, minutes] = [Number(values.kills), Number(values.minutes ?? Number.POSITIVE_INFINITY)];
const { store } = values;
if (!Number.isSafeInteger(kills) || kills < 1 || Number.isNaN(minutes) || (store !== "file" && store !== "s3")) {
  process.stderr.write("usage: npm run bench:kills -- [--kills n] [--store file|s3] [--minutes n] [--json]\n");
  process.exit(2);
}
const figures = await measureKills(store, kills, minutes);
if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);
else {
  process.stdout.write(
    `${figures.kills.provider} kills of the provider and ${figures.kills.agent} of the put, store ${store}, in ` +
      `${figures.minutes.toFixed(1)} minutes (seed ${figures.seed})\n` +
      `${figures.acknowledgedObjects} objects acknowledged, ${figures.fetchedObjects} fetched in checks, ` +
      `${figures.finishedPuts} puts finished and read\n` +
      `${figures.missingOrWrong} missing or wrong (bar 0)\n`,
  );
}
process.exit(figures.missingOrWrong === 0 ? 0 : 1);
