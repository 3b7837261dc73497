// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Source of public randomness
/// @notice Maps a block number to 32 bytes that never change, and that do not depend on the caller or the time of the
/// call. What it takes to predict or to influence them is stated by each source. A data set names its source, so a
/// better one needs no new escrow.
///
/// A source may need evidence before it knows a value. Then anyone may bring it, once for all data sets that ask for
/// the same block: the evidence determines the value, so whoever brings it chooses nothing.
interface IRandomnessSource {
    /// @notice The source does not know the randomness of this block: the block is not in the past yet or not on the
    /// grid, nobody has recorded its randomness yet, or it is so far in the past that the source has forgotten it.
    /// @param blockNumber The requested block.
    /// @param currentBlock The block of the call.
    error RandomnessUnavailable(uint64 blockNumber, uint256 currentBlock);

    /// @notice Makes the randomness of a block known. Anyone may call. When it is known already, the evidence is not
    /// looked at.
    /// @param blockNumber A block before the current one, by at most `horizonBlocks()`, and a multiple of
    /// `gridBlocks()`.
    /// @param evidence What the source derives the value from. Its layout depends on the source.
    /// @return randomness What `randomnessAt` returns from now on. Reverts when the evidence is not that of the block.
    function record(uint64 blockNumber, bytes calldata evidence) external returns (bytes32 randomness);

    /// @notice The randomness of a past block.
    /// @param blockNumber The block.
    /// @return randomness 32 bytes, never zero. Reverts with `RandomnessUnavailable` while there is none.
    function randomnessAt(uint64 blockNumber) external view returns (bytes32 randomness);

    /// @notice For how many blocks after a block its randomness can be recorded and read. An audit window may not be
    /// longer.
    /// @return Number of blocks.
    function horizonBlocks() external view returns (uint64);

    /// @notice Only blocks whose number is a multiple of this have randomness.
    /// @return Number of blocks; 1 when every block has randomness.
    function gridBlocks() external view returns (uint64);
}
