/**
 * The module "Tallystick" by the kind of its source of randomness. It refers to contracts by their name in Hardhat's
 * build, so that `ignition verify` finds their sources.
 */
import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";
import type { RandomnessKind } from "../../offchain/chain/deployment.ts";
import { deploymentSteps } from "../../offchain/hardhat/deployment-steps.ts";

export const tallystickWith = (kind: RandomnessKind) =>
  buildModule("Tallystick", (module) => deploymentSteps(module, (name, args) => module.contract(name, args), kind));
