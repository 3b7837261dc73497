/**
 * A development chain as a process of its own: anvil, or Hardhat's node. Both know the same ten rich accounts.
 * Contracts are deployed by the Ignition module that public networks get as well.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { HDNodeWallet, JsonRpcProvider, NonceManager } from "ethers";
import hre from "hardhat";
import {
  type DeployedTallystick,
  type DeployParameters,
  deployTallystick,
  type RandomnessPlan,
} from "../../ignition/deploy-tallystick.ts";
import { freePorts, ManagedProcess } from "./managed-process.ts";
import { mined } from "./mined.ts";

const ROOT = resolve(import.meta.dirname, "../..");
export const CHAIN_ID = 31_337;
/** The well-known development phrase: its accounts are rich on development chains, and everybody has their keys. */
const PHRASE = "test test test test test test test test test test test junk";
/** The account that gives coins to others. */
const FUNDER = 9;

export type ChainKind = "anvil" | "hardhat";

export interface ChainOptions {
  readonly kind: ChainKind;
  readonly logFile: string;
  readonly pidFolder: string;
}

export class DevelopmentChain {
  readonly process: ManagedProcess;
  readonly rpcUrl: string;
  readonly provider: JsonRpcProvider;
  readonly #kind: ChainKind;
  readonly #funder: NonceManager;

  constructor(kind: ChainKind, chainProcess: ManagedProcess, rpcUrl: string) {
    this.#kind = kind;
    this.process = chainProcess;
    this.rpcUrl = rpcUrl;
    this.provider = new JsonRpcProvider(rpcUrl, CHAIN_ID, { staticNetwork: true, cacheTimeout: -1 });
    this.#funder = new NonceManager(this.wallet(FUNDER));
  }

  /** One of the rich accounts, 0 to 9. */
  wallet(index: number): HDNodeWallet {
    return HDNodeWallet.fromPhrase(PHRASE, undefined, `m/44'/60'/0'/0/${index}`).connect(this.provider);
  }

  /** Gives coins to accounts. */
  async fund(accounts: readonly string[], wei: bigint): Promise<void> {
    const sent = [];
    for (const to of accounts) sent.push(await this.#funder.sendTransaction({ to, value: wei }));
    for (const { hash } of sent) await mined(this.provider, hash);
  }

  /** From now on a block comes every so many seconds. */
  async mineEvery(seconds: number): Promise<void> {
    // anvil counts in seconds, Hardhat in milliseconds.
    await this.provider.send("evm_setIntervalMining", [this.#kind === "anvil" ? seconds : Math.round(seconds * 1000)]);
  }

  /** Mines empty blocks at once. */
  async mine(blocks: number): Promise<void> {
    await this.provider.send(`${this.#kind}_mine`, [`0x${blocks.toString(16)}`]);
  }

  async stop(): Promise<void> {
    this.provider.destroy();
    await this.process.stop();
  }
}

/** Starts a chain on a free loopback port: a block per transaction, and only then. */
export async function startChain(options: ChainOptions): Promise<DevelopmentChain> {
  const [port] = (await freePorts(1)) as [number];
  const plan = options.kind === "anvil" ? anvilPlan(port, options) : hardhatPlan(port, options);
  const chainProcess = new ManagedProcess(plan);
  await chainProcess.start();
  return new DevelopmentChain(options.kind, chainProcess, `http://127.0.0.1:${port}`);
}

/** Deploys the contracts, whatever was deployed to earlier chains. @throws Error when they are not compiled */
export async function deployContracts(
  rpcUrl: string,
  parameters: DeployParameters,
  randomness: RandomnessPlan,
): Promise<DeployedTallystick> {
  if (!existsSync(join(ROOT, "artifacts", "contracts", "KeyLedger.sol", "KeyLedger.json"))) {
    throw new Error("the contracts are not compiled: run `npx hardhat build` first");
  }
  const connection = await hre.network.create({ network: "localhost", override: { url: rpcUrl } });
  try {
    return await deployTallystick(connection, parameters, randomness);
  } finally {
    await connection.close();
  }
}

function anvilPlan(port: number, { logFile, pidFolder }: ChainOptions) {
  return {
    name: "chain",
    command: join(ROOT, "node_modules", ".bin", "anvil"),
    args: ["--port", String(port), "--chain-id", String(CHAIN_ID), "--hardfork", "prague", "--mnemonic", PHRASE],
    logFile,
    pidFolder,
    isReady: (line: string) => line.includes("Listening on"),
  };
}

function hardhatPlan(port: number, { logFile, pidFolder }: ChainOptions) {
  const packageFile = createRequire(import.meta.url).resolve("hardhat/package.json");
  return {
    name: "chain",
    command: process.execPath,
    args: [
      "--disable-warning=ExperimentalWarning",
      join(dirname(packageFile), "dist", "src", "cli.js"),
      "node",
      "--hostname",
      "127.0.0.1",
      "--port",
      String(port),
      "--chain-id",
      String(CHAIN_ID),
    ],
    env: { HARDHAT_DISABLE_TELEMETRY: "true" },
    cwd: ROOT,
    logFile,
    pidFolder,
    isReady: (line: string) => line.includes("Started HTTP"),
  };
}
