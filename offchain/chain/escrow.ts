/**
 * The escrow of data sets: sets, balances and pools as they are on chain, what to send to change them, and its events.
 * Amounts are in the token's smallest unit; the zero address stands for the native coin.
 *
 * The contract stores hashes. Whoever calls it about a set brings the terms, which never change, and the newest
 * schedule and ranges, which are in the set's last `DataSetScheduled` event: `readDataSet` finds them.
 */

import { Interface, type Log } from "ethers";
import type { UserAccount } from "../core/data-set/balance.ts";
import { decodeSchedule, type Schedule, scheduleHash } from "../core/data-set/schedule.ts";
import {
  auditTermsHash,
  DATA_SET_MODES,
  type DataSetAuditTerms,
  type DataSetTerms,
  dataSetId,
} from "../core/data-set/terms.ts";
import { fromHex, toHex } from "../core/encoding/hex.ts";
import { IntegrityError, TallystickError } from "../core/errors.ts";
import { ESCROW_ABI } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import { storageEscrow } from "./contracts.ts";
import type { ChainReader, Deployment } from "./deployment.ts";
import {
  chainLogs,
  type EventPage,
  type LogPlace,
  placeOf,
  type ScanCursor,
  type ScanOptions,
  scanPages,
} from "./logs.ts";
import { readChain } from "./revert.ts";
import type { IStorageEscrow } from "./types/StorageEscrow.ts";

const TOKEN_ABI = new Interface([
  "function approve(address spender, uint256 amount) returns (bool)",
  "function allowance(address owner, address spender) view returns (uint256)",
]);
/** Stands for the native coin where a token is named. */
export const NATIVE_TOKEN = `0x${"00".repeat(20)}`;
/** `IStorageEscrow.Status` by number. */
const STATUSES = ["none", "running", "breached", "closed"] as const;

export type DataSetStatus = Exclude<(typeof STATUSES)[number], "none">;

/** What both parties signed: `IStorageEscrow.Update`. Signatures are empty for the party that sends the call. */
export interface SignedState {
  readonly version: bigint;
  /** Packed live ranges. */
  readonly ranges: Uint8Array;
  readonly contentHash: string;
  readonly deadlineBlock: bigint;
  readonly userSignature: string;
  readonly providerSignature: string;
}

/** `IStorageEscrow.Books`. */
export interface DataSetBooks {
  readonly status: DataSetStatus;
  readonly disputed: boolean;
  readonly missed: number;
  /** Of the two epochs behind `settledThrough`. */
  readonly outcomes: readonly ["unsettled" | "proven" | "missed", "unsettled" | "proven" | "missed"];
  /** Epochs up to this one are settled. */
  readonly settledThrough: number;
  readonly proven: number;
  readonly generation: number;
  /** Last epoch once notice is given. */
  readonly noticedEnd?: number;
}

/** What a call about a set brings: its terms, and the newest schedule and ranges. */
export interface DataSetWords {
  readonly terms: DataSetTerms;
  /** Encoded. */
  readonly schedule: Uint8Array;
  /** Live ranges of its last level, packed; empty when the set ends. */
  readonly ranges: Uint8Array;
}

/** The newest schedule of a set, and where it stands on chain. */
export interface Scheduled extends LogPlace {
  readonly schedule: Uint8Array;
  readonly ranges: Uint8Array;
}

export interface OpenedDataSet extends LogPlace {
  readonly id: string;
  readonly terms: DataSetTerms;
  readonly audit: DataSetAuditTerms;
}

/** Constants of the contract. */
export interface EscrowClock {
  readonly epochBlocks: number;
  readonly noticeEpochs: number;
}

export interface CollateralPool {
  readonly total: bigint;
  readonly locked: bigint;
}

export interface OpenDispute {
  readonly disputer: string;
  readonly challengeBlock: number;
  readonly bond: bigint;
}

const clocks = new WeakMap<ChainReader, Promise<EscrowClock>>();

