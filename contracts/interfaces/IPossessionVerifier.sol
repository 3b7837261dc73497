// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Verifier of possession proofs
/// @notice What the terms of a data set name. Keys and proofs are opaque to the escrow, so a set can use another proof
/// system without another escrow.
interface IPossessionVerifier {
    /// @notice One set, its challenge and the answer.
    struct Claim {
        /// @dev Unknown to the provider before the challenge opens; binds chain, escrow, set and challenge block.
        bytes32 seed;
        /// @dev Hash of the audit key, from the terms of the set.
        bytes32 keyHash;
        uint16 sampleCount;
        /// @dev Live ranges, see `LiveRanges`.
        bytes ranges;
        /// @dev Audit key and proof, in the verifier's own layout.
        bytes answer;
    }

    /// @notice Checks the claims of one or several sets at once.
    /// @param claims One for each set.
    /// @return valid Whether all of them hold. Malformed answers, and keys of another hash, are invalid.
    function verify(Claim[] calldata claims) external view returns (bool valid);
}
