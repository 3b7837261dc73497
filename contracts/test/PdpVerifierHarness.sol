// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { PdpVerifier } from "../libraries/PdpVerifier.sol";

/// @title The verifier library behind an external function
/// @notice Lets tests and gas measurements call the library on a chain, by call or by transaction.
contract PdpVerifierHarness {
    /// @notice The proof for a seed verified.
    event ProofAccepted(bytes32 seed);

    /// @notice The proof did not verify.
    error ProofRejected();

    /// @notice The library's answer.
    function verify(
        PdpVerifier.Challenge memory challenge,
        PdpVerifier.Key calldata key,
        PdpVerifier.Proof calldata proof
    ) external view returns (bool valid) {
        return PdpVerifier.verify(challenge, key, proof);
    }

    /// @notice The library's answer and the gas the call of the library took, without transaction and calldata.
    function measure(
        PdpVerifier.Challenge memory challenge,
        PdpVerifier.Key calldata key,
        PdpVerifier.Proof calldata proof
    ) external view returns (bool valid, uint256 gasUsed) {
        uint256 gasBefore = gasleft();
        valid = PdpVerifier.verify(challenge, key, proof);
        gasUsed = gasBefore - gasleft();
    }

    /// @notice The check as a transaction, so that a receipt shows its whole price. Reverts for a proof that does not
    /// verify, as every caller must, because running out of gas looks the same.
    function check(
        PdpVerifier.Challenge memory challenge,
        PdpVerifier.Key calldata key,
        PdpVerifier.Proof calldata proof
    ) external {
        if (!PdpVerifier.verify(challenge, key, proof)) revert ProofRejected();
        emit ProofAccepted(challenge.seed);
    }

    /// @notice The library's answer for several sets.
    function verifyMany(
        PdpVerifier.Challenge[] memory challenges,
        PdpVerifier.Key[] calldata keys,
        PdpVerifier.Proof[] calldata proofs
    ) external view returns (bool valid) {
        return PdpVerifier.verifyMany(challenges, keys, proofs);
    }

    /// @notice `check` for several sets: reverts unless all proofs verify.
    function checkMany(
        PdpVerifier.Challenge[] memory challenges,
        PdpVerifier.Key[] calldata keys,
        PdpVerifier.Proof[] calldata proofs
    ) external {
        if (!PdpVerifier.verifyMany(challenges, keys, proofs)) revert ProofRejected();
        emit ProofAccepted(challenges[0].seed);
    }

    /// @notice v(ρ) by the library's windowed table, and whether the challenge is of the protocol.
    function evaluateChallenge(
        PdpVerifier.Challenge memory challenge,
        uint256 rho
    ) external pure returns (bool valid, uint256 value) {
        return PdpVerifier.evaluateChallenge(challenge, PdpVerifier.hashChallenge(challenge), rho);
    }

    /// @notice The hash that a data set stores of its key.
    function hashKey(PdpVerifier.Key calldata key) external pure returns (bytes32) {
        return PdpVerifier.hashKey(key);
    }
}
