/**
 * A storage provider for tests: a real process of offchain/csp/main.ts with its own folder, on a chain of
 * local-chain.ts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Static, TSchema } from "@sinclair/typebox";
import { hexlify, randomBytes, type Signer } from "ethers";
import {
  CHUNK_FRAMES,
  type ClaimAnswer,
  ClaimAnswer as ClaimAnswerSchema,
  ClaimOutcome,
  OCTET_STREAM,
  StoreChunksAnswer,
} from "../../offchain/core/wire/csp.ts";
import { parseAnswer } from "../../offchain/core/wire/schema.ts";
import { createDaemonKeystore } from "../../offchain/daemon/keystore-file.ts";
import { sessionMessage } from "../../offchain/http/sessions.ts";
import { programPath } from "../../scripts/programs.ts";
import { endProcess, type LocalChain } from "../helpers/local-chain.ts";
import { answersFor, frame, type TestChunk } from "./provider-fixture.ts";

const PASSPHRASE = "providers in tests";
export const NATIVE = `0x${"0".repeat(40)}`;

/** Prices that make small amounts visible, and short windows. */
export const TEST_OFFER = {
  prices: [{ token: NATIVE, pricePerGibEpoch: "1000000000000", minimumFeePerEpoch: "1000000" }],
  compensationPercent: 200,
  bountyPercent: 10,
  breachLimit: 2,
  windowBlocks: 5,
  sampleCount: 20,
};

