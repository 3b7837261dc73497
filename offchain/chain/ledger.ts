/**
 * The key ledger: what to send to record a key or add an owner, whether a record is there, and the events that carry
 * the sealed keys. Event bytes may come from anywhere (a node's archive, a log server): a record's id is a hash of
 * its bytes, and `verifyArchivedRecord` looks for it in contract state before they are used.
 */

import { AbiCoder, keccak256, type Log } from "ethers";
import { isAddressEqual } from "../core/encoding/address.ts";
import { fromHex } from "../core/encoding/hex.ts";
import { IntegrityError, InvalidInputError } from "../core/errors.ts";
import type { LedgerScope } from "../core/record/ledger-scope.ts";
import { ledgerAbi } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import { keyLedger } from "./contracts.ts";
import type { ChainReader, Deployment } from "./deployment.ts";
import { chainLogs, type LogPlace, placeOf, type ScanOptions } from "./logs.ts";
import { readChain } from "./revert.ts";

const CODER = AbiCoder.defaultAbiCoder();
/**
 * The 500,000 gas of a wallet's answer, with the call data of a signature of 1 KiB and what a call may not pass on
 * (1/64).
 */
const ACCOUNT_SIGNATURE_GAS = 600_000n;

/** The deployment that sealed messages of its records are bound to. */
export function ledgerScope({ chainId, contracts }: Pick<Deployment, "chainId" | "contracts">): LedgerScope {
  return { chainId: BigInt(chainId), keyLedger: contracts.keyLedger };
}

/** A record with its payload's hash in the payload's place. Field order is that of the contract and of record ids. */
export interface RecordHeader {
  readonly account: string;
  /** 32 bytes, 0x hex. */
  readonly fileTag: string;
  readonly committeeId: bigint;
  /** Unix seconds. */
  readonly keyTime: bigint;
  readonly ownershipKey: string;
  /** keccak256 of the payload, 32 bytes, 0x hex. */
  readonly payloadHash: string;
}

export type KeyRecord = Omit<RecordHeader, "payloadHash"> & { readonly payload: Uint8Array };

/** Records of one account that are made at the same time, under one signature over their ids (`KeyRecords`). */
export interface SignedBatch {
  /** 1 to 32, of one account, committee and key time. */
  readonly records: readonly KeyRecord[];
  /** Unix seconds. */
  readonly deadline: bigint;
  /** 0x hex. */
  readonly signature: string;
}

export interface SignedRecord {
  readonly record: KeyRecord;
  /** Unix seconds. */
  readonly deadline: bigint;
  /** 0x hex. */
  readonly signature: string;
}

export interface KeyRecordedEvent extends LogPlace {
  readonly kind: "KeyRecorded";
  readonly recordId: string;
  readonly record: KeyRecord;
}

export interface OwnerAddedEvent extends LogPlace {
  readonly kind: "OwnerAdded";
  readonly recordId: string;
  readonly fileTag: string;
  readonly owner: string;
  readonly note: Uint8Array;
}

export type LedgerEvent = KeyRecordedEvent | OwnerAddedEvent;

/** The header of a record. */
export function headerOf(record: KeyRecord): RecordHeader {
  const { payload, ...fields } = record;
  return { ...fields, payloadHash: keccak256(payload) };
}

/** The id of a record: keccak256 over the ABI encoding of its header, 32 bytes, 0x hex. */
export function recordIdOf(header: RecordHeader): string {
  return keccak256(encodeHeader(header));
}

/** The ABI encoding of a header, 192 bytes, 0x hex: what the owners policy takes as evidence. */
export function encodeHeader(header: RecordHeader): string {
  return CODER.encode(
    ["address", "bytes32", "uint64", "uint64", "address", "bytes32"],
    [header.account, header.fileTag, header.committeeId, header.keyTime, header.ownershipKey, header.payloadHash],
  );
}

/** As evidence for the policy of owners, by an account that has replaced an owner of the record. */
export function encodeHeaderFor(header: RecordHeader, owner: string): string {
  return `${encodeHeader(header)}${owner.slice(2).toLowerCase().padStart(64, "0")}`;
}

export function recordCall(deployment: Deployment, signed: SignedRecord): ContractCall {
  const { record, deadline, signature } = signed;
  return {
    to: deployment.contracts.keyLedger,
    data: ledgerAbi().encodeFunctionData("record", [record, deadline, signature]),
    description: "recording a key",
  };
}

/**
 * Either all are recorded or none, but for those that are on the ledger already.
 * @throws InvalidInputError when the records differ in account, committee or key time, or there are none
 */
export function recordManyCall(deployment: Deployment, batch: SignedBatch): ContractCall {
  const { records, deadline, signature } = batch;
  const [first] = records;
  const isOneBatch = ({ account, committeeId, keyTime }: KeyRecord) =>
    first !== undefined &&
    isAddressEqual(account, first.account) &&
    committeeId === first.committeeId &&
    keyTime === first.keyTime;
  if (first === undefined || !records.every(isOneBatch)) {
    throw new InvalidInputError("the records of a batch have one account, committee and key time", {
      check: "batch of records",
      received: `${records.length} records`,
    });
  }
  const { account, committeeId, keyTime } = first;
  const entries = records.map(({ fileTag, ownershipKey, payload }) => ({ fileTag, ownershipKey, payload }));
  return {
    to: deployment.contracts.keyLedger,
    data: ledgerAbi().encodeFunctionData("recordMany", [
      { account, committeeId, keyTime, deadline, entries, signature },
    ]),
    description: `recording ${records.length} keys`,
  };
}

