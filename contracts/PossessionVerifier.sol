// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IPossessionVerifier } from "./interfaces/IPossessionVerifier.sol";
import { PdpVerifier } from "./libraries/PdpVerifier.sol";

/// @title Verifier of possession proofs over BLS12-381
/// @notice The proof system of `PdpVerifier` as a contract that the terms of a data set can name. Has no state, no
/// owner and no money; any account may call.
///
/// An answer has 1,184 bytes: the audit key X ‖ XA ‖ XB (points of G2 in the EIP-2537 form, 256 bytes each), then the
/// proof σ ‖ ψ ‖ W (points of G1 in the EIP-2537 form, 128 bytes each) ‖ y (32 bytes, most significant first, below the
/// group order). The key hash of a claim is keccak256 of the first 768 bytes.
///
/// Claims of several sets share one pairing call, with weights that are drawn after all of them are fixed. A set may
/// be among them twice: the caller decides what that is worth.
///
/// INV-1  The answer depends on the claims alone.
/// INV-2  It is true only if every claim holds by itself, but for a probability below 2^-120.
/// INV-3  Claims that are malformed inside are answered with false. Only call data that is not the encoding of claims
///        makes a call revert.
contract PossessionVerifier is IPossessionVerifier {
    /// @notice Checks the claims of one or several sets at once.
    /// @dev A malformed point makes a precompile consume 63/64 of the gas that is left, before the answer is false.
    /// False also says that the gas did not suffice for a precompile, so a caller must revert on it and never count it
    /// against a provider.
    /// @param claims One for each set. None at all is invalid.
    /// @return valid Whether all of them hold.
    function verify(Claim[] calldata claims) external view returns (bool valid) {
        return PdpVerifier.verifyClaims(claims);
    }
}
