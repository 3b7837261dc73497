/**
 * Binds what a daemon keeps to one chain and one set of contracts. Key shares, archives and data sets of one
 * deployment must not be mixed with those of another, and a keystore used at two deployments would open, for the
 * operator of the second, what was sealed to it at the first. A development chain that was started anew is another
 * chain under the same addresses, so the hash of the deployment's block is part of the binding.
 */

import { readFileSync } from "node:fs";
import { type ChainReader, NoDeploymentError } from "../chain/deployment.ts";
import { readChain } from "../chain/revert.ts";
import { TallystickError } from "../core/errors.ts";
import { systemErrorCode } from "../store/disk/disk-errors.ts";
import { createDurably } from "../store/disk/durable-file.ts";
import type { DaemonDatabase } from "./database.ts";
import type { ContractName } from "./program.ts";

/** Text that is equal for equal deployments and operators, and only then. */
export type DeploymentIdentity = string;

/**
 * @param contracts those that the daemon's state refers to.
 * @throws NoDeploymentError when the chain does not have the block of the deployment.
 */
export async function identifyDeployment(
  chain: ChainReader,
  operator: string,
  contracts: readonly ContractName[],
): Promise<DeploymentIdentity> {
  const { chainId, contracts: addresses, deployedAtBlock } = chain.deployment;
  const block = await readChain("reading the deployment's block", () => chain.provider.getBlock(deployedAtBlock));
  if (block?.hash == null) {
    throw new NoDeploymentError(`the chain has no block ${deployedAtBlock}, in which the contracts were deployed`, {
      check: "block of the deployment",
      hint: "wait until the endpoint is in sync, or use another one",
    });
  }
  return JSON.stringify({
    chainId,
    ...Object.fromEntries(contracts.map((name) => [name, addresses[name].toLowerCase()])),
    deployedAtBlockHash: block.hash,
    operator,
  });
}

/**
 * Records the deployment beside the keystore at the first start, and compares it at every later one.
 *
 * @throws TallystickError CONFLICT when the keystore was used at another deployment.
 */
export function bindKeystore(keystoreFile: string, identity: DeploymentIdentity): void {
  const file = `${keystoreFile.replace(/\.json$/, "")}.deployment.json`;
  const bound = readBinding(file) ?? createBinding(file, identity);
  if (bound === identity) return;
  throw new TallystickError(`keystore ${keystoreFile} belongs to another deployment`, {
    code: "CONFLICT",
    party: "this daemon",
    check: `deployment in ${file}`,
    expected: bound,
    received: identity,
    hint: "make a keystore of its own for each deployment with the init command",
  });
}

/** @returns undefined when there is none. */
function readBinding(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trimEnd();
  } catch (cause) {
    if (systemErrorCode(cause) === "ENOENT") return undefined;
    throw new TallystickError(`${file} cannot be read`, { code: "FILE_UNREADABLE", party: "this daemon", cause });
  }
}

function createBinding(file: string, identity: DeploymentIdentity): string {
  try {
    createDurably(file, `${identity}\n`);
    return identity;
  } catch (cause) {
    // Another process was first: its record counts.
    const bound = systemErrorCode(cause) === "EEXIST" ? readBinding(file) : undefined;
    if (bound !== undefined) return bound;
    throw new TallystickError(`${file} cannot be written`, {
      code: "DISK_FAILED",
      party: "this daemon",
      hint: "the folder of the keystore must be writable at the first start: the deployment is recorded there",
      cause,
    });
  }
}

/**
 * Records the deployment in a new database, and compares it in any other.
 *
 * @throws TallystickError CONFLICT when the database belongs to something else.
 */
export async function bindDatabase(
  database: Pick<DaemonDatabase, "location" | "setOnce">,
  identity: DeploymentIdentity,
): Promise<void> {
  const bound = await database.setOnce("belongs_to", identity);
  if (bound === identity) return;
  throw new TallystickError(`database ${database.location} belongs to another deployment or keystore`, {
    code: "CONFLICT",
    party: "this daemon",
    check: "deployment of the database",
    expected: bound,
    received: identity,
    hint: "give each deployment its own database; do not delete one that holds key shares or running data sets",
  });
}
