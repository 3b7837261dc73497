/**
 * The contracts' ABIs. Parsing an ABI takes about ten milliseconds, and the generated `connect` parses at every call.
 * Here each is parsed once per process.
 */

import { IDrandRandomness__factory } from "./types/factories/interfaces/IDrandRandomness__factory.ts";
import { IKeyLedger__factory } from "./types/factories/interfaces/IKeyLedger__factory.ts";
import { INodeRegistry__factory } from "./types/factories/interfaces/INodeRegistry__factory.ts";
import { IOprfDisputes__factory } from "./types/factories/interfaces/IOprfDisputes__factory.ts";
import { IOwnersPolicy__factory } from "./types/factories/interfaces/IOwnersPolicy__factory.ts";
import { IRandomnessSource__factory } from "./types/factories/interfaces/IRandomnessSource__factory.ts";
import { IRecoveryPolicy__factory } from "./types/factories/interfaces/IRecoveryPolicy__factory.ts";
import { StorageEscrow__factory } from "./types/factories/StorageEscrow__factory.ts";

export const REGISTRY_ABI = INodeRegistry__factory.createInterface();
export const LEDGER_ABI = IKeyLedger__factory.createInterface();
export const DISPUTES_ABI = IOprfDisputes__factory.createInterface();
export const ESCROW_ABI = StorageEscrow__factory.createInterface();
export const RANDOMNESS_ABI = IRandomnessSource__factory.createInterface();
export const OWNERS_POLICY_ABI = IOwnersPolicy__factory.createInterface();
export const RECOVERY_ABI = IRecoveryPolicy__factory.createInterface();
/** Has the errors and events of all sources that record. */
export const DRAND_ABI = IDrandRandomness__factory.createInterface();
