/**
 * Data sets on a chain of its own, for measures of what they cost: a user and a provider who sign everything, and
 * proofs that are computed from the owner's secrets over sets of 32 GiB, which cost the chain the same as any other up
 * to that size.
 */
import type { Signer, TransactionResponse } from "ethers";
import type { NetworkConnection } from "hardhat/types/network";
import { type DeployedTallystick, deployTallystick, type RandomnessPlan } from "../../ignition/deploy-tallystick.ts";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import { NATIVE_TOKEN, type SignedState } from "../../offchain/chain/data-set-words.ts";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import { openDataSetCall, proveDataSetsCall } from "../../offchain/chain/escrow-calls.ts";
import { StorageEscrow__factory } from "../../offchain/chain/types/factories/StorageEscrow__factory.ts";
import type { StorageEscrow } from "../../offchain/chain/types/StorageEscrow.ts";
import type { SliceRange } from "../../offchain/core/audit/challenge.ts";
import { auditKeyHash } from "../../offchain/core/audit/keys.ts";
import { encodeAnswer } from "../../offchain/core/audit/proof.ts";
import { challengeSeed, windowsOf } from "../../offchain/core/data-set/epochs.ts";
import { encodeLiveRanges, rangesHash } from "../../offchain/core/data-set/ranges.ts";
import {
  type DataSetAuditTerms,
  type DataSetMode,
  type DataSetTerms,
  dataSetId,
} from "../../offchain/core/data-set/terms.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { dataSetUpdateTypedData } from "../../offchain/core/identity/typed-messages.ts";
import { agreedTerms } from "../../test/helpers/agreed-terms.ts";
import { type AuditKeys, proveWithSecrets, sparseSlice, testKeys } from "../../test/helpers/audit-set.ts";

/** 32 GiB: the largest set whose indices take three positions in the contract's table of powers. */
export const HIGHEST_INDEX = 2 ** 18 - 1;
const CONTENT = `0x${"c0".repeat(32)}`;
const NEVER = 2n ** 64n - 1n;

/** A set that runs, with what calls about it bring. */
export interface MeasuredSet {
  readonly id: string;
  readonly keys: AuditKeys;
  readonly terms: DataSetTerms;
  readonly audit: DataSetAuditTerms;
  schedule: Uint8Array;
  ranges: Uint8Array;
  live: readonly SliceRange[];
  version: bigint;
}

/** Blocks of an epoch and of its windows; the phase is where the challenge block is. */
export interface MeasuredEpochs {
  readonly epochBlocks: number;
  readonly noticeEpochs: number;
  readonly phase: number;
  readonly windowBlocks: number;
  readonly graceBlocks: number;
}

/** Opens, changes and proves data sets. */
export class MeasuredSets {
  readonly user: Signer;
  readonly provider: Signer;
  /** Neither of both. */
  readonly watcher: Signer;
  readonly deployment: Deployment;
  readonly escrow: StorageEscrow;
  readonly #connection: NetworkConnection;
  readonly #epochs: MeasuredEpochs;
  #opened = 0;

  private constructor(
    connection: NetworkConnection,
    { contracts, chainId }: DeployedTallystick,
    [user, provider, watcher]: readonly [Signer, Signer, Signer],
    epochs: MeasuredEpochs,
  ) {
    this.user = user;
    this.provider = provider;
    this.watcher = watcher;
    this.deployment = { chainId, contracts } as unknown as Deployment;
    this.escrow = StorageEscrow__factory.connect(contracts.storageEscrow, user);
    this.#connection = connection;
    this.#epochs = epochs;
  }

  static async deploy(
    connection: NetworkConnection,
    epochs: MeasuredEpochs,
    randomness?: RandomnessPlan,
  ): Promise<MeasuredSets> {
    const { epochBlocks, noticeEpochs } = epochs;
    const parameters = { epochBlocks: BigInt(epochBlocks), noticeEpochs: BigInt(noticeEpochs) };
    const deployed = await deployTallystick(connection, parameters, randomness);
    const [user, provider, watcher] = await connection.ethers.getSigners();
    if (user === undefined || provider === undefined || watcher === undefined) throw new Error("no accounts");
    return new MeasuredSets(connection, deployed, [user, provider, watcher], epochs);
  }

  send({ to, data, value = 0n }: ContractCall, from: Signer): Promise<TransactionResponse> {
    return from.sendTransaction({ to, data, value });
  }

  async mineTo(block: number): Promise<void> {
    const { provider } = this.#connection.ethers;
    const blocks = block - (await provider.getBlockNumber());
    if (blocks > 0) await provider.send("hardhat_mine", [`0x${blocks.toString(16)}`]);
  }

