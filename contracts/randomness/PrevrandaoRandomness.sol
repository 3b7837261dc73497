// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { BlockHeader } from "../libraries/BlockHeader.sol";
import { RecordedRandomness } from "./RecordedRandomness.sol";

/// @title Randomness from the RANDAO of the beacon chain
/// @notice The value of a block is a hash of its `mixHash`, which is the RANDAO mix of the beacon chain (EIP-4399). The
/// evidence is the RLP-encoded header of the block: its hash is that of the block, so it needs no trust in who brings
/// it.
///
/// What a proposer can do. The mix of a block is made of the signatures that the proposers of earlier slots revealed;
/// it does not depend on what is in the block. So a builder has nothing to vary. A proposer of an earlier slot can
/// choose between two mixes: it publishes its block, or withholds it and loses the reward of it. A proposer that
/// controls k consecutive slots before the block chooses between 2^k mixes. The mix is known when the block before is
/// published, one slot early.
///
/// For chains with proof of stake: elsewhere, `mixHash` is whatever the builder of the block puts there.
///
/// INV-1 to INV-4 are those of `RecordedRandomness`.
contract PrevrandaoRandomness is RecordedRandomness {
    bytes32 private constant TAG = keccak256("tallystick/v1/randomness-prevrandao");

    /// @param grid only blocks whose number is a multiple of this have randomness
    /// @param size entries of the ring; `grid · size` must be at least 8191
    constructor(uint64 grid, uint64 size) RecordedRandomness(grid, size) {}

    /// @inheritdoc RecordedRandomness
    function _check(
        uint64 blockNumber,
        bytes32 blockHash,
        bytes calldata evidence
    ) internal pure override returns (bytes32 digest) {
        _requireHeader(blockNumber, blockHash, evidence);
        (, bytes32 mixHash) = BlockHeader.read(evidence);
        return keccak256(abi.encode(TAG, mixHash, blockNumber));
    }
}
