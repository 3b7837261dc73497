/**
 * The start of a daemon, the same for all of them: keystore, chain, lock, database, sender, sessions, server, then
 * what the daemon adds, then its background work. Importing this module starts nothing.
 */

import { computeAddress, parseUnits } from "ethers";
import { connectChain, parseDeployment } from "../chain/deployment.ts";
import { TransactionSender } from "../chain/sender.ts";
import { toHex } from "../core/encoding/hex.ts";
import { lockFolder } from "../store/disk/folder-lock.ts";
import { checkAccountSignature, type SignatureCheck } from "./account-signature.ts";
import { admissionBy } from "./admission.ts";
import { Background } from "./background.ts";
import { type DaemonConfig, readJsonFile } from "./config.ts";
import type { DaemonDatabase } from "./database.ts";
import { Delegates } from "./delegates.ts";
import { bindDatabase, bindKeystore, identifyDeployment } from "./deployment-binding.ts";
import { FailureLog } from "./failure-log.ts";
import { openDaemonKeystore, operatorKey } from "./keystore-file.ts";
import { Closers, listen } from "./lifecycle.ts";
import type { Logger } from "./logger.ts";
import { createMetrics } from "./metrics.ts";
import type { DaemonBase, DaemonProgram } from "./program.ts";
import { ReplacedAccounts } from "./replaced-accounts.ts";
import { createServer, type HealthCheck } from "./server.ts";
import { Sessions } from "./sessions.ts";
import { WalletChecks } from "./wallet-checks.ts";

/** A daemon that serves. */
export interface RunningDaemon {
  readonly url: string;
  readonly operator: string;
  close(): Promise<void>;
}

/**
 * Starts a daemon in this process.
 *
 * @param closers filled while parts are opened, so that a signal during the start closes what is open by then.
 * @returns once it serves.
 * @throws TallystickError for a keystore that does not open, a chain that does not answer or fit, a folder in use, a
 *   database of another deployment. What was opened is closed by then.
 */
export async function startDaemon<Config extends DaemonConfig, Data extends DaemonDatabase>(
  program: DaemonProgram<Config, Data>,
  config: Config,
  logger: Logger,
  closers: Closers = new Closers(),
): Promise<RunningDaemon> {
  try {
    const base = await openBase(program, config, logger, closers);
    const url = await serve(program, base);
    return { url, operator: base.operator, close: () => closers.closeAll(logger) };
  } catch (error) {
    await closers.closeAll(logger);
    throw error;
  }
}

async function openBase<Config extends DaemonConfig, Data extends DaemonDatabase>(
  program: DaemonProgram<Config, Data>,
  config: Config,
  logger: Logger,
  closers: Closers,
): Promise<DaemonBase<Config, Data>> {
  const { kind, contracts } = program;
  await program.prepare?.();
  const secret = await openDaemonKeystore(config, kind);
  const signingKey = operatorKey(secret, kind);
  const operator = computeAddress(toHex(signingKey));
  const chain = await connectChain(parseDeployment(readJsonFile(config.deploymentFile, "deployment")));
  closers.add("chain", () => chain.close());
  const deployment = await identifyDeployment(chain, operator, contracts);
  bindKeystore(config.keystoreFile, deployment);
  // Two processes on one folder would act twice under one account.
  const lock = lockFolder(config.dataDir);
  closers.add("lock of the data folder", () => lock.close());
  const database = await program.openDatabase(config);
  closers.add("database", () => database.close());
  await bindDatabase(database, deployment);

  const metrics = createMetrics(kind);
  const walletChecks = new WalletChecks();
  const checkSignature: SignatureCheck = (account, typed, signature, source) =>
    checkAccountSignature(chain, account, typed, signature, () => walletChecks.take(account, source));
  const sessions = new Sessions({
    database: database.sessions,
    audience: operator,
    domain: {
      chainId: BigInt(chain.deployment.chainId),
      contract: chain.deployment.contracts[program.sessionContract],
    },
    checkSignature,
    admit: admissionBy(config.admission, chain),
    replaced: ReplacedAccounts.on(chain),
    delegates: Delegates.on(chain),
  });
  const sender = new TransactionSender(chain, signingKey, {
    ...(config.maximumFeeGwei === undefined
      ? {}
      : { maximumFeePerGas: parseUnits(String(config.maximumFeeGwei), "gwei") }),
    exclusively: (work) => database.exclusively("transactions", work),
    onWaiting: (transaction) => logger.warn({ ...transaction }, "transaction not mined yet"),
  });
  const healthChecks: Record<string, HealthCheck> = {
    chain: async () => {
      await chain.provider.getBlockNumber();
    },
    database: () => database.ping(),
    transactions: () => sender.checkHealth(),
  };
  const failures = new FailureLog(logger, metrics.failures);
  const { allowedOrigins = [], trustedProxies = [] } = config;
  const facing = { allowedOrigins, trustedProxies };
  const server = createServer({ logger, metrics, failures, healthChecks, ...facing, ...program.limits });
  sessions.addRoute(server);
  return {
    config,
    logger,
    closers,
    secret,
    operator,
    chain,
    database,
    sender,
    metrics,
    failures,
    checkSignature,
    sessions,
    server,
    healthChecks,
  };
}

async function serve<Config extends DaemonConfig, Data extends DaemonDatabase>(
  program: DaemonProgram<Config, Data>,
  base: DaemonBase<Config, Data>,
): Promise<string> {
  const { config, logger, closers, server, operator, failures } = base;
  const work = await program.build(base);
  base.secret.fill(0);
  closers.add("server", () => server.close());
  const url = await listen(server, config);
  await work.listening?.(url);
  const background = new Background(work.background ?? [], { pollMilliseconds: work.pollMilliseconds, failures });
  closers.add("background", async () => {
    await work.close?.();
    await background.close();
  });
  logger.info({ operator, url }, `${program.kind} ready`);
  return url;
}
