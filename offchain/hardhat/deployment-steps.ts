/**
 * How the contracts are deployed, wherever their compiled code comes from: this repository's own build, or the package.
 * The order matters only for the ledger, which holds the registry's address for good.
 */
import type { ArgumentType, ContractFuture, IgnitionModuleBuilder } from "@nomicfoundation/ignition-core";
import { parseEther } from "ethers";

const DEVELOPMENT_STAKE_WEI = parseEther("1");
const DEVELOPMENT_EXIT_DELAY_SECONDS = 3600n;
const DEVELOPMENT_EPOCH_BLOCKS = 30n;
const DEVELOPMENT_NOTICE_EPOCHS = 3n;

export type ContractName = "NodeRegistry" | "KeyLedger" | "BlockRandomness" | "StorageEscrow" | "PossessionVerifier";

/** The names of the deployed contracts in a deployment file. */
export type DeployedName = "nodeRegistry" | "keyLedger" | "randomness" | "storageEscrow" | "possessionVerifier";

/**
 * The steps of the module "Tallystick". Its parameters are those of the registry, `minStakeWei` and `exitDelaySeconds`,
 * and those of the escrow of data sets, `epochBlocks` and `noticeEpochs`; the defaults are those of a development
 * chain.
 *
 * @param contract deploys one contract
 */
export function deploymentSteps<Deployed extends ContractFuture<string> & ArgumentType>(
  module: IgnitionModuleBuilder,
  contract: (name: ContractName, args: ArgumentType[]) => Deployed,
): Record<DeployedName, Deployed> {
  const minStakeWei = module.getParameter("minStakeWei", DEVELOPMENT_STAKE_WEI);
  const exitDelaySeconds = module.getParameter("exitDelaySeconds", DEVELOPMENT_EXIT_DELAY_SECONDS);
  const epochBlocks = module.getParameter("epochBlocks", DEVELOPMENT_EPOCH_BLOCKS);
  const noticeEpochs = module.getParameter("noticeEpochs", DEVELOPMENT_NOTICE_EPOCHS);

  const nodeRegistry = contract("NodeRegistry", [minStakeWei, exitDelaySeconds]);
  const keyLedger = contract("KeyLedger", [nodeRegistry]);
  const randomness = contract("BlockRandomness", []);
  const storageEscrow = contract("StorageEscrow", [epochBlocks, noticeEpochs]);
  const possessionVerifier = contract("PossessionVerifier", []);
  return { nodeRegistry, keyLedger, randomness, storageEscrow, possessionVerifier };
}
