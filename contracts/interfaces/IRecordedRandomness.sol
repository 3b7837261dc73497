// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRandomnessSource } from "./IRandomnessSource.sol";

/// @title Randomness that is recorded with evidence
/// @notice What all sources have in common that store the values they have checked.
interface IRecordedRandomness is IRandomnessSource {
    /// @notice The randomness of a block was recorded.
    /// @param blockNumber The block.
    /// @param randomness What `randomnessAt` returns for it.
    event RandomnessRecorded(uint64 indexed blockNumber, bytes32 randomness);

    /// @notice The ring would replace values that can still be asked for.
    /// @param coveredBlocks Blocks between two entries of one place: entries times blocks of the grid.
    /// @param neededBlocks The least number of blocks that is accepted.
    error RingTooSmall(uint256 coveredBlocks, uint256 neededBlocks);

    /// @notice The block has no randomness, because its number is not a multiple of the grid.
    /// @param blockNumber The block.
    /// @param gridBlocks The grid.
    error BlockOffGrid(uint64 blockNumber, uint64 gridBlocks);

    /// @notice The block is the current one or a later one.
    /// @param blockNumber The block.
    /// @param currentBlock The block of the call.
    error BlockNotInPast(uint64 blockNumber, uint256 currentBlock);

    /// @notice The chain does not tell the hash of the block any more, or the randomness of a later block has its
    /// place.
    /// @param blockNumber The block.
    /// @param currentBlock The block of the call.
    error BlockTooOld(uint64 blockNumber, uint256 currentBlock);

    /// @notice The header in the evidence is not that of the block.
    /// @param blockNumber The block.
    /// @param expected Hash of the block.
    /// @param received Hash of the header.
    error HeaderMismatch(uint64 blockNumber, bytes32 expected, bytes32 received);

    /// @notice The header has the hash of the block, but not the form that this contract reads.
    /// @param offset Where in the header its form ends to be the expected one.
    error MalformedHeader(uint256 offset);

    /// @notice The evidence is shorter than its fixed parts.
    /// @param received Bytes of the evidence.
    /// @param minimum Bytes of the fixed parts.
    error EvidenceTooShort(uint256 received, uint256 minimum);

    /// @notice How many values the source keeps. The value of a block stays readable until that of a block
    /// `ringSize()` times `gridBlocks()` later, or a multiple of it, is recorded.
    /// @return Number of entries.
    function ringSize() external view returns (uint64);
}
