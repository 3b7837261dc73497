/**
 * The contracts' ABIs. Parsing an ABI takes about ten milliseconds, and the generated `connect` parses at every call.
 * Here each is parsed once per process, by the first that needs it: a short command needs few of them.
 */

import { Interface } from "ethers";
import { parsedOnce } from "./parsed-once.ts";
import { IAccountDirectory__factory } from "./types/factories/interfaces/IAccountDirectory__factory.ts";
import { IDrandRandomness__factory } from "./types/factories/interfaces/IDrandRandomness__factory.ts";
import { IKeyLedger__factory } from "./types/factories/interfaces/IKeyLedger__factory.ts";
import { INodeRegistry__factory } from "./types/factories/interfaces/INodeRegistry__factory.ts";
import { IOprfDisputes__factory } from "./types/factories/interfaces/IOprfDisputes__factory.ts";
import { IOwnersPolicy__factory } from "./types/factories/interfaces/IOwnersPolicy__factory.ts";
import { IRandomnessSource__factory } from "./types/factories/interfaces/IRandomnessSource__factory.ts";
import { IRecoveryPolicy__factory } from "./types/factories/interfaces/IRecoveryPolicy__factory.ts";
import { IStorageEscrow__factory } from "./types/factories/interfaces/IStorageEscrow__factory.ts";
import type { StorageEscrowInterface } from "./types/StorageEscrow.ts";

export const registryAbi = parsedOnce(() => INodeRegistry__factory.createInterface());
export const ledgerAbi = parsedOnce(() => IKeyLedger__factory.createInterface());
export const disputesAbi = parsedOnce(() => IOprfDisputes__factory.createInterface());
/**
 * What the escrow has beside its interface: constants, and errors of its libraries. Its factory has all of this, and
 * its code, which pages would load.
 */
const BESIDE_THE_INTERFACE = [
  "error FailedCall()",
  "error IndexNotLive(uint256 firstIndex, uint256 lastIndex, uint256 highestIndex)",
  "error InsufficientBalance(uint256 balance, uint256 needed)",
  "error InvalidShortString()",
  "error MalformedRanges(uint256 lengthBytes)",
  "error RangeOutOfOrder(uint256 position, uint256 firstIndex, uint256 sliceCount)",
  "error ReentrancyGuardReentrantCall()",
  "error SafeERC20FailedOperation(address token)",
  "error SliceDropped(uint256 firstIndex, uint256 lastIndex)",
  "error StringTooLong(string str)",
  "error TooManySlices(uint256 sliceCount)",
  "event EIP712DomainChanged()",
  "function ABANDONED_EPOCHS() view returns (uint256)",
  "function EPOCH_BLOCKS() view returns (uint256)",
  "function NATIVE() view returns (address)",
  "function NOTICE_EPOCHS() view returns (uint256)",
  "function REPLACED_EPOCHS() view returns (uint256)",
  "function RULES() view returns (address)",
  "function eip712Domain() view returns (bytes1 fields, string name, string version, uint256 chainId, " +
    "address verifyingContract, bytes32 salt, uint256[] extensions)",
];

export const escrowAbi = parsedOnce(
  () => new Interface([...IStorageEscrow__factory.abi, ...BESIDE_THE_INTERFACE]) as StorageEscrowInterface,
);
export const randomnessAbi = parsedOnce(() => IRandomnessSource__factory.createInterface());
export const directoryAbi = parsedOnce(() => IAccountDirectory__factory.createInterface());
export const ownersPolicyAbi = parsedOnce(() => IOwnersPolicy__factory.createInterface());
export const recoveryAbi = parsedOnce(() => IRecoveryPolicy__factory.createInterface());
/** Has the errors and events of all sources that record. */
export const drandAbi = parsedOnce(() => IDrandRandomness__factory.createInterface());
