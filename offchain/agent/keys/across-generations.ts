/** Releases while a committee hands over to another generation. */

import pRetry from "p-retry";
import { TallystickError } from "../../core/errors.ts";
import type { NodeReport } from "./node-reports.ts";

/** Members notice a little later than the chain that another generation is active: a second, then twice as long. */
const RETRIES = { retries: 3, minTimeout: 1000, factor: 2 };

/** Repeats a release that too few members answered because some have no share of the active generation yet. */
export async function acrossGenerations<Released>(release: () => Promise<Released>): Promise<Released> {
  return await pRetry(release, { ...RETRIES, shouldRetry: ({ error }) => isOfAnotherGeneration(error) });
}

function isOfAnotherGeneration(error: Error): boolean {
  if (!(error instanceof TallystickError) || error.code !== "SHARES_MISSING") return false;
  const { nodes } = error.details as { readonly nodes: readonly NodeReport[] };
  return nodes.some(({ answer }) => answer === "NOT_FOUND");
}
