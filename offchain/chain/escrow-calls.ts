/**
 * What to send to change the escrow's sets, balances and pools. Amounts are in the token's smallest unit; the zero
 * address stands for the native coin.
 */

import { Interface } from "ethers";
import type { DataSetAuditTerms, DataSetTerms } from "../core/data-set/terms.ts";
import { fromHex, toHex } from "../core/encoding/hex.ts";
import { escrowAbi } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import {
  auditFromChain,
  type DataSetWords,
  NATIVE_TOKEN,
  type SignedState,
  stateForChain,
  termsForChain,
  termsFromChain,
} from "./data-set-words.ts";
import type { ChainReader, Deployment } from "./deployment.ts";
import { parsedOnce } from "./parsed-once.ts";
import { readChain } from "./revert.ts";
import type { IStorageEscrow } from "./types/StorageEscrow.ts";

const tokenAbi = parsedOnce(
  () =>
    new Interface([
      "function approve(address spender, uint256 amount) returns (bool)",
      "function allowance(address owner, address spender) view returns (uint256)",
    ]),
);

/**
 * What an account must send, in this order and one after the other, so that the escrow may take an amount from it. An
 * allowance that is left of an earlier deposit and too low is set to zero first: USDT changes it no other way.
 * @returns nothing for the chain's coin, and when enough is allowed
 */
export async function approvalCalls(
  chain: ChainReader,
  token: string,
  owner: string,
  amount: bigint,
): Promise<ContractCall[]> {
  if (token === NATIVE_TOKEN) return [];
  const data = tokenAbi().encodeFunctionData("allowance", [owner, chain.deployment.contracts.storageEscrow]);
  const allowed = BigInt(await readChain("reading an allowance", () => chain.provider.call({ to: token, data })));
  if (allowed >= amount) return [];
  const amounts = allowed === 0n ? [amount] : [0n, amount];
  return amounts.map((each) => approveDataSetsCall(chain.deployment, token, each));
}

/** Lets the escrow take an amount of an ERC-20 token. */
export function approveDataSetsCall(deployment: Deployment, token: string, amount: bigint): ContractCall {
  const data = tokenAbi().encodeFunctionData("approve", [deployment.contracts.storageEscrow, amount]);
  return { to: token, data, description: "approving the escrow" };
}

/** For an ERC-20 token, `approvalCalls` come first. */
export function depositCall(deployment: Deployment, token: string, user: string, amount: bigint): ContractCall {
  return paying(deployment, "topping up a balance", "deposit", [token, user, amount]);
}

/** @param to who receives the payment */
export function withdrawBalanceCall(deployment: Deployment, token: string, to: string, amount: bigint): ContractCall {
  return call(deployment, "withdrawing from a balance", "withdraw", [token, to, amount]);
}

/** For an ERC-20 token, `approvalCalls` come first. */
export function depositCollateralCall(
  deployment: Deployment,
  token: string,
  provider: string,
  amount: bigint,
): ContractCall {
  return paying(deployment, "adding collateral", "depositCollateral", [token, provider, amount]);
}

/** @param to who receives the payment */
export function withdrawCollateralCall(
  deployment: Deployment,
  token: string,
  to: string,
  amount: bigint,
): ContractCall {
  return call(deployment, "withdrawing from a pool", "withdrawCollateral", [token, to, amount]);
}

export function setOperatorCall(deployment: Deployment, operator: string): ContractCall {
  return call(deployment, "naming an operator", "setOperator", [operator]);
}

export function openDataSetCall(
  deployment: Deployment,
  terms: DataSetTerms,
  audit: DataSetAuditTerms,
  first: SignedState,
): ContractCall {
  return call(deployment, "opening a data set", "open", [termsForChain(terms), audit, stateForChain(first)]);
}

export function updateDataSetCall(
  deployment: Deployment,
  { terms, schedule, ranges }: DataSetWords,
  next: SignedState,
): ContractCall {
  const args = [termsForChain(terms), toHex(schedule), toHex(ranges), stateForChain(next)];
  return call(deployment, "updating a data set", "update", args);
}

/** @param carried the newest state that both parties signed and the chain does not have yet */
export function retireCall(
  deployment: Deployment,
  { terms, schedule, ranges }: DataSetWords,
  carried: SignedState | undefined,
  remaining: Uint8Array,
): ContractCall {
  const args = [
    termsForChain(terms),
    toHex(schedule),
    toHex(ranges),
    stateForChain(carried ?? NO_STATE),
    toHex(remaining),
  ];
  return call(deployment, "retiring slices", "retire", args);
}

