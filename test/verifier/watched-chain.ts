/** A chain with short epochs, data sets on it, and verifiers that watch them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { type HDNodeWallet, JsonRpcProvider, type TransactionReceipt } from "ethers";
import hre from "hardhat";
import { pino } from "pino";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import { type ChainReader, connectChain, type Deployment } from "../../offchain/chain/deployment.ts";
import {
  type DataSetProof,
  depositCall,
  depositCollateralCall,
  openDataSetCall,
  proveDataSetsCall,
} from "../../offchain/chain/escrow-calls.ts";
import { parseDataSetLog } from "../../offchain/chain/escrow-events.ts";
import {
  type EvidenceSource,
  randomnessEvidence,
  readRandomness,
  recordRandomnessCall,
} from "../../offchain/chain/randomness.ts";
import { integerToBigEndian } from "../../offchain/core/audit/field.ts";
import { auditKeyHash } from "../../offchain/core/audit/keys.ts";
import { encodeAnswer } from "../../offchain/core/audit/proof.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { challengeSeed, epochOf } from "../../offchain/core/data-set/epochs.ts";
import { encodeLiveRanges, rangesHash } from "../../offchain/core/data-set/ranges.ts";
import {
  auditTermsHash,
  type DataSetAuditTerms,
  type DataSetTerms,
  dataSetId,
} from "../../offchain/core/data-set/terms.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { dataSetUpdateTypedData } from "../../offchain/core/identity/typed-messages.ts";
import type { RunningDaemon } from "../../offchain/daemon/boot.ts";
import { createDaemonKeystore } from "../../offchain/daemon/keystore-file.ts";
import { loadVerifierConfig } from "../../offchain/verifier/config.ts";
import { startVerifier } from "../../offchain/verifier/watchtower.ts";
import { type Anvil, anvilWallet, startAnvil } from "../helpers/anvil.ts";
import { proveWithSecrets, sparseSlice, testKeys } from "../helpers/audit-set.ts";
import { deployTo } from "../helpers/contracts.ts";
import { until } from "../helpers/promises.ts";

export const EPOCH_BLOCKS = 20;
export const NOTICE_EPOCHS = 2;
export const NATIVE = `0x${"0".repeat(40)}`;
export const PASSPHRASE = "verifiers in tests";
const ETHER = 10n ** 18n;
const FEE = ETHER / 100n;
const CONTENT = `0x${"c0".repeat(32)}`;
const RANGES = [{ firstIndex: 1, count: 9 }];
const WINDOWS = { phase: 4, windowBlocks: 4, graceBlocks: 3 };
/** From the first block of an epoch to the last one in which a proof counts. */
export const GRACE_END = WINDOWS.phase + WINDOWS.windowBlocks + WINDOWS.graceBlocks;

/** A set that runs. */
export interface WatchedSet {
  readonly id: string;
  readonly terms: DataSetTerms;
  readonly audit: DataSetAuditTerms;
  readonly schedule: Uint8Array;
  readonly firstEpoch: number;
}

/** A verifier in this process or in one of its own. */
export interface VerifierFolder {
  readonly operator: string;
  readonly folder: string;
  readonly configFile: string;
}

export class WatchedChain {
  readonly deployment: Deployment;
  readonly chain: ChainReader;
  readonly provider: JsonRpcProvider;
  readonly user: HDNodeWallet;
  readonly csp: HDNodeWallet;
  readonly keys = testKeys();
  readonly #anvil: Anvil;
  readonly #folders: string[] = [];
  #sets = 0;

  private constructor(anvil: Anvil, deployment: Deployment, chain: ChainReader) {
    this.#anvil = anvil;
    this.deployment = deployment;
    this.chain = chain;
    this.provider = new JsonRpcProvider(anvil.url, deployment.chainId, { staticNetwork: true, cacheTimeout: -1 });
    this.user = anvilWallet(1).connect(this.provider);
    this.csp = anvilWallet(2).connect(this.provider);
  }

  /** Deploys, and pays for collateral. */
  static async start(): Promise<WatchedChain> {
    await auditReady();
    const anvil = await startAnvil();
    const parameters = { epochBlocks: BigInt(EPOCH_BLOCKS), noticeEpochs: BigInt(NOTICE_EPOCHS) };
    const deployment = await deployTo(anvil.url, parameters);
    const watched = new WatchedChain(anvil, deployment, await connectChain(deployment));
    await watched.send(watched.csp, depositCollateralCall(deployment, NATIVE, watched.csp.address, 100n * ETHER));
    return watched;
  }

