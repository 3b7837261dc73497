/**
 * The life of a daemon process: one ready line on stdout, orderly end on SIGTERM or SIGINT. An unexpected error ends
 * the process at once with status 1: state is on disk before it is acknowledged, so a restart is safe, and going on
 * after a defect is not.
 */

import type { DaemonConfig } from "./config.ts";
import type { Logger } from "./logger.ts";
import type { DaemonServer } from "./server.ts";

const SHUTDOWN_SECONDS = 15;

/** Parts to close at the end, the last opened first. */
export class Closers {
  readonly #closers: { name: string; close: () => Promise<void> | void }[] = [];

  add(name: string, close: () => Promise<void> | void): void {
    this.#closers.push({ name, close });
  }

  async closeAll(logger: Logger): Promise<void> {
    for (const { name, close } of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch (cause) {
        logger.error({ err: cause, part: name }, "part did not close cleanly");
      }
    }
  }
}

/** Starts to listen. @returns the URL others reach the daemon by: the configured one, else the address listened on. */
export async function listen(server: DaemonServer, config: DaemonConfig): Promise<string> {
  await server.listen({ host: config.listen.host, port: config.listen.port });
  const address = server.server.address();
  const port = typeof address === "object" && address !== null ? address.port : config.listen.port;
  const host = config.listen.host.includes(":") ? `[${config.listen.host}]` : config.listen.host;
  return config.publicUrl ?? `http://${host}:${port}`;
}

/** Prints the ready line, for the program that started the daemon: one JSON line on stdout. */
export function announceReady(url: string): void {
  process.stdout.write(`${JSON.stringify({ ready: true, url })}\n`);
}

/**
 * Ends the process on SIGTERM and SIGINT after closing everything, within 15 seconds; a second signal ends it at
 * once.
 */
export function closeOnSignals(closers: Closers, logger: Logger): void {
  let closing = false;
  const close = (signal: string) => {
    if (closing) process.exit(1);
    closing = true;
    logger.info({ signal }, "shutting down");
    setTimeout(() => {
      logger.error("shutdown took too long");
      process.exit(1);
    }, SHUTDOWN_SECONDS * 1000).unref();
    void closers.closeAll(logger).then(() => process.exit(0));
  };
  process.on("SIGTERM", () => close("SIGTERM"));
  process.on("SIGINT", () => close("SIGINT"));
}

/**
 * Runs a daemon's main function. An error that it does not catch is logged in one line and ends the process with
 * status 1.
 */
export function runDaemon(logger: Logger, main: () => Promise<void>): void {
  const fail = (cause: unknown) => {
    logger.fatal({ err: cause }, cause instanceof Error ? cause.message : "failed");
    process.exit(1);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  main().catch(fail);
}
