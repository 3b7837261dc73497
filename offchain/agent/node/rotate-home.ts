/**
 * Rotates the identity of a home folder: opens both identities on it, has the agent do the work, exchanges the files.
 */

import { type RotationParties, withBothIdentities } from "../rotation/both-identities.ts";
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

export interface HomeRotation extends RotationParties {
  readonly homeDir: string;
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
  home: HomeRotation,
  work: (rotation: Rotation) => Promise<Result>,
): Promise<Result> {
  const { homeDir } = home;
  const places = { old: () => nodePlatform(homeDir), next: () => nodePlatform(rotationFolder(homeDir)) };
  return await withBothIdentities(home, places, work);
}
