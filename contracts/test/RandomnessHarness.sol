// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { BlockHeader } from "../libraries/BlockHeader.sol";
import { DrandSignature } from "../libraries/DrandSignature.sol";

/// @title The libraries of the randomness sources behind external functions
/// @notice Lets tests call them on a chain with any input.
contract RandomnessHarness {
    /// @notice Timestamp and mixHash of a header.
    function readHeader(bytes calldata header) external pure returns (uint64 timestamp, bytes32 mixHash) {
        return BlockHeader.read(header);
    }

    /// @notice Reverts unless the signature is that of the key over the round.
    function requireValid(uint64 round, bytes calldata signature, bytes calldata publicKey) external view {
        DrandSignature.requireValid(round, signature, publicKey);
    }

    /// @notice Whether bytes are a point of G2 other than the identity.
    function isPublicKey(bytes calldata publicKey) external view returns (bool) {
        return DrandSignature.isPublicKey(publicKey);
    }

    /// @notice hash_to_curve of RFC 9380 with the domain of drand.
    function hashToG1(bytes32 message) external view returns (bytes memory point) {
        return DrandSignature.hashToG1(message);
    }
}
