/**
 * The SDK: what an application does with Tallystick.
 *
 *   const agent = await openAgent({ identity, deployment, homeDir });
 *   const { dataId } = await agent.put(["photos"]);
 *   await agent.get(dataId, "restored");
 *   await agent.close();
 */

import type { Deployment } from "../chain/deployment.ts";
import type { Identity } from "../core/identity/identity.ts";
import { oprfReady } from "../core/oprf/ristretto255.ts";
import { Agreements } from "./agreements/agreements.ts";
import { type AuditOptions, type AuditReport, audit } from "./agreements/audit.ts";
import type { AgreementReport } from "./agreements/terms.ts";
import { AgentContext } from "./context.ts";
import type { CataloguedPut } from "./node/catalogue.ts";
import { type AgentLogger, SILENT } from "./progress.ts";
import { type PutOptions, type PutReport, put } from "./put/put.ts";
import { type GetOptions, type GetReport, get } from "./read/get.ts";
import { type RecoverOptions, type RecoverReport, recover } from "./read/recover.ts";
import { type StatusReport, status } from "./status.ts";

export { NoDeploymentError } from "../chain/deployment.ts";

export interface AgentOptions {
  readonly identity: Identity;
  readonly deployment: Deployment;
  /** Where the catalogue lives; see `homeDirectory`. */
  readonly homeDir: string;
  /** Told about nodes that fail and are replaced, waits, and the like. */
  readonly logger?: AgentLogger;
  /** Blocks that must hold a transaction before it counts; default 1. */
  readonly confirmations?: number;
}

/**
 * Opens an agent. Chain, nodes and provider are connected to when they are first needed.
 *
 * @throws DiskFullError, DiskFailedError, UnknownVersionError when the catalogue cannot be opened
 */
export async function openAgent(options: AgentOptions): Promise<Agent> {
  await oprfReady();
  const { identity, deployment, homeDir, logger = SILENT, confirmations = 1 } = options;
  return new Agent(new AgentContext({ identity, deployment, homeDir, logger, confirmations }));
}

/** One identity in one deployment. */
export class Agent {
  readonly agreements: Agreements;
  readonly #context: AgentContext;

  /** Use `openAgent`. */
  constructor(context: AgentContext) {
    this.#context = context;
    this.agreements = new Agreements(context);
  }

  /** The account's address. */
  get account(): string {
    return this.#context.account.address;
  }

  get deployment(): Deployment {
    return this.#context.deployment;
  }

  /** Stores files and folders. @see put */
  async put(paths: readonly string[], options: PutOptions = {}): Promise<PutReport> {
    return await put(this.#context, paths, options);
  }

  /** Restores a put into a folder. @see get */
  async get(dataId: string, folder: string, options: GetOptions = {}): Promise<GetReport> {
    return await get(this.#context, dataId, folder, options);
  }

  /** What this device knows to be stored, newest first; needs no network. */
  list(): CataloguedPut[] {
    return this.#context.catalogue.puts();
  }

  /** How everything stands, or one put. @see status */
  async status(dataId?: string): Promise<StatusReport> {
    return await status(this.#context, dataId);
  }

  /** Has the provider prove that it still holds the data. @see audit */
  async audit(dataId: string, options: AuditOptions = {}): Promise<AuditReport> {
    return await audit(this.#context, dataId, options);
  }

  /** Rebuilds the catalogue of this device from the ledger. @see recover */
  async recover(options: RecoverOptions = {}): Promise<RecoverReport> {
    return await recover(this.#context, options);
  }

  /** Lets go of the catalogue and the connections. */
  async close(): Promise<void> {
    await this.#context.close();
  }
}

export type { AgreementReport, AuditReport, CataloguedPut, GetReport, PutReport, RecoverReport, StatusReport };
