/**
 * The Ignition module that tests, the development chain and public networks use. It refers to contracts by their name
 * in Hardhat's build, so that `ignition verify` finds their sources. Parameters come from ignition/parameters/*.json.
 */
import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";
import { deploymentSteps } from "../../offchain/hardhat/deployment-steps.ts";

export default buildModule("Tallystick", (module) =>
  deploymentSteps(module, (name, args) => module.contract(name, args)),
);
