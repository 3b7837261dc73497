/**
 * The escrow of storage agreements: agreements and challenges as they are on chain, what to send to change them, and
 * its events. Amounts are in the token's smallest unit; the zero address stands for the native coin.
 */

import { AbiCoder, Interface, keccak256, type Log, type TransactionReceipt } from "ethers";
import type { AuditChallenge } from "../core/audit/challenge.ts";
import { type AuditPublicKey, keyForChain } from "../core/audit/keys.ts";
import { type AuditProof, proofForChain } from "../core/audit/proof.ts";
import { isAddressEqual } from "../core/encoding/address.ts";
import { fromHex } from "../core/encoding/hex.ts";
import { InvalidInputError } from "../core/errors.ts";
import { ESCROW_ABI } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import { storageEscrow } from "./contracts.ts";
import type { ChainReader, Deployment } from "./deployment.ts";
import { chainLogs, type LogPlace, placeOf, type ScanOptions } from "./logs.ts";
import { ChainRevertedError, readChain } from "./revert.ts";
import type { IStorageEscrow } from "./types/StorageEscrow.ts";

const TOKEN_ABI = new Interface([
  "function approve(address spender, uint256 amount) returns (bool)",
  "function allowance(address owner, address spender) view returns (uint256)",
]);
/** `IStorageEscrow.AgreementStatus` and `EpochStatus` by number. */
const AGREEMENT_STATUSES = ["none", "proposed", "active", "breached", "closed", "cancelled"] as const;
const EPOCH_STATUSES = ["upcoming", "open", "proven", "overdue", "missed", "lapsed"] as const;

/** Stands for the native coin where a token is named. */
export const NATIVE_TOKEN = `0x${"0".repeat(40)}`;

export type AgreementStatus = Exclude<(typeof AGREEMENT_STATUSES)[number], "none">;
export type EpochStatus = (typeof EPOCH_STATUSES)[number];

/** `IStorageEscrow.Terms`. Hashes are 0x hex, 32 bytes. */
export interface Terms {
  readonly provider: string;
  readonly token: string;
  readonly feePerEpoch: bigint;
  readonly compensationPerMiss: bigint;
  readonly bountyPerMiss: bigint;
  readonly collateral: bigint;
  readonly startBlock: bigint;
  readonly epochBlocks: number;
  readonly windowBlocks: number;
  readonly epochs: number;
  readonly sampleCount: number;
  readonly breachLimit: number;
  readonly firstIndex: bigint;
  readonly sliceCount: bigint;
  readonly auditKeyHash: string;
  readonly manifestHash: string;
  readonly randomness: string;
}

export interface Agreement {
  readonly id: bigint;
  readonly user: string;
  readonly status: AgreementStatus;
  readonly epochsProven: number;
  /** Reported misses. */
  readonly epochsMissed: number;
  readonly terms: Terms;
}

/** What a proof of an epoch must answer, in the blocks after `openBlock` up to and with `deadlineBlock`. */
export interface EpochChallenge extends AuditChallenge {
  readonly openBlock: number;
  readonly deadlineBlock: number;
}

/** @returns undefined when no agreement has this number */
export async function readAgreement(chain: ChainReader, id: bigint): Promise<Agreement | undefined> {
  const found = await readChain(`reading agreement ${id}`, () => storageEscrow(chain).agreementOf(id));
  const status = AGREEMENT_STATUSES[Number(found.status)];
  if (status === undefined || status === "none") return undefined;
  return {
    id,
    user: found.user,
    status,
    epochsProven: Number(found.epochsProven),
    epochsMissed: Number(found.epochsMissed),
    terms: toTerms(found.terms),
  };
}

/** @throws ChainRevertedError for an agreement or epoch that does not exist */
export async function readEpochStatus(chain: ChainReader, id: bigint, epoch: number): Promise<EpochStatus> {
  const status = await readChain(`reading epoch ${epoch} of agreement ${id}`, () =>
    storageEscrow(chain).epochStatus(id, epoch),
  );
  return EPOCH_STATUSES[Number(status)] ?? "upcoming";
}

/**
 * The challenge of an epoch.
 * @returns undefined while the challenge block is not in the past, and when its randomness is no longer available
 * @throws ChainRevertedError for an agreement or epoch that does not exist
 */
export async function readChallenge(
  chain: ChainReader,
  id: bigint,
  epoch: number,
): Promise<EpochChallenge | undefined> {
  try {
    // On the pending block, since the challenge exists from the block after its own on.
    const found = await readChain(`reading the challenge of epoch ${epoch} of agreement ${id}`, () =>
      storageEscrow(chain).challengeOf(id, epoch, { blockTag: "pending" }),
    );
    return {
      seed: fromHex(found.seed, 32, "seed"),
      sampleCount: Number(found.sampleCount),
      ranges: [{ firstIndex: Number(found.firstIndex), count: Number(found.sliceCount) }],
      openBlock: Number(found.openBlock),
      deadlineBlock: Number(found.deadlineBlock),
    };
  } catch (error) {
    if (error instanceof ChainRevertedError && error.revert.name === "RandomnessUnavailable") return undefined;
    throw error;
  }
}

