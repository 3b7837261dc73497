/**
 * A storage provider as a program: its services over the common base. Importing it starts nothing; `main.ts` runs it.
 */

import { join } from "node:path";
import { parseUnits, Wallet } from "ethers";
import { readEscrowClock } from "../chain/escrow.ts";
import { offeredPerGas } from "../chain/fee-limit.ts";
import { readChain } from "../chain/revert.ts";
import { auditReady } from "../core/audit/ready.ts";
import { epochOf } from "../core/data-set/epochs.ts";
import { toHex } from "../core/encoding/hex.ts";
import { checksumAddress } from "../daemon/account-signature.ts";
import { fundsOf } from "../daemon/admission.ts";
import type { BackgroundPart } from "../daemon/background.ts";
import { type RunningDaemon, startDaemon } from "../daemon/boot.ts";
import { cachedFor } from "../daemon/cached.ts";
import { operatorKey } from "../daemon/keystore-file.ts";
import type { Logger } from "../daemon/logger.ts";
import type { DaemonBase, DaemonProgram, DaemonWork } from "../daemon/program.ts";
import { SharedBudgets } from "../daemon/quota.ts";
import type { DataSetRow } from "../store/index/data-set-index.ts";
import { jobLease, RECONCILIATION, withLease } from "../store/index/leases.ts";
import { SqlDataSetStreams } from "../store/index/sql/data-set-streams.ts";
import type { ObjectStore } from "../store/object/object-store.ts";
import { objectStoreFolders, openObjectStore } from "../store/object/open-object-store.ts";
import { ChallengeRefill } from "./chunks/challenge-refill.ts";
import { ChunkService } from "./chunks/chunk-service.ts";
import { ClaimService } from "./chunks/claims.ts";
import { collectGarbage, GARBAGE, unusedSince } from "./chunks/garbage.ts";
import { OwnershipChallenges } from "./chunks/ownership-challenges.ts";
import { reconcileChunks } from "./chunks/reconcile.ts";
import { scrubObjects } from "./chunks/scrub.ts";
import { bindObjectStore } from "./chunks/store-binding.ts";
import { UnpaidAccounts } from "./chunks/unpaid.ts";
import { CoinWatch } from "./coins.ts";
import { checkCommand } from "./commands/check.ts";
import { collateralCommand } from "./commands/collateral.ts";
import { gcCommand } from "./commands/gc.ts";
import { noticeCommand } from "./commands/notice.ts";
import { type CspConfig, loadCspConfig } from "./config.ts";
import { AnswerSigner } from "./data-sets/answer-signer.ts";
import { AuditThreads } from "./data-sets/audit-threads.ts";
import { ProvingCapacity } from "./data-sets/capacity.ts";
import { ChainView } from "./data-sets/chain-view.ts";
import { ChallengeKey } from "./data-sets/challenge-key.ts";
import { ChallengeRandomness } from "./data-sets/challenge-randomness.ts";
import { Collateral } from "./data-sets/collateral.ts";
import { DataSetService } from "./data-sets/data-sets.ts";
import { Locks } from "./data-sets/locks.ts";
import { makeDataSetOffer, requireDisputable, tokenLimits } from "./data-sets/offer.ts";
import { OpeningService } from "./data-sets/openings.ts";
import { DataSetProofs } from "./data-sets/proofs.ts";
import { DataSetProver } from "./data-sets/prover.ts";
import { openOfferedRandomness } from "./data-sets/randomness-source.ts";
import { SegmentService } from "./data-sets/segments.ts";
import { DataSetSettlement } from "./data-sets/settlement.ts";
import { DataSetFiles } from "./data-sets/stream-files.ts";
import { UpdateService } from "./data-sets/updates.ts";
import { SegmentVerification } from "./data-sets/verification.ts";
import { VerificationWorkers } from "./data-sets/verification-workers.ts";
import { ProviderDatabase } from "./database.ts";
import { DeviceSnapshots } from "./device-snapshots/device-snapshots.ts";
import { HeadService } from "./heads/heads.ts";
import { type CspMetrics, createCspMetrics } from "./metrics.ts";
import { OwnerGroupService } from "./owner-groups/owner-groups.ts";
import { PassedPlaces } from "./owner-groups/passed-places.ts";
import { AccountQuotas } from "./quotas.ts";
import { BodyPlaces } from "./routes/body-places.ts";
import { addChunkRoutes } from "./routes/chunks.ts";
import { addDataSetRoutes } from "./routes/data-sets.ts";
import { addDelegateRoutes } from "./routes/delegates.ts";
import { addDeviceSnapshotRoutes } from "./routes/device-snapshots.ts";
import { addHeadRoutes } from "./routes/heads.ts";
import { addOwnerGroupRoutes } from "./routes/owner-groups.ts";
import { acceptStreams } from "./routes/request-body.ts";
import { addStubFileRoutes } from "./routes/stub-files.ts";
import { StubFileService } from "./stub-files/stub-files.ts";
import { Successions } from "./successions.ts";

