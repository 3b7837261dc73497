/**
 * Deploys the contracts through the Ignition module and returns their addresses in the form of a deployment file. Used
 * by the development chain, tests and benchmarks; public networks use `npx hardhat ignition deploy`, which keeps a
 * journal.
 */

import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { NetworkConnection } from "hardhat/types/network";
import type { Deployment } from "../offchain/chain/deployment.ts";
import { toHex } from "../offchain/core/encoding/hex.ts";
import { type DrandNetwork, drandKeyForChain } from "../offchain/core/randomness/drand.ts";
import tallystick from "./modules/tallystick.ts";
import tallystickDrand from "./modules/tallystick-drand.ts";
import tallystickPrevrandao from "./modules/tallystick-prevrandao.ts";

export interface DeployParameters {
  /** Minimum stake of a key node. */
  readonly minStakeWei?: bigint;
  /** Time from a node's exit request until it may withdraw its stake. */
  readonly exitDelaySeconds?: bigint;
  /** Blocks of an epoch of data sets. */
  readonly epochBlocks?: bigint;
  /** Epochs that a data set runs on after notice. */
  readonly noticeEpochs?: bigint;
}

/** The source of randomness to deploy. */
export type RandomnessPlan = { readonly gridBlocks?: bigint; readonly ringSize?: bigint } & (
  | { readonly kind: "block" }
  | { readonly kind: "prevrandao" }
  | { readonly kind: "drand"; readonly network: DrandNetwork; readonly relays: readonly string[] }
);

const MODULES = { block: tallystick, prevrandao: tallystickPrevrandao, drand: tallystickDrand } as const;

export interface DeployedTallystick {
  readonly chainId: number;
  /** Block of the first deployment transaction: no event of the contracts is older. */
  readonly deployedAtBlock: number;
  readonly contracts: {
    readonly nodeRegistry: string;
    readonly keyLedger: string;
    readonly storageEscrow: string;
    readonly possessionVerifier: string;
    readonly randomness: string;
    readonly accountDirectory: string;
    readonly ownersPolicy: string;
    readonly recoveryPolicy: string;
  };
  readonly randomness: NonNullable<Deployment["randomness"]>;
}

/** @param connection from `network.create()`; its first account deploys. */
export async function deployTallystick(
  connection: NetworkConnection,
  parameters: DeployParameters = {},
  plan: RandomnessPlan = { kind: "block" },
): Promise<DeployedTallystick> {
  const { ethers, ignition } = connection;
  const deployedAtBlock = (await ethers.provider.getBlockNumber()) + 1;
  // With a journal named after the chain id, Ignition would skip the deployment to a chain that was restarted.
  const deploymentId = `once-${randomUUID()}`;
  const journal = fileURLToPath(new URL(`deployments/${deploymentId}`, import.meta.url));
  const deployed = await ignition
    .deploy(MODULES[plan.kind], {
      parameters: { Tallystick: { ...parameters, ...randomnessParameters(plan) } },
      deploymentId,
    })
    .finally(() => rm(journal, { recursive: true, force: true }));
  const { chainId } = await ethers.provider.getNetwork();
  return {
    chainId: Number(chainId),
    deployedAtBlock,
    contracts: {
      nodeRegistry: await deployed.nodeRegistry.getAddress(),
      keyLedger: await deployed.keyLedger.getAddress(),
      storageEscrow: await deployed.storageEscrow.getAddress(),
      possessionVerifier: await deployed.possessionVerifier.getAddress(),
      randomness: await deployed.randomness.getAddress(),
      accountDirectory: await deployed.accountDirectory.getAddress(),
      ownersPolicy: await deployed.ownersPolicy.getAddress(),
      recoveryPolicy: await deployed.recoveryPolicy.getAddress(),
    },
    randomness:
      plan.kind === "drand"
        ? { kind: plan.kind, chainHash: plan.network.chainHash, relays: [...plan.relays] }
        : { kind: plan.kind },
  };
}

function randomnessParameters(plan: RandomnessPlan): Record<string, bigint | string> {
  const { gridBlocks, ringSize } = plan;
  const ring = { ...(gridBlocks === undefined ? {} : { gridBlocks }), ...(ringSize === undefined ? {} : { ringSize }) };
  if (plan.kind !== "drand") return plan.kind === "block" ? {} : ring;
  const { publicKey, genesisTime, periodSeconds, marginSeconds } = plan.network;
  return {
    ...ring,
    drandPublicKey: toHex(drandKeyForChain(publicKey)),
    drandGenesisTime: genesisTime,
    drandPeriodSeconds: periodSeconds,
    drandMarginSeconds: marginSeconds,
  };
}
