/**
 * The key ledger: what to send to record a key or add an owner, the state of a record, and the events that carry the
 * sealed shares. Event bytes may come from anywhere (a node's archive, a log server): `verifyArchivedRecord` checks
 * them against the digest in contract state before they are used.
 */

import { AbiCoder, keccak256, type Log } from "ethers";
import { isAddressEqual } from "../core/encoding/address.ts";
import { fromHex } from "../core/encoding/hex.ts";
import { IntegrityError, TallystickError } from "../core/errors.ts";
import type { LedgerScope } from "../core/record/ledger-scope.ts";
import { LEDGER_ABI } from "./abis.ts";
import type { ContractCall } from "./contract-call.ts";
import { keyLedger } from "./contracts.ts";
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

/** A record with its payload's hash in the payload's place. Field order is that of the contract and of its digest. */
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

export interface SignedRecord {
  readonly record: KeyRecord;
  /** Unix seconds. */
  readonly deadline: bigint;
  /** 0x hex. */
  readonly signature: string;
}

/** What the contract keeps of a record. */
export interface RecordState {
  /** Unix seconds. */
  readonly keyTime: bigint;
  /** 24 bytes, 0x hex. */
  readonly digest: string;
  /** A later owner has joined: the ledger takes no new version. */
  readonly shared: boolean;
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

/** keccak256(abi.encode(account, fileTag)), 0x hex. */
export function recordIdOf(account: string, fileTag: string): string {
  return keccak256(CODER.encode(["address", "bytes32"], [account, fileTag]));
}

/** The header of a record. */
export function headerOf(record: KeyRecord): RecordHeader {
  const { payload, ...fields } = record;
  return { ...fields, payloadHash: keccak256(payload) };
}

/** The digest that the contract keeps for a header: the first 24 bytes of keccak256 over its ABI encoding, 0x hex. */
export function recordDigest(header: RecordHeader): string {
  const encoded = CODER.encode(
    ["address", "bytes32", "uint64", "uint64", "address", "bytes32"],
    [header.account, header.fileTag, header.committeeId, header.keyTime, header.ownershipKey, header.payloadHash],
  );
  return keccak256(encoded).slice(0, 2 + 2 * 24);
}

export function recordCall(deployment: Deployment, signed: SignedRecord): ContractCall {
  const { record, deadline, signature } = signed;
  return {
    to: deployment.contracts.keyLedger,
    data: LEDGER_ABI.encodeFunctionData("record", [record, deadline, signature]),
    description: "recording a key",
  };
}

/** @param records 1 to 32; either all are recorded or none. */
export function recordManyCall(deployment: Deployment, records: SignedRecord[]): ContractCall {
  return {
    to: deployment.contracts.keyLedger,
    data: LEDGER_ABI.encodeFunctionData("recordMany", [records.map((signed) => ({ ...signed }))]),
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
    data: LEDGER_ABI.encodeFunctionData("addOwner", [
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

/** State of a record; undefined when the ledger has none of this id. */
export async function readRecordState(
  chain: ChainReader,
  recordId: string,
  blockTag: number | "latest" = "latest",
): Promise<RecordState | undefined> {
  const state = await readChain("reading a record's state", () => keyLedger(chain).recordState(recordId, { blockTag }));
  return state.keyTime === 0n ? undefined : { keyTime: state.keyTime, digest: state.digest, shared: state.shared };
}

/**
 * Whether an account owns a record: it recorded it (the record id commits to the recorder) or was added later.
 *
 * @param key account and file tag of the record.
 */
export async function isOwner(
  chain: ChainReader,
  key: { account: string; fileTag: string },
  account: string,
): Promise<boolean> {
  const recordId = recordIdOf(key.account, key.fileTag);
  if (isAddressEqual(key.account, account)) return (await readRecordState(chain, recordId)) !== undefined;
  return readChain("reading a record's owners", () => keyLedger(chain).isOwner(recordId, account));
}

/** Whether this version of the record is the one in contract state. */
export async function isCurrentVersion(chain: ChainReader, header: RecordHeader): Promise<boolean> {
  const state = await readRecordState(chain, recordIdOf(header.account, header.fileTag));
  return state?.digest === recordDigest(header);
}

/**
 * Whether an account owns a record whose present version is this one. A later owner freezes the record, so what was
 * true stays true.
 */
export async function ownsVersion(chain: ChainReader, header: RecordHeader, account: string): Promise<boolean> {
  // In this order: a version that replaces `header` after the first read is seen by the second.
  return (await isOwner(chain, header, account)) && (await isCurrentVersion(chain, header));
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
 * @returns the state it agrees with.
 * @throws TallystickError NOT_FOUND when the chain has no such record, IntegrityError naming the archive when the
 * record is not, byte for byte, the chain's present version (an older version, or a forged one).
 */
export async function verifyArchivedRecord(
  chain: ChainReader,
  record: KeyRecord,
  archive: string,
): Promise<RecordState> {
  const recordId = recordIdOf(record.account, record.fileTag);
  const state = await readRecordState(chain, recordId);
  if (state === undefined) {
    throw new TallystickError(`the ledger has no record ${recordId}`, {
      code: "NOT_FOUND",
      party: archive,
      check: "record state",
      expected: "a record in contract state",
      received: "none",
    });
  }
  const digest = recordDigest(headerOf(record));
  if (digest === state.digest) return state;
  const older = record.keyTime < state.keyTime;
  throw new IntegrityError(`the archived record is ${older ? "not the newest version" : "not the one on the ledger"}`, {
    party: archive,
    check: "record digest",
    expected: `${state.digest} of key time ${state.keyTime}`,
    received: `${digest} of key time ${record.keyTime}`,
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

/**
 * Follows the ledger from the end of the last scan up to the head, for an archive. See `EventPage` for
 * what to do with a page; blocks that were replaced since the last scan come again.
 *
 * @param cursor that of the last page; undefined for a first scan.
 */
export function followLedger(
  chain: ChainReader,
  cursor: ScanCursor | undefined,
  options: ScanOptions = {},
): AsyncIterable<EventPage<LedgerEvent>> {
  return scanPages(chain, filterOf(chain), parseLedgerLog, chain.deployment.deployedAtBlock, cursor, options);
}

/** A log of the ledger as an event; undefined when it is none of ours. */
export function parseLedgerLog(log: Log): LedgerEvent | undefined {
  const parsed = LEDGER_ABI.parseLog(log);
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
    return { ...place, kind: "KeyRecorded", recordId: recordIdOf(record.account, record.fileTag), record };
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
