/**
 * Rotates the identity of a home folder: opens both identities on it, has the agent do the work, exchanges the files.
 */

import type { Deployment } from "../../chain/deployment.ts";
import type { Identity } from "../../core/identity/identity.ts";
import { AgentContext } from "../context.ts";
import { requireOwnCatalogue } from "../own-catalogue.ts";
import type { AgentLogger } from "../progress.ts";
import {
  planRotation,
  type RotateOptions,
  type Rotation,
  type RotationPlan,
  type RotationReport,
  rotate,
} from "../rotation/rotate.ts";
import { nodePlatform } from "./platform.ts";
import { exchangeFiles, rotationFolder } from "./rotation-folder.ts";

export interface HomeRotation {
  readonly homeDir: string;
  readonly deployment: Deployment;
  /** Of the home folder, and of `openRotation`. Whoever opened them wipes them. */
  readonly old: Identity;
  readonly next: Identity;
  readonly logger: AgentLogger;
  readonly confirmations?: number;
}

/** What the rotation would come to. Sends nothing. @throws as `planRotation` */
export async function planHomeRotation(home: HomeRotation, signal?: AbortSignal): Promise<RotationPlan> {
  return await withRotation(home, async (rotation) => await planRotation(rotation, signal));
}

/**
 * Carries the rotation out, or goes on with it, and exchanges the files at the end.
 * @returns with the folder that has the old files
 * @throws as `rotate`; DiskFullError, DiskFailedError
 */
export async function rotateHome(
  home: HomeRotation,
  options: RotateOptions = {},
): Promise<RotationReport & { readonly oldFiles: string }> {
  const report = await withRotation(home, async (rotation) => await rotate(rotation, options));
  return { ...report, oldFiles: await exchangeFiles(home.homeDir, home.old.account) };
}

async function withRotation<Result>(
  { homeDir, deployment, old, next, logger, confirmations = 1 }: HomeRotation,
  work: (rotation: Rotation) => Promise<Result>,
): Promise<Result> {
  const common = { deployment, logger, confirmations };
  // Both readers of the old identity share its files.
  const platform = nodePlatform(homeDir);
  const own = new AgentContext({ ...common, identity: old, platform });
  const nextContext = new AgentContext({ ...common, identity: next, platform: nodePlatform(rotationFolder(homeDir)) });
  const asSuccessor = new AgentContext({ ...common, identity: old, platform, successor: nextContext.account });
  try {
    await requireOwnCatalogue(own);
    await requireOwnCatalogue(nextContext);
    return await work({ old: own, asSuccessor, next: nextContext });
  } finally {
    await nextContext.close();
    asSuccessor.disconnect();
    await own.close();
  }
}
