// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Source of public randomness
/// @notice Maps a block number to 32 bytes that nobody could predict before that block, that never change, and that do not
/// depend on who asks or when. An agreement names its source, so a better one needs no new escrow.
interface IRandomnessSource {
    /// @notice The block is not in the past yet, or so far in the past that its randomness can no longer be had.
    /// @param blockNumber The block that was asked about.
    /// @param currentBlock The block of the call.
    error RandomnessUnavailable(uint64 blockNumber, uint256 currentBlock);

    /// @notice The randomness of a past block.
    /// @param blockNumber A block before the current one, by at most `horizonBlocks()`.
    /// @return randomness 32 bytes, never zero. Reverts with `RandomnessUnavailable` when there is none.
    function randomnessAt(uint64 blockNumber) external view returns (bytes32 randomness);

    /// @notice For how many blocks after a block its randomness can be asked for. An audit window may not be longer.
    /// @return Number of blocks.
    function horizonBlocks() external view returns (uint64);
}
