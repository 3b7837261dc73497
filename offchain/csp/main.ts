/**
 * A storage provider: `node offchain/csp/main.ts --config <file.json>`. Prints `{"ready":true,"url":…}` on stdout once it has brought its
 * index and its disk together and serves; proofs are sent in the background.
 */
import { join } from "node:path";
import { computeAddress } from "ethers";
import { type ChainReader, connectChain, parseDeployment } from "../chain/deployment.ts";
import { readChain } from "../chain/revert.ts";
import { TransactionSender } from "../chain/sender.ts";
import { auditReady } from "../core/audit/ready.ts";
import { toHex } from "../core/encoding/hex.ts";
import { checkAccountSignature, checksumAddress } from "../daemon/account-signature.ts";
import { Background, FailureLog } from "../daemon/background.ts";
import { configArgument, readJsonFile } from "../daemon/config.ts";
import { bindDatabase } from "../daemon/database-binding.ts";
import { openDaemonKeystore, operatorKey } from "../daemon/keystore-file.ts";
import { announceReady, Closers, closeOnSignals, listen, runDaemon } from "../daemon/lifecycle.ts";
import { createLogger, type Logger } from "../daemon/logger.ts";
import { createMetrics } from "../daemon/metrics.ts";
import { createServer, type DaemonServer } from "../daemon/server.ts";
import { Sessions } from "../daemon/sessions.ts";
import { lockFolder } from "../store/disk/folder-lock.ts";
import { SqliteProviderIndex } from "../store/index/sqlite/provider-index.ts";
import { type Database, openDatabase } from "../store/index/sqlite.ts";
import { openObjectStore } from "../store/object/open-object-store.ts";
import { AgreementService } from "./agreements/agreements.ts";
import { makeOffer } from "./agreements/offer.ts";
import { Settlement } from "./agreements/settlement.ts";
import { ChunkService } from "./chunks/chunk-service.ts";
import { ClaimService } from "./chunks/claims.ts";
import { reconcileChunks } from "./chunks/reconcile.ts";
import { bindObjectStore } from "./chunks/store-binding.ts";
import { type CspConfig, loadCspConfig } from "./config.ts";
import { createCspMetrics } from "./metrics.ts";
import { Prover } from "./possession/epoch-prover.ts";
import { PreparationFiles } from "./possession/preparation-files.ts";
import { PreparationService } from "./possession/preparations.ts";
import { ProofService } from "./possession/proofs.ts";
import { VerificationService } from "./possession/verification.ts";
import { addAgreementRoutes } from "./routes/agreements.ts";
import { addChunkRoutes } from "./routes/chunks.ts";
import { addPreparationRoutes } from "./routes/preparations.ts";
import { acceptStreams } from "./routes/request-body.ts";
import { PROVIDER_MIGRATIONS } from "./tables.ts";

/** 32 MiB in ten minutes: the slowest upload that is waited for. */
const REQUEST_SECONDS = 600;

const unixSeconds = (): number => Math.floor(Date.now() / 1000);

interface Base {
  readonly config: CspConfig;
  readonly logger: Logger;
  readonly closers: Closers;
  readonly chain: ChainReader;
  readonly database: Database;
  readonly sender: TransactionSender;
}

async function openBase(config: CspConfig, logger: Logger): Promise<Base> {
  const closers = new Closers();
  closeOnSignals(closers, logger);
  await auditReady();
  const signingKey = operatorKey(await openDaemonKeystore(config, "csp"), "csp");
  const chain = await connectChain(parseDeployment(readJsonFile(config.deploymentFile, "deployment")));
  closers.add("chain", () => chain.close());
  const lock = lockFolder(config.dataDir);
  closers.add("lock of the data folder", () => lock.close());
  const database = openDatabase(join(config.dataDir, "csp.db"), { migrations: PROVIDER_MIGRATIONS });
  closers.add("database", () => database.close());
  await bindDatabase(database, chain, computeAddress(toHex(signingKey)), ["storageEscrow"]);
  return { config, logger, closers, chain, database, sender: new TransactionSender(chain, signingKey) };
}