/** Constants of the contract, read once per connection. */
export function readEscrowClock(chain: ChainReader): Promise<EscrowClock> {
  const known = clocks.get(chain);
  if (known !== undefined) return known;
  const contract = storageEscrow(chain);
  const reading = readChain("reading the epochs of the escrow", () =>
    Promise.all([contract.EPOCH_BLOCKS(), contract.NOTICE_EPOCHS()]),
  ).then(([epochBlocks, noticeEpochs]) => ({
    epochBlocks: Number(epochBlocks),
    noticeEpochs: Number(noticeEpochs),
  }));
  reading.catch(() => clocks.delete(chain));
  clocks.set(chain, reading);
  return reading;
}

/** Epochs behind the last one of a set and its settlement after which a stranger who closes it gets the bounty. */
export async function readAbandonedEpochs(chain: ChainReader): Promise<number> {
  const epochs = await readChain("reading when a set is abandoned", () => storageEscrow(chain).ABANDONED_EPOCHS());
  return Number(epochs);
}

/**
 * The block at which state is read. What several calls read belongs together only when all of them name one block:
 * between two calls, blocks are mined, and behind a load balancer a later call may be answered by an older one.
 */
export type BlockTag = number | "latest";

/** @returns undefined when there is no such set */
export async function readBooks(
  chain: ChainReader,
  id: string,
  blockTag: BlockTag = "latest",
): Promise<DataSetBooks | undefined> {
  const found = await readChain(`reading data set ${id}`, () => storageEscrow(chain).booksOf(id, { blockTag }));
  const status = STATUSES[Number(found.status)];
  if (status === undefined || status === "none") return undefined;
  const outcome = (epoch: number) =>
    (["unsettled", "proven", "missed", "unsettled"] as const)[(Number(found.outcomes) >> (2 * epoch)) & 3] ??
    "unsettled";
  return {
    status,
    disputed: found.disputed,
    missed: Number(found.missed),
    outcomes: [outcome(0), outcome(1)],
    settledThrough: Number(found.settledThrough),
    proven: Number(found.proven),
    generation: Number(found.generation),
    ...(found.noticedEnd === 0n ? {} : { noticedEnd: Number(found.noticedEnd) }),
  };
}

/** Hash of the newest schedule, 0x hex. @returns undefined when there is no such set */
export async function readScheduleHash(
  chain: ChainReader,
  id: string,
  blockTag: BlockTag = "latest",
): Promise<string | undefined> {
  const hash = await readChain(`reading the schedule of data set ${id}`, () =>
    storageEscrow(chain).scheduleHashOf(id, { blockTag }),
  );
  return /^0x0+$/.test(hash) ? undefined : hash;
}

/**
 * The newest schedule of a set.
 * @param known an older or the same one; then only later blocks are searched, and none if it is the newest
 * @param fromBlock where to search when none is known
 * @param atBlock as of which block; the latest unless given
 * @returns undefined when there is no such set
 * @throws TallystickError CHAIN_UNAVAILABLE (retryable) when the endpoint's logs do not have what its state names
 */
export async function readSchedule<Known extends Pick<Scheduled, "schedule" | "ranges"> & { blockNumber: number }>(
  chain: ChainReader,
  id: string,
  known: Known | undefined,
  fromBlock: number = chain.deployment.deployedAtBlock,
  atBlock?: number,
): Promise<Known | Scheduled | undefined> {
  const hash = await readScheduleHash(chain, id, atBlock);
  if (hash === undefined) return undefined;
  if (known !== undefined && scheduleHash(known.schedule) === hash) return known;
  const head = atBlock ?? (await readChain("reading the block number", () => chain.provider.getBlockNumber()));
  const topics = ESCROW_ABI.encodeFilterTopics("DataSetScheduled", [id]);
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  let newest: Scheduled | undefined;
  // A known one may be of a block that was replaced.
  const from = known === undefined ? fromBlock : Math.max(fromBlock, known.blockNumber - REORGANISED_BLOCKS);
  for await (const log of chainLogs(chain, filter, from, head)) {
    const event = parseDataSetLog(log);
    if (event?.kind !== "DataSetScheduled") continue;
    if (scheduleHash(event.schedule) === hash) newest = event;
  }
  if (newest !== undefined) return newest;
  throw new TallystickError(`the chain's logs do not have the newest schedule of data set ${id}`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "DataSetScheduled event",
    expected: hash,
    received: `none with this hash from block ${from} on`,
    hint: "repeat when the endpoint is in sync, or use one that keeps old logs",
    retryable: true,
  });
}

