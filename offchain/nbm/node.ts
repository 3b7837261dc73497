/** An NBM node as a program: its services over the common base. Importing it starts nothing; `main.ts` runs it. */

import { TypedDataEncoder } from "ethers";
import { toHex } from "../core/encoding/hex.ts";
import { oprfReady } from "../core/oprf/ristretto255.ts";
import { VERSION } from "../core/version.ts";
import type { NodeAnswer } from "../core/wire/nbm.ts";
import { type RunningDaemon, startDaemon } from "../daemon/boot.ts";
import { cachedFor } from "../daemon/cached.ts";
import { LocalDatabase } from "../daemon/database.ts";
import { Delegates } from "../daemon/delegates.ts";
import type { Logger } from "../daemon/logger.ts";
import type { DaemonBase, DaemonProgram, DaemonWork } from "../daemon/program.ts";
import { refreshCommand, replaceCommand, reshareCommand } from "./commands/generations.ts";
import { exitCommand, withdrawStakeCommand } from "./commands/leave.ts";
import { withdrawBondsCommand } from "./commands/withdraw-bonds.ts";
import { loadNbmConfig, type NbmConfig } from "./config.ts";
import { RunAnswers } from "./generations/answers.ts";
import { GenerationCoordinator } from "./generations/coordinator.ts";
import { GenerationStore } from "./generations/generation-store.ts";
import { Memberships } from "./generations/memberships.ts";
import { Namings } from "./generations/namings.ts";
import { runPace } from "./generations/run-pace.ts";
import { addNbmMetrics } from "./metrics.ts";
import { deriveNodeKeys } from "./node-keys.ts";
import { answerSigner } from "./oprf/answer-signer.ts";
import { Budgets } from "./oprf/budget.ts";
import { OprfService } from "./oprf/oprf-service.ts";
import { Archive } from "./records/archive.ts";
import { ArchiveFollower } from "./records/archive-follower.ts";
import { HeldShares } from "./records/held-shares.ts";
import { ShareService } from "./records/key-share-service.ts";
import { OwnShares } from "./records/own-shares.ts";
import { RecordOwnership } from "./records/record-ownership.ts";
import { Relay } from "./records/relay.ts";
import { RelayBudget } from "./records/relay-budget.ts";
import { ShareDeliveries } from "./records/share-deliveries.ts";
import { ShareHandovers } from "./records/share-handovers.ts";
import { ShareLines } from "./records/share-lines.ts";
import { ShareTakeovers } from "./records/share-takeovers.ts";
import { committeeFormer, ensureRegistered } from "./registration.ts";
import { recordKeyShares } from "./releases/record-key-share.ts";
import { ReleaseReceipts } from "./releases/release-receipts.ts";
import { ReleaseService } from "./releases/release-service.ts";
import { addNbmRoutes } from "./routes/routes.ts";
import { NBM_MIGRATIONS } from "./tables.ts";

/** An archive further behind than this makes the node unhealthy. */
const UNHEALTHY_LAG_SECONDS = 60;
/** How long the balance is shown again, since anybody may read the metrics. */
const BALANCE_MILLISECONDS = 60_000;
/** Attestations that this node pays for in one committee. A refresh takes one, two when a member dies meanwhile. */
const ATTESTATIONS = { scope: "attestations", capacity: 24, periodSeconds: 86_400 };
/** Between scans of the chain for requests, which anybody may send: they wait for so long and share a scan. */
const SCAN_SPACING_MILLISECONDS = 200;

