// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Possession by Merkle paths, to compare with
/// @notice What a verifier without pairings would do: the data is cut into leaves of 32 bytes, the root of their
/// SHA-256 tree is agreed on, and a proof reveals each drawn leaf with its path. Measured by `npm run bench:gas`; used
/// by nothing.
contract MerkleBaseline {
    /// @notice The proof for a seed verified.
    event ProofAccepted(bytes32 seed);

    /// @notice A path does not lead to the root.
    error ProofRejected(uint256 sample);

    /// @notice Checks a proof, as a transaction. Reverts unless it verifies.
    /// @param root Root of the tree.
    /// @param seed What the leaves are drawn from.
    /// @param height Levels of the tree above the leaves.
    /// @param proof For each sample the leaf and its siblings from the bottom up, 32 bytes each.
    function check(bytes32 root, bytes32 seed, uint256 height, bytes calldata proof) external {
        uint256 sampleBytes = 32 * (height + 1);
        uint256 samples = proof.length / sampleBytes;
        for (uint256 t; t < samples; ++t) {
            uint256 position = uint256(keccak256(abi.encode(seed, t))) & ((1 << height) - 1);
            if (_rootOf(proof[t * sampleBytes:(t + 1) * sampleBytes], position) != root) revert ProofRejected(t);
        }
        emit ProofAccepted(seed);
    }

    /// @dev Inner nodes are SHA-256(0x01 ‖ left ‖ right), leaves SHA-256(0x00 ‖ leaf), as in RFC 9162.
    function _rootOf(bytes calldata path, uint256 position) private view returns (bytes32 node) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore8(buffer, 0)
            calldatacopy(add(buffer, 1), path.offset, 32)
            if iszero(staticcall(gas(), 2, buffer, 33, 0, 32)) {
                revert(0, 0)
            }
            mstore8(buffer, 1)
            let end := add(path.offset, path.length)
            for {
                let sibling := add(path.offset, 32)
            } lt(sibling, end) {
                sibling := add(sibling, 32)
            } {
                // The node is on the right where the bit of its position is set.
                let isRight := and(position, 1)
                mstore(add(buffer, add(1, mul(isRight, 32))), mload(0))
                calldatacopy(add(buffer, add(1, mul(iszero(isRight), 32))), sibling, 32)
                if iszero(staticcall(gas(), 2, buffer, 65, 0, 32)) {
                    revert(0, 0)
                }
                position := shr(1, position)
            }
            node := mload(0)
        }
    }
}
