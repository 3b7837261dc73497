/**
 * A whole network on this machine, every part a process of its own on a free loopback port: a chain with the contracts,
 * a committee of NBM nodes, a storage provider. Used by `npm run devnet`, the demo and the integration tests.
 */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { randomBytes } from "#primitives";
import type { RandomnessPlan } from "../../ignition/deploy-tallystick.ts";
import { connectChain, type Deployment, type RandomnessKind } from "../../offchain/chain/deployment.ts";
import { withCommitteeKeys } from "../../offchain/chain/group-keys.ts";
import { readCommittee } from "../../offchain/chain/registry.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import type { KeystoreKind } from "../../offchain/core/identity/keystore.ts";
import type { NodeAnswer } from "../../offchain/core/wire/nbm.ts";
import { createDaemonKeystore } from "../../offchain/daemon/keystore-file.ts";
import { programPath } from "../programs.ts";
import { type ChainKind, type DevelopmentChain, deployContracts, startChain } from "./chain.ts";
import { DEVNET_NETWORK } from "./drand-network.ts";
import { proofWindowBlocks } from "./epochs.ts";
import { freePorts, ManagedProcess } from "./managed-process.ts";

const ETHER = 10n ** 18n;
const STAKE_WEI = ETHER;
const OPERATOR_WEI = 50n * ETHER;
const COMMITTEE_ID = 1n;
const COMMITTEE_SECONDS = 120;
const DEFAULT_EPOCH_BLOCKS = 20;
const DEFAULT_NOTICE_EPOCHS = 2;
/** A development keystore is cheap to open; its passphrase is kept in the devnet's folder. */
const DEVELOPMENT_COST = { n: 2, r: 8, p: 1 };

const RANDOMNESS_TEXTS: Readonly<Record<RandomnessKind, string>> = {
  block: "block hashes (for test chains only)",
  prevrandao: "prevrandao (which a development chain makes up)",
  drand: "a drand network of one member",
};

export interface DevnetOptions {
  /** Everything is kept here: deployment file, logs, and a folder per daemon. Should be empty. */
  readonly dir: string;
  /** Default 5. */
  readonly nodes?: number;
  /** Default 3. */
  readonly threshold?: number;
  /** Key nodes beside those of the committee, to take their places. Default none. */
  readonly spares?: number;
  /** Default anvil. */
  readonly chain?: ChainKind;
  /** Source of randomness; default block hashes, which are for test chains. */
  readonly randomness?: RandomnessKind;
  /** Blocks from one audit to the next. Default 20. */
  readonly epochBlocks?: number;
  /** Epochs that a data set runs on after notice. Default 2. */
  readonly noticeEpochs?: number;
  /** Blocks in which a proof earns the whole fee. Default a third of an epoch; late proofs count half as long again. */
  readonly windowBlocks?: number;
  /** Slices sampled per audit. Default 460. */
  readonly sampleCount?: number;
  /** Elements of a slice, of 31 bytes. Default: what a provider offers by default. */
  readonly sliceElements?: number;
  /** Default 1; 0: a block per transaction, and only then. */
  readonly blockTimeSeconds?: number;
  /** Further fields of the daemons' configurations. */
  readonly nbmConfig?: Readonly<Record<string, unknown>>;
  readonly cspConfig?: Readonly<Record<string, unknown>>;
  /** Receives progress messages. */
  readonly say?: (line: string) => void;
}

/** A daemon of the network. */
export interface DevnetDaemon {
  readonly name: string;
  readonly url: string;
  /** Account it signs with. */
  readonly account: string;
  /** Its configuration, keystore and data. */
  readonly dir: string;
  readonly process: ManagedProcess;
}

