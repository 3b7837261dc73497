/**
 * The contracts' ABIs. Parsing an ABI takes about ten milliseconds, and the generated `connect` parses at every call.
 * Here each is parsed once per process.
 */

import { IDrandRandomness__factory } from "./types/factories/interfaces/IDrandRandomness__factory.ts";
import { IRandomnessSource__factory } from "./types/factories/interfaces/IRandomnessSource__factory.ts";
import { KeyLedger__factory } from "./types/factories/KeyLedger__factory.ts";
import { NodeRegistry__factory } from "./types/factories/NodeRegistry__factory.ts";
import { OprfDisputes__factory } from "./types/factories/OprfDisputes__factory.ts";
import { StorageEscrow__factory } from "./types/factories/StorageEscrow__factory.ts";

export const REGISTRY_ABI = NodeRegistry__factory.createInterface();
export const LEDGER_ABI = KeyLedger__factory.createInterface();
export const DISPUTES_ABI = OprfDisputes__factory.createInterface();
export const ESCROW_ABI = StorageEscrow__factory.createInterface();
export const RANDOMNESS_ABI = IRandomnessSource__factory.createInterface();
/** Has the errors and events of all sources that record. */
export const DRAND_ABI = IDrandRandomness__factory.createInterface();
