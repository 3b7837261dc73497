/**
 * Bytes that the keys of many users take, by scheme and by party: counts of a workload times what one entry takes.
 * Nothing here measures anything.
 */
import type { SharingParameters } from "../../offchain/core/crypto/ramp-sharing.ts";
import type { ChainEntry, RecordCosts } from "./key-storage-ledger.ts";
import type { KeyServerRows, ProviderRows, RecipeCost } from "./key-storage-stores.ts";

export interface Workload {
  readonly users: number;
  /** Of each user. A file is what one put stores. */
  readonly filesPerUser: number;
  readonly chunksPerFile: number;
  /** How many of a user's files others have too, in percent. */
  readonly sharedPercent: number;
  /** How many users have each of those. */
  readonly owners: number;
}

export interface WorkloadCounts {
  /** Files over all users, and keys of their chunks. */
  readonly ownedFiles: number;
  readonly ownedKeys: number;
  /** Distinct files, and distinct chunk keys. */
  readonly files: number;
  readonly keys: number;
  /** Distinct files that more than one user has. */
  readonly claimedFiles: number;
  /** Owners beside the first, over all files. */
  readonly joins: number;
}

/** @throws RangeError for a workload that does not come out in whole files */
export function countWorkload(workload: Workload): WorkloadCounts {
  const { users, filesPerUser, chunksPerFile, sharedPercent, owners } = workload;
  const isWhole = [users, filesPerUser, chunksPerFile, owners].every(
    (count) => Number.isSafeInteger(count) && count > 0,
  );
  const ownedFiles = users * filesPerUser;
  const ownedShared = (ownedFiles * sharedPercent) / 100;
  const shared = ownedShared / owners;
  if (!isWhole || owners > users || sharedPercent < 0 || sharedPercent > 100) {
    throw new RangeError("a workload has at least one user, file, chunk and owner, and no more owners than users");
  }
  if (!Number.isInteger(ownedShared) || !Number.isInteger(shared)) {
    throw new RangeError(`${sharedPercent} % of ${ownedFiles} files are not shared by ${owners} users each`);
  }
  const files = ownedFiles - ownedShared + shared;
  return {
    ownedFiles,
    ownedKeys: ownedFiles * chunksPerFile,
    files,
    keys: files * chunksPerFile,
    claimedFiles: owners > 1 ? shared : 0,
    joins: ownedFiles - files,
  };
}

/** What one entry of each kind takes. */
export interface EntryCosts {
  /** Key nodes of a record, and key servers of Dekey. */
  readonly nodes: number;
  readonly sharing: SharingParameters;
  readonly wrappedKeyBytes: number;
  readonly keyServer: KeyServerRows;
  readonly records: readonly RecordCosts[];
  /** Of one file. */
  readonly recipe: RecipeCost;
  readonly provider: ProviderRows;
  readonly catalogueBytes: number;
}

export interface SchemeFigure {
  readonly scheme: string;
  /** Bytes at all users, the provider, all key nodes together, and the chain. */
  readonly users: number;
  readonly provider: number;
  readonly keyNodes: number;
  readonly chainState: number;
  /** Call data and logs. */
  readonly chainHistory: number;
  readonly total: number;
  /** Total by keys over all users: a chunk that a hundred users have counts a hundred times. */
  readonly bytesPerKey: number;
  /** Total by distinct chunk keys. */
  readonly bytesPerDistinctKey: number;
  /** Total of this scheme to that of the baseline. */
  readonly toBaseline: number;
}

type Parties = Pick<SchemeFigure, "users" | "provider" | "keyNodes" | "chainState" | "chainHistory">;
const NOTHING: Parties = { users: 0, provider: 0, keyNodes: 0, chainState: 0, chainHistory: 0 };

/** What the paper says of the baseline: keys of 32 bytes for 1 TB in blocks of 4 KB are 8 GB. */
export const PUBLISHED_KEYS = { dataBytes: 2 ** 40, blockBytes: 4096, keyBytes: 32, published: 8 };

/** Keys of one user for the published amount of data, in GiB. */
export function keysGib(keyBytes: number): number {
  const { dataBytes, blockBytes } = PUBLISHED_KEYS;
  return ((dataBytes / blockBytes) * keyBytes) / 2 ** 30;
}

export const BASELINE = "own wrapped keys of every user";
export const DEFAULT_SCHEME = "`sealed` record per file, keys in its recipe";

/** Storage of the keys of a workload by every scheme, the baseline first. */
export function storageOf(workload: Workload, costs: EntryCosts): SchemeFigure[] {
  const counts = countWorkload(workload);
  const { shares, threshold, privacy } = costs.sharing;
  const baseline = ownKeys(workload, counts, costs);
  const schemes: [string, Parties][] = [
    [BASELINE, baseline],
    [`Dekey, (${shares}, ${threshold}, ${privacy}) shares per chunk key`, dekey(counts, costs)],
  ];
  for (const record of costs.records) {
    schemes.push([`\`${record.recipients}\` record per chunk key`, recordPerKey(workload, counts, costs, record)]);
  }
  for (const record of costs.records) {
    schemes.push([
      `\`${record.recipients}\` record per file, keys in its recipe`,
      recordPerFile(counts, costs, record),
    ]);
  }
  return schemes.map(([scheme, parties]) => ({
    scheme,
    ...parties,
    total: totalOf(parties),
    bytesPerKey: totalOf(parties) / counts.ownedKeys,
    bytesPerDistinctKey: totalOf(parties) / counts.keys,
    toBaseline: totalOf(parties) / totalOf(baseline),
  }));
}

