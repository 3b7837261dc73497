/**
 * A committee of NBM nodes for tests: real processes of offchain/nbm/main.ts with their own folders, on a chain of
 * local-chain.ts.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { hexlify, randomBytes, type Signer } from "ethers";
import { openKeystore } from "../../offchain/core/identity/keystore.ts";
import type { NodeAnswer } from "../../offchain/core/wire/nbm.ts";
import { createDaemonKeystore } from "../../offchain/daemon/keystore-file.ts";
import { type SessionDomain, sessionMessage } from "../../offchain/http/sessions.ts";
import { deriveNodeKeys, type NodeKeys } from "../../offchain/nbm/node-keys.ts";
import { programPath } from "../../scripts/programs.ts";
import { endProcess, type LocalChain } from "./local-chain.ts";
import { until } from "./promises.ts";

export const PASSPHRASE = "nodes in tests";
const STAKE_WEI = 10n ** 18n;

export interface CommitteeOptions {
  readonly size?: number;
  readonly threshold?: number;
  /** Further fields of the nodes' configuration. */
  readonly config?: Record<string, unknown>;
  /** Whether the first node creates the committee on chain; true unless given. */
  readonly form?: boolean;
}

/** An HTTP answer. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came back
  readonly json: any;
}

export class TestNode {
  readonly operator: string;
  readonly folder: string;
  url = "";
  #process: ChildProcess | undefined;
  #log = "";
  readonly #domain: SessionDomain;

  constructor(operator: string, folder: string, domain: SessionDomain) {
    this.operator = operator;
    this.folder = folder;
    this.#domain = domain;
  }

  get configFile(): string {
    return join(this.folder, "config.json");
  }

  /** The end of what the process has logged. */
  get log(): string {
    return this.#log;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  /** Changes fields of the configuration; for the next start. */
  configure(fields: Record<string, unknown>): void {
    const config = JSON.parse(readFileSync(this.configFile, "utf8")) as Record<string, unknown>;
    writeFileSync(this.configFile, JSON.stringify({ ...config, ...fields }));
  }

  /** Starts the process and waits for its ready line. */
  async start(): Promise<void> {
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", programPath("tallystick-nbm"), "--config", this.configFile],
      {
        env: { ...process.env, TALLYSTICK_PASSPHRASE: PASSPHRASE },
        stdio: ["ignore", "pipe", process.env.TALLYSTICK_TEST_LOGS === undefined ? "pipe" : "inherit"],
      },
    );
    this.#process = child;
    this.#log = "";
    child.stderr?.on("data", (part: Buffer) => {
      this.#log = (this.#log + part.toString()).slice(-20_000);
    });
    child.on("exit", () => {
      if (this.#process === child) this.#process = undefined;
    });
    await new Promise<void>((resolve, reject) => {
      child.on("exit", (code, signal) => reject(new Error(`node ended with ${code ?? signal}: ${this.#log}`)));
      createInterface({ input: child.stdout as NodeJS.ReadableStream }).once("line", (line) => {
        this.url = (JSON.parse(line) as { url: string }).url;
        resolve();
      });
    });
  }

  /** SIGTERM, or SIGKILL for a crash. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    await endProcess(child, signal);
  }

  /** The node's keys, for tests that look into its database or speak for it. */
  async keys(): Promise<NodeKeys> {
    const keystore = JSON.parse(readFileSync(join(this.folder, "keystore.json"), "utf8"));
    return deriveNodeKeys(await openKeystore(keystore, PASSPHRASE));
  }

  async request(
    method: string,
    path: string,
    options: { token?: string; body?: unknown; raw?: string } = {},
  ): Promise<Answer> {
    const body = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, json: text.startsWith("{") ? JSON.parse(text) : text };
  }

  async describe(): Promise<NodeAnswer> {
    return (await this.request("GET", "/v1/node")).json as NodeAnswer;
  }

  /** The body of a `POST /v1/sessions`. */
  async sessionRequest(signer: Signer, over: { audience?: string; expiresAt?: number; nonce?: string } = {}) {
    const message = {
      account: await signer.getAddress(),
      audience: over.audience ?? this.operator,
      nonce: over.nonce ?? hexlify(randomBytes(32)),
      expiresAt: over.expiresAt ?? Math.floor(Date.now() / 1000) + 600,
    };
    const typed = sessionMessage(this.#domain, message);
    return { ...message, signature: await signer.signTypedData(typed.domain, typed.types, typed.message) };
  }

  /** A token for an account. */
  async openSession(signer: Signer): Promise<string> {
    const answer = await this.request("POST", "/v1/sessions", { body: await this.sessionRequest(signer) });
    if (answer.status !== 200) throw new Error(`no session: ${JSON.stringify(answer.json)}`);
    return answer.json.token as string;
  }
}

/** Waits until a condition holds. */

export class TestCommittee {
  readonly nodes: readonly TestNode[];
  readonly #folder: string;

  constructor(nodes: readonly TestNode[], folder: string) {
    this.nodes = nodes;
    this.#folder = folder;
  }

  async startAll(): Promise<void> {
    await Promise.all(this.nodes.filter((node) => !node.running).map((node) => node.start()));
  }

  /** Waits until every node says that it serves committee `id`. */
  async ready(id = "1", timeoutSeconds = 60): Promise<void> {
    await until(
      `committee ${id} ready`,
      async () => {
        const answers = await Promise.all(this.nodes.map((node) => node.describe()));
        return answers.every(({ committees }) => committees.some((each) => each.committeeId === id && each.ready));
      },
      timeoutSeconds,
    );
  }

  /** Ends all nodes and removes their folders. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.end()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Makes and funds the nodes of a committee; the first of them forms it on chain once all are registered. */
export async function prepareCommittee(local: LocalChain, options: CommitteeOptions = {}): Promise<TestCommittee> {
  const { size = 5, threshold = 3, config = {}, form = true } = options;
  const folder = mkdtempSync(join(tmpdir(), "tallystick-nbm-"));
  const deploymentFile = join(folder, "deployment.json");
  writeFileSync(deploymentFile, JSON.stringify(local.deployment));
  const { chainId, contracts } = local.deployment;
  const domain = { chainId: BigInt(chainId), contract: contracts.keyLedger };
  const nodes: TestNode[] = [];
  for (let position = 0; position < size; position++) {
    const nodeFolder = join(folder, `node-${position + 1}`);
    mkdirSync(nodeFolder);
    // The keystore is as cheap to open as the format allows: its cost is tested elsewhere.
    const operator = await createDaemonKeystore(join(nodeFolder, "keystore.json"), PASSPHRASE, "nbm", {
      n: 2,
      r: 8,
      p: 1,
    });
    nodes.push(new TestNode(operator, nodeFolder, domain));
  }
  await local.fund(nodes.map(({ operator }) => operator));
  const members = nodes.map(({ operator }) => operator);
  for (const [position, node] of nodes.entries()) {
    const file = {
      listen: { host: "127.0.0.1", port: 0 },
      dataDir: "data",
      deploymentFile: "../deployment.json",
      keystoreFile: "keystore.json",
      autoRegister: { stakeWei: String(STAKE_WEI) },
      pollMilliseconds: 100,
      releaseConfirmations: 1,
      // A chain that mines nothing unasked stands still between tests.
      releaseMaximumAgeSeconds: 1_000_000_000,
      logLevel: "debug",
      ...(form && position === 0 ? { formCommittee: { members, threshold } } : {}),
      ...config,
    };
    writeFileSync(node.configFile, JSON.stringify(file));
  }
  return new TestCommittee(nodes, folder);
}
