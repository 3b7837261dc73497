// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { StorageEscrow } from "../StorageEscrow.sol";
import { PdpVerifier } from "../libraries/PdpVerifier.sol";

/// @notice The escrow with a proof system that only compares two numbers, so that tests can exercise its economics
/// alone: a proof is valid when its y equals the challenge's seed, which depends on chain, escrow, agreement, epoch
/// and randomness.
contract StorageEscrowHarness is StorageEscrow {
    /// @dev When set, valid proofs fail too, as with a broken verifier.
    bool public broken;

    function setBroken(bool broken_) external {
        broken = broken_;
    }

    function _verifyProof(
        PdpVerifier.Challenge memory challenge,
        PdpVerifier.Key calldata,
        PdpVerifier.Proof calldata proof
    ) internal view override returns (bool) {
        return !broken && proof.y == uint256(challenge.seed);
    }
}
