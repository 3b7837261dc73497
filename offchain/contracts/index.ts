/**
 * The contracts for programs: TypeChain types, factories (which hold ABI and bytecode), ABIs and addresses.
 *
 *   const escrow = StorageEscrow__factory.connect(address, provider);
 *   const { status } = await escrow.booksOf(id);
 */

import { IAccountDirectory__factory } from "../chain/types/factories/interfaces/IAccountDirectory__factory.ts";
import { IOwnersPolicy__factory } from "../chain/types/factories/interfaces/IOwnersPolicy__factory.ts";
import { IPossessionVerifier__factory } from "../chain/types/factories/interfaces/IPossessionVerifier__factory.ts";
import { IRandomnessSource__factory } from "../chain/types/factories/interfaces/IRandomnessSource__factory.ts";
import { IRecoveryPolicy__factory } from "../chain/types/factories/interfaces/IRecoveryPolicy__factory.ts";
import { IReleasePolicy__factory } from "../chain/types/factories/interfaces/IReleasePolicy__factory.ts";
import { KeyLedger__factory } from "../chain/types/factories/KeyLedger__factory.ts";
import { NodeRegistry__factory } from "../chain/types/factories/NodeRegistry__factory.ts";
import { StorageEscrow__factory } from "../chain/types/factories/StorageEscrow__factory.ts";

export const NODE_REGISTRY_ABI = NodeRegistry__factory.abi;
export const KEY_LEDGER_ABI = KeyLedger__factory.abi;
export const STORAGE_ESCROW_ABI = StorageEscrow__factory.abi;
export const POSSESSION_VERIFIER_ABI = IPossessionVerifier__factory.abi;
export const RANDOMNESS_SOURCE_ABI = IRandomnessSource__factory.abi;
export const RELEASE_POLICY_ABI = IReleasePolicy__factory.abi;
export const ACCOUNT_DIRECTORY_ABI = IAccountDirectory__factory.abi;
export const OWNERS_POLICY_ABI = IOwnersPolicy__factory.abi;
export const RECOVERY_POLICY_ABI = IRecoveryPolicy__factory.abi;

export type * from "../chain/types/common.ts";
export { AccountDirectory__factory } from "../chain/types/factories/AccountDirectory__factory.ts";
export { PossessionVerifier__factory } from "../chain/types/factories/PossessionVerifier__factory.ts";
export { OwnersPolicy__factory } from "../chain/types/factories/policies/OwnersPolicy__factory.ts";
export { RecoveryPolicy__factory } from "../chain/types/factories/policies/RecoveryPolicy__factory.ts";
export { BlockRandomness__factory } from "../chain/types/factories/randomness/BlockRandomness__factory.ts";
export { DrandRandomness__factory } from "../chain/types/factories/randomness/DrandRandomness__factory.ts";
export { PrevrandaoRandomness__factory } from "../chain/types/factories/randomness/PrevrandaoRandomness__factory.ts";
export type { IAccountDirectory } from "../chain/types/interfaces/IAccountDirectory.ts";
export type { IOwnersPolicy } from "../chain/types/interfaces/IOwnersPolicy.ts";
export type { IPossessionVerifier } from "../chain/types/interfaces/IPossessionVerifier.ts";
export type { IRandomnessSource } from "../chain/types/interfaces/IRandomnessSource.ts";
export type { IRecoveryPolicy } from "../chain/types/interfaces/IRecoveryPolicy.ts";
export type { IReleasePolicy } from "../chain/types/interfaces/IReleasePolicy.ts";
export type { IStorageEscrow } from "../chain/types/interfaces/IStorageEscrow.ts";
export type { KeyLedger } from "../chain/types/KeyLedger.ts";
export type { NodeRegistry } from "../chain/types/NodeRegistry.ts";
export type { PossessionVerifier } from "../chain/types/PossessionVerifier.ts";
export type { BlockRandomness } from "../chain/types/randomness/BlockRandomness.ts";
export type { DrandRandomness } from "../chain/types/randomness/DrandRandomness.ts";
export type { PrevrandaoRandomness } from "../chain/types/randomness/PrevrandaoRandomness.ts";
export type { StorageEscrow } from "../chain/types/StorageEscrow.ts";
export { CONTRACT_ADDRESSES, type ContractAddresses } from "./addresses.ts";
export {
  IAccountDirectory__factory,
  IOwnersPolicy__factory,
  IPossessionVerifier__factory,
  IRandomnessSource__factory,
  IRecoveryPolicy__factory,
  IReleasePolicy__factory,
  KeyLedger__factory,
  NodeRegistry__factory,
  StorageEscrow__factory,
};