function build(base: DaemonBase<NbmConfig, LocalDatabase>): DaemonWork {
  const { config, chain, sender, logger, operator, checkSignature, sessions, server } = base;
  const { wallet, hpkePrivateKey, hpkePublicKey, box } = deriveNodeKeys(base.secret);
  const { maximumCommittees, reorgOverlapBlocks: overlapBlocks, pollMilliseconds } = config;

  const database = base.database.handle;
  const budgets = new Budgets(database);
  const generations = new GenerationStore(database, box);
  const sign = answerSigner(chain.deployment, wallet);
  const oprf = new OprfService({ database, budgets, generations, budget: config.oprfBudget, sign });
  const namings = new Namings({ chain, database, operator, overlapBlocks });
  const coordinator = new GenerationCoordinator({
    chain,
    namings,
    sender,
    wallet,
    store: generations,
    logger,
    maximumCommittees,
    chargeAttestation: (committeeId) =>
      database.transientTransaction(() => budgets.take(ATTESTATIONS, `committee ${committeeId}`, 1)),
    dealingSeconds: config.dealingSeconds,
    eraseAfterBlocks: config.eraseAfterBlocks,
    onReady: (key) => oprf.serve(key),
    onErased: (id) => oprf.stop(id),
  });
  const runs = new RunAnswers({ store: generations, coordinator });
  const memberships = new Memberships(chain, operator, namings);
  const held = new HeldShares(database, box);
  const lines = new ShareLines({ chain, finalAfterBlocks: config.eraseAfterBlocks });
  const own = new OwnShares({ chain, operator, hpkePrivateKey, memberships, lines, held });
  const shares = new ShareService({ chain, checkSignature, operator, memberships, own });
  const archive = new Archive(database);
  const judgeShare = shares.judge.bind(shares);
  const follower = new ArchiveFollower({
    chain,
    archive,
    judgeShare: (event) => judgeShare(event.record),
    overlapBlocks,
    spacingMilliseconds: SCAN_SPACING_MILLISECONDS,
  });
  const records = { archive, follower, shares, memberships };
  const delegates = Delegates.on(chain);
  const ownership = new RecordOwnership({ chain, operator, delegates, archive, follower });
  const keeping = { chain, operator, hpkePrivateKey, memberships, lines, own, held, archive };
  const deliveries = new ShareDeliveries({ ...keeping, checkSignature, ownership });
  const handovers = new ShareHandovers(keeping);
  const limits = config.relayBudget;
  const isEstablished = archive.hasOwnedFor.bind(archive);
  const budget = new RelayBudget({ database, budgets, limits, isEstablished });
  const relay = new Relay({
    chain,
    sender,
    ...records,
    budget,
    maximumFeeGwei: config.maximumRelayFeeGwei,
  });

  const { releases: capacity, periodSeconds } = config.releaseBudget;
  const releases = new ReleaseService({
    chain,
    checkSignature,
    operator,
    shareOf: recordKeyShares(generations, chain.deployment),
    receipts: new ReleaseReceipts(database),
    charge: (account) =>
      database.transientTransaction(() => budgets.take({ scope: "releases", capacity, periodSeconds }, account, 1)),
    sign: ({ domain, types, message }) =>
      wallet.signingKey.sign(TypedDataEncoder.hash(domain, types, { ...message })).serialized,
    confirmations: config.releaseConfirmations,
    maximumAgeSeconds: config.releaseMaximumAgeSeconds,
  });

  const balanceWei = cachedFor(BALANCE_MILLISECONDS, () => chain.provider.getBalance(operator));
  const metrics = addNbmMetrics(base.metrics.registry, { archive, follower, generations, balanceWei });
  base.healthChecks.archive = () => {
    if (follower.lagSeconds() > UNHEALTHY_LAG_SECONDS) throw new Error("the archive is behind");
  };
  const describe = () => describeNode(base, hpkePublicKey, { generations, coordinator });
  const keys = { shares, deliveries, handovers, ownership, releases };
  addNbmRoutes(server, { sessions, describe, oprf, runs, relay, archive, follower, ...keys, metrics });

  const takeovers = new ShareTakeovers({
    ...{ chain, wallet, database, generations, lines, deliveries, ownership, logger },
    onTaken: () => metrics.sharesTaken.inc({ from: "predecessor" }),
  });

  const registration = { chain, sender, config, hpkePublicKey, logger };
  return {
    pollMilliseconds,
    listening: (url) => ensureRegistered(registration, url),
    background: [
      { name: "committee generations", run: runPace(coordinator, pollMilliseconds) },
      { name: "archive", run: () => follower.catchUp() },
      { name: "key shares of predecessors", run: () => takeovers.advance() },
      { name: "committee", run: committeeFormer({ ...registration, namings }) },
      { name: "housekeeping", run: async () => budgets.prune() },
    ],
  };
}

function describeNode(
  { operator, chain }: DaemonBase<NbmConfig>,
  hpkePublicKey: Uint8Array,
  { generations, coordinator }: { generations: GenerationStore; coordinator: GenerationCoordinator },
): NodeAnswer {
  return {
    operator,
    hpkePublicKey: toHex(hpkePublicKey),
    chainId: chain.deployment.chainId,
    version: VERSION,
    committees: generations.all().map((state) => {
      const problem = coordinator.problemOf(state);
      const faults = coordinator.faultsOf(state);
      const { generation, index, phase } = state;
      const committeeId = String(state.committeeId);
      return {
        ...{ committeeId, generation, index, ready: phase === "ready", phase },
        ...(problem === undefined ? {} : { problem }),
        ...(faults.length === 0 ? {} : { faults: [...faults] }),
      };
    }),
  };
}

export const nodeProgram: DaemonProgram<NbmConfig, LocalDatabase> = {
  kind: "nbm",
  description: "A key node: one member of the committees that evaluate the OPRF, release keys and relay records.",
  load: loadNbmConfig,
  openDatabase: (config) => LocalDatabase.open(config, "nbm", NBM_MIGRATIONS),
  contracts: ["nodeRegistry", "keyLedger"],
  sessionContract: "keyLedger",
  limits: { bodyLimitBytes: 64 * 1024 },
  prepare: oprfReady,
  commands: [refreshCommand, reshareCommand, replaceCommand, exitCommand, withdrawStakeCommand, withdrawBondsCommand],
  build,
};

/** Starts a node in this process. @throws TallystickError as `startDaemon` */
export function startNode(config: NbmConfig, logger: Logger): Promise<RunningDaemon> {
  return startDaemon(nodeProgram, config, logger);
}
