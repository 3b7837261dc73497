/**
 * The contracts for programs: TypeChain types, factories (which hold ABI and bytecode), ABIs and addresses.
 *
 *   const escrow = StorageEscrow__factory.connect(address, provider);
 *   const { status } = await escrow.booksOf(id);
 */

import { IPossessionVerifier__factory } from "../chain/types/factories/interfaces/IPossessionVerifier__factory.ts";
import { IRandomnessSource__factory } from "../chain/types/factories/interfaces/IRandomnessSource__factory.ts";
import { KeyLedger__factory } from "../chain/types/factories/KeyLedger__factory.ts";
import { NodeRegistry__factory } from "../chain/types/factories/NodeRegistry__factory.ts";
import { StorageEscrow__factory } from "../chain/types/factories/StorageEscrow__factory.ts";

export const NODE_REGISTRY_ABI = NodeRegistry__factory.abi;
export const KEY_LEDGER_ABI = KeyLedger__factory.abi;
export const STORAGE_ESCROW_ABI = StorageEscrow__factory.abi;
export const POSSESSION_VERIFIER_ABI = IPossessionVerifier__factory.abi;
export const RANDOMNESS_SOURCE_ABI = IRandomnessSource__factory.abi;

export type * from "../chain/types/common.ts";
export { PossessionVerifier__factory } from "../chain/types/factories/PossessionVerifier__factory.ts";
export { BlockRandomness__factory } from "../chain/types/factories/randomness/BlockRandomness__factory.ts";
export { DrandRandomness__factory } from "../chain/types/factories/randomness/DrandRandomness__factory.ts";
export { PrevrandaoRandomness__factory } from "../chain/types/factories/randomness/PrevrandaoRandomness__factory.ts";
export type { IPossessionVerifier } from "../chain/types/interfaces/IPossessionVerifier.ts";
export type { IRandomnessSource } from "../chain/types/interfaces/IRandomnessSource.ts";
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
  IPossessionVerifier__factory,
  IRandomnessSource__factory,
  KeyLedger__factory,
  NodeRegistry__factory,
  StorageEscrow__factory,
};