/** An HTTP answer. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came back
  readonly json: any;
}

export interface ProcessOptions {
  readonly environment?: NodeJS.ProcessEnv;
}

export class ProviderProcess {
  readonly operator: string;
  readonly folder: string;
  url = "";
  log = "";
  readonly #local: LocalChain;
  /** Added to that of the tests; for the next start. */
  environment: NodeJS.ProcessEnv;
  #process: ChildProcess | undefined;

  private constructor(operator: string, folder: string, local: LocalChain, options: ProcessOptions) {
    this.operator = operator;
    this.folder = folder;
    this.#local = local;
    this.environment = options.environment ?? {};
  }

  /** Makes keystore and configuration, and funds the operator. @param config - fields besides the common ones */
  static async prepare(
    local: LocalChain,
    config: Record<string, unknown> = {},
    options: ProcessOptions = {},
  ): Promise<ProviderProcess> {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-provider-"));
    // As cheap to open as the format allows: the cost of keystores is tested elsewhere.
    const cost = { n: 2, r: 8, p: 1 };
    const operator = await createDaemonKeystore(join(folder, "keystore.json"), PASSPHRASE, "csp", cost);
    const provider = new ProviderProcess(operator, folder, local, options);
    provider.deploymentFrom(local);
    provider.configure(config);
    await local.fund([operator]);
    return provider;
  }

  /** Another process of the same provider: the same keystore, a data folder of its own. */
  async sibling(config: Record<string, unknown> = {}): Promise<ProviderProcess> {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-provider-"));
    copyFileSync(join(this.folder, "keystore.json"), join(folder, "keystore.json"));
    const options = { environment: this.environment };
    const provider = new ProviderProcess(this.operator, folder, this.#local, options);
    provider.deploymentFrom(this.#local);
    provider.configure(config);
    return provider;
  }

  /** Writes the configuration; for the next start. */
  configure(config: Record<string, unknown>): void {
    const common = {
      listen: { host: "127.0.0.1", port: 0 },
      dataDir: "data",
      deploymentFile: "deployment.json",
      keystoreFile: "keystore.json",
      pollMilliseconds: 50,
      proofRetrySeconds: 1,
      offer: TEST_OFFER,
    };
    writeFileSync(join(this.folder, "config.json"), JSON.stringify({ ...common, ...config }));
  }

  /** Another chain; for the next start. */
  deploymentFrom(local: LocalChain): void {
    writeFileSync(join(this.folder, "deployment.json"), JSON.stringify(local.deployment));
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  /** Largest resident memory of the process so far, in bytes. Linux only. */
  peakMemoryBytes(): number {
    const status = readFileSync(`/proc/${this.#process?.pid}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  }

  get dataDir(): string {
    return join(this.folder, "data");
  }

  /** Starts the process and waits for its ready line. @param wrapper - a command that runs the rest of its arguments */
  async start(wrapper: readonly string[] = []): Promise<void> {
    const [command = process.execPath, ...rest] = [
      ...wrapper,
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      programPath("tallystick-csp"),
      "--config",
      join(this.folder, "config.json"),
    ];
    const child = spawn(command, rest, {
      env: { ...process.env, TALLYSTICK_PASSPHRASE: PASSPHRASE, ...this.environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    child.stderr.on("data", (part: Buffer) => {
      this.log += part.toString();
      if (process.env.TALLYSTICK_TEST_LOGS !== undefined) process.stderr.write(part);
    });
    child.on("exit", () => {
      if (this.#process === child) this.#process = undefined;
    });
    await new Promise<void>((resolve, reject) => {
      child.on("exit", (code, signal) => reject(new Error(`provider ended with ${code ?? signal}: ${this.log}`)));
      createInterface({ input: child.stdout }).once("line", (line) => {
        this.url = (JSON.parse(line) as { url: string }).url;
        resolve();
      });
    });
  }

  /** SIGTERM, or SIGKILL for a crash. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.#process !== undefined) await endProcess(this.#process, signal);
  }

  /** Ends the process and removes its folder. */
  async remove(): Promise<void> {
    await this.end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async request(
    method: string,
    path: string,
    options: { token?: string; body?: unknown; bytes?: Uint8Array; type?: string } = {},
  ): Promise<Answer> {
    const body = options.bytes ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
    const streamType = path === "/v1/chunks" ? CHUNK_FRAMES : OCTET_STREAM;
    const type = options.type ?? (options.bytes === undefined ? "application/json" : streamType);
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
        ...(body === undefined ? {} : { "content-type": type }),
      },
      ...(body === undefined ? {} : { body: body as BodyInit }),
    });
    const bytes = new Uint8Array(await response.arrayBuffer());
    const text = new TextDecoder().decode(bytes);
    const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
    return { status: response.status, headers: response.headers, bytes, json: isJson ? JSON.parse(text) : text };
  }

  /** The value of a metric without labels, or with the labels as they are printed. */
  async metric(name: string): Promise<number> {
    const text = (await this.request("GET", "/metrics")).json as string;
    const line = text.split("\n").find((each) => each.startsWith(`${name}{`) || each.startsWith(`${name} `));
    return Number(line?.split(" ").at(-1));
  }

  /** The body of a `POST /v1/sessions`. */
  async sessionRequest(signer: Signer, over: { audience?: string; expiresAt?: number; nonce?: string } = {}) {
    const message = {
      account: await signer.getAddress(),
      audience: over.audience ?? this.operator,
      nonce: over.nonce ?? hexlify(randomBytes(32)),
      expiresAt: over.expiresAt ?? Math.floor(Date.now() / 1000) + 600,
    };
    const { chainId, contracts } = this.#local.deployment;
    const typed = sessionMessage({ chainId: BigInt(chainId), contract: contracts.storageEscrow }, message);
    return { ...message, signature: await signer.signTypedData(typed.domain, typed.types, typed.message) };
  }

  async connect(signer: Signer): Promise<ProviderClient> {
    const answer = await this.request("POST", "/v1/sessions", { body: await this.sessionRequest(signer) });
    if (answer.status !== 200) throw new Error(`no session: ${JSON.stringify(answer.json)}`);
    return new ProviderClient(this, answer.json.token as string);
  }
}

/** One account's session with a provider. */
export class ProviderClient {
  readonly #provider: ProviderProcess;
  readonly token: string;

  constructor(provider: ProviderProcess, token: string) {
    this.#provider = provider;
    this.token = token;
  }

  request(method: string, path: string, options: { body?: unknown; bytes?: Uint8Array; type?: string } = {}) {
    return this.#provider.request(method, path, { ...options, token: this.token });
  }

  async #checked<Schema extends TSchema>(schema: Schema, answer: Promise<Answer>): Promise<Static<Schema>> {
    const { status, json } = await answer;
    if (status !== 200 && status !== 202) throw new Error(`status ${status}: ${JSON.stringify(json)}`);
    return parseAnswer(schema, json, "provider");
  }

  async upload(...chunks: TestChunk[]): Promise<string[]> {
    const bytes = new Uint8Array(Buffer.concat(chunks.map((chunk) => frame(chunk))));
    return (await this.#checked(StoreChunksAnswer, this.request("POST", "/v1/chunks", { bytes }))).stored;
  }

  claim(chunks: readonly TestChunk[]): Promise<ClaimAnswer> {
    const body = { chunks: chunks.map(({ id, bytes }) => ({ id, sizeBytes: bytes.length })) };
    return this.#checked(ClaimAnswerSchema, this.request("POST", "/v1/claims", { body }));
  }

  prove(claim: ClaimAnswer, chunks: readonly TestChunk[]): Promise<Static<typeof ClaimOutcome>> {
    const path = `/v1/claims/${claim.claimId}/answers`;
    return this.#checked(
      ClaimOutcome,
      this.request("POST", path, { body: answersFor(claim, chunks, this.#provider.operator) }),
    );
  }
}