/** Blocks that may be replaced: the last two Ethereum epochs, and a margin. */
const REORGANISED_BLOCKS = 128;

/** How a set was opened. @returns undefined when the logs do not have it */
export async function readOpened(
  chain: ChainReader,
  id: string,
  fromBlock: number = chain.deployment.deployedAtBlock,
): Promise<OpenedDataSet | undefined> {
  for await (const opened of dataSetsOpened(chain, { id }, fromBlock)) return opened;
  return undefined;
}

/** Sets that were opened, oldest first: of a user, a provider, or one id. */
export async function* dataSetsOpened(
  chain: ChainReader,
  { id, user, provider }: { readonly id?: string; readonly user?: string; readonly provider?: string },
  fromBlock: number = chain.deployment.deployedAtBlock,
): AsyncGenerator<OpenedDataSet, void, undefined> {
  const head = await readChain("reading the block number", () => chain.provider.getBlockNumber());
  const topics = ESCROW_ABI.encodeFilterTopics("DataSetOpened", [id ?? null, user ?? null, provider ?? null]);
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  for await (const log of chainLogs(chain, filter, fromBlock, head)) {
    const event = parseDataSetLog(log);
    if (event?.kind === "DataSetOpened") yield event;
  }
}

/** A user's balance as of the last time that the chain touched it; `accrue` of core/data-set brings it up to date. */
export async function readUserAccount(
  chain: ChainReader,
  token: string,
  user: string,
  blockTag: BlockTag = "latest",
): Promise<UserAccount> {
  const found = await readChain("reading a balance of the escrow", () =>
    storageEscrow(chain).accountOf(token, user, { blockTag }),
  );
  return {
    available: found.available,
    rate: found.rate,
    paidThrough: Number(found.paidThrough),
    generation: Number(found.generation),
  };
}

/** First unpaid epoch of a generation of a balance that was used up. @returns undefined while it goes on */
export async function readEndEpoch(
  chain: ChainReader,
  token: string,
  user: string,
  generation: number,
  blockTag: BlockTag = "latest",
): Promise<number | undefined> {
  const end = await readChain("reading the end of a balance", () =>
    storageEscrow(chain).endEpochOf(token, user, generation, { blockTag }),
  );
  return end === 0n ? undefined : Number(end);
}

export async function readPool(
  chain: ChainReader,
  token: string,
  provider: string,
  blockTag: BlockTag = "latest",
): Promise<CollateralPool> {
  const found = await readChain("reading a pool of the escrow", () =>
    storageEscrow(chain).poolOf(token, provider, { blockTag }),
  );
  return { total: found.total, locked: found.locked };
}

/** Who signs and sends for a provider. */
export async function readOperator(chain: ChainReader, provider: string): Promise<string> {
  return await readChain("reading a provider's operator", () => storageEscrow(chain).operatorOf(provider));
}

/** @returns undefined when there is none */
export async function readDispute(chain: ChainReader, id: string): Promise<OpenDispute | undefined> {
  const found = await readChain(`reading the dispute of data set ${id}`, () => storageEscrow(chain).disputeOf(id));
  if (found.challengeBlock === 0n) return undefined;
  return { disputer: found.disputer, challengeBlock: Number(found.challengeBlock), bond: found.bond };
}

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
  const data = TOKEN_ABI.encodeFunctionData("allowance", [owner, chain.deployment.contracts.storageEscrow]);
  const allowed = BigInt(await readChain("reading an allowance", () => chain.provider.call({ to: token, data })));
  if (allowed >= amount) return [];
  const amounts = allowed === 0n ? [amount] : [0n, amount];
  return amounts.map((each) => approveDataSetsCall(chain.deployment, token, each));
}