/** 32 MiB in ten minutes: the slowest upload that is waited for. */
const REQUEST_SECONDS = 600;
/** How long a start waits for another process that compares index and store. */
const RECONCILIATION_SECONDS = 3600;

/** How long the balance is shown again, since anybody may read the metrics, and how often it is looked at. */
const BALANCE_SECONDS = 60;
/** Until work that failed is tried again. */
const RETRY_SECONDS = 30;

const unixSeconds = (): number => Math.floor(Date.now() / 1000);

/** Work that is asked for more often than it is done. */
function every(
  seconds: number,
  now: () => number,
  work: (lost: AbortSignal) => Promise<void>,
): (lost: AbortSignal) => Promise<void> {
  let nextAt = now();
  return async (lost) => {
    if (now() < nextAt) return;
    // After a failure soon again: objects that are half removed are refused until they are gone.
    nextAt = now() + Math.min(seconds, RETRY_SECONDS);
    await work(lost);
    nextAt = now() + seconds;
  };
}

/** How long an answer waits for the transaction of a state. */
const MINED_SECONDS = 60;

async function buildDataSets(
  base: DaemonBase<CspConfig, ProviderDatabase>,
  { store, chunks, threads, payoutAccount }: DataSetSurroundings,
) {
  const { config, chain, database, sender, logger, failures, checkSignature } = base;
  const { index } = database;
  const streams = database.isShared
    ? new SqlDataSetStreams(database.sql.part())
    : new DataSetFiles(join(config.dataDir, "data-sets"));
  const signer = new Wallet(toHex(operatorKey(base.secret, "csp")));
  const challengeKey = new ChallengeKey(base.secret);
  const offer = makeDataSetOffer(config.offer, chain, sender.address, await challengeKey.offered(chain, signer));
  const { epochBlocks } = await readEscrowClock(chain);
  const { evidenceOf, ...source } = await openOfferedRandomness(chain, {
    epochBlocks,
    relays: config.drandRelays,
    watch: {
      onFailure: (relay, error) => failures.failed(relay, error, "a drand relay gave no valid signature"),
      onSuccess: (relay) => failures.succeeded(relay),
    },
  });
  requireDisputable(offer, { epochBlocks, gridBlocks: source.gridBlocks });
  const { windowBlocks, graceBlocks } = offer;
  const capacity = new ProvingCapacity(chain, { epochBlocks, windowBlocks, graceBlocks, ...source });
  await capacity.requireTimely();
  const locks = new Locks(index.leases);
  const options = { offer, unused: config.quotas.unused, expirySeconds: config.unusedExpirySeconds };
  const parts = { index, streams, locks, options, logger, now: unixSeconds };
  const data = { store, segments: index.segments, streams };
  const limitsOf = (token: string) => tokenLimits(config.offer, token);
  const view = new ChainView({ chain, rows: index.dataSets, logger, failures });
  const sets = new DataSetService(parts, capacity);
  const collateral = new Collateral({ chain, sender, locks, limitsOf, logger });
  const onChain = { chain, sender, view, logger, failures };
  return {
    offer,
    sets,
    view,
    segments: new SegmentService(parts),
    verification: new SegmentVerification(parts, data, chunks, new VerificationWorkers(threads)),
    updates: new UpdateService({
      ...parts,
      ...onChain,
      signer,
      checkSignature,
      sets,
      capacity,
      collateral,
      limits: config.quotas,
      minedSeconds: MINED_SECONDS,
    }),
    openings: new OpeningService(data),
    challengeKey,
    settlement: new DataSetSettlement({
      ...onChain,
      index,
      streams,
      locks,
      limitsOf,
      payoutAccount,
      settleEpochs: config.offer.dataSets.settleEpochs,
    }),
    heldRanges: async (row: DataSetRow) =>
      view.heldRanges(
        row,
        epochOf(epochBlocks, await readChain("asking for the head", () => chain.provider.getBlockNumber())),
      ),
    /** Needs the metrics, which need the index of the data sets. */
    proversWith: (metrics: CspMetrics) => {
      const { proofRetrySeconds: retrySeconds } = config;
      const proofs = new DataSetProofs({ data, chunks, metrics, threads, signer: new AnswerSigner(chain, signer) });
      const prover = new DataSetProver({
        ...onChain,
        rows: index.dataSets,
        proofs,
        randomness: new ChallengeRandomness({ ...onChain, evidenceOf, metrics, retrySeconds }),
        metrics,
        retrySeconds,
      });
      return { proofs, prover };
    },
  };
}