/** What an account can withdraw in a token. */
export async function balanceOf(chain: ChainReader, token: string, account: string): Promise<bigint> {
  return readChain("reading a balance of the escrow", () => storageEscrow(chain).balanceOf(token, account));
}

/** How much of a token the escrow may take from an account. */
export async function readAllowance(chain: ChainReader, token: string, owner: string): Promise<bigint> {
  const data = TOKEN_ABI.encodeFunctionData("allowance", [owner, chain.deployment.contracts.storageEscrow]);
  const answer = await readChain("reading an allowance", () => chain.provider.call({ to: token, data }));
  return BigInt(answer);
}

/** The transaction that accepted an agreement, if it was accepted. */
export async function readAcceptance(
  chain: ChainReader,
  id: bigint,
): Promise<{ transactionHash: string; blockNumber: number } | undefined> {
  const head = await readChain("reading the block number", () => chain.provider.getBlockNumber());
  const topics = ESCROW_ABI.encodeFilterTopics("AgreementAccepted", [id]);
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  for await (const log of chainLogs(chain, filter, chain.deployment.deployedAtBlock, head)) {
    return { transactionHash: log.transactionHash, blockNumber: log.blockNumber };
  }
  return undefined;
}

/** keccak256(abi.encode(user, terms)): the terms that the provider accepts. */
export function termsHash(user: string, terms: Terms): string {
  const type = ESCROW_ABI.getFunction("propose").inputs[0];
  if (type === undefined) throw new InvalidInputError("the escrow's ABI has no terms");
  return keccak256(AbiCoder.defaultAbiCoder().encode(["address", type], [user, terms]));
}

/** @returns the deposit of a proposal: the fees of all epochs */
export function depositOf(terms: Terms): bigint {
  return terms.feePerEpoch * BigInt(terms.epochs);
}

/** Deposits the fees of all epochs; for an ERC-20 token, `approveCall` comes first. */
export function proposeCall(deployment: Deployment, terms: Terms): ContractCall {
  const value = terms.token === NATIVE_TOKEN ? depositOf(terms) : 0n;
  return call(deployment, "proposing an agreement", ESCROW_ABI.encodeFunctionData("propose", [terms]), value);
}

/**
 * Number of the agreement that a mined `propose` made. @throws InvalidInputError when the receipt is of something else
 */
export function proposedAgreementId(deployment: Deployment, receipt: TransactionReceipt): bigint {
  for (const log of receipt.logs) {
    if (!isAddressEqual(log.address, deployment.contracts.storageEscrow)) continue;
    const parsed = ESCROW_ABI.parseLog(log);
    if (parsed?.name === "AgreementProposed") return BigInt(String(parsed.args.getValue("id")));
  }
  throw new InvalidInputError("the transaction proposed no agreement", { check: "AgreementProposed event" });
}

export function cancelCall(deployment: Deployment, id: bigint): ContractCall {
  return call(deployment, `cancelling proposal ${id}`, ESCROW_ABI.encodeFunctionData("cancel", [id]));
}

/** Accepts exactly the terms that were read, and deposits the collateral. */
export function acceptCall(deployment: Deployment, agreement: Agreement): ContractCall {
  const { id, user, terms } = agreement;
  const data = ESCROW_ABI.encodeFunctionData("accept", [id, termsHash(user, terms)]);
  return call(deployment, `accepting agreement ${id}`, data, terms.token === NATIVE_TOKEN ? terms.collateral : 0n);
}

/** @throws InvalidInputError for a private proof */
export function proveCall(
  deployment: Deployment,
  id: bigint,
  epoch: number,
  key: AuditPublicKey,
  proof: AuditProof,
): ContractCall {
  const data = ESCROW_ABI.encodeFunctionData("prove", [id, epoch, keyForChain(key), proofForChain(proof)]);
  return call(deployment, `proving epoch ${epoch} of agreement ${id}`, data);
}

export function reportMissCall(deployment: Deployment, id: bigint, epoch: number): ContractCall {
  const data = ESCROW_ABI.encodeFunctionData("reportMiss", [id, epoch]);
  return call(deployment, `reporting the miss of epoch ${epoch} of agreement ${id}`, data);
}

export function closeCall(deployment: Deployment, id: bigint): ContractCall {
  return call(deployment, `closing agreement ${id}`, ESCROW_ABI.encodeFunctionData("close", [id]));
}

/** @param to - who receives the payment */
export function withdrawCall(deployment: Deployment, token: string, to: string): ContractCall {
  return call(deployment, "withdrawing from the escrow", ESCROW_ABI.encodeFunctionData("withdraw", [token, to]));
}

