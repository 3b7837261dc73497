// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { OprfEvaluation } from "../libraries/OprfEvaluation.sol";
import { Ristretto255 } from "../libraries/Ristretto255.sol";

/// @title The node's half of RFC 9497, for tests
/// @notice GenerateProof (§2.2.1) for given composites, with the libraries under test; test/contracts compares these
/// with independent implementations.
library OprfProver {
    using Ristretto255 for Ristretto255.Point;

    /// @notice scalar·G, encoded.
    function element(uint256 scalar) internal view returns (bytes32) {
        return Ristretto255.multiply(scalar, Ristretto255.generator()).encode();
    }

    /// @notice Evaluates a composite with a key and proves it.
    /// @return evaluated Z = key·M
    /// @return proof c and s
    function prove(
        uint256 key,
        uint256 nonce,
        bytes32 blinded
    ) internal view returns (bytes32 evaluated, OprfEvaluation.Proof memory proof) {
        (bool valid, Ristretto255.Point memory m) = Ristretto255.decode(blinded);
        require(valid, "no element");
        evaluated = Ristretto255.multiply(key, m).encode();
        uint16 size = 32;
        bytes memory statement = abi.encodePacked(size, element(key), size, blinded, size, evaluated);
        bytes memory nonces = abi.encodePacked(
            size,
            element(nonce),
            size,
            Ristretto255.multiply(nonce, m).encode(),
            "Challenge"
        );
        uint256 c = OprfEvaluation.hashToScalar(bytes.concat(statement, nonces));
        uint256 product = mulmod(c, key, Ristretto255.ORDER);
        uint256 s = addmod(nonce, Ristretto255.ORDER - product, Ristretto255.ORDER);
        proof = OprfEvaluation.Proof(bytes32(Ristretto255.reverse(c)), bytes32(Ristretto255.reverse(s)));
    }
}
