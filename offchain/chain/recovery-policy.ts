/**
 * The recovery policy: its data, which the label of a secret binds, the calls of proposers, guardians and authors, and
 * the state of a request. Its events are in recovery-events.ts, what nodes ask it in release-policy.ts.
 */

import { AbiCoder, Contract, getAddress, keccak256 } from "ethers";
import { fromHex } from "../core/encoding/hex.ts";
import { InvalidInputError } from "../core/errors.ts";
import { recoveryAbi } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import type { ChainReader, Deployment } from "./deployment.ts";
import { readChain } from "./revert.ts";
import type { IRecoveryPolicy } from "./types/interfaces/IRecoveryPolicy.ts";

const CODER = AbiCoder.defaultAbiCoder();
const DATA_TYPE = "tuple(address,uint32,address[],uint8,uint32,uint32)";
const NOBODY = `0x${"00".repeat(20)}`;

/** Limits of the contract. */
export const MAX_GUARDIANS = 16;
export const MIN_RECOVERY_SECONDS = 3600;
export const MAX_RECOVERY_SECONDS = 365 * 86_400;

/** Whom an author names to recover a secret: a wallet, guardians, or both. */
export interface RecoveryPlan {
  readonly wallet?: {
    readonly account: string;
    /** Seconds in which the author can veto. */
    readonly delaySeconds: number;
  };
  readonly guardians?: {
    /** In any order, each once. */
    readonly accounts: readonly string[];
    readonly threshold: number;
    /** Seconds in which the author can veto after the last approval that is needed; 0 for none. */
    readonly delaySeconds: number;
  };
  /** Seconds for which approvals are collected, and for which a release stays possible. */
  readonly windowSeconds: number;
}

/** A secret as the policy knows it: the fields of its label, with the plan of its author. */
export interface RecoverableSecret {
  readonly ledger: string;
  /** 32 bytes, 0x hex. */
  readonly recordId: string;
  readonly version: number;
  readonly author: string;
  readonly plan: RecoveryPlan;
}

export type RecoveryPath = "wallet" | "guardians";
/** `IRecoveryPolicy.Path` by number. */
export const RECOVERY_PATHS: readonly RecoveryPath[] = ["wallet", "guardians"];

/** The place of a request: each account that a plan names has one for each way that it is named for. */
export interface RecoveryPlace {
  readonly path: RecoveryPath;
  /** Who opens it: the recovery wallet or a guardian. It names the requester. */
  readonly proposer: string;
}

/** A request for a release. */
export interface RecoveryRequest extends RecoveryPlace {
  /** Who may have the secret released. */
  readonly requester: string;
  /** X25519 public key, 32 bytes, 0x hex. */
  readonly sessionKey: string;
  /** 1 for the proposer's first request for this secret, then one more for each. */
  readonly number: bigint;
}

/** The latest request of a proposer. Times are unix seconds. */
export interface RecoveryState {
  /** 0x hex; undefined before the first request. */
  readonly requestId: string | undefined;
  readonly number: bigint;
  /** Undefined while approvals are missing. */
  readonly releasableAt: number | undefined;
  readonly closesAt: number;
  readonly approvals: number;
  /** Bit i is set when guardian i, in ascending order of the accounts, has approved. */
  readonly approvers: number;
  readonly isBarred: boolean;
}

/** A signature for a call that another account sends; without one, the account that acts must be the sender. */
export interface RelayedSignature {
  /** 0x hex. */
  readonly signature: string;
  /** Unix seconds; of openings only. */
  readonly deadline?: bigint;
}

/**
 * The bytes of a plan: what the label of a secret binds, and what nodes are given with a request.
 * @throws InvalidInputError for a plan that the contract would refuse, so that no secret is sealed under one
 */
export function encodeRecoveryData(plan: RecoveryPlan): Uint8Array {
  return fromHex(CODER.encode([DATA_TYPE], [Object.values(dataOf(plan))]));
}

/** keccak256 of the plan's bytes, 0x hex. @throws as `encodeRecoveryData` */
export function recoveryDataHash(plan: RecoveryPlan): string {
  return keccak256(encodeRecoveryData(plan));
}

