/**
 * A PostgreSQL server for tests: Debian's `postgresql` on a free loopback port, with a data folder of its own. It runs
 * as the user `postgres` when the tests run as root, which the server refuses. Its superuser has a password.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { freePort } from "./local-chain.ts";

/** Occurs in no message, no log and no command line. */
export const DATABASE_PASSWORD = "hush-4f1c0a";
const INSTALLED = "/usr/lib/postgresql";
const START_SECONDS = 60;

/** Folder of `initdb` and `postgres`. */
function binaries(): string {
  const versions = existsSync(INSTALLED) ? readdirSync(INSTALLED).sort((a, b) => Number(b) - Number(a)) : [];
  for (const version of versions) {
    const folder = join(INSTALLED, version, "bin");
    if (existsSync(join(folder, "postgres"))) return folder;
  }
  throw new Error("this test needs PostgreSQL: apt-get install postgresql");
}

/** User and group for the server's processes. */
function serverUser(): { uid: number; gid: number } | Record<string, never> {
  if (process.getuid?.() !== 0) return {};
  const idOf = (option: string) => Number(execFileSync("id", [option, "postgres"], { encoding: "utf8" }));
  return { uid: idOf("-u"), gid: idOf("-g") };
}

export class PostgresqlServer {
  readonly port: number;
  readonly #folder: string;
  readonly #settings: readonly string[];
  #process: ChildProcess | undefined;
  #log = "";

  private constructor(port: number, folder: string, settings: readonly string[]) {
    this.port = port;
    this.#folder = folder;
    this.#settings = settings;
  }

  /** @param settings as for `postgres -c`, for example `max_connections=20` */
  static async start(settings: readonly string[] = []): Promise<PostgresqlServer> {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-postgresql-"));
    const user = serverUser();
    if ("uid" in user) chownSync(folder, user.uid, user.gid);
    const passwordFile = join(folder, "password");
    writeFileSync(passwordFile, DATABASE_PASSWORD);
    if ("uid" in user) chownSync(passwordFile, user.uid, user.gid);
    const data = join(folder, "data");
    execFileSync(
      join(binaries(), "initdb"),
      ["-D", data, "-U", "tally", "--auth=scram-sha-256", `--pwfile=${passwordFile}`, "-E", "UTF8", "--locale=C.UTF-8"],
      { ...user, stdio: ["ignore", "ignore", "inherit"], cwd: folder },
    );
    const server = new PostgresqlServer(await freePort(), folder, settings);
    await server.resume();
    return server;
  }

  /** Address of a database, with user and password. */
  url(name: string, port = this.port): string {
    return `postgresql://tally:${DATABASE_PASSWORD}@127.0.0.1:${port}/${name}`;
  }

  /** Starts the server again, and waits until it answers. */
  async resume(): Promise<void> {
    const settings = ["listen_addresses=127.0.0.1", `unix_socket_directories=${this.#folder}`, ...this.#settings];
    const child = spawn(
      join(binaries(), "postgres"),
      ["-D", join(this.#folder, "data"), "-p", String(this.port), ...settings.flatMap((each) => ["-c", each])],
      { ...serverUser(), stdio: ["ignore", "ignore", "pipe"], cwd: this.#folder },
    );
    this.#process = child;
    child.stderr.on("data", (part: Buffer) => {
      this.#log += part.toString();
    });
    for (let waited = 0; ; waited += 0.1) {
      if (child.exitCode !== null) throw new Error(`PostgreSQL ended with ${child.exitCode}: ${this.#log}`);
      try {
        await this.query("postgres", "SELECT 1");
        return;
      } catch (error) {
        if (waited > START_SECONDS) throw error;
        await pause(100);
      }
    }
  }

  /** Ends the server. @param signal SIGINT: connections are cut; SIGQUIT: as in a crash, and the next start recovers */
  async stop(signal: "SIGINT" | "SIGQUIT" = "SIGINT"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  async query(database: string, text: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: this.url(database), connectionTimeoutMillis: 5000 });
    client.on("error", () => undefined);
    await client.connect();
    try {
      return (await client.query(text)).rows as Record<string, unknown>[];
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async createDatabase(name: string): Promise<string> {
    await this.query("postgres", `CREATE DATABASE ${name}`);
    return this.url(name);
  }

  /** Ends the server and removes its data. */
  async remove(): Promise<void> {
    await this.stop("SIGQUIT");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
