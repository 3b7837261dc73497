// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRandomnessSource } from "../interfaces/IRandomnessSource.sol";

/// @title Randomness from block hashes
/// @notice The hash of the block itself: from the BLOCKHASH opcode for 256 blocks, then from the history contract of
/// EIP-2935 for 8191. Holds no state and no money; any account may call.
///
/// The time of the call does not change the answer. The builder of the block can change it: it discards an unwanted
/// hash by building the block again with other extra data, at no cost. A provider that colludes with the builder of
/// every challenge block can therefore hide small damage, but not large damage: one hash in 100 hides damage to 1 % of
/// the slices, one in 10^20 damage to 10 %. Agreements name their source, so a source without this weakness needs no
/// change of the escrow.
///
/// INV-1: two calls for one block never return different values.
contract BlockRandomness is IRandomnessSource {
    /// @dev Where EIP-2935 keeps the hashes of the last 8191 blocks.
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;
    uint64 private constant HISTORY_BLOCKS = 8191;
    uint64 private constant OPCODE_BLOCKS = 256;

    /// @inheritdoc IRandomnessSource
    function randomnessAt(uint64 blockNumber) external view returns (bytes32 randomness) {
        randomness = blockhash(blockNumber);
        if (randomness != bytes32(0)) return randomness;

        if (blockNumber >= block.number) revert RandomnessUnavailable(blockNumber, block.number);
        (bool success, bytes memory answer) = HISTORY.staticcall(abi.encode(blockNumber));
        // A chain without the contract returns no data; a development chain returns zero for blocks that it skipped.
        if (!success || answer.length != 32) revert RandomnessUnavailable(blockNumber, block.number);
        randomness = abi.decode(answer, (bytes32));
        if (randomness == bytes32(0)) revert RandomnessUnavailable(blockNumber, block.number);
    }

    /// @inheritdoc IRandomnessSource
    function horizonBlocks() external view returns (uint64) {
        return HISTORY.code.length > 0 ? HISTORY_BLOCKS : OPCODE_BLOCKS;
    }
}