/** What `KeyLedger.addOwner` takes: signatures 0x hex, deadline in unix seconds. */
export interface OwnerAddition {
  readonly header: RecordHeader;
  readonly owner: string;
  /** At most 128 bytes. */
  readonly note: Uint8Array;
  readonly deadline: bigint;
  readonly ownershipSignature: string;
  readonly ownerSignature: string;
}

export function addOwnerCall(deployment: Deployment, addition: OwnerAddition): ContractCall {
  const { header, owner, note, deadline, ownershipSignature, ownerSignature } = addition;
  return {
    to: deployment.contracts.keyLedger,
    data: ledgerAbi().encodeFunctionData("addOwner", [
      header,
      owner,
      note,
      deadline,
      ownershipSignature,
      ownerSignature,
    ]),
    description: "adding an owner",
  };
}

/** When a record was made, unix seconds of its block; undefined when the ledger does not have it. */
export async function readRecordedAt(
  chain: ChainReader,
  recordId: string,
  blockTag: number | "latest" = "latest",
): Promise<bigint | undefined> {
  const time = await readChain("reading a record's state", () => keyLedger(chain).recordedAt(recordId, { blockTag }));
  return time === 0n ? undefined : time;
}

/** Whether an account owns a record: it made it, as the header says, or was added later. */
export async function isOwner(chain: ChainReader, header: RecordHeader, account: string): Promise<boolean> {
  const role = isAddressEqual(header.account, account) ? "recorder" : "owner";
  return await hasRole(chain, recordIdOf(header), account, role);
}

/** How an account comes to own a record: it made it, or was added later. */
export type OwnerRole = "recorder" | "owner";

/**
 * Whether the ledger shows an account's part in a record.
 * @param role a recorder is named by the record's bytes, so that it is enough that the record is there
 */
export async function hasRole(
  chain: ChainReader,
  recordId: string,
  account: string,
  role: OwnerRole,
  blockTag: number | "latest" = "latest",
): Promise<boolean> {
  if (role === "recorder") return (await readRecordedAt(chain, recordId, blockTag)) !== undefined;
  return readChain("reading a record's owners", () => keyLedger(chain).isOwner(recordId, account, { blockTag }));
}

/**
 * Asks the ledger whether an account signed a digest, by the rule that the ledger itself applies (docs/spec.md, section
 * 14). The account's code gets a bounded amount of gas, and nothing that it does is mistaken for a failure of the
 * endpoint.
 *
 * @param digest 32 bytes, 0x hex.
 * @param signature at most 1 KiB, 0x hex.
 */
export async function isAccountSignature(
  chain: ChainReader,
  account: string,
  digest: string,
  signature: string,
): Promise<boolean> {
  return readChain("checking an account's signature", () =>
    keyLedger(chain).isAccountSignature(account, digest, signature, { gasLimit: ACCOUNT_SIGNATURE_GAS }),
  );
}

/**
 * Checks a record that came from an archive against contract state.
 *
 * @param archive who gave it, for the error, for example `node 0x…`.
 * @returns its id
 * @throws IntegrityError naming the archive when the ledger has no record with exactly these bytes
 */
export async function verifyArchivedRecord(chain: ChainReader, record: KeyRecord, archive: string): Promise<string> {
  const recordId = recordIdOf(headerOf(record));
  if ((await readRecordedAt(chain, recordId)) !== undefined) return recordId;
  throw new IntegrityError("the archived record is not on the ledger, or not with these bytes", {
    party: archive,
    check: "record id",
    expected: "a record in contract state",
    received: recordId,
    hint: "ask another archive",
  });
}

/**
 * Events of the ledger in a range of blocks, both ends included, in chain order.
 */
export async function* scanLedger(
  chain: ChainReader,
  fromBlock: number,
  toBlock: number,
  options: ScanOptions = {},
): AsyncIterable<LedgerEvent> {
  for await (const log of chainLogs(chain, filterOf(chain), fromBlock, toBlock, options)) {
    const event = parseLedgerLog(log);
    if (event !== undefined) yield event;
  }
}

/** A log of the ledger as an event; undefined when it is none of ours. */
export function parseLedgerLog(log: Log): LedgerEvent | undefined {
  const parsed = ledgerAbi().parseLog(log);
  if (parsed === null) return undefined;
  const text = (name: string): string => String(parsed.args.getValue(name));
  const place = placeOf(log);
  if (parsed.name === "KeyRecorded") {
    const record: KeyRecord = {
      account: text("account"),
      fileTag: text("fileTag"),
      committeeId: BigInt(text("committeeId")),
      keyTime: BigInt(text("keyTime")),
      ownershipKey: text("ownershipKey"),
      payload: fromHex(text("payload")),
    };
    return { ...place, kind: "KeyRecorded", recordId: recordIdOf(headerOf(record)), record };
  }
  if (parsed.name === "OwnerAdded") {
    return {
      ...place,
      kind: "OwnerAdded",
      recordId: text("recordId"),
      fileTag: text("fileTag"),
      owner: text("owner"),
      note: fromHex(text("note")),
    };
  }
  return undefined;
}

function filterOf(chain: ChainReader): { address: string } {
  return { address: chain.deployment.contracts.keyLedger };
}