/** The id under which the policy knows a secret with its plan, 0x hex. */
export function recoverySecretId(secret: RecoverableSecret): string {
  const { ledger, recordId, version, author, plan } = secret;
  return keccak256(
    CODER.encode(
      ["address", "bytes32", "uint32", "address", "bytes32"],
      [ledger, recordId, version, author, recoveryDataHash(plan)],
    ),
  );
}

/** The id of a request, 0x hex. */
export function recoveryRequestId(secretId: string, request: RecoveryRequest): string {
  const { path, proposer, requester, sessionKey, number } = request;
  return keccak256(
    CODER.encode(
      ["bytes32", "uint8", "address", "address", "bytes32", "uint64"],
      [secretId, RECOVERY_PATHS.indexOf(path), proposer, requester, sessionKey, number],
    ),
  );
}

/** Opens a request, in place of the proposer's earlier one. */
export function openRecoveryCall(
  deployment: Pick<Deployment, "contracts">,
  secret: RecoverableSecret,
  request: RecoveryRequest,
  relayed: RelayedSignature = { signature: "0x" },
): ContractCall {
  const { deadline = 0n, signature } = relayed;
  return {
    to: deployment.contracts.recoveryPolicy,
    data: recoveryAbi().encodeFunctionData("open", [
      secretOf(secret),
      dataOf(secret.plan),
      requestOf(request),
      deadline,
      signature,
    ]),
    description: "requesting a recovery",
  };
}

/** Approves exactly this request. @param guardian who approves */
export function approveRecoveryCall(
  deployment: Pick<Deployment, "contracts">,
  secret: RecoverableSecret,
  request: RecoveryRequest,
  guardian: string,
  { signature }: RelayedSignature = { signature: "0x" },
): ContractCall {
  return {
    to: deployment.contracts.recoveryPolicy,
    data: recoveryAbi().encodeFunctionData("approve", [
      secretOf(secret),
      dataOf(secret.plan),
      requestOf(request),
      guardian,
      signature,
    ]),
    description: "approving a recovery",
  };
}

/** Vetoes the current request of a proposer, and bars the proposer from this version of the secret. */
export function vetoRecoveryCall(
  deployment: Pick<Deployment, "contracts">,
  secret: RecoverableSecret,
  { path, proposer }: RecoveryPlace,
  { signature }: RelayedSignature = { signature: "0x" },
): ContractCall {
  const dataHash = recoveryDataHash(secret.plan);
  return {
    to: deployment.contracts.recoveryPolicy,
    data: recoveryAbi().encodeFunctionData("veto", [
      secretOf(secret),
      dataHash,
      RECOVERY_PATHS.indexOf(path),
      proposer,
      signature,
    ]),
    description: "vetoing a recovery",
  };
}

/** Ends all versions of a secret before one. */
export function retireVersionsCall(
  deployment: Pick<Deployment, "contracts">,
  { ledger, recordId, author }: Pick<RecoverableSecret, "ledger" | "recordId" | "author">,
  firstVersion: number,
  { signature }: RelayedSignature = { signature: "0x" },
): ContractCall {
  return {
    to: deployment.contracts.recoveryPolicy,
    data: recoveryAbi().encodeFunctionData("retire", [ledger, recordId, author, firstVersion, signature]),
    description: "retiring versions of a secret",
  };
}

/** The latest request of a proposer. */
export async function readRecovery(
  chain: ChainReader,
  secret: RecoverableSecret,
  { path, proposer }: RecoveryPlace,
  blockTag: number | "latest" = "latest",
): Promise<RecoveryState> {
  const id = recoverySecretId(secret);
  const state = await readChain("reading a recovery request", () =>
    recoveryPolicy(chain).requestOf(id, RECOVERY_PATHS.indexOf(path), proposer, { blockTag }),
  );
  return {
    requestId: BigInt(state.requestId) === 0n ? undefined : state.requestId,
    number: state.number,
    releasableAt: state.releasableAt === 0n ? undefined : Number(state.releasableAt),
    closesAt: Number(state.closesAt),
    approvals: Number(state.approvals),
    approvers: Number(state.approvers),
    isBarred: state.isBarred,
  };
}

