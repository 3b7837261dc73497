/**
 * The contracts on a given chain, deployed by the Ignition module.
 */

import hre from "hardhat";
import { type DeployParameters, deployTallystick } from "../../ignition/deploy-tallystick.ts";
import type { Deployment } from "../../offchain/chain/deployment.ts";

/**
 * Deploys to the chain at a URL, whose node must hold unlocked accounts, and describes it as a deployment file does.
 */
export async function deployTo(rpcUrl: string, parameters: DeployParameters = {}): Promise<Deployment> {
  const connection = await hre.network.create({ network: "localhost", override: { url: rpcUrl } });
  try {
    const deployed = await deployTallystick(connection, parameters);
    return {
      version: 1,
      chainId: deployed.chainId,
      rpcUrl,
      contracts: deployed.contracts,
      deployedAtBlock: deployed.deployedAtBlock,
      committeeId: "0",
      providers: [],
    };
  } finally {
    await connection.close();
  }
}