export function noticeCall(deployment: Deployment, words: Pick<DataSetWords, "terms" | "schedule">): ContractCall {
  return call(deployment, "giving notice", "giveNotice", termsAndSchedule(words));
}

export function settleDataSetCall(
  deployment: Deployment,
  words: Pick<DataSetWords, "terms" | "schedule">,
): ContractCall {
  return call(deployment, "settling a data set", "settle", termsAndSchedule(words));
}

export function closeDataSetCall(
  deployment: Deployment,
  words: Pick<DataSetWords, "terms" | "schedule">,
): ContractCall {
  return call(deployment, "closing a data set", "close", termsAndSchedule(words));
}

/** One set of a proof: `IStorageEscrow.ProofCall`. */
export interface DataSetProof extends DataSetWords {
  readonly audit: DataSetAuditTerms;
  /** Ranges of the level that is proven, which may be another one than the last. */
  readonly ranges: Uint8Array;
  /** Audit key and proof, in the layout of the verifier. */
  readonly answer: Uint8Array;
  /** For the randomness source. */
  readonly evidence: Uint8Array;
}

/** Proves the current epoch of several sets. */
export function proveDataSetsCall(deployment: Deployment, proofs: readonly DataSetProof[]): ContractCall {
  const args = proofs.map(({ terms, audit, schedule, ranges, answer, evidence }) => ({
    terms: termsForChain(terms),
    audit,
    schedule: toHex(schedule),
    ranges: toHex(ranges),
    answer: toHex(answer),
    evidence: toHex(evidence),
  }));
  const what = proofs.length === 1 ? "a data set" : `${proofs.length} data sets`;
  return call(deployment, `proving ${what}`, "prove", [args]);
}

/**
 * What a transaction to `prove` brought, as the inverse of `proveDataSetsCall`.
 * @param data call data, 0x hex
 * @returns undefined when it is a call of another function, or does not decode
 */
export function parseProveCall(data: string): DataSetProof[] | undefined {
  try {
    if (escrowAbi().parseTransaction({ data })?.name !== "prove") return undefined;
    const [calls] = escrowAbi().decodeFunctionData("prove", data) as unknown as [
      IStorageEscrow.ProofCallStructOutput[],
    ];
    return [...calls].map((given) => ({
      terms: termsFromChain(given.terms),
      audit: auditFromChain(given.audit),
      schedule: fromHex(given.schedule),
      ranges: fromHex(given.ranges),
      answer: fromHex(given.answer),
      evidence: fromHex(given.evidence),
    }));
  } catch {
    // Anybody chooses these bytes, and ethers throws errors of many kinds for them, some without a code.
    return undefined;
  }
}

/** What reports and disputes bring. */
export interface AuditedWords extends Pick<DataSetWords, "terms" | "schedule"> {
  readonly audit: DataSetAuditTerms;
}

export function reportDataSetMissCall(deployment: Deployment, words: AuditedWords, epoch: number): ContractCall {
  const args = [termsForChain(words.terms), words.audit, toHex(words.schedule), epoch];
  return call(deployment, `reporting the miss of epoch ${epoch}`, "reportMiss", args);
}

export function disputeCall(deployment: Deployment, words: AuditedWords): ContractCall {
  return call(deployment, "disputing possession", "dispute", auditedWords(words));
}

export function upholdDisputeCall(deployment: Deployment, words: AuditedWords): ContractCall {
  return call(deployment, "upholding a dispute", "upholdDispute", auditedWords(words));
}

const NO_STATE: SignedState = {
  version: 0n,
  ranges: new Uint8Array(),
  contentHash: `0x${"00".repeat(32)}`,
  deadlineBlock: 0n,
  userSignature: "0x",
  providerSignature: "0x",
};

function termsAndSchedule({ terms, schedule }: Pick<DataSetWords, "terms" | "schedule">): unknown[] {
  return [termsForChain(terms), toHex(schedule)];
}

function auditedWords({ terms, audit, schedule }: AuditedWords): unknown[] {
  return [termsForChain(terms), audit, toHex(schedule)];
}

function call(deployment: Deployment, description: string, name: string, args: unknown[], value = 0n): ContractCall {
  const data = escrowAbi().encodeFunctionData(name as "open", args as never);
  return { to: deployment.contracts.storageEscrow, data, value, description };
}

/** A call whose amount, its third argument, is sent along in the native coin. */
function paying(
  deployment: Deployment,
  description: string,
  name: string,
  args: [token: string, account: string, amount: bigint],
): ContractCall {
  const [token, , amount] = args;
  return call(deployment, description, name, args, /^0x0+$/.test(token) ? amount : 0n);
}