function totalOf(parties: Parties): number {
  return Object.values(parties).reduce((sum, bytes) => sum + bytes, 0);
}

/** Each user has an object of its own with the wrapped keys of each of its files. */
function ownKeys({ chunksPerFile }: Workload, { ownedFiles }: WorkloadCounts, costs: EntryCosts): Parties {
  const object = chunksPerFile * costs.wrappedKeyBytes + costs.provider.objectBytes;
  return { ...NOTHING, provider: ownedFiles * object };
}

/** The first owner stores a share of each key at each server; every owner is known to each server. */
function dekey({ keys, ownedFiles }: WorkloadCounts, { nodes, keyServer }: EntryCosts): Parties {
  return { ...NOTHING, keyNodes: nodes * (keys * keyServer.shareBytes + ownedFiles * keyServer.ownerBytes) };
}

/** A record of each chunk key in batches, and each later owner joins each of them. */
function recordPerKey(
  { chunksPerFile }: Workload,
  { keys, joins }: WorkloadCounts,
  { nodes }: EntryCosts,
  record: RecordCosts,
): Parties {
  return onLedger(nodes, record, keys, record.recordInBatch, joins * chunksPerFile);
}

/** One record of each file. The recipe is stored once, and its objects have an owner more with each later owner. */
function recordPerFile(
  { files, joins, claimedFiles, ownedFiles }: WorkloadCounts,
  { nodes, recipe, provider, catalogueBytes }: EntryCosts,
  record: RecordCosts,
): Parties {
  const { objects, bytes } = recipe;
  const rows = files * provider.objectBytes + claimedFiles * provider.claimedBytes + joins * provider.ownerBytes;
  return {
    ...onLedger(nodes, record, files, record.record, joins),
    users: ownedFiles * catalogueBytes,
    provider: files * bytes + objects * rows,
  };
}

function onLedger(nodes: number, record: RecordCosts, records: number, entry: ChainEntry, joins: number): Parties {
  const { join, archivedRecordBytes, archivedJoinBytes } = record;
  return {
    ...NOTHING,
    keyNodes: nodes * (records * archivedRecordBytes + joins * archivedJoinBytes),
    chainState: records * entry.stateBytes + joins * join.stateBytes,
    chainHistory: records * entry.historyBytes + joins * join.historyBytes,
  };
}

/** One file that so many users have, and nothing else. */
export function oneFile(owners: number, chunksPerFile: number): Workload {
  return { users: owners, filesPerUser: 1, chunksPerFile, sharedPercent: 100, owners };
}

/** Users rely on this limit. Loosen it only by a decision of the project, never to make the benchmark pass. */
export const STORAGE_BAR = {
  limit: 0.5,
  nodes: 5,
  workload: { users: 1000, filesPerUser: 10, chunksPerFile: 1024, sharedPercent: 80, owners: 100 } satisfies Workload,
};

export interface StorageVerdict {
  readonly name: string;
  readonly limit: number;
  readonly measured?: number;
  readonly met: boolean;
}

/** Holds the bar against the figures of its workload and committee; of others, nothing was measured. */
export function judgeStorage(workload: Workload, nodes: number, figures: readonly SchemeFigure[]): StorageVerdict {
  const { limit, workload: barred } = STORAGE_BAR;
  const isOfWorkload = (Object.keys(barred) as (keyof Workload)[]).every((name) => workload[name] === barred[name]);
  const isBarred = isOfWorkload && nodes === STORAGE_BAR.nodes;
  const measured = isBarred ? figures.find(({ scheme }) => scheme === DEFAULT_SCHEME)?.toBaseline : undefined;
  const name = "default scheme, to the baseline";
  return measured === undefined ? { name, limit, met: false } : { name, limit, measured, met: measured <= limit };
}

/**
 * The fewest chunks of a file with which the default scheme takes no more than the baseline.
 *
 * @param costsOf what one entry takes when files have so many chunks
 * @returns undefined when it does not with the most that are tried
 */
export async function breakEvenChunks(
  workload: Workload,
  costsOf: (chunksPerFile: number) => Promise<EntryCosts>,
  mostChunks: number,
): Promise<number | undefined> {
  const isEnough = async (chunksPerFile: number) => {
    const figures = storageOf({ ...workload, chunksPerFile }, await costsOf(chunksPerFile));
    return figures.some(({ scheme, toBaseline }) => scheme === DEFAULT_SCHEME && toBaseline <= 1);
  };
  if (!(await isEnough(mostChunks))) return undefined;
  let [tooFew, enough] = [0, mostChunks];
  while (enough - tooFew > 1) {
    const middle = Math.floor((tooFew + enough) / 2);
    if (await isEnough(middle)) enough = middle;
    else tooFew = middle;
  }
  return enough;
}
