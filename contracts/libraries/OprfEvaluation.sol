// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Ristretto255 } from "./Ristretto255.sol";
import { Sha512 } from "./Sha512.sol";

/// @title Proofs of OPRF evaluations
/// @notice Verifies the DLEQ proofs of RFC 9497 §2.2.2 in the mode VOPRF of the suite ristretto255-SHA512: that
/// evaluated = k·blinded for the k of share = k·G.
///
/// A proof is about a batch. Both sides first compute its composites M = Σ d_i·C_i and Z = Σ d_i·D_i with weights d_i
/// (§2.2.1, ComputeComposites); the rest of the check takes M and Z only. `isComposite` is that rest, whatever the
/// weights are: nodes let those of a larger batch hash all of it. `isEvaluation` is the whole check of a batch of one,
/// with the weight of the RFC.
library OprfEvaluation {
    using Ristretto255 for Ristretto255.Point;

    /// @notice A proof as on the wire: scalars of 32 bytes, least significant first.
    struct Proof {
        bytes32 c;
        bytes32 s;
    }

    /// @dev "HashToScalar-" ‖ contextString, and its length: DST_prime of RFC 9380 §5.3.1.
    bytes private constant SCALAR_TAG_PRIME = "HashToScalar-OPRFV1-\x01-ristretto255-SHA512\x29";
    /// @dev "Seed-" ‖ contextString.
    bytes private constant SEED_TAG = "Seed-OPRFV1-\x01-ristretto255-SHA512";

    uint256 private constant SHA512_BLOCK_BYTES = 128;
    uint16 private constant UNIFORM_BYTES = 64;
    uint16 private constant ELEMENT_BYTES = 32;
    uint16 private constant DIGEST_BYTES = 64;

    /// @notice Whether `evaluated` is the evaluation of `blinded` under the key of `share`, by a proof for these two
    /// alone. False also for an element or scalar that is not canonical, and for the identity.
    /// @param share verification share k·G
    /// @param blinded C
    /// @param evaluated D
    /// @param proof c and s
    function isEvaluation(
        bytes32 share,
        bytes32 blinded,
        bytes32 evaluated,
        Proof memory proof
    ) internal view returns (bool) {
        // DeserializeElement refuses the identity (§2.1), which encodes as zero.
        if (share == 0 || blinded == 0 || evaluated == 0) return false;
        (bool isElement, Ristretto255.Point memory c) = Ristretto255.decode(blinded);
        (bool isImage, Ristretto255.Point memory d) = Ristretto255.decode(evaluated);
        if (!isElement || !isImage) return false;
        uint256 weight = _weight(share, blinded, evaluated);
        Ristretto255.Point memory m = Ristretto255.multiply(weight, c);
        Ristretto255.Point memory z = Ristretto255.multiply(weight, d);
        return _verify(share, m.encode(), m, z.encode(), z, proof);
    }

    /// @notice Whether a proof verifies for the composites of a batch. False also for an element or scalar that is not
    /// canonical.
    /// @param share verification share k·G
    /// @param blinded M
    /// @param evaluated Z
    /// @param proof c and s
    function isComposite(
        bytes32 share,
        bytes32 blinded,
        bytes32 evaluated,
        Proof memory proof
    ) internal view returns (bool) {
        (bool isElement, Ristretto255.Point memory m) = Ristretto255.decode(blinded);
        (bool isImage, Ristretto255.Point memory z) = Ristretto255.decode(evaluated);
        return isElement && isImage && _verify(share, blinded, m, evaluated, z, proof);
    }

    /// @dev VerifyProof (§2.2.2) after the composites.
    function _verify(
        bytes32 share,
        bytes32 blinded,
        Ristretto255.Point memory m,
        bytes32 evaluated,
        Ristretto255.Point memory z,
        Proof memory proof
    ) private view returns (bool) {
        (bool isKey, Ristretto255.Point memory b) = Ristretto255.decode(share);
        (bool isChallenge, uint256 c) = Ristretto255.decodeScalar(proof.c);
        (bool isResponse, uint256 s) = Ristretto255.decodeScalar(proof.s);
        if (!isKey || !isChallenge || !isResponse) return false;
        bytes32 t2 = Ristretto255.multiplyTwo(s, Ristretto255.generator(), c, b).encode();
        bytes32 t3 = Ristretto255.multiplyTwo(s, m, c, z).encode();
        return c == _challenge(share, blinded, evaluated, t2, t3);
    }

    /// @dev The weight d_0 of ComputeComposites (§2.2.1) for a batch of one.
    function _weight(bytes32 share, bytes32 blinded, bytes32 evaluated) private pure returns (uint256) {
        (bytes32 high, bytes32 low) = Sha512.hash(
            abi.encodePacked(ELEMENT_BYTES, share, uint16(SEED_TAG.length), SEED_TAG)
        );
        bytes memory seed = abi.encodePacked(DIGEST_BYTES, high, low);
        bytes memory elements = abi.encodePacked(ELEMENT_BYTES, blinded, ELEMENT_BYTES, evaluated);
        return hashToScalar(bytes.concat(seed, bytes2(0), elements, "Composite"));
    }

    /// @dev The challenge c of §2.2.2.
    function _challenge(bytes32 share, bytes32 m, bytes32 z, bytes32 t2, bytes32 t3) private pure returns (uint256) {
        bytes memory statement = abi.encodePacked(ELEMENT_BYTES, share, ELEMENT_BYTES, m, ELEMENT_BYTES, z);
        bytes memory commitments = abi.encodePacked(ELEMENT_BYTES, t2, ELEMENT_BYTES, t3);
        return hashToScalar(bytes.concat(statement, commitments, "Challenge"));
    }

    /// @notice HashToScalar (RFC 9497 §4.1): expand_message_xmd of RFC 9380 §5.3.1 with SHA-512 for 64 bytes, which
    /// are b_1, read least significant first and reduced.
    function hashToScalar(bytes memory message) internal pure returns (uint256) {
        bytes memory padded = bytes.concat(new bytes(SHA512_BLOCK_BYTES), message);
        (bytes32 high, bytes32 low) = Sha512.hash(abi.encodePacked(padded, UNIFORM_BYTES, uint8(0), SCALAR_TAG_PRIME));
        (high, low) = Sha512.hash(abi.encodePacked(high, low, uint8(1), SCALAR_TAG_PRIME));
        return Ristretto255.reduceScalar(high, low);
    }
}
