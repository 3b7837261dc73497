/** A provider's services on a temporary folder, without HTTP and chain, for tests of what each promises. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { randomBytes } from "#primitives";
import type { ChainReader } from "../../offchain/chain/deployment.ts";
import { challengeAnswer } from "../../offchain/core/crypto/ownership-challenge.ts";
import { contentId, contentIdToBytes } from "../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { type ErrorCode, TallystickError } from "../../offchain/core/errors.ts";
import type { ClaimAnswer, ClaimProofRequest } from "../../offchain/core/wire/csp.ts";
import type { DataSetOffer } from "../../offchain/core/wire/data-sets.ts";
import { ChallengeRefill } from "../../offchain/csp/chunks/challenge-refill.ts";
import { ChunkService, type ReadFrames } from "../../offchain/csp/chunks/chunk-service.ts";
import { ClaimService } from "../../offchain/csp/chunks/claims.ts";
import { OwnershipChallenges } from "../../offchain/csp/chunks/ownership-challenges.ts";
import { AuditThreads } from "../../offchain/csp/data-sets/audit-threads.ts";
import { ProvingCapacity } from "../../offchain/csp/data-sets/capacity.ts";
import { DataSetService } from "../../offchain/csp/data-sets/data-sets.ts";
import { Locks } from "../../offchain/csp/data-sets/locks.ts";
import { SegmentService } from "../../offchain/csp/data-sets/segments.ts";
import { DataSetFiles } from "../../offchain/csp/data-sets/stream-files.ts";
import { SegmentVerification } from "../../offchain/csp/data-sets/verification.ts";
import { VerificationWorkers } from "../../offchain/csp/data-sets/verification-workers.ts";
import { ProviderDatabase } from "../../offchain/csp/database.ts";
import { SharedBudgets } from "../../offchain/daemon/quota.ts";
import { readChunkFrames } from "../../offchain/http/chunk-frames.ts";
import { openDatabase } from "../../offchain/store/index/sqlite.ts";
import { FileObjectStore, type FileStoreOptions } from "../../offchain/store/object/file-object-store.ts";

export const ALICE = `0x${"a1".repeat(20)}`;
export const BOB = `0x${"b0".repeat(20)}`;
/** Account of the provider under test. */
export const PROVIDER = `0x${"c5".repeat(20)}`;
export const EXPIRY_SECONDS = 1000;
/** What data sets may be like here; the rest of an offer is about states, which need a chain. */
const OFFER = { sliceElements: [1024, 4096], maximumIndex: 256 } as unknown as DataSetOffer;
const GRID = {
  epochBlocks: 1000,
  gridBlocks: 1,
  windowBlocks: 20,
  graceBlocks: 10,
  memoryBlocks: 8191,
  delaySeconds: 0,
};

/** Providers that are open; `temporaryFolder` closes them after each test. */
const opened = new Set<() => Promise<void>>();

/** A clock that tests move. */
export interface Clock {
  seconds: number;
}

export async function openProvider(
  folder: string,
  clock: Clock = { seconds: 1_000_000 },
  storeOptions: FileStoreOptions = {},
) {
  const logger = pino({ level: "silent" });
  const now = () => clock.seconds;
  const provided = await ProviderDatabase.open({ kind: "sqlite" }, folder, { unixSeconds: now });
  const { index } = provided;
  /** For looks at the tables. */
  const database = openDatabase(join(folder, "csp.db"), { migrations: [] });
  const store = await FileObjectStore.open(join(folder, "store"), storeOptions);
  const challenges = new OwnershipChallenges(PROVIDER, new Uint8Array(32).fill(7));
  const chunks = new ChunkService(store, index.chunks, challenges, logger, now);
  const refill = new ChallengeRefill(chunks, logger);
  const budgets = new SharedBudgets(provided.sql.part(), () => clock.seconds * 1000);
  const claims = new ClaimService({ index, challenges, refill, budgets }, now);
  chunks.onUpload((account, madeUp) => claims.giveBack(account, madeUp));
  const streams = new DataSetFiles(join(folder, "data-sets"));
  const locks = new Locks(index.leases);
  const options = { offer: OFFER, unused: 4, expirySeconds: EXPIRY_SECONDS };
  const parts = { index, streams, locks, options, logger, now };
  // A data set gets its phase without a look at the chain.
  const sets = new DataSetService(parts, new ProvingCapacity({} as ChainReader, GRID));
  const segments = new SegmentService(parts);
  const data = { store, segments: index.segments, streams };
  const threads = new AuditThreads();
  // As on a machine with four cores or more.
  const workers = new VerificationWorkers(threads, 2);
  const verification = new SegmentVerification(parts, data, chunks, workers);
  const close = async () => {
    if (!opened.delete(close)) return;
    database.close();
    await threads.close();
    await provided.close();
    await store.close();
  };
  opened.add(close);
  return {
    database,
    store,
    index,
    chunks,
    challenges,
    refill,
    budgets,
    claims,
    streams,
    locks,
    parts,
    sets,
    segments,
    data,
    threads,
    verification,
    logger,
    clock,
    close,
  };
}
export type TestProvider = Awaited<ReturnType<typeof openProvider>>;

/** A folder that lives as long as the suite's current test. */
export function temporaryFolder(): () => string {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-csp-"));
  });
  afterEach(async () => {
    for (const close of opened) await close();
    rmSync(folder, { recursive: true, force: true });
  });
  return () => folder;
}

export interface TestChunk {
  id: string;
  bytes: Uint8Array;
}

export function randomChunk(sizeBytes: number): TestChunk {
  const bytes = randomBytes(sizeBytes);
  return { id: contentId(bytes), bytes };
}

/** The right answers to a claim. @param provider account of the provider that made the challenges */
export function answersFor(
  claim: Pick<ClaimAnswer, "challenges">,
  chunks: readonly TestChunk[],
  provider = PROVIDER,
): ClaimProofRequest {
  return {
    answers: claim.challenges.map(({ nonce, positions }, k) => {
      const bytes = chunks[k]?.bytes ?? new Uint8Array();
      return toHex(challengeAnswer(fromHex(provider), fromHex(nonce), bytes, positions));
    }),
  };
}

/** One frame; `claimedId` and `claimedBytes` make it lie. */
export function frame(chunk: TestChunk, claimedId = chunk.id, claimedBytes = chunk.bytes.length): Uint8Array {
  const joined = new Uint8Array(40 + chunk.bytes.length);
  joined.set(contentIdToBytes(claimedId));
  new DataView(joined.buffer).setUint32(36, claimedBytes);
  joined.set(chunk.bytes, 40);
  return joined;
}

/** What a route reads from a body of these pieces. */
export function framesOf(...pieces: Uint8Array[]): ReadFrames {
  return (allocate) => readChunkFrames(streamOf(...pieces), allocate);
}

export async function* streamOf(...pieces: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield piece;
}

/** The error a promise rejects with; fails when it resolves or rejects with anything else. */
export async function refusal(work: Promise<unknown>, code: ErrorCode): Promise<TallystickError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof TallystickError && error.code === code) return error;
    throw error;
  }
  throw new Error(`expected ${code}, but it was accepted`);
}