/** The first version of a secret that may be released. */
export async function readFirstLiveVersion(
  chain: ChainReader,
  { ledger, recordId, author }: Pick<RecoverableSecret, "ledger" | "recordId" | "author">,
  blockTag: number | "latest" = "latest",
): Promise<number> {
  const version = await readChain("reading the first live version of a secret", () =>
    recoveryPolicy(chain).firstLiveVersion(ledger, recordId, author, { blockTag }),
  );
  return Number(version);
}

/** The contract, to read. */
export function recoveryPolicy({ deployment, provider }: ChainReader): IRecoveryPolicy {
  return new Contract(deployment.contracts.recoveryPolicy, recoveryAbi(), provider) as unknown as IRecoveryPolicy;
}

function secretOf({ ledger, recordId, version, author }: RecoverableSecret) {
  return { ledger, recordId, version, author };
}

function requestOf({ path, ...rest }: RecoveryRequest) {
  return { path: RECOVERY_PATHS.indexOf(path), ...rest };
}

/** A plan in the order of the contract's struct. @throws as `encodeRecoveryData` */
export function dataOf({ wallet, guardians, windowSeconds }: RecoveryPlan) {
  if (wallet === undefined && guardians === undefined) {
    throw new InvalidInputError("a recovery plan names nobody", { check: "recovery plan" });
  }
  if (wallet !== undefined) {
    requireAccount("recovery wallet", wallet.account);
    requireSeconds("delay of the wallet", wallet.delaySeconds);
  }
  if (guardians !== undefined) requireGuardians(guardians);
  requireSeconds("window", windowSeconds);
  const sorted = (guardians?.accounts ?? [])
    .map((account) => getAddress(account))
    .sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1));
  return {
    wallet: wallet?.account ?? NOBODY,
    walletDelay: wallet?.delaySeconds ?? 0,
    guardians: sorted,
    threshold: guardians?.threshold ?? 0,
    guardianDelay: guardians?.delaySeconds ?? 0,
    window: windowSeconds,
  };
}

/** The plan of a contract's struct. */
export function planOf(data: IRecoveryPolicy.RecoveryDataStructOutput): RecoveryPlan {
  const { wallet, walletDelay, guardians, threshold, guardianDelay, window } = data;
  const named = [...guardians];
  return {
    ...(wallet === NOBODY ? {} : { wallet: { account: wallet, delaySeconds: Number(walletDelay) } }),
    ...(named.length === 0
      ? {}
      : {
          guardians: { accounts: named, threshold: Number(threshold), delaySeconds: Number(guardianDelay) },
        }),
    windowSeconds: Number(window),
  };
}

function requireGuardians({ accounts, threshold, delaySeconds }: NonNullable<RecoveryPlan["guardians"]>): void {
  for (const account of accounts) requireAccount("guardian", account);
  const distinct = new Set(accounts.map((account) => account.toLowerCase())).size;
  if (distinct !== accounts.length || distinct < 1 || distinct > MAX_GUARDIANS) {
    throw new InvalidInputError("the guardians are too many, none, or one of them is named twice", {
      check: "guardians",
      expected: `1 to ${MAX_GUARDIANS} different accounts`,
      received: `${accounts.length}, of which ${distinct} differ`,
    });
  }
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > accounts.length) {
    throw new InvalidInputError("the threshold does not fit the guardians", {
      check: "threshold",
      expected: `1 to ${accounts.length}`,
      received: String(threshold),
    });
  }
  // One guardian alone must leave the author time for a veto.
  if (threshold === 1 || delaySeconds !== 0) requireSeconds("delay of the guardians", delaySeconds);
}

function requireAccount(what: string, account: string): void {
  if (/^0x[0-9a-fA-F]{40}$/.test(account) && BigInt(account) !== 0n) return;
  throw new InvalidInputError(`the ${what} is no account`, {
    check: what,
    expected: "an address that is not zero",
    received: account,
  });
}

function requireSeconds(what: string, seconds: number): void {
  if (Number.isInteger(seconds) && seconds >= MIN_RECOVERY_SECONDS && seconds <= MAX_RECOVERY_SECONDS) return;
  throw new InvalidInputError(`the ${what} is out of range`, {
    check: what,
    expected: `${MIN_RECOVERY_SECONDS} to ${MAX_RECOVERY_SECONDS} seconds`,
    received: String(seconds),
    hint: "name an hour (`1h`) to a year (`365d`), for example `3d`",
  });
}
