/**
 * The Ignition module for projects that depend on the package: it deploys the contracts as they were compiled and
 * tested here, whatever compiler and settings the project itself uses.
 *
 *   const { storageEscrow } = await ignition.deploy(tallystickModule);
 */
import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";
import type { RandomnessKind } from "../chain/deployment.ts";
import { AccountDirectory__factory } from "../chain/types/factories/AccountDirectory__factory.ts";
import { KeyLedger__factory } from "../chain/types/factories/KeyLedger__factory.ts";
import { NodeRegistry__factory } from "../chain/types/factories/NodeRegistry__factory.ts";
import { PossessionVerifier__factory } from "../chain/types/factories/PossessionVerifier__factory.ts";
import { OwnersPolicy__factory } from "../chain/types/factories/policies/OwnersPolicy__factory.ts";
import { RecoveryPolicy__factory } from "../chain/types/factories/policies/RecoveryPolicy__factory.ts";
import { BlockRandomness__factory } from "../chain/types/factories/randomness/BlockRandomness__factory.ts";
import { DrandRandomness__factory } from "../chain/types/factories/randomness/DrandRandomness__factory.ts";
import { PrevrandaoRandomness__factory } from "../chain/types/factories/randomness/PrevrandaoRandomness__factory.ts";
import { StorageEscrow__factory } from "../chain/types/factories/StorageEscrow__factory.ts";
import { type ContractName, deploymentSteps } from "./deployment-steps.ts";

interface Compiled {
  readonly abi: readonly object[];
  readonly bytecode: string;
}

const COMPILED: Readonly<Record<ContractName, Compiled>> = {
  NodeRegistry: NodeRegistry__factory,
  KeyLedger: KeyLedger__factory,
  BlockRandomness: BlockRandomness__factory,
  PrevrandaoRandomness: PrevrandaoRandomness__factory,
  DrandRandomness: DrandRandomness__factory,
  StorageEscrow: StorageEscrow__factory,
  PossessionVerifier: PossessionVerifier__factory,
  AccountDirectory: AccountDirectory__factory,
  OwnersPolicy: OwnersPolicy__factory,
  RecoveryPolicy: RecoveryPolicy__factory,
};

/** What Ignition reads of a contract. None of them is linked to a library: their functions are compiled in. */
function artifactOf(contractName: ContractName) {
  const { abi, bytecode } = COMPILED[contractName];
  return {
    _format: "hh3-artifact-1",
    contractName,
    sourceName: `tallystick/contracts/${contractName}.sol`,
    abi,
    bytecode,
    deployedBytecode: "0x",
    linkReferences: {},
    deployedLinkReferences: {},
  };
}

const moduleWith = (kind: RandomnessKind) =>
  buildModule("Tallystick", (module) =>
    deploymentSteps(module, (name, args) => module.contract(name, artifactOf(name), args), kind),
  );

/** With block hashes as randomness: for development chains. */
export const tallystickModule = moduleWith("block");
/** With the RANDAO of the beacon chain. */
export const tallystickPrevrandaoModule = moduleWith("prevrandao");
/** With a drand network: quicknet, unless its parameters name another one. */
export const tallystickDrandModule = moduleWith("drand");

/** Ignition's command line takes the default export of a module's file. */
export default tallystickModule;
