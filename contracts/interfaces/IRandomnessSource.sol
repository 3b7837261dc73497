// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Source of public randomness
/// @notice Maps a block number to 32 bytes that nobody could predict before that block, that never change, and that do
/// not depend on the caller or the time of the call. An agreement names its source, so a better one needs no new
/// escrow.
interface IRandomnessSource {
    /// @notice The block is not in the past yet, or so far in the past that its randomness is no longer available.
    /// @param blockNumber The requested block.
    /// @param currentBlock The block of the call.
    error RandomnessUnavailable(uint64 blockNumber, uint256 currentBlock);

    /// @notice The randomness of a past block.
    /// @param blockNumber A block before the current one, by at most `horizonBlocks()`.
    /// @return randomness 32 bytes, never zero. Reverts with `RandomnessUnavailable` when there is none.
    function randomnessAt(uint64 blockNumber) external view returns (bytes32 randomness);

    /// @notice For how many blocks after a block its randomness is available. An audit window may not be longer.
    /// @return Number of blocks.
    function horizonBlocks() external view returns (uint64);
}
