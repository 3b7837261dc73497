// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRandomnessSource } from "../interfaces/IRandomnessSource.sol";

/// @title Randomness from block hashes
/// @notice The hash of the block itself: from the BLOCKHASH opcode for 256 blocks, then from the history contract of EIP-2935
/// for 8191. Holds nothing; anybody may call.
///
/// Nobody can roll again by choosing when to call. Who builds the block itself can: a hash is thrown away by building the block
/// once more with other extra data, at no price. A provider in league with the builder of every challenge block can so hide a
/// small damage, with one try in a hundred for 1 % of the slices, but no large one: at 10 % it is one in 10^20. Agreements name
/// their source, so one that cannot be ground takes the place of this one without a change of the escrow.
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
        // Chains without the contract answer an empty string; development chains that skip blocks answer zero.
        if (!success || answer.length != 32) revert RandomnessUnavailable(blockNumber, block.number);
        randomness = abi.decode(answer, (bytes32));
        if (randomness == bytes32(0)) revert RandomnessUnavailable(blockNumber, block.number);
    }

    /// @inheritdoc IRandomnessSource
    function horizonBlocks() external view returns (uint64) {
        return HISTORY.code.length > 0 ? HISTORY_BLOCKS : OPCODE_BLOCKS;
    }
}
