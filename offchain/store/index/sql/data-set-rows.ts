/** Rows of the tables of data sets, as the index gives them. */
import type { Selectable } from "kysely";
import type {
  AgreedSet,
  CosignedState,
  DataSetRow,
  DataSetState,
  ProofRecord,
  StoredSchedule,
} from "../data-set-index.ts";
import type { ProviderTables } from "./provider-tables.ts";

type DataSetColumns = ProviderTables["data_sets"];
type StateColumns = ProviderTables["data_set_states"];

/** Names of the amounts in terms and audit terms, which JSON does not keep as such. */
const AMOUNTS = new Set(["feeFloor", "feePerSlice", "feePerIndex", "feeCap", "disputeBond"]);

export function encodeTerms({ terms, audit, fromBlock }: AgreedSet): string {
  return JSON.stringify({ terms, audit, fromBlock }, (_, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
}

function decodeTerms(text: string): Omit<AgreedSet, "id"> {
  return JSON.parse(text, (name, value: unknown) => (AMOUNTS.has(name) ? BigInt(String(value)) : value));
}

export function toDataSet(row: Selectable<DataSetColumns>): DataSetRow {
  const { chain_id: chainId, terms } = row;
  return {
    id: row.id,
    account: row.account,
    salt: row.salt,
    key: { X: row.key_x, XA: row.key_xa, XB: row.key_xb },
    auditKeyHash: row.audit_key_hash,
    sliceElements: row.slice_elements,
    phase: row.phase,
    powersABytes: row.powers_a_bytes,
    powersBBytes: row.powers_b_bytes,
    verifiedA: row.verified_a === 1,
    verifiedB: row.verified_b,
    givenIndex: row.given_index,
    state: row.state as DataSetState,
    agreed: chainId === null || terms === null ? undefined : { id: chainId, ...decodeTerms(terms) },
    signedVersion: BigInt(row.signed_version),
    provingMilliseconds: row.proving_milliseconds,
    scheduled: toSchedule(row),
    health: row.health,
    healthDetail: row.health_detail ?? undefined,
    touchedAt: row.touched_at,
  };
}

function toSchedule(row: Selectable<DataSetColumns>): StoredSchedule | undefined {
  const { schedule, ranges, schedule_block: blockNumber, schedule_block_hash: blockHash } = row;
  if (schedule === null || ranges === null || blockNumber === null || blockHash === null) return undefined;
  return { schedule, ranges, blockNumber, blockHash };
}

export function toState(row: Selectable<StateColumns>): CosignedState {
  const { transaction_hash: hash, block_number: blockNumber } = row;
  return {
    version: BigInt(row.version),
    retirements: row.retirements,
    ranges: row.ranges,
    contentHash: row.content_hash,
    deadlineBlock: row.deadline_block,
    userSignature: row.user_signature,
    providerSignature: row.provider_signature,
    transaction: hash === null || blockNumber === null ? undefined : { hash, blockNumber },
  };
}

export function toProof(row: Selectable<ProviderTables["data_set_epochs"]> | undefined): ProofRecord | undefined {
  if (row === undefined || row.transaction_hash === null) return undefined;
  return {
    epoch: row.epoch,
    transactionHash: row.transaction_hash,
    blockNumber: Number(row.block_number),
    gasUsed: BigInt(row.gas_used ?? 0),
  };
}
