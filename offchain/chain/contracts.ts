/**
 * The contracts as ethers sees them. Parsing an ABI takes some ten milliseconds, which the generated `connect` spends at every call:
 * here each is parsed once in a process.
 */

import { Contract } from "ethers";
import type { ChainReader } from "./deployment.ts";
import { IRandomnessSource__factory } from "./types/factories/interfaces/IRandomnessSource__factory.ts";
import { KeyLedger__factory } from "./types/factories/KeyLedger__factory.ts";
import { NodeRegistry__factory } from "./types/factories/NodeRegistry__factory.ts";
import { StorageEscrow__factory } from "./types/factories/StorageEscrow__factory.ts";
import type { KeyLedger } from "./types/KeyLedger.ts";
import type { NodeRegistry } from "./types/NodeRegistry.ts";
import type { StorageEscrow } from "./types/StorageEscrow.ts";

export const REGISTRY_ABI = NodeRegistry__factory.createInterface();
export const LEDGER_ABI = KeyLedger__factory.createInterface();
export const ESCROW_ABI = StorageEscrow__factory.createInterface();
export const RANDOMNESS_ABI = IRandomnessSource__factory.createInterface();

/** The deployment's node registry, to read from. */
export function nodeRegistry({ deployment, provider }: ChainReader): NodeRegistry {
  return new Contract(deployment.contracts.nodeRegistry, REGISTRY_ABI, provider) as unknown as NodeRegistry;
}

/** The deployment's key ledger, to read from. */
export function keyLedger({ deployment, provider }: ChainReader): KeyLedger {
  return new Contract(deployment.contracts.keyLedger, LEDGER_ABI, provider) as unknown as KeyLedger;
}

/** The deployment's storage escrow, to read from. */
export function storageEscrow({ deployment, provider }: ChainReader): StorageEscrow {
  return new Contract(deployment.contracts.storageEscrow, ESCROW_ABI, provider) as unknown as StorageEscrow;
}