  async epochNow(): Promise<number> {
    return Math.floor((await this.#connection.ethers.provider.getBlockNumber()) / this.#epochs.epochBlocks);
  }

  async nextEpoch(): Promise<void> {
    await this.mineTo(((await this.epochNow()) + 1) * this.#epochs.epochBlocks);
  }

  /** Waits for the challenge of this epoch. @returns its block */
  async challengeNow(): Promise<number> {
    const { challengeBlock } = windowsOf(this.#epochs, await this.epochNow());
    await this.mineTo(challengeBlock + 1);
    return challengeBlock;
  }

  /** The next state of a set, signed by both. */
  async state(
    set: Pick<MeasuredSet, "id" | "version">,
    live: readonly SliceRange[],
    content = CONTENT,
  ): Promise<SignedState> {
    const { chainId, contracts } = this.deployment;
    const { domain, types, message } = dataSetUpdateTypedData(BigInt(chainId), contracts.storageEscrow, {
      dataSetId: set.id,
      version: set.version + 1n,
      retirements: 0n,
      rangesHash: rangesHash(live),
      contentHash: content,
      deadlineBlock: NEVER,
    });
    return {
      version: set.version + 1n,
      ranges: encodeLiveRanges(live),
      contentHash: content,
      deadlineBlock: NEVER,
      userSignature: await this.user.signTypedData(domain, types, message),
      providerSignature: await this.provider.signTypedData(domain, types, message),
    };
  }

  /** Notes what the last event of a set says. */
  async follow(set: MeasuredSet): Promise<void> {
    const events = await this.escrow.queryFilter(this.escrow.filters.DataSetScheduled(set.id));
    const last = events.at(-1)?.args;
    if (last === undefined) throw new Error("a set without a schedule");
    set.schedule = fromHex(last.schedule);
    set.ranges = fromHex(last.ranges);
  }

  /** @param send takes the call that opens the set */
  async open(
    mode: DataSetMode,
    sampleCount: number,
    send: (call: ContractCall) => Promise<unknown>,
  ): Promise<MeasuredSet> {
    this.#opened += 1;
    const { chainId, contracts } = this.deployment;
    const keys = testKeys(this.#opened, 2);
    const { phase, windowBlocks, graceBlocks } = this.#epochs;
    const audit: DataSetAuditTerms = {
      randomness: contracts.randomness,
      verifier: contracts.possessionVerifier,
      keyHash: toHex(auditKeyHash(keys.publicKey)),
      sliceElements: 4096,
      sampleCount,
      phase,
      windowBlocks,
      graceBlocks,
      disputeBond: 10n ** 12n,
      predecessor: `0x${"00".repeat(32)}`,
      salt: `0x${this.#opened.toString(16).padStart(64, "0")}`,
    };
    const terms = agreedTerms(audit, {
      user: await this.user.getAddress(),
      provider: await this.provider.getAddress(),
      token: NATIVE_TOKEN,
      mode,
      feeFloor: 10n ** 9n,
      feePerSlice: 10n ** 9n,
      feePerIndex: 10n ** 6n,
      feeCap: 10n ** 18n,
    });
    const live = [{ firstIndex: 1, count: HIGHEST_INDEX - 8 }];
    const id = dataSetId(BigInt(chainId), contracts.storageEscrow, terms);
    const empty = new Uint8Array();
    const set: MeasuredSet = { id, keys, terms, audit, schedule: empty, ranges: empty, live, version: 0n };
    const state = { ...(await this.state(set, live)), providerSignature: "0x" };
    await send(openDataSetCall(this.deployment, terms, audit, state));
    set.version = 1n;
    await this.follow(set);
    return set;
  }

  /** The call that answers one challenge block for several sets. @param randomness of that block */
  proveCall(sets: readonly MeasuredSet[], challengeBlock: number, randomness: Uint8Array): ContractCall {
    const { chainId, contracts } = this.deployment;
    const answers = sets.map((set) => {
      const seed = challengeSeed(BigInt(chainId), contracts.storageEscrow, set.id, challengeBlock, randomness);
      const challenge = { seed, sampleCount: set.audit.sampleCount, ranges: set.live };
      const proof = proveWithSecrets(set.keys, challenge, sparseSlice);
      return { ...set, answer: encodeAnswer(set.keys.publicKey, proof), evidence: new Uint8Array() };
    });
    return proveDataSetsCall(this.deployment, answers);
  }
}
