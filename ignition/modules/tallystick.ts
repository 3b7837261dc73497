/**
 * The one deployment of the project: tests, the development chain and public networks all use this module. Parameters come
 * from ignition/parameters/*.json; the defaults are those of a development chain.
 *
 * The order matters only for the ledger, which holds the registry's address for good.
 */

import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";
import { parseEther } from "ethers";

const DEVELOPMENT_STAKE_WEI = parseEther("1");
const DEVELOPMENT_EXIT_DELAY_SECONDS = 3600n;

export default buildModule("Tallystick", (module) => {
  const minStakeWei = module.getParameter("minStakeWei", DEVELOPMENT_STAKE_WEI);
  const exitDelaySeconds = module.getParameter("exitDelaySeconds", DEVELOPMENT_EXIT_DELAY_SECONDS);

  const nodeRegistry = module.contract("NodeRegistry", [minStakeWei, exitDelaySeconds]);
  const keyLedger = module.contract("KeyLedger", [nodeRegistry]);
  const randomness = module.contract("BlockRandomness");
  const storageEscrow = module.contract("StorageEscrow");
  return { nodeRegistry, keyLedger, randomness, storageEscrow };
});
