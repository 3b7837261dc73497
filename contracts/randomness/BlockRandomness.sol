// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRandomnessSource } from "../interfaces/IRandomnessSource.sol";
import { BlockHash } from "../libraries/BlockHash.sol";

/// @title Randomness from block hashes, for test chains
/// @notice The hash of the block itself, for as long as the chain tells it (256 blocks, or 8191 with EIP-2935). It
/// needs no evidence and nobody to record it, so a development chain works without further parties. Holds no state and
/// no money; any account may call.
///
/// Not for chains where data or money is at stake. The builder of the block can change the answer: it discards an
/// unwanted hash by building the block again with other extra data, at no cost. A provider that colludes with the
/// builder of every challenge block hides damage to 4 % of the slices from 460 draws with about 1.4·10^8 tries, and the
/// loss of half the data from 30 draws with about 10^9. Data sets name their source: `PrevrandaoRandomness` and
/// `DrandRandomness` do not have this weakness.
///
/// INV-1: two calls for one block never return different values.
contract BlockRandomness is IRandomnessSource {
    /// @inheritdoc IRandomnessSource
    /// @dev Checks and stores nothing: the chain holds the value.
    function record(uint64 blockNumber, bytes calldata) external view returns (bytes32 randomness) {
        return _randomnessAt(blockNumber);
    }

    /// @inheritdoc IRandomnessSource
    function randomnessAt(uint64 blockNumber) external view returns (bytes32 randomness) {
        return _randomnessAt(blockNumber);
    }

    /// @inheritdoc IRandomnessSource
    function horizonBlocks() external view returns (uint64) {
        return BlockHash.horizon();
    }

    /// @inheritdoc IRandomnessSource
    function gridBlocks() external pure returns (uint64) {
        return 1;
    }

    function _randomnessAt(uint64 blockNumber) private view returns (bytes32 randomness) {
        randomness = BlockHash.find(blockNumber);
        if (randomness == bytes32(0)) revert RandomnessUnavailable(blockNumber, block.number);
    }
}