async function startProvider(config: CspConfig, logger: Logger): Promise<void> {
  const base = await openBase(config, logger);
  const { chain, database, sender } = base;
  const index = new SqliteProviderIndex(database);
  const store = await openObjectStore(config.store);
  base.closers.add("object store", () => store.close());
  await bindObjectStore(store, index);
  const chunks = new ChunkService(store, index.chunks, logger, unixSeconds);
  const files = new PreparationFiles(join(config.dataDir, "preparations"));
  const parts = { store, preparations: index.preparations, files };
  const preparations = new PreparationService(
    index,
    files,
    { maximumSlices: config.offer.maximumSlices, expirySeconds: config.preparationExpirySeconds },
    logger,
    unixSeconds,
  );
  await preparations.reconcile();
  logger.info(await reconcileChunks(store, index.chunks, chunks, logger), "index and store compared");

  const daemonMetrics = createMetrics("csp");
  const metrics = createCspMetrics(daemonMetrics, index);
  const verification = new VerificationService(parts, preparations, chunks, logger, unixSeconds);
  const proofs = new ProofService(parts, chunks, metrics);
  const offer = makeOffer(config.offer, chain, sender.address);
  const agreements = new AgreementService({ chain, sender, offer, index, preparations, logger });
  const failures = new FailureLog(logger);
  const prover = new Prover({
    chain,
    sender,
    rows: index.agreements,
    preparations: index.preparations,
    proofs,
    metrics,
    logger,
    failures,
    retrySeconds: config.proofRetrySeconds,
  });
  const payoutAccount = checksumAddress(config.payoutAccount ?? sender.address, "payoutAccount");
  const settlement = new Settlement({ chain, sender, rows: index.agreements, payoutAccount, logger, failures });

  const sessions = new Sessions({
    database,
    audience: sender.address,
    chainId: BigInt(chain.deployment.chainId),
    checkSignature: (account, typed, signature) => checkAccountSignature(chain.provider, account, typed, signature),
  });
  const server = createServer({
    logger,
    metrics: daemonMetrics,
    requestTimeoutSeconds: REQUEST_SECONDS,
    healthChecks: {
      chain: async () => {
        await chain.provider.getBlockNumber();
      },
      database: () => index.ping(),
    },
  });
  acceptStreams(server);
  const claims = new ClaimService(index.chunks, chunks, unixSeconds);
  sessions.addRoute(server);
  addChunkRoutes(server, { sessions, chunks, claims });
  const { verifyWaitSeconds } = config;
  addPreparationRoutes(server, { sessions, preparations, verification, verifyWaitSeconds });
  addAgreementRoutes(server, { sessions, offer, agreements, preparations, proofs });
  await serve(base, server, { failures, agreements, prover, settlement, preparations });
}

async function serve(
  { config, logger, closers, chain, sender }: Base,
  server: DaemonServer,
  work: {
    failures: FailureLog;
    agreements: AgreementService;
    prover: Prover;
    settlement: Settlement;
    preparations: PreparationService;
  },
): Promise<void> {
  closers.add("server", () => server.close());
  const url = await listen(server, config);
  const { failures, agreements, prover, settlement, preparations } = work;
  const head = () => readChain("asking for the head", () => chain.provider.getBlockNumber());
  const background = new Background(
    [
      { name: "proofs", run: async () => prover.round(await head()) },
      { name: "acceptances", run: async () => agreements.resolve(await head()) },
      { name: "settlement", run: async () => settlement.round(await head()) },
      { name: "abandoned preparations", run: () => preparations.expire() },
    ],
    { pollMilliseconds: config.pollMilliseconds, failures },
  );
  closers.add("background", async () => {
    await prover.close();
    await background.close();
  });
  logger.info({ operator: sender.address, url }, "provider ready");
  announceReady(url);
}

const logger = createLogger("csp", process.env.TALLYSTICK_LOG_LEVEL);
runDaemon(logger, async () => {
  const config = loadCspConfig(configArgument(process.argv.slice(2)));
  if (config.logLevel !== undefined) logger.level = config.logLevel;
  await startProvider(config, logger);
});
