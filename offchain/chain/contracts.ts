/** The contracts of a deployment, to read from. */

import { Contract } from "ethers";
import { ESCROW_ABI, LEDGER_ABI, REGISTRY_ABI } from "./abis.ts";
import type { ChainReader } from "./deployment.ts";
import type { KeyLedger } from "./types/KeyLedger.ts";
import type { NodeRegistry } from "./types/NodeRegistry.ts";
import type { StorageEscrow } from "./types/StorageEscrow.ts";

export function nodeRegistry({ deployment, provider }: ChainReader): NodeRegistry {
  return new Contract(deployment.contracts.nodeRegistry, REGISTRY_ABI, provider) as unknown as NodeRegistry;
}

export function keyLedger({ deployment, provider }: ChainReader): KeyLedger {
  return new Contract(deployment.contracts.keyLedger, LEDGER_ABI, provider) as unknown as KeyLedger;
}

export function storageEscrow({ deployment, provider }: ChainReader): StorageEscrow {
  return new Contract(deployment.contracts.storageEscrow, ESCROW_ABI, provider) as unknown as StorageEscrow;
}
