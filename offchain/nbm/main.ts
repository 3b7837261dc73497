/**
 * An NBM node: `node offchain/nbm/main.ts --config <file.json>`. Prints `{"ready":true,"url":…}` on stdout once it is reachable and
 * registered; key generation goes on in the background.
 */

import { join } from "node:path";
import { connectChain, parseDeployment } from "../chain/deployment.ts";
import { TransactionSender } from "../chain/sender.ts";
import { toHex } from "../core/encoding/hex.ts";
import { oprfReady } from "../core/oprf/ristretto255.ts";
import type { NodeAnswer } from "../core/wire/nbm.ts";
import { checkAccountSignature } from "../daemon/account-signature.ts";
import { Background, FailureLog } from "../daemon/background.ts";
import { configArgument, readJsonFile } from "../daemon/config.ts";
import { bindDatabase } from "../daemon/database-binding.ts";
import { openDaemonKeystore } from "../daemon/keystore-file.ts";
import { announceReady, Closers, closeOnSignals, listen, runDaemon } from "../daemon/lifecycle.ts";
import { createLogger, type Logger } from "../daemon/logger.ts";
import { createMetrics } from "../daemon/metrics.ts";
import { createServer } from "../daemon/server.ts";
import { Sessions } from "../daemon/sessions.ts";
import { lockFolder } from "../store/disk/folder-lock.ts";
import { openDatabase } from "../store/index/sqlite.ts";
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

const VERSION = "0.1.0";
/** An archive further behind than this makes the node unhealthy. */
const UNHEALTHY_LAG_SECONDS = 60;

async function startNode(config: NbmConfig, logger: Logger): Promise<void> {
  const closers = new Closers();
  closeOnSignals(closers, logger);
  await oprfReady();
  const keys = deriveNodeKeys(await openDaemonKeystore(config, "nbm"));
  const operator = keys.wallet.address;
  const chain = await connectChain(parseDeployment(readJsonFile(config.deploymentFile, "deployment")));
  closers.add("chain", () => chain.close());
  // A second process on one database would say another thing in the same key generation.
  const lock = lockFolder(config.dataDir);
  closers.add("lock of the data folder", () => lock.close());
  const database = openDatabase(join(config.dataDir, "nbm.db"), { migrations: NBM_MIGRATIONS });
  closers.add("database", () => database.close());
  await bindDatabase(database, chain, operator, ["nodeRegistry", "keyLedger"]);

  const { signingKey, wallet, hpkePrivateKey, hpkePublicKey, box } = keys;
  const { deployment, provider } = chain;
  const sender = new TransactionSender(chain, signingKey);
  const budgets = new Budgets(database);
  const committees = new CommitteeStore(database, box);
  const oprf = new OprfService({ database, budgets, committees, budget: config.oprfBudget });
  const { maximumCommittees, reorgOverlapBlocks: overlapBlocks, pollMilliseconds } = config;
  const onReady = oprf.serve.bind(oprf);
  const dkg = new DkgCoordinator({
    chain,
    sender,
    wallet,
    hpkePrivateKey,
    store: committees,
    logger,
    maximumCommittees,
    onReady,
  });
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
  const relay = new Relay({
    chain,
    sender,
    database,
    archive,
    follower,
    shares,
    memberships,
    budgets,
    budget: config.relayBudget,
  });
  const sessions = new Sessions({
    database,
    audience: operator,
    chainId: BigInt(deployment.chainId),
    checkSignature: (account, typed, signature) => checkAccountSignature(provider, account, typed, signature),
  });

  const daemonMetrics = createMetrics("nbm");
  const balanceWei = () => provider.getBalance(operator);
  const metrics = addNbmMetrics(daemonMetrics.registry, { archive, follower, committees, balanceWei });
  const describe = (): NodeAnswer => ({
    operator,
    hpkePublicKey: toHex(hpkePublicKey),
    chainId: deployment.chainId,
    version: VERSION,
    committees: committees.all().map((state) => {
      const problem = dkg.problemOf(state);
      const { index, phase } = state;
      return {
        committeeId: String(state.id),
        index,
        ready: phase === "ready",
        phase,
        ...(problem === undefined ? {} : { problem }),
      };
    }),
  });
  const server = createServer({
    logger,
    metrics: daemonMetrics,
    bodyLimitBytes: 64 * 1024,
    healthChecks: {
      chain: async () => {
        await provider.getBlockNumber();
      },
      database: () => {
        database.prepare("SELECT 1").get();
      },
      archive: () => {
        if (follower.lagSeconds() > UNHEALTHY_LAG_SECONDS) throw new Error("the archive is behind");
      },
    },
  });
  addNbmRoutes(server, { sessions, describe, oprf, dkg, relay, archive, follower, shares, metrics });
  closers.add("server", () => server.close());
  const url = await listen(server, config);

  const registration = { chain, sender, config, hpkePublicKey, logger };
  await ensureRegistered(registration, url);
  const background = new Background(
    [
      { name: "key generation", run: () => dkg.advance() },
      { name: "archive", run: () => follower.catchUp() },
      { name: "committee", run: committeeFormer(registration) },
      { name: "housekeeping", run: async () => budgets.prune() },
    ],
    { pollMilliseconds, failures: new FailureLog(logger), onFailure: (part) => metrics.loopFailures.inc({ part }) },
  );
  closers.add("background", () => background.close());
  logger.info({ operator, url }, "node ready");
  announceReady(url);
}

const logger = createLogger("nbm", process.env.TALLYSTICK_LOG_LEVEL);
runDaemon(logger, async () => {
  const config = loadNbmConfig(configArgument(process.argv.slice(2)));
  if (config.logLevel !== undefined) logger.level = config.logLevel;
  await startNode(config, logger);
});
