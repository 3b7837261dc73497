// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Hashes of past blocks
/// @notice From the BLOCKHASH opcode for 256 blocks, then from the history contract of EIP-2935 for 8191.
library BlockHash {
    /// @dev Blocks that the history contract remembers.
    uint64 internal constant HISTORY_BLOCKS = 8191;

    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;
    uint64 private constant OPCODE_BLOCKS = 256;

    /// @return found The hash of a past block; zero when the chain does not tell it.
    function find(uint64 blockNumber) internal view returns (bytes32 found) {
        found = blockhash(blockNumber);
        if (found != bytes32(0) || blockNumber >= block.number) return found;
        (bool success, bytes memory answer) = HISTORY.staticcall(abi.encode(blockNumber));
        // A chain without the contract returns no data; a development chain returns zero for blocks that it skipped.
        return success && answer.length == 32 ? abi.decode(answer, (bytes32)) : bytes32(0);
    }

    /// @return For how many blocks after a block its hash can be read.
    function horizon() internal view returns (uint64) {
        return HISTORY.code.length > 0 ? HISTORY_BLOCKS : OPCODE_BLOCKS;
    }
}
