// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { OprfEvaluation } from "../libraries/OprfEvaluation.sol";
import { Ristretto255 } from "../libraries/Ristretto255.sol";
import { Sha512 } from "../libraries/Sha512.sol";

/// @title The libraries of OPRF evaluations, callable
/// @notice For tests and for measuring gas. `…Gas` gives what the library call alone takes.
contract OprfEvaluationHarness {
    using Ristretto255 for Ristretto255.Point;

    function sha512(bytes memory message) external pure returns (bytes32 high, bytes32 low) {
        return Sha512.hash(message);
    }

    function decode(bytes32 encoded) external view returns (bool valid, Ristretto255.Point memory point) {
        return Ristretto255.decode(encoded);
    }

    /// @notice first·G + second·element, encoded.
    function multiplyTwo(uint256 first, uint256 second, bytes32 element) external view returns (bytes32) {
        (bool valid, Ristretto255.Point memory point) = Ristretto255.decode(element);
        require(valid, "no element");
        return Ristretto255.multiplyTwo(first, Ristretto255.generator(), second, point).encode();
    }

    function multiply(uint256 scalar, bytes32 element) external view returns (bytes32) {
        (bool valid, Ristretto255.Point memory point) = Ristretto255.decode(element);
        require(valid, "no element");
        return Ristretto255.multiply(scalar, point).encode();
    }

    function reduceScalar(bytes32 first, bytes32 last) external pure returns (uint256) {
        return Ristretto255.reduceScalar(first, last);
    }

    function hashToScalar(bytes memory message) external pure returns (uint256) {
        return OprfEvaluation.hashToScalar(message);
    }

    function isEvaluation(
        bytes32 share,
        bytes32 blinded,
        bytes32 evaluated,
        OprfEvaluation.Proof memory proof
    ) external view returns (bool) {
        return OprfEvaluation.isEvaluation(share, blinded, evaluated, proof);
    }

    function isComposite(
        bytes32 share,
        bytes32 blinded,
        bytes32 evaluated,
        OprfEvaluation.Proof memory proof
    ) external view returns (bool) {
        return OprfEvaluation.isComposite(share, blinded, evaluated, proof);
    }

    function isEvaluationGas(
        bytes32 share,
        bytes32 blinded,
        bytes32 evaluated,
        OprfEvaluation.Proof memory proof
    ) external view returns (bool valid, uint256 gas) {
        gas = gasleft();
        valid = OprfEvaluation.isEvaluation(share, blinded, evaluated, proof);
        gas -= gasleft();
    }

    function isCompositeGas(
        bytes32 share,
        bytes32 blinded,
        bytes32 evaluated,
        OprfEvaluation.Proof memory proof
    ) external view returns (bool valid, uint256 gas) {
        gas = gasleft();
        valid = OprfEvaluation.isComposite(share, blinded, evaluated, proof);
        gas -= gasleft();
    }

    /// @notice What a digest of `length` zero bytes takes.
    function sha512Gas(uint256 length) external view returns (uint256 gas) {
        bytes memory message = new bytes(length);
        gas = gasleft();
        Sha512.hash(message);
        gas -= gasleft();
    }
}
