// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IPossessionVerifier } from "../../interfaces/IPossessionVerifier.sol";

/// @notice A proof system that only compares: an answer is right when it is the claim without the answer. So tests can
/// exercise the economics of the escrow alone.
contract FakeVerifier is IPossessionVerifier {
    /// @dev When set, right answers are refused too, as by a broken verifier.
    bool public broken;

    function setBroken(bool broken_) external {
        broken = broken_;
    }

    function verify(Claim[] calldata claims) external view returns (bool) {
        if (broken) return false;
        for (uint256 i; i < claims.length; ++i) {
            if (keccak256(claims[i].answer) != keccak256(_rightAnswer(claims[i]))) return false;
        }
        return true;
    }

    function _rightAnswer(Claim calldata claim) private pure returns (bytes memory) {
        return abi.encode(claim.seed, claim.keyHash, claim.sampleCount, keccak256(claim.ranges));
    }
}
