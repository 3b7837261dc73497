/**
 * Deploys the contracts through the Ignition module and says where they are, in the form of a deployment file.
 * Development chain, tests and benchmarks share it; public networks use `npx hardhat ignition deploy`, which keeps a
 * journal.
 */

import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { NetworkConnection } from "hardhat/types/network";
import tallystick from "./modules/tallystick.ts";

export interface DeployParameters {
  /** Least stake of a key node. */
  readonly minStakeWei?: bigint;
  /** How long a leaving node waits for its stake. */
  readonly exitDelaySeconds?: bigint;
}

export interface DeployedTallystick {
  readonly chainId: number;
  /** No event of the contracts is older than this. */
  readonly deployedAtBlock: number;
  readonly contracts: {
    readonly nodeRegistry: string;
    readonly keyLedger: string;
    readonly storageEscrow: string;
    readonly randomness: string;
  };
}

/** @param connection from `network.create()`; its first account deploys. */
export async function deployTallystick(
  connection: NetworkConnection,
  parameters: DeployParameters = {},
): Promise<DeployedTallystick> {
  const { ethers, ignition } = connection;
  const deployedAtBlock = (await ethers.provider.getBlockNumber()) + 1;
  // A journal under the chain's id would make the next deployment to a restarted chain believe that it is done already.
  const deploymentId = `once-${randomUUID()}`;
  const journal = fileURLToPath(new URL(`deployments/${deploymentId}`, import.meta.url));
  const deployed = await ignition
    .deploy(tallystick, { parameters: { Tallystick: { ...parameters } }, deploymentId })
    .finally(() => rm(journal, { recursive: true, force: true }));
  const { chainId } = await ethers.provider.getNetwork();
  return {
    chainId: Number(chainId),
    deployedAtBlock,
    contracts: {
      nodeRegistry: await deployed.nodeRegistry.getAddress(),
      keyLedger: await deployed.keyLedger.getAddress(),
      storageEscrow: await deployed.storageEscrow.getAddress(),
      randomness: await deployed.randomness.getAddress(),
    },
  };
}
