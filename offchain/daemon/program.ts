/**
 * What makes one daemon differ from another: its configuration, its tables, its contracts, its routes and its
 * background work.
 */

import type { ChainReader, Deployment } from "../chain/deployment.ts";
import type { TransactionSender } from "../chain/sender.ts";
import type { SignatureCheck } from "./account-signature.ts";
import type { BackgroundPart } from "./background.ts";
import type { DaemonConfig } from "./config.ts";
import type { DaemonDatabase } from "./database.ts";
import type { FailureLog } from "./failure-log.ts";
import type { DaemonKind } from "./keystore-file.ts";
import type { Closers } from "./lifecycle.ts";
import type { Logger } from "./logger.ts";
import type { DaemonMetrics } from "./metrics.ts";
import type { DaemonServer, HealthCheck, ServerOptions } from "./server.ts";
import type { Sessions } from "./sessions.ts";

export type ContractName = keyof Deployment["contracts"];

/** A command of the program besides the start of the daemon, on the same configuration. */
export interface DaemonCommand<Config extends DaemonConfig> {
  readonly name: string;
  readonly description: string;
  /** Flags, such as `--json`, and what each does. */
  readonly options: readonly (readonly [flags: string, description: string])[];
  /** Words behind the options, such as `<data-set>`, and what each is. */
  readonly arguments?: readonly (readonly [word: string, description: string])[];
  /** For `--help`. */
  readonly example: string;
  /** @returns the exit code */
  readonly run: (
    config: Config,
    options: Readonly<Record<string, unknown>>,
    args: readonly string[],
  ) => Promise<number>;
}

/** A daemon, as `boot.ts` starts it. */
export interface DaemonProgram<Config extends DaemonConfig, Data extends DaemonDatabase = DaemonDatabase> {
  /** Kind of its keystore, and name of its command: `nbm` runs as `tallystick-nbm`. */
  readonly kind: DaemonKind;
  /** One sentence for `--help`. */
  readonly description: string;
  /** Reads a configuration file. */
  readonly load: (file: string) => Config;
  /** Opens its database, with the tables of sessions. `boot.ts` closes it. */
  readonly openDatabase: (config: Config) => Promise<Data>;
  /** Contracts that its state refers to: the keystore and the database are bound to them. */
  readonly contracts: readonly ContractName[];
  /** The contract that sessions with this daemon name. */
  readonly sessionContract: ContractName;
  readonly limits?: Pick<ServerOptions, "bodyLimitBytes" | "requestTimeoutSeconds">;
  /** Loads what has to be in memory first, for example WebAssembly. */
  readonly prepare?: () => Promise<unknown>;
  readonly commands?: readonly DaemonCommand<Config>[];
  /** Builds the services, adds the routes, and says what runs beside them. */
  readonly build: (base: DaemonBase<Config, Data>) => Promise<DaemonWork> | DaemonWork;
}

/** What every daemon has by the time its own parts are built. */
export interface DaemonBase<Config extends DaemonConfig, Data extends DaemonDatabase = DaemonDatabase> {
  readonly config: Config;
  readonly logger: Logger;
  readonly closers: Closers;
  /** The 32 bytes of the keystore. `boot.ts` overwrites them once `build` has returned. */
  readonly secret: Uint8Array;
  /** Account the daemon signs with. */
  readonly operator: string;
  readonly chain: ChainReader;
  readonly database: Data;
  readonly sender: TransactionSender;
  readonly metrics: DaemonMetrics;
  readonly failures: FailureLog;
  /** Takes from the one budget that all checks of contract wallets' signatures share. */
  readonly checkSignature: SignatureCheck;
  readonly sessions: Sessions;
  readonly server: DaemonServer;
  /** Checks of `/healthz`; a daemon adds its own. */
  readonly healthChecks: Record<string, HealthCheck>;
}

export interface DaemonWork {
  readonly background?: readonly BackgroundPart[];
  readonly pollMilliseconds: number;
  /** Runs once the daemon can be reached at `url` and before it says that it is ready. */
  readonly listening?: (url: string) => Promise<void>;
  /** Ends work of its own before the background stops. */
  readonly close?: () => Promise<void>;
}
