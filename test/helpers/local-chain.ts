/**
 * A chain for tests: anvil on a free loopback port, with the contracts deployed by the same Ignition module as
 * everywhere else. Needs compiled contracts (`npx hardhat build`) and says so when they are missing.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { HDNodeWallet, JsonRpcProvider } from "ethers";
import hre from "hardhat";
import {
  type DeployedTallystick,
  type DeployParameters,
  deployTallystick,
  type RandomnessPlan,
} from "../../ignition/deploy-tallystick.ts";
import { type ChainReader, connectChain, type Deployment } from "../../offchain/chain/deployment.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CHAIN_ID = 31_337;
/** Anvil's well-known development phrase; its accounts hold 10,000 coins each. */
const PHRASE = "test test test test test test test test test test test junk";

export interface LocalChainOptions {
  /** Seconds between blocks; one block per transaction unless given. */
  readonly blockSeconds?: number;
  /** Of the contracts; default as on public networks. */
  readonly parameters?: DeployParameters;
  /** Source of randomness to deploy; block hashes unless given. */
  readonly randomness?: RandomnessPlan;
  /** Unix time of the first block; now unless given. One long ago keeps mined blocks from lying in the future. */
  readonly startTime?: number;
}

export interface LocalChain {
  readonly rpcUrl: string;
  readonly deployment: Deployment;
  readonly chain: ChainReader;
  /** One of anvil's rich accounts, 0 to 9. Account 0 deploys, account 9 funds. */
  account(index: number): HDNodeWallet;
  /** Gives accounts coins. */
  fund(addresses: readonly string[], wei?: bigint): Promise<void>;
  /** Mines empty blocks. */
  mine(blocks: number): Promise<void>;
  stop(): Promise<void>;
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Ends a process and waits until it is gone. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

async function startAnvil(port: number, options: LocalChainOptions): Promise<ChildProcess> {
  const blockTime = options.blockSeconds === undefined ? [] : ["--block-time", String(options.blockSeconds)];
  const startTime = options.startTime === undefined ? [] : ["--timestamp", String(options.startTime)];
  const anvil = spawn(
    `${ROOT}node_modules/.bin/anvil`,
    [
      "--port",
      String(port),
      "--chain-id",
      String(CHAIN_ID),
      "--hardfork",
      "prague",
      "--mnemonic",
      PHRASE,
      ...blockTime,
      ...startTime,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let output = "";
  await new Promise<void>((resolve, reject) => {
    anvil.on("error", reject);
    anvil.on("exit", (code) => reject(new Error(`anvil ended with ${code}: ${output}`)));
    anvil.stdout.on("data", (part: Buffer) => {
      output += part.toString();
      if (output.includes("Listening on")) resolve();
    });
  });
  return anvil;
}

async function deploy(rpcUrl: string, { parameters, randomness }: LocalChainOptions): Promise<DeployedTallystick> {
  if (!existsSync(`${ROOT}artifacts/contracts/KeyLedger.sol/KeyLedger.json`)) {
    throw new Error("the contracts are not compiled: run `npx hardhat build` first");
  }
  const connection = await hre.network.create({ network: "localhost", override: { url: rpcUrl } });
  try {
    return await deployTallystick(connection, parameters, randomness);
  } finally {
    await connection.close();
  }
}

/** Starts a chain and deploys to it. Call `stop` at the end. */
export async function startLocalChain(options: LocalChainOptions = {}): Promise<LocalChain> {
  const port = await freePort();
  const rpcUrl = `http://127.0.0.1:${port}`;
  const anvil = await startAnvil(port, options);
  const provider = new JsonRpcProvider(rpcUrl, CHAIN_ID, { staticNetwork: true, cacheTimeout: -1 });
  try {
    const deployed = await deploy(rpcUrl, options);
    const deployment: Deployment = { version: 1, rpcUrl, ...deployed, committeeId: "0", providers: [] };
    const chain = await connectChain(deployment);
    return {
      rpcUrl,
      deployment,
      chain,
      account: (index) => HDNodeWallet.fromPhrase(PHRASE, undefined, `m/44'/60'/0'/0/${index}`).connect(provider),
      fund: async (addresses, wei = 100n * 10n ** 18n) => {
        for (const address of addresses) {
          const balance = await provider.getBalance(address);
          await provider.send("anvil_setBalance", [address, `0x${(balance + wei).toString(16)}`]);
        }
      },
      mine: async (blocks) => {
        await provider.send("anvil_mine", [`0x${blocks.toString(16)}`]);
      },
      stop: async () => {
        chain.close();
        provider.destroy();
        await endProcess(anvil);
      },
    };
  } catch (cause) {
    provider.destroy();
    await endProcess(anvil);
    throw cause;
  }
}
