/**
 * A verifier as a program: it watches the data sets of a deployment for everybody. Importing it starts nothing;
 * `main.ts` runs it.
 */

import { readAbandonedEpochs, readEscrowClock } from "../chain/escrow.ts";
import { auditReady } from "../core/audit/ready.ts";
import { type RunningDaemon, startDaemon } from "../daemon/boot.ts";
import { cachedFor } from "../daemon/cached.ts";
import { LocalDatabase } from "../daemon/database.ts";
import type { Logger } from "../daemon/logger.ts";
import type { DaemonBase, DaemonProgram, DaemonWork } from "../daemon/program.ts";
import { withdrawCommand } from "./commands/withdraw.ts";
import { loadVerifierConfig, type VerifierConfig } from "./config.ts";
import { Duties } from "./duties.ts";
import { EventFollower } from "./event-follower.ts";
import { addVerifierMetrics } from "./metrics.ts";
import { OwnerWatch } from "./owner-watch.ts";
import { askPeers } from "./peers.ts";
import { ProofChecker } from "./proof-checker.ts";
import { addVerifierRoutes } from "./routes.ts";
import { SetRecords } from "./set-records.ts";
import { VERIFIER_MIGRATIONS } from "./tables.ts";
import { Transactions } from "./transactions.ts";

/** Events further behind than this make the verifier unhealthy. */
const UNHEALTHY_LAG_SECONDS = 60;
/** How long the balance is shown again, since anybody may read the metrics. */
const BALANCE_MILLISECONDS = 60_000;

async function build(base: DaemonBase<VerifierConfig, LocalDatabase>): Promise<DaemonWork> {
  const { config, chain, sender, logger, failures, operator, server } = base;
  const { deployment } = chain;
  const clock = await readEscrowClock(chain);
  const abandonedEpochs = await readAbandonedEpochs(chain);
  const { epochBlocks, noticeEpochs } = clock;
  const { group, takeoverBlocks, minimumProfitWei, unitsPerEther, upholdBudgetWei, pollMilliseconds } = config;
  const members = group.members.map(({ id }) => id);
  const share = { members, self: group.self, takeoverBlocks };
  const overlapBlocks = config.reorgOverlapBlocks;
  const ownVerifier = deployment.contracts.possessionVerifier;

  const records = new SetRecords(base.database.handle, { ...share, epochBlocks, overlapBlocks, ownVerifier });
  const follower = new EventFollower({ chain, records, overlapBlocks });
  const balanceWei = cachedFor(BALANCE_MILLISECONDS, () => chain.provider.getBalance(operator));
  const metrics = addVerifierMetrics(base.metrics.registry, { records, follower, balanceWei });
  const place = { chainId: BigInt(deployment.chainId), escrow: deployment.contracts.storageEscrow, epochBlocks };
  const isCheckedByOthers = askPeers(group.members, group.self);
  const checker = new ProofChecker({ chain, records, place, logger, metrics, isCheckedByOthers });
  const transactions = new Transactions({ chain, sender, logger, failures, metrics });
  const duties = new Duties({
    ...share,
    deployment,
    records,
    transactions,
    operator,
    epochBlocks,
    abandonedEpochs,
    minimumProfitWei,
    unitsPerEther,
    upholdBudgetWei,
  });
  const owners = new OwnerWatch({ chain, records, clock, warningEpochs: config.runwayWarningEpochs, logger });

  base.healthChecks.events = () => {
    if (follower.lagSeconds() > UNHEALTHY_LAG_SECONDS) throw new Error("the events are behind");
  };
  addVerifierRoutes(server, { records, noticeEpochs, ownVerifier });

  /** Work on the events up to a block, once for each block, unless something was left to do. */
  const onceAt = (work: (head: number) => Promise<boolean>): (() => Promise<void>) => {
    let done: string | undefined;
    return async () => {
      const head = records.cursor();
      if (head === undefined || head.blockHash === done) return;
      if (await work(head.blockNumber)) done = head.blockHash;
    };
  };
  return {
    pollMilliseconds,
    background: [
      { name: "events", run: () => follower.catchUp() },
      { name: "proofs", run: onceAt((head) => checker.round(head)) },
      { name: "duties", run: onceAt((head) => duties.round(head)) },
      { name: "owners", run: onceAt((head) => owners.round(head)) },
    ],
    close: async () => {
      checker.stop();
      await transactions.close();
    },
  };
}

export const verifierProgram: DaemonProgram<VerifierConfig, LocalDatabase> = {
  kind: "verifier",
  description:
    "A watchtower: checks every possession proof again, reports missed epochs for their bounty, and warns owners.",
  load: loadVerifierConfig,
  openDatabase: (config) => LocalDatabase.open(config, "verifier", VERIFIER_MIGRATIONS),
  contracts: ["storageEscrow"],
  sessionContract: "storageEscrow",
  prepare: auditReady,
  commands: [withdrawCommand],
  build,
};

/** Starts a verifier in this process. @throws TallystickError as `startDaemon` */
export function startVerifier(config: VerifierConfig, logger: Logger): Promise<RunningDaemon> {
  return startDaemon(verifierProgram, config, logger);
}