export interface Devnet {
  readonly deployment: Deployment;
  readonly deploymentFile: string;
  readonly chain: DevelopmentChain;
  readonly nodes: readonly DevnetDaemon[];
  readonly spares: readonly DevnetDaemon[];
  readonly provider: DevnetDaemon;
  /** The chain first, then a drand relay if there is one, nodes, and the provider. */
  readonly processes: readonly ManagedProcess[];
  /** Gives coins of the development chain to accounts. */
  fund(accounts: readonly string[], wei?: bigint): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts the network; resolves when the committee has its key and the provider serves.
 * @throws Error when a part fails to start
 */
export async function startDevnet(options: DevnetOptions): Promise<Devnet> {
  const say = options.say ?? (() => undefined);
  const started: ManagedProcess[] = [];
  mkdirSync(join(options.dir, "logs"), { recursive: true });
  try {
    return await start(options, say, started);
  } catch (error) {
    await Promise.all(started.map((one) => one.stop("SIGKILL")));
    throw error;
  }
}

async function start(options: DevnetOptions, say: (line: string) => void, started: ManagedProcess[]): Promise<Devnet> {
  const dir = resolve(options.dir);
  const size = options.nodes ?? 5;
  const threshold = options.threshold ?? 3;
  const kind = options.chain ?? "anvil";
  say(`starting a chain (${kind})…`);
  const logFile = join(dir, "logs", "chain.log");
  const chain = await startChain({ kind, logFile, pidFolder: pidFolderOf(dir) });
  started.push(chain.process);
  const randomness = options.randomness ?? "block";
  const relay = randomness === "drand" ? await startRelay(dir, started) : undefined;
  say(`deploying the contracts, with challenges from ${RANDOMNESS_TEXTS[randomness]}…`);
  const epochBlocks = options.epochBlocks ?? DEFAULT_EPOCH_BLOCKS;
  const noticeEpochs = options.noticeEpochs ?? DEFAULT_NOTICE_EPOCHS;
  const deployed = await deployContracts(
    chain.rpcUrl,
    {
      epochBlocks: BigInt(epochBlocks),
      noticeEpochs: BigInt(noticeEpochs),
    },
    planOf(randomness, relay),
  );

  const passphrase = toHex(randomBytes(16));
  // Kept so that a daemon can be started by hand as well. It protects keys of a development chain only.
  writeFileSync(join(dir, "passphrase"), `${passphrase}\n`, { mode: 0o600 });
  const all = size + (options.spares ?? 0);
  const ports = await freePorts(all + 1);
  const daemons: DevnetDaemon[] = [];
  for (const [position, port] of ports.entries()) {
    const role: KeystoreKind & ("nbm" | "csp") = position < all ? "nbm" : "csp";
    const name = role === "nbm" ? `node-${position + 1}` : "provider";
    daemons.push(await prepareDaemon(dir, role, name, port, passphrase));
  }
  const nodes = daemons.slice(0, size);
  const spares = daemons.slice(size, all);
  const provider = daemons[all] as DevnetDaemon;
  await chain.fund(
    daemons.map(({ account }) => account),
    OPERATOR_WEI,
  );
  const deploymentFile = join(dir, "deployment.json");
  const planned: Deployment = {
    version: 1,
    rpcUrl: chain.rpcUrl,
    ...deployed,
    committeeId: COMMITTEE_ID.toString(),
    providers: [{ account: provider.account, url: provider.url }],
  };
  writeJson(deploymentFile, planned);
  const members = nodes.map(({ account }) => account);
  for (const [position, node] of [...nodes, ...spares].entries()) {
    configure(node, deploymentFile, {
      autoRegister: { stakeWei: String(STAKE_WEI) },
      pollMilliseconds: 500,
      // No block of this chain is ever replaced.
      releaseConfirmations: 1,
      // With --block-time 0, or after a pause of the machine, the latest block may be of any age.
      releaseMaximumAgeSeconds: 1_000_000_000,
      ...(position === 0 ? { formCommittee: { members, threshold } } : {}),
      ...options.nbmConfig,
    });
  }
  configure(provider, deploymentFile, { ...providerConfig(options), ...options.cspConfig });

  say(`starting ${all} key nodes and a storage provider…`);
  const parts = daemons.map(({ process: part }) => part);
  started.push(...parts);
  await Promise.all(parts.map((part) => part.start()));
  say(`the nodes make their key (${threshold} of ${size})…`);
  const deployment = await committeeReady(planned);
  writeJson(deploymentFile, deployment);
  await Promise.all(nodes.map(({ url }) => nodeServes(url)));
  // Only now, so that the set-up above does not wait for blocks.
  const blockTimeSeconds = options.blockTimeSeconds ?? 1;
  if (blockTimeSeconds > 0) await chain.mineEvery(blockTimeSeconds);
  return {
    deployment,
    deploymentFile,
    chain,
    nodes,
    spares,
    provider,
    processes: [chain.process, ...(relay === undefined ? [] : [relay.process]), ...parts],
    fund: (accounts, wei = 100n * ETHER) => chain.fund(accounts, wei),
    stop: async () => {
      await Promise.all(parts.map((part) => part.stop()));
      await relay?.process.stop();
      await chain.stop();
    },
  };
}

interface DrandRelay {
  readonly url: string;
  readonly process: ManagedProcess;
}

/** A process that serves the rounds of the devnet's own drand network. */
async function startRelay(dir: string, started: ManagedProcess[]): Promise<DrandRelay> {
  const [port] = (await freePorts(1)) as [number];
  const relay = new ManagedProcess({
    name: "drand-relay",
    command: process.execPath,
    args: ["--disable-warning=ExperimentalWarning", join(import.meta.dirname, "drand-relay.ts"), String(port)],
    logFile: join(dir, "logs", "drand-relay.log"),
    pidFolder: pidFolderOf(dir),
    isReady: (line) => line.includes('"ready":true'),
  });
  started.push(relay);
  await relay.start();
  return { url: `http://127.0.0.1:${port}`, process: relay };
}

function planOf(kind: RandomnessKind, relay: DrandRelay | undefined): RandomnessPlan {
  if (kind !== "drand") return { kind };
  return { kind, network: DEVNET_NETWORK, relays: relay === undefined ? [] : [relay.url] };
}

/** Where a devnet records its processes. */
export function pidFolderOf(dir: string): string {
  return join(resolve(dir), "pids");
}

async function prepareDaemon(
  root: string,
  role: "nbm" | "csp",
  name: string,
  port: number,
  passphrase: string,
): Promise<DevnetDaemon> {
  const dir = join(root, name);
  mkdirSync(dir, { recursive: true });
  const account = await createDaemonKeystore(join(dir, "keystore.json"), passphrase, role, DEVELOPMENT_COST);
  const part = new ManagedProcess({
    name,
    command: process.execPath,
    args: [
      "--disable-warning=ExperimentalWarning",
      programPath(`tallystick-${role}`),
      "--config",
      join(dir, "config.json"),
    ],
    env: { TALLYSTICK_PASSPHRASE: passphrase },
    logFile: join(root, "logs", `${name}.log`),
    pidFolder: pidFolderOf(root),
    isReady: (line) => line.includes('"ready":true'),
  });
  return { name, url: `http://127.0.0.1:${port}`, account, dir, process: part };
}

function configure(daemon: DevnetDaemon, deploymentFile: string, fields: Readonly<Record<string, unknown>>): void {
  writeJson(join(daemon.dir, "config.json"), {
    listen: { host: "127.0.0.1", port: Number(new URL(daemon.url).port) },
    dataDir: "data",
    deploymentFile,
    keystoreFile: "keystore.json",
    ...fields,
  });
}

/**
 * Terms of a provider that accepts quickly and is audited often, so that the effect can be watched. Amounts are wei.
 */
function providerConfig(options: DevnetOptions): Record<string, unknown> {
  const epochBlocks = options.epochBlocks ?? DEFAULT_EPOCH_BLOCKS;
  const windowBlocks = options.windowBlocks ?? proofWindowBlocks(epochBlocks);
  return {
    pollMilliseconds: 500,
    proofRetrySeconds: 2,
    // Where blocks come with transactions alone, an epoch may never end: no state waits for that.
    ...(options.blockTimeSeconds === 0 ? { quotas: { transactionsPerEpoch: 1000, statesPerEpoch: 1000 } } : {}),
    offer: {
      prices: [
        {
          token: "0x0000000000000000000000000000000000000000",
          pricePerGibEpoch: String(ETHER / 100n),
          minimumFeePerEpoch: String(ETHER / 10_000n),
        },
      ],
      windowBlocks,
      dataSets: { modes: ["every-epoch", "on-demand"] },
      ...(options.sampleCount === undefined ? {} : { sampleCount: options.sampleCount }),
      ...(options.sliceElements === undefined ? {} : { dataSets: { sliceElements: [options.sliceElements] } }),
    },
  };
}

/** @returns the deployment with the keys of the committee, which it has now */
async function committeeReady(deployment: Deployment): Promise<Deployment> {
  const reader = await connectChain(deployment);
  try {
    for (const end = Date.now() + COMMITTEE_SECONDS * 1000; ; await pause(200)) {
      if ((await committeeStatus(reader)) === "active") return await withCommitteeKeys(reader);
      if (Date.now() > end) throw new Error(`the committee had no key after ${COMMITTEE_SECONDS} seconds`);
    }
  } finally {
    reader.close();
  }
}

/** Each node sees for itself, a little after the chain, that the committee has its key. */
async function nodeServes(url: string): Promise<void> {
  for (const end = Date.now() + COMMITTEE_SECONDS * 1000; ; await pause(100)) {
    const answer = await fetch(`${url}/v1/node`);
    const { committees } = (await answer.json()) as NodeAnswer;
    if (committees.some(({ committeeId, ready }) => committeeId === String(COMMITTEE_ID) && ready)) return;
    if (Date.now() > end) throw new Error(`${url} did not serve the committee after ${COMMITTEE_SECONDS} seconds`);
  }
}

async function committeeStatus(reader: Awaited<ReturnType<typeof connectChain>>): Promise<string> {
  try {
    return (await readCommittee(reader, COMMITTEE_ID)).status;
  } catch (error) {
    if (error instanceof TallystickError && error.code === "NOT_FOUND") return "missing";
    throw error;
  }
}

/** Written whole or not at all: others may be reading it. */
function writeJson(file: string, document: unknown): void {
  writeFileSync(`${file}.partial`, `${JSON.stringify(document, null, 2)}\n`);
  renameSync(`${file}.partial`, file);
}
