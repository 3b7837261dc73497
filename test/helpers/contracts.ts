/**
 * The contracts on a given chain, deployed by the Ignition module.
 */

import hre from "hardhat";
import { type DeployParameters, deployTallystick, type RandomnessPlan } from "../../ignition/deploy-tallystick.ts";
import type { Deployment } from "../../offchain/chain/deployment.ts";

/**
 * Deploys to the chain at a URL, whose node must hold unlocked accounts, and describes it as a deployment file does.
 */
export async function deployTo(
  rpcUrl: string,
  parameters: DeployParameters = {},
  randomness?: RandomnessPlan,
): Promise<Deployment> {
  const connection = await hre.network.create({ network: "localhost", override: { url: rpcUrl } });
  try {
    const deployed = await deployTallystick(connection, parameters, randomness);
    return {
      version: 1,
      chainId: deployed.chainId,
      rpcUrl,
      contracts: deployed.contracts,
      randomness: deployed.randomness,
      deployedAtBlock: deployed.deployedAtBlock,
      committeeId: "0",
      providers: [],
    };
  } finally {
    await connection.close();
  }
}
