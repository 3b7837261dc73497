/**
 * Tallystick's side of `npm run bench:data`: a network of real processes, a user with a home of their own, and commands
 * measured together with what the daemons spend on them.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Devnet, type DevnetDaemon, startDevnet } from "../devnet/start-devnet.ts";
import { programPath } from "../programs.ts";
import type { Cost, DaemonCost } from "./data-figures.ts";
import { writeHalfDuplicateTree } from "./data-trees.ts";
import { type ProcessReading, readProcess, resetPeak, runToSuccess } from "./process-cost.ts";

const NODES = 5;
const THRESHOLD = 3;
/** Two hours: no audit falls into a measurement. The contracts allow windows of up to 8,191 blocks. */
const EPOCH_BLOCKS = 8000;
/** As daemons have them that are not told otherwise; a devnet polls more often. */
const DEFAULT_POLL_MILLISECONDS = { node: 1000, provider: 2000 } as const;
/** Daemons look at the chain at their start; a measurement begins after that. */
const SETTLE_MILLISECONDS = 2000;
/** Large files of the other user: what daemons do all day is compiled after some hundred requests. */
const WARM_UP_FILES = 16;

export interface MeasuredCommand {
  readonly cost: Cost;
  readonly daemons: DaemonCost;
  readonly document: Record<string, unknown>;
}

export class MeasuredNetwork {
  readonly #devnet: Devnet;
  readonly #dir: string;
  readonly #environment: Readonly<Record<string, string>>;
  /** Of the user; once `init` has made it. */
  #account = "";

  private constructor(devnet: Devnet, dir: string) {
    this.#devnet = devnet;
    this.#dir = dir;
    this.#environment = {
      TALLYSTICK_HOME: join(dir, "home"),
      TALLYSTICK_DEPLOYMENT: devnet.deploymentFile,
      TALLYSTICK_PASSPHRASE: "bench",
    };
  }

  /**
   * Starts a network in an empty folder, and a user. Another user stores and restores a little first: daemons run for
   * weeks, so that code which the first requests of their life compile is no part of a measurement.
   */
  static async start(dir: string, blockTimeSeconds: number): Promise<MeasuredNetwork> {
    mkdirSync(dir, { recursive: true });
    const devnet = await startDevnet({
      dir: join(dir, "net"),
      nodes: NODES,
      threshold: THRESHOLD,
      epochBlocks: EPOCH_BLOCKS,
      blockTimeSeconds,
      nbmConfig: { pollMilliseconds: DEFAULT_POLL_MILLISECONDS.node },
      cspConfig: { pollMilliseconds: DEFAULT_POLL_MILLISECONDS.provider },
    });
    const network = new MeasuredNetwork(devnet, dir);
    try {
      await network.#warmUp();
      network.#account = String((await network.#run(["init"])).document.account);
      await pause(SETTLE_MILLISECONDS);
      return network;
    } catch (error) {
      await devnet.stop();
      throw error;
    }
  }

  async #warmUp(): Promise<void> {
    const another = new MeasuredNetwork(this.#devnet, join(this.#dir, "warm-up"));
    const source = join(this.#dir, "warm-up", "files");
    writeHalfDuplicateTree(source, WARM_UP_FILES);
    await another.#run(["init"]);
    const { dataId } = (await another.#run(["put", source, "--no-data-set", "--domain", "warm-up"])).document;
    await another.#run(["get", String(dataId), "-o", join(this.#dir, "warm-up", "out")]);
  }

  async #run(args: readonly string[]): Promise<{ cost: Cost; document: Record<string, unknown> }> {
    const { stdout, wallSeconds, cpuSeconds, peakBytes } = await runToSuccess({
      command: process.execPath,
      args: [programPath("tallystick"), "--json", ...args],
      env: this.#environment,
      logFile: join(this.#dir, "commands.log"),
    });
    return { cost: { wallSeconds, cpuSeconds, peakBytes }, document: JSON.parse(stdout) };
  }

  /** Runs a command as the user. @throws Error when it fails */
  async measure(args: readonly string[]): Promise<MeasuredCommand> {
    const { provider, nodes } = this.#devnet;
    resetPeak(provider.process.pid);
    const before = this.#readDaemons(provider, nodes);
    const { cost, document } = await this.#run(args);
    const after = this.#readDaemons(provider, nodes);
    const daemons = {
      providerCpuSeconds: after.provider.cpuSeconds - before.provider.cpuSeconds,
      providerPeakBytes: after.provider.peakBytes,
      nodesCpuSeconds: after.nodesCpuSeconds - before.nodesCpuSeconds,
    };
    return { cost, daemons, document };
  }

  /** Runs a put as the user, and takes what it says of what it has added. */
  async measureAdding(path: string): Promise<MeasuredCommand> {
    const before = await this.#transactions();
    const measured = await this.measure(["put", path]);
    const { uploadedBytes, dataSets } = measured.document as {
      uploadedBytes: number;
      dataSets: { sentBytes: number; addedSlices: number }[];
    };
    const sum = (of: (set: { sentBytes: number; addedSlices: number }) => number) =>
      dataSets.reduce((total, set) => total + of(set), 0);
    const cost = {
      ...measured.cost,
      sentBytes: uploadedBytes + sum(({ sentBytes }) => sentBytes),
      addedSlices: sum(({ addedSlices }) => addedSlices),
      userTransactions: (await this.#transactions()) - before,
    };
    return { ...measured, cost };
  }

  /** Transactions that the user's account has ever sent. */
  async #transactions(): Promise<number> {
    const body = { jsonrpc: "2.0", id: 1, method: "eth_getTransactionCount", params: [this.#account, "latest"] };
    const answer = await fetch(this.#devnet.chain.rpcUrl, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return Number(((await answer.json()) as { result: string }).result);
  }

  /** Has the provider's program check every stored byte, for which the provider is stopped. @throws Error on damage */
  async checkStore(): Promise<Cost> {
    const { provider } = this.#devnet;
    await provider.process.stop();
    try {
      const { stdout, wallSeconds, cpuSeconds, peakBytes } = await runToSuccess({
        command: process.execPath,
        args: [
          programPath("tallystick-csp"),
          "check",
          "--config",
          join(provider.dir, "config.json"),
          "--read-data",
          "--json",
        ],
        logFile: join(this.#dir, "commands.log"),
      });
      return { wallSeconds, cpuSeconds, peakBytes, readBytes: Number(JSON.parse(stdout).readBytes) };
    } finally {
      await provider.process.start();
    }
  }

  #readDaemons(
    provider: DevnetDaemon,
    nodes: readonly DevnetDaemon[],
  ): { provider: ProcessReading; nodesCpuSeconds: number } {
    const spent = nodes.map((node) => readProcess(node.process.pid).cpuSeconds);
    return { provider: readProcess(provider.process.pid), nodesCpuSeconds: spent.reduce((sum, one) => sum + one, 0) };
  }

  async stop(): Promise<void> {
    await this.#devnet.stop();
  }
}
