/** The contracts of a deployment, to read from. */

import { Contract } from "ethers";
import { escrowAbi, ledgerAbi, registryAbi } from "./abis.ts";
import type { ChainReader } from "./deployment.ts";
import type { IKeyLedger } from "./types/interfaces/IKeyLedger.ts";
import type { INodeRegistry } from "./types/interfaces/INodeRegistry.ts";
import type { StorageEscrow } from "./types/StorageEscrow.ts";

export function nodeRegistry({ deployment, provider }: ChainReader): INodeRegistry {
  return new Contract(deployment.contracts.nodeRegistry, registryAbi(), provider) as unknown as INodeRegistry;
}

export function keyLedger({ deployment, provider }: ChainReader): IKeyLedger {
  return new Contract(deployment.contracts.keyLedger, ledgerAbi(), provider) as unknown as IKeyLedger;
}

export function storageEscrow({ deployment, provider }: ChainReader): StorageEscrow {
  return new Contract(deployment.contracts.storageEscrow, escrowAbi(), provider) as unknown as StorageEscrow;
}
