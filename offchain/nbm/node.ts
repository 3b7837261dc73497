/** An NBM node as a program: its services over the common base. Importing it starts nothing; `main.ts` runs it. */

import { toHex } from "../core/encoding/hex.ts";
import { oprfReady } from "../core/oprf/ristretto255.ts";
import type { NodeAnswer } from "../core/wire/nbm.ts";
import { type RunningDaemon, startDaemon } from "../daemon/boot.ts";
import type { Logger } from "../daemon/logger.ts";
import type { DaemonBase, DaemonProgram, DaemonWork } from "../daemon/program.ts";
import { VERSION } from "../daemon/version.ts";
import { loadNbmConfig, type NbmConfig } from "./config.ts";
import { CommitteeStore } from "./dkg/committee-store.ts";
import { DkgCoordinator } from "./dkg/coordinator.ts";
import { Memberships } from "./dkg/memberships.ts";
import { addNbmMetrics } from "./metrics.ts";
import { deriveNodeKeys } from "./node-keys.ts";
import { Budgets } from "./oprf/budget.ts";
import { OprfService } from "./oprf/oprf-service.ts";
import { Archive } from "./records/archive.ts";
import { ArchiveFollower } from "./records/archive-follower.ts";
import { ShareService } from "./records/key-share-service.ts";
import { Relay } from "./records/relay.ts";
import { committeeFormer, ensureRegistered } from "./registration.ts";
import { addNbmRoutes } from "./routes/routes.ts";
import { NBM_MIGRATIONS } from "./tables.ts";

/** An archive further behind than this makes the node unhealthy. */
const UNHEALTHY_LAG_SECONDS = 60;

function build(base: DaemonBase<NbmConfig>): DaemonWork {
  const { config, chain, sender, database, logger, operator, sessions, server } = base;
  const { wallet, hpkePrivateKey, hpkePublicKey, box } = deriveNodeKeys(base.secret);
  const { maximumCommittees, reorgOverlapBlocks: overlapBlocks, pollMilliseconds } = config;

  const budgets = new Budgets(database);
  const committees = new CommitteeStore(database, box);
  const oprf = new OprfService({ database, budgets, committees, budget: config.oprfBudget });
  const onReady = oprf.serve.bind(oprf);
  const key = { wallet, hpkePrivateKey, store: committees };
  const dkg = new DkgCoordinator({ chain, sender, ...key, logger, maximumCommittees, onReady });
  const memberships = new Memberships(chain, operator);
  const shares = new ShareService({ chain, operator, hpkePrivateKey, memberships });
  const archive = new Archive(database);
  const judgeShare = shares.judge.bind(shares);
  const follower = new ArchiveFollower({
    chain,
    archive,
    judgeShare: (event) => judgeShare(event.record),
    overlapBlocks,
  });
  const records = { archive, follower, shares, memberships };
  const relay = new Relay({ chain, sender, database, ...records, budgets, budget: config.relayBudget });

  const balanceWei = () => chain.provider.getBalance(operator);
  const metrics = addNbmMetrics(base.metrics.registry, { archive, follower, committees, balanceWei });
  base.healthChecks.archive = () => {
    if (follower.lagSeconds() > UNHEALTHY_LAG_SECONDS) throw new Error("the archive is behind");
  };
  const describe = () => describeNode(base, hpkePublicKey, { committees, dkg });
  addNbmRoutes(server, { sessions, describe, oprf, dkg, relay, archive, follower, shares, metrics });

  const registration = { chain, sender, config, hpkePublicKey, logger };
  return {
    pollMilliseconds,
    listening: (url) => ensureRegistered(registration, url),
    background: [
      { name: "key generation", run: () => dkg.advance() },
      { name: "archive", run: () => follower.catchUp() },
      { name: "committee", run: committeeFormer(registration) },
      { name: "housekeeping", run: async () => budgets.prune() },
    ],
  };
}

function describeNode(
  { operator, chain }: DaemonBase<NbmConfig>,
  hpkePublicKey: Uint8Array,
  { committees, dkg }: { committees: CommitteeStore; dkg: DkgCoordinator },
): NodeAnswer {
  return {
    operator,
    hpkePublicKey: toHex(hpkePublicKey),
    chainId: chain.deployment.chainId,
    version: VERSION,
    committees: committees.all().map((state) => {
      const problem = dkg.problemOf(state);
      const { index, phase } = state;
      const ready = phase === "ready";
      return { committeeId: String(state.id), index, ready, phase, ...(problem === undefined ? {} : { problem }) };
    }),
  };
}

export const nodeProgram: DaemonProgram<NbmConfig> = {
  kind: "nbm",
  description: "A key node: one member of the committees that evaluate the OPRF, keep key shares and relay records.",
  load: loadNbmConfig,
  migrations: NBM_MIGRATIONS,
  contracts: ["nodeRegistry", "keyLedger"],
  sessionContract: "keyLedger",
  limits: { bodyLimitBytes: 64 * 1024 },
  prepare: oprfReady,
  build,
};

/** Starts a node in this process. @throws TallystickError as `startDaemon` */
export function startNode(config: NbmConfig, logger: Logger): Promise<RunningDaemon> {
  return startDaemon(nodeProgram, config, logger);
}