/** Lets the escrow take an amount of an ERC-20 token. */
export function approveCall(deployment: Deployment, token: string, amount: bigint): ContractCall {
  const data = TOKEN_ABI.encodeFunctionData("approve", [deployment.contracts.storageEscrow, amount]);
  return { to: token, data, description: "approving the escrow" };
}

export type EscrowEvent = LogPlace &
  (
    | { readonly kind: "AgreementProposed"; readonly id: bigint; readonly user: string; readonly provider: string }
    | { readonly kind: "AgreementAccepted"; readonly id: bigint; readonly user: string; readonly provider: string }
    | { readonly kind: "AgreementCancelled"; readonly id: bigint; readonly user: string; readonly refund: bigint }
    | { readonly kind: "EpochProven"; readonly id: bigint; readonly epoch: number; readonly fee: bigint }
    | {
        readonly kind: "EpochMissed";
        readonly id: bigint;
        readonly epoch: number;
        readonly reporter: string;
        readonly fee: bigint;
        readonly compensation: bigint;
        readonly bounty: bigint;
      }
    | { readonly kind: "AgreementBreached"; readonly id: bigint }
    | {
        readonly kind: "AgreementEnded";
        readonly id: bigint;
        readonly breached: boolean;
        readonly epochsProven: number;
        readonly epochsMissed: number;
        readonly epochsLapsed: number;
        readonly userCredit: bigint;
        readonly providerCredit: bigint;
      }
    | {
        readonly kind: "Withdrawn";
        readonly token: string;
        readonly account: string;
        readonly to: string;
        readonly amount: bigint;
      }
  );

/** Events of the escrow in a range of blocks, both ends included, in chain order. */
export async function* scanEscrow(
  chain: ChainReader,
  fromBlock: number,
  toBlock: number,
  options: ScanOptions = {},
): AsyncIterable<EscrowEvent> {
  const filter = { address: chain.deployment.contracts.storageEscrow };
  for await (const log of chainLogs(chain, filter, fromBlock, toBlock, options)) {
    const event = parseEscrowLog(log);
    if (event !== undefined) yield event;
  }
}

/** A log of the escrow as an event; undefined when it is none of ours. */
export function parseEscrowLog(log: Log): EscrowEvent | undefined {
  const parsed = ESCROW_ABI.parseLog(log);
  if (parsed === null) return undefined;
  const place = placeOf(log);
  const text = (name: string): string => String(parsed.args.getValue(name));
  const integer = (name: string): bigint => BigInt(text(name));
  const number = (name: string): number => Number(text(name));
  switch (parsed.name) {
    case "AgreementProposed":
    case "AgreementAccepted":
      return { ...place, kind: parsed.name, id: integer("id"), user: text("user"), provider: text("provider") };
    case "AgreementCancelled":
      return { ...place, kind: parsed.name, id: integer("id"), user: text("user"), refund: integer("refund") };
    case "EpochProven":
      return { ...place, kind: parsed.name, id: integer("id"), epoch: number("epoch"), fee: integer("fee") };
    case "EpochMissed":
      return {
        ...place,
        kind: parsed.name,
        id: integer("id"),
        epoch: number("epoch"),
        reporter: text("reporter"),
        fee: integer("fee"),
        compensation: integer("compensation"),
        bounty: integer("bounty"),
      };
    case "AgreementBreached":
      return { ...place, kind: parsed.name, id: integer("id") };
    case "AgreementEnded":
      return {
        ...place,
        kind: parsed.name,
        id: integer("id"),
        breached: parsed.args.getValue("breached") === true,
        epochsProven: number("epochsProven"),
        epochsMissed: number("epochsMissed"),
        epochsLapsed: number("epochsLapsed"),
        userCredit: integer("userCredit"),
        providerCredit: integer("providerCredit"),
      };
    case "Withdrawn":
      return {
        ...place,
        kind: parsed.name,
        token: text("token"),
        account: text("account"),
        to: text("to"),
        amount: integer("amount"),
      };
    default:
      return undefined;
  }
}

function call(deployment: Deployment, description: string, data: string, value = 0n): ContractCall {
  return { to: deployment.contracts.storageEscrow, data, value, description };
}

function toTerms(terms: IStorageEscrow.TermsStructOutput): Terms {
  return {
    provider: terms.provider,
    token: terms.token,
    feePerEpoch: terms.feePerEpoch,
    compensationPerMiss: terms.compensationPerMiss,
    bountyPerMiss: terms.bountyPerMiss,
    collateral: terms.collateral,
    startBlock: terms.startBlock,
    epochBlocks: Number(terms.epochBlocks),
    windowBlocks: Number(terms.windowBlocks),
    epochs: Number(terms.epochs),
    sampleCount: Number(terms.sampleCount),
    breachLimit: Number(terms.breachLimit),
    firstIndex: terms.firstIndex,
    sliceCount: terms.sliceCount,
    auditKeyHash: terms.auditKeyHash,
    manifestHash: terms.manifestHash,
    randomness: terms.randomness,
  };
}