interface DataSetSurroundings {
  readonly store: ObjectStore;
  readonly chunks: ChunkService;
  readonly threads: AuditThreads;
  readonly payoutAccount: string;
}

async function build(base: DaemonBase<CspConfig, ProviderDatabase>): Promise<DaemonWork> {
  const { config, chain, database, sender, logger, sessions, server } = base;
  const { index } = database;
  logger.info({ database: database.location }, "database opened");
  const store = await openObjectStore(config.store, (finding) => logger.warn({ ...finding }, "object store"));
  base.closers.add("object store", () => store.close());
  await bindObjectStore(store, index);
  const challenges = new OwnershipChallenges(sender.address, base.secret);
  const { isShared } = database;
  const chunks = new ChunkService(
    store,
    index.chunks,
    challenges,
    logger,
    unixSeconds,
    isShared ? { shared: index.leases } : {},
  );
  const threads = new AuditThreads();
  const payoutAccount = checksumAddress(config.payoutAccount ?? sender.address, "payoutAccount");
  const dataSets = await buildDataSets(base, { store, chunks, threads, payoutAccount });
  // A process that starts meanwhile waits, so that none that is not counted puts objects.
  await withLease(index.leases, RECONCILIATION, RECONCILIATION_SECONDS, async () => {
    const others = await index.leases.endLapsed(0);
    // One that comes back meanwhile waits for as long as this process has the lease.
    const isAlone = () => others === 0 && index.leases.holds(RECONCILIATION);
    await dataSets.sets.reconcile();
    logger.info(await reconcileChunks(store, index.chunks, chunks, logger, { isAlone }), "index and store compared");
  });

  const balanceWei = cachedFor(BALANCE_SECONDS * 1000, () =>
    readChain("reading the balance of the operator's account", () => chain.provider.getBalance(sender.address)),
  );
  const metrics = createCspMetrics(base.metrics, index, balanceWei);
  const feeCap = config.maximumFeeGwei === undefined ? undefined : parseUnits(String(config.maximumFeeGwei), "gwei");
  const coins = new CoinWatch({
    balanceWei,
    feePerGas: () => offeredPerGas(chain, feeCap),
    runningDataSets: async () => (await index.dataSets.counts()).running,
    account: sender.address,
    logger,
  });
  const setProvers = dataSets.proversWith(metrics);

  acceptStreams(server);
  const refill = new ChallengeRefill(chunks, logger);
  const budgets = new SharedBudgets(database.sql.part());
  const claims = new ClaimService({ index, challenges, refill, budgets }, unixSeconds);
  chunks.onUpload((account, madeUp) => claims.giveBack(account, madeUp));
  const scrubBytesPerSecond = config.scrubMebibytesPerSecond * 2 ** 20;
  const stopped = new AbortController();
  const quotas = new AccountQuotas({
    quotas: config.quotas,
    index,
    folders: [config.dataDir, ...objectStoreFolders(config.store)],
    fundsOf: (account) => fundsOf(chain, account),
  });
  const bodies = new BodyPlaces();
  const unpaid = new UnpaidAccounts(
    { chunks: index.chunks, dataSets: index.dataSets, logger },
    config.unpaidDays,
    unixSeconds,
  );
  const garbage = every(config.gcIntervalSeconds, unixSeconds, async (lost) => {
    const signal = AbortSignal.any([stopped.signal, lost]);
    await unpaid.expire(signal);
    const now = unixSeconds();
    const releasedAt = now - config.releaseGraceSeconds;
    const since = await unusedSince(index.leases, now, { graceSeconds: config.gcGraceSeconds, isShared });
    const mayRemove = () => index.leases.holds(jobLease(GARBAGE));
    const report = await collectGarbage(
      { index: index.chunks, chunks, store },
      { releasedAt, now, since, signal, mayRemove },
    );
    if (report.objects > 0 || report.compactedBytes > 0)
      logger.info({ ...report }, "objects that nobody needs removed");
  });
  const operatorSecret = base.secret;
  const places = new PassedPlaces({ index, budgets, operatorSecret }, unixSeconds);
  const successions = new Successions({ chain, successions: index.successions, places, logger, now: unixSeconds });
  sessions.onOpening((account) => successions.takeOver(account));
  const watchCoins = every(BALANCE_SECONDS, unixSeconds, () => coins.round());
  addChunkRoutes(server, { sessions, quotas, bodies, chunks, claims, unpaid, index });
  addHeadRoutes(server, { sessions, quotas, bodies, heads: new HeadService(index.heads, quotas, index.successions) });
  addDelegateRoutes(server, { chain, sessions, quotas, bodies, delegates: index.delegates });
  const leaving = { index, quotas, deployment: chain.deployment, provider: sender.address };
  addDeviceSnapshotRoutes(server, { sessions, quotas, bodies, left: new DeviceSnapshots(leaving, unixSeconds) });
  const stubFiles = new StubFileService(index.stubFiles, index.ownerGroups, quotas);
  addStubFileRoutes(server, { sessions, quotas, bodies, stubFiles });
  const groups = new OwnerGroupService({ index, claims, quotas, budgets, operatorSecret }, unixSeconds);
  addOwnerGroupRoutes(server, { sessions, quotas, bodies, groups, places });
  const { verifyWaitSeconds } = config;
  addDataSetRoutes(server, {
    ...dataSets,
    chain,
    successions: index.successions,
    sessions,
    quotas,
    bodies,
    proofs: setProvers.proofs,
    verifyWaitSeconds,
  });

  /** Of several processes, the one that has the job's lease does it, until it ends. */
  const once = (name: string, run: (lost: AbortSignal) => Promise<void>): BackgroundPart => ({
    name,
    run: async () => {
      const lease = jobLease(name);
      if (await index.leases.hold(lease)) await run(index.leases.lost(lease));
    },
  });
  // Parts of the background ask at the same moment.
  const head = cachedFor(config.pollMilliseconds / 2, () =>
    readChain("asking for the head", () => chain.provider.getBlockNumber()),
  );
  return {
    pollMilliseconds: config.pollMilliseconds,
    background: [
      once("data set events", async () => dataSets.view.round(await head())),
      once("data set states", async () => dataSets.updates.resend(await head())),
      once("data set proofs", async () => setProvers.prover.round(await head())),
      once("data set settlement", async () => dataSets.settlement.round(await head())),
      once("abandoned data sets", () => dataSets.sets.expire()),
      once("expired claims", () => claims.expire()),
      once(GARBAGE, garbage),
      once("coins", watchCoins),
      once("scrub", (lost) =>
        scrubObjects(index.chunks, chunks, scrubBytesPerSecond, AbortSignal.any([stopped.signal, lost])),
      ),
    ],
    close: async () => {
      stopped.abort();
      dataSets.updates.close();
      await Promise.all([setProvers.prover.close(), refill.close(), threads.close()]);
    },
  };
}

export const providerProgram: DaemonProgram<CspConfig, ProviderDatabase> = {
  kind: "csp",
  description:
    "A storage provider: stores ciphertexts and is paid while it proves, on chain, that it still holds them.",
  load: loadCspConfig,
  openDatabase: ({ database, dataDir }) => ProviderDatabase.open(database, dataDir),
  contracts: ["storageEscrow"],
  sessionContract: "storageEscrow",
  limits: { requestTimeoutSeconds: REQUEST_SECONDS },
  prepare: auditReady,
  commands: [checkCommand, gcCommand, noticeCommand, collateralCommand],
  build,
};

/** Starts a provider in this process. @throws TallystickError as `startDaemon` */
export function startProvider(config: CspConfig, logger: Logger): Promise<RunningDaemon> {
  return startDaemon(providerProgram, config, logger);
}