/** Lets the escrow take an amount of an ERC-20 token. */
export function approveDataSetsCall(deployment: Deployment, token: string, amount: bigint): ContractCall {
  const data = TOKEN_ABI.encodeFunctionData("approve", [deployment.contracts.storageEscrow, amount]);
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
    if (ESCROW_ABI.parseTransaction({ data })?.name !== "prove") return undefined;
    const [calls] = ESCROW_ABI.decodeFunctionData("prove", data) as unknown as [IStorageEscrow.ProofCallStructOutput[]];
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

export type DataSetEvent = LogPlace &
  (
    | { readonly kind: "Deposited"; readonly token: string; readonly user: string; readonly amount: bigint }
    | { readonly kind: "BalanceExhausted"; readonly token: string; readonly user: string; readonly endEpoch: number }
    | ({ readonly kind: "DataSetOpened" } & Omit<OpenedDataSet, keyof LogPlace>)
    | {
        readonly kind: "DataSetScheduled";
        readonly id: string;
        readonly schedule: Uint8Array;
        readonly ranges: Uint8Array;
      }
    | { readonly kind: "NoticeGiven"; readonly id: string; readonly by: string; readonly lastEpoch: number }
    | {
        readonly kind: "EpochProven";
        readonly id: string;
        readonly epoch: number;
        readonly fee: bigint;
        readonly late: boolean;
      }
    | {
        readonly kind: "EpochMissed";
        readonly id: string;
        readonly epoch: number;
        readonly reporter: string;
        readonly fee: bigint;
        readonly compensation: bigint;
        readonly bounty: bigint;
      }
    | { readonly kind: "DataSetBreached"; readonly id: string; readonly epoch: number; readonly forfeited: bigint }
    | { readonly kind: "DataSetClosed"; readonly id: string; readonly by: string; readonly bounty: bigint }
    | {
        readonly kind: "DisputeOpened";
        readonly id: string;
        readonly disputer: string;
        readonly challengeBlock: number;
        readonly bond: bigint;
      }
    | { readonly kind: "DisputeAnswered"; readonly id: string; readonly disputer: string; readonly bond: bigint }
    | { readonly kind: "DisputeUpheld"; readonly id: string; readonly disputer: string; readonly bond: bigint }
  );

/** Events of the escrow in a range of blocks, both ends included, in chain order. */
export async function* scanDataSets(
  chain: ChainReader,
  fromBlock: number,
  toBlock: number,
  options: ScanOptions = {},
): AsyncIterable<DataSetEvent> {
  const filter = { address: chain.deployment.contracts.storageEscrow };
  for await (const log of chainLogs(chain, filter, fromBlock, toBlock, options)) {
    const event = parseDataSetLog(log);
    if (event !== undefined) yield event;
  }
}

/** Follows the escrow's events from the deployment on; see `scanPages`. */
export function followDataSets(
  chain: ChainReader,
  cursor: ScanCursor | undefined,
  options: ScanOptions = {},
): AsyncIterable<EventPage<DataSetEvent>> {
  const { contracts, deployedAtBlock } = chain.deployment;
  return scanPages(chain, { address: contracts.storageEscrow }, parseDataSetLog, deployedAtBlock, cursor, options);
}

/** A log of the escrow as an event; undefined for those that nobody here asks for. */
export function parseDataSetLog(log: Log): DataSetEvent | undefined {
  const parsed = ESCROW_ABI.parseLog(log);
  if (parsed === null) return undefined;
  const place = placeOf(log);
  const value = (name: string): unknown => parsed.args.getValue(name);
  const text = (name: string): string => String(value(name));
  const amount = (name: string): bigint => BigInt(text(name));
  const number = (name: string): number => Number(text(name));
  const bytes = (name: string): Uint8Array => fromHex(text(name));
  switch (parsed.name) {
    case "Deposited":
      return { ...place, kind: parsed.name, token: text("token"), user: text("user"), amount: amount("amount") };
    case "BalanceExhausted":
      return { ...place, kind: parsed.name, token: text("token"), user: text("user"), endEpoch: number("endEpoch") };
    case "DataSetOpened":
      return {
        ...place,
        kind: parsed.name,
        id: text("id"),
        terms: termsFromChain(value("terms") as IStorageEscrow.TermsStructOutput),
        audit: auditFromChain(value("audit") as IStorageEscrow.AuditTermsStructOutput),
      };
    case "DataSetScheduled":
      return { ...place, kind: parsed.name, id: text("id"), schedule: bytes("schedule"), ranges: bytes("ranges") };
    case "NoticeGiven":
      return { ...place, kind: parsed.name, id: text("id"), by: text("by"), lastEpoch: number("lastEpoch") };
    case "EpochProven":
      return {
        ...place,
        kind: parsed.name,
        id: text("id"),
        epoch: number("epoch"),
        fee: amount("fee"),
        late: value("late") === true,
      };
    case "EpochMissed":
      return {
        ...place,
        kind: parsed.name,
        id: text("id"),
        epoch: number("epoch"),
        reporter: text("reporter"),
        fee: amount("fee"),
        compensation: amount("compensation"),
        bounty: amount("bounty"),
      };
    case "DataSetBreached":
      return {
        ...place,
        kind: parsed.name,
        id: text("id"),
        epoch: number("epoch"),
        forfeited: amount("forfeited"),
      };
    case "DataSetClosed":
      return { ...place, kind: parsed.name, id: text("id"), by: text("by"), bounty: amount("bounty") };
    case "DisputeOpened":
      return {
        ...place,
        kind: parsed.name,
        id: text("id"),
        disputer: text("disputer"),
        challengeBlock: number("challengeBlock"),
        bond: amount("bond"),
      };
    case "DisputeAnswered":
    case "DisputeUpheld":
      return { ...place, kind: parsed.name, id: text("id"), disputer: text("disputer"), bond: amount("bond") };
    default:
      return undefined;
  }
}

/**
 * Checks that the terms in an event are those of the id, which is their hash: what an endpoint answers is not believed.
 * @throws IntegrityError naming the chain's endpoint
 */
export function requireTermsOfId(
  deployment: Deployment,
  { id, terms, audit }: Omit<OpenedDataSet, keyof LogPlace>,
): void {
  const own = dataSetId(BigInt(deployment.chainId), deployment.contracts.storageEscrow, terms);
  if (own === id && auditTermsHash(audit) === terms.auditHash) return;
  throw new IntegrityError("the chain's RPC endpoint answered other terms than those of the data set", {
    party: "chain",
    check: "hash of the terms",
    expected: id,
    received: own,
  });
}

/** The newest level that the chain counts, decoded. */
export function scheduleOf(scheduled: Pick<Scheduled, "schedule">): Schedule {
  return decodeSchedule(scheduled.schedule);
}

const NO_STATE: SignedState = {
  version: 0n,
  ranges: new Uint8Array(),
  contentHash: `0x${"00".repeat(32)}`,
  deadlineBlock: 0n,
  userSignature: "0x",
  providerSignature: "0x",
};

function termsForChain(terms: DataSetTerms): object {
  return { ...terms, mode: DATA_SET_MODES.indexOf(terms.mode) };
}

function stateForChain(state: SignedState): object {
  return { ...state, ranges: toHex(state.ranges) };
}

function termsAndSchedule({ terms, schedule }: Pick<DataSetWords, "terms" | "schedule">): unknown[] {
  return [termsForChain(terms), toHex(schedule)];
}

function auditedWords({ terms, audit, schedule }: AuditedWords): unknown[] {
  return [termsForChain(terms), audit, toHex(schedule)];
}

function termsFromChain(terms: IStorageEscrow.TermsStructOutput): DataSetTerms {
  return {
    user: terms.user,
    provider: terms.provider,
    token: terms.token,
    mode: DATA_SET_MODES[Number(terms.mode)] ?? "every-epoch",
    feeFloor: terms.feeFloor,
    feePerSlice: terms.feePerSlice,
    feePerIndex: terms.feePerIndex,
    feeCap: terms.feeCap,
    collateralPercent: Number(terms.collateralPercent),
    compensationPercent: Number(terms.compensationPercent),
    bountyPercent: Number(terms.bountyPercent),
    latePercent: Number(terms.latePercent),
    breachLimit: Number(terms.breachLimit),
    auditHash: terms.auditHash,
  };
}

function auditFromChain(audit: IStorageEscrow.AuditTermsStructOutput): DataSetAuditTerms {
  return {
    randomness: audit.randomness,
    verifier: audit.verifier,
    keyHash: audit.keyHash,
    sliceElements: Number(audit.sliceElements),
    sampleCount: Number(audit.sampleCount),
    phase: Number(audit.phase),
    windowBlocks: Number(audit.windowBlocks),
    graceBlocks: Number(audit.graceBlocks),
    disputeBond: audit.disputeBond,
    predecessor: audit.predecessor,
    salt: audit.salt,
  };
}

function call(deployment: Deployment, description: string, name: string, args: unknown[], value = 0n): ContractCall {
  const data = ESCROW_ABI.encodeFunctionData(name as "open", args as never);
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