  async stop(): Promise<void> {
    this.chain.close();
    this.provider.destroy();
    await this.#anvil.kill();
    for (const folder of this.#folders) rmSync(folder, { recursive: true, force: true });
  }

  get url(): string {
    return this.#anvil.url;
  }

  rpc(method: string, params: readonly unknown[] = []): Promise<unknown> {
    return this.#anvil.rpc(method, params);
  }

  async send(from: HDNodeWallet, call: ContractCall): Promise<TransactionReceipt> {
    const sent = await from.sendTransaction({ to: call.to, data: call.data, value: call.value ?? 0n });
    const receipt = await sent.wait();
    if (receipt === null) throw new Error("no receipt");
    return receipt;
  }

  async head(): Promise<number> {
    return await this.provider.getBlockNumber();
  }

  /** Mines until a block is the head. */
  async mineTo(block: number): Promise<void> {
    const blocks = block - (await this.head());
    if (blocks > 0) await this.rpc("anvil_mine", [`0x${blocks.toString(16)}`]);
  }

  /** Pays into a user's balance. */
  async deposit(epochs: number, user = this.user): Promise<void> {
    await this.send(user, depositCall(this.deployment, NATIVE, user.address, FEE * BigInt(epochs)));
  }

  /** A contract of this project, deployed besides. @returns its address */
  async deploy(name: string, args: unknown[] = []): Promise<string> {
    const connection = await hre.network.create({ network: "localhost", override: { url: this.#anvil.url } });
    try {
      return await (await connection.ethers.deployContract(name, args)).getAddress();
    } finally {
      await connection.close();
    }
  }

  /** Opens a set whose epoch costs 0.01 ether and whose bounty is a fifth of that. */
  async open(
    options: {
      mode?: DataSetTerms["mode"];
      verifier?: string;
      bountyPercent?: number;
      user?: HDNodeWallet;
      randomness?: string;
    } = {},
  ): Promise<WatchedSet> {
    const { contracts } = this.deployment;
    const { user = this.user } = options;
    const audit: DataSetAuditTerms = {
      ...WINDOWS,
      randomness: options.randomness ?? contracts.randomness,
      verifier: options.verifier ?? contracts.possessionVerifier,
      keyHash: toHex(auditKeyHash(this.keys.publicKey)),
      sliceElements: 4096,
      sampleCount: 3,
      disputeBond: 1000n,
      predecessor: `0x${"00".repeat(32)}`,
      salt: `0x${(++this.#sets).toString(16).padStart(64, "0")}`,
    };
    const terms: DataSetTerms = {
      user: user.address,
      provider: this.csp.address,
      token: NATIVE,
      mode: options.mode ?? "every-epoch",
      feeFloor: FEE,
      feePerSlice: 0n,
      feePerIndex: 0n,
      feeCap: FEE,
      collateralPercent: 900,
      compensationPercent: 60,
      bountyPercent: options.bountyPercent ?? 20,
      latePercent: 50,
      breachLimit: 9,
      auditHash: auditTermsHash(audit),
    };
    const chainId = BigInt(this.deployment.chainId);
    const id = dataSetId(chainId, contracts.storageEscrow, terms);
    const state = { version: 1n, contentHash: CONTENT, deadlineBlock: 2n ** 64n - 1n };
    const typed = dataSetUpdateTypedData(chainId, contracts.storageEscrow, {
      ...state,
      dataSetId: id,
      retirements: 0n,
      rangesHash: rangesHash(RANGES),
    });
    const call = openDataSetCall(this.deployment, terms, audit, {
      ...state,
      ranges: encodeLiveRanges(RANGES),
      userSignature: await user.signTypedData(typed.domain, typed.types, typed.message),
      providerSignature: "0x",
    });
    const receipt = await this.send(this.csp, call);
    for (const log of receipt.logs) {
      const event = parseDataSetLog(log);
      if (event?.kind !== "DataSetScheduled") continue;
      const firstEpoch = epochOf(EPOCH_BLOCKS, receipt.blockNumber) + 1;
      return { id, terms, audit, schedule: event.schedule, firstEpoch };
    }
    throw new Error("the set was not opened");
  }

  /** Goes to the challenge of an epoch and computes the call that answers it. */
  async proofOf(set: WatchedSet, epoch: number, challengeBlock?: number): Promise<DataSetProof> {
    const { audit } = set;
    const challenged = challengeBlock ?? epoch * EPOCH_BLOCKS + audit.phase;
    // One block later, so that the source tells the value now.
    await this.mineTo(challenged + 1);
    const value = await readRandomness(this.chain, audit.randomness, BigInt(challenged));
    if (value === undefined) throw new Error("no randomness");
    const { chainId, contracts } = this.deployment;
    const seed = challengeSeed(BigInt(chainId), contracts.storageEscrow, set.id, challenged, value);
    const proof = proveWithSecrets(this.keys, { seed, sampleCount: audit.sampleCount, ranges: RANGES }, sparseSlice);
    const ranges = encodeLiveRanges(RANGES);
    const isFake = audit.verifier !== contracts.possessionVerifier;
    const fake = [seed, fromHex(audit.keyHash), integerToBigEndian(BigInt(audit.sampleCount), 32), keccak_256(ranges)];
    const answer = isFake ? concatBytes(...fake) : encodeAnswer(this.keys.publicKey, proof);
    return { ...set, ranges, answer, evidence: new Uint8Array() };
  }

  /** Goes to the challenge of an epoch, and has a stranger record its randomness. */
  async record({ audit }: WatchedSet, epoch: number, source: EvidenceSource): Promise<void> {
    const challenged = epoch * EPOCH_BLOCKS + audit.phase;
    await this.mineTo(challenged + 1);
    const evidence = await randomnessEvidence(this.chain, source, BigInt(challenged));
    const stranger = anvilWallet(6).connect(this.provider);
    await this.send(stranger, recordRandomnessCall(audit.randomness, BigInt(challenged), evidence));
  }

  /** Proves an epoch of sets in one transaction. */
  async prove(sets: readonly WatchedSet[], epoch: number): Promise<TransactionReceipt> {
    const proofs: DataSetProof[] = [];
    for (const set of sets) proofs.push(await this.proofOf(set, epoch));
    return await this.send(this.csp, proveDataSetsCall(this.deployment, proofs));
  }

  /**
   * Keystore, deployment and configuration of a verifier, whose account has coins.
   * @param rpcUrl the endpoint that it uses
   */
  async prepare(config: Record<string, unknown> = {}, rpcUrl = this.#anvil.url): Promise<VerifierFolder> {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-verifier-"));
    this.#folders.push(folder);
    const cost = { n: 2, r: 8, p: 1 };
    const operator = await createDaemonKeystore(join(folder, "keystore.json"), PASSPHRASE, "verifier", cost);
    writeFileSync(join(folder, "deployment.json"), JSON.stringify({ ...this.deployment, rpcUrl }));
    writeFileSync(join(folder, "passphrase"), PASSPHRASE, { mode: 0o600 });
    const configFile = join(folder, "config.json");
    const common = {
      listen: { host: "127.0.0.1", port: 0 },
      dataDir: "data",
      deploymentFile: "deployment.json",
      keystoreFile: "keystore.json",
      passphraseFile: "passphrase",
      pollMilliseconds: 30,
    };
    writeFileSync(configFile, JSON.stringify({ ...common, ...config }));
    await this.rpc("anvil_setBalance", [operator, `0x${ETHER.toString(16)}`]);
    return { operator, folder, configFile };
  }

  /** Starts a verifier in this process. @param log takes its log lines */
  async watch({ configFile }: VerifierFolder, log: string[] = []): Promise<RunningDaemon> {
    const logger = pino({ level: "info" }, { write: (line: string) => void log.push(line) });
    return await startVerifier(loadVerifierConfig(configFile), logger);
  }

  /** Misses that the chain has, of a set. */
  async misses(id: string): Promise<{ epoch: number; reporter: string; blockNumber: number; bounty: bigint }[]> {
    const logs = await this.provider.getLogs({ address: this.deployment.contracts.storageEscrow, fromBlock: 0 });
    return logs.flatMap((log) => {
      const event = parseDataSetLog(log);
      return event?.kind === "EpochMissed" && event.id === id ? [event] : [];
    });
  }

  /** Transactions that failed, of all blocks. */
  async reverted(): Promise<string[]> {
    const failed: string[] = [];
    for (let block = await this.head(); block > 0; block--) {
      const receipts = (await this.rpc("eth_getBlockReceipts", [`0x${block.toString(16)}`])) as {
        status: string;
        transactionHash: string;
      }[];
      failed.push(...receipts.filter(({ status }) => status !== "0x1").map((receipt) => receipt.transactionHash));
    }
    return failed;
  }
}

/** What a verifier says of a set; undefined while it does not know it. */
// biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came back
export async function watchedSet(url: string, id: string): Promise<any> {
  const response = await fetch(`${url}/v1/data-sets/${id}`);
  return response.status === 200 ? await response.json() : undefined;
}

/** Waits until a verifier says something of an epoch of a set. */
export async function epochShown(url: string, id: string, epoch: number, check: string | null): Promise<void> {
  await until(`epoch ${epoch} is ${check ?? "missed"}`, async () => {
    const shown = await watchedSet(url, id);
    return shown?.epochs.some(
      (one: { epoch: number; check: string | null }) => one.epoch === epoch && one.check === check,
    );
  });
}

/** The value of a metric, with its labels as they are printed besides that of the daemon. */
export async function metricOf(url: string, name: string, label = ""): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${name}{`) && each.includes(label));
  return Number(line?.split(" ").at(-1));
}
