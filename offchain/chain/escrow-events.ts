/** Events of the escrow: how sets were opened, and what became of them. */

import type { Log } from "ethers";
import { fromHex } from "../core/encoding/hex.ts";
import { escrowAbi } from "./abis.ts";
import { auditFromChain, type OpenedDataSet, termsFromChain } from "./data-set-words.ts";
import type { ChainReader } from "./deployment.ts";
import { readHeadNumber } from "./head.ts";
import {
  chainLogs,
  type EventPage,
  type LogPlace,
  placeOf,
  type ScanCursor,
  type ScanOptions,
  scanPages,
} from "./logs.ts";
import type { IStorageEscrow } from "./types/StorageEscrow.ts";

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
  const head = await readHeadNumber(chain);
  const topics = escrowAbi().encodeFilterTopics("DataSetOpened", [id ?? null, user ?? null, provider ?? null]);
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  for await (const log of chainLogs(chain, filter, fromBlock, head)) {
    const event = parseDataSetLog(log);
    if (event?.kind === "DataSetOpened") yield event;
  }
}

/** The schedules that a set ever had, oldest first. @param opened where it was opened */
export async function* schedulesOf(
  chain: ChainReader,
  { id, blockNumber }: Pick<OpenedDataSet, "id" | "blockNumber">,
): AsyncGenerator<Uint8Array, void, undefined> {
  const head = await readHeadNumber(chain);
  const topics = escrowAbi().encodeFilterTopics("DataSetScheduled", [id]);
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  for await (const log of chainLogs(chain, filter, blockNumber, head)) {
    const event = parseDataSetLog(log);
    if (event?.kind === "DataSetScheduled") yield event.schedule;
  }
}

/** The accounts that a provider ever named to sign for it, oldest first, each as often as it was named. */
export async function* operatorsNamed(chain: ChainReader, provider: string): AsyncGenerator<string, void, undefined> {
  const { contracts, deployedAtBlock } = chain.deployment;
  const head = await readHeadNumber(chain);
  const topics = escrowAbi().encodeFilterTopics("OperatorSet", [provider]);
  for await (const log of chainLogs(chain, { address: contracts.storageEscrow, topics }, deployedAtBlock, head)) {
    const operator = String(escrowAbi().parseLog(log)?.args.getValue("operator"));
    // Zero ends it: the provider signs for itself.
    if (operator !== NO_OPERATOR) yield operator;
  }
}

const NO_OPERATOR = `0x${"00".repeat(20)}`;

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
  const parsed = escrowAbi().parseLog(log);
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
