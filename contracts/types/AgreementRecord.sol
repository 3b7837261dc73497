// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";

/// @dev An agreement as it is stored: its terms, its user, its status and how many epochs have been settled. Eight
/// slots, ordered so that a proof and a report of a miss read six of them each.
struct AgreementRecord {
    address provider;
    uint32 epochBlocks;
    uint32 windowBlocks;
    uint32 epochs;
    address token;
    uint64 firstIndex;
    uint16 sampleCount;
    uint16 breachLimit;
    address randomness;
    uint48 startBlock;
    uint32 epochsProven;
    IStorageEscrow.AgreementStatus status;
    address user;
    uint64 sliceCount;
    uint32 epochsMissed;
    uint128 feePerEpoch;
    uint128 compensationPerMiss;
    uint128 bountyPerMiss;
    uint128 collateral;
    bytes32 auditKeyHash;
    bytes32 manifestHash;
}
