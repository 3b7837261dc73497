// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IDrandRandomness } from "../interfaces/IDrandRandomness.sol";

/// @title Verifier of drand signatures
/// @notice Checks signatures of the scheme `bls-unchained-g1-rfc9380` with the BLS12-381 precompiles of EIP-2537:
/// signature σ in G1, public key X in G2, message SHA-256(round, 8 bytes, most significant first). The signature is
/// valid when e(σ, G2) = e(H, X), where H is the message hashed to G1 by the suite BLS12381G1_XMD:SHA-256_SSWU_RO_ of
/// RFC 9380.
///
/// @dev The pairing precompile checks that its points are canonical, on the curve and in the subgroup. It consumes all
/// gas it was given for a point that is not (63/64 of what is left).
library DrandSignature {
    /// @dev Bytes of points in the EIP-2537 form.
    uint256 internal constant G1_BYTES = 128;
    uint256 internal constant G2_BYTES = 256;

    address private constant MODEXP = address(0x05);
    address private constant G1_ADD = address(0x0b);
    address private constant PAIRING = address(0x0f);
    address private constant MAP_FP_TO_G1 = address(0x10);

    uint256 private constant FIELD_BYTES = 64;
    /// @dev Characteristic of the base field.
    bytes32 private constant P_HIGH = 0x000000000000000000000000000000001a0111ea397fe69a4b1ba7b6434bacd7;
    bytes32 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;

    /// @dev DST_prime of RFC 9380 §5.3.1: the tag and its length.
    bytes private constant TAG_PRIME = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_\x2b";

    /// @dev The generator of G2, negated, so that the product of both pairings is one.
    bytes private constant NEG_G2 =
        hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051"
        hex"c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65"
        hex"596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bc"
        hex"b679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa"
        hex"0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d"
        hex"993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed";

    /// @notice Reverts with the reason unless the signature is that of the key over the round.
    /// @param round number of the round
    /// @param signature G1 in the EIP-2537 form
    /// @param publicKey one that passed `isPublicKey`
    function requireValid(uint64 round, bytes calldata signature, bytes memory publicKey) internal view {
        bytes memory hashed = hashToG1(sha256(abi.encodePacked(round)));
        bytes memory pairs = abi.encodePacked(signature, NEG_G2, hashed, publicKey);
        (bool success, bytes memory answer) = PAIRING.staticcall(pairs);
        if (!success) revert IDrandRandomness.MalformedSignature(signature);
        if (answer.length != 32) revert IDrandRandomness.PrecompileFailed(PAIRING);
        if (abi.decode(answer, (uint256)) != 1) revert IDrandRandomness.WrongSignature(round);
    }

    /// @notice Whether bytes are a point of G2 other than the identity.
    function isPublicKey(bytes memory publicKey) internal view returns (bool) {
        if (publicKey.length != G2_BYTES || keccak256(publicKey) == keccak256(new bytes(G2_BYTES))) return false;
        // The pairing with the identity of G1 is one for every point of G2, and fails for anything else.
        (bool success, bytes memory answer) = PAIRING.staticcall(bytes.concat(new bytes(G1_BYTES), publicKey));
        if (success && answer.length != 32) revert IDrandRandomness.PrecompileFailed(PAIRING);
        return success;
    }

    /// @notice hash_to_curve of RFC 9380 §3 for 32 bytes of message.
    /// @return point G1 in the EIP-2537 form
    function hashToG1(bytes32 message) internal view returns (bytes memory point) {
        // hash_to_field (§5.2) takes 64 bytes for each of two elements; expand_message_xmd (§5.3.1) makes them.
        bytes32 b0 = sha256(abi.encodePacked(new bytes(64), message, uint16(2 * FIELD_BYTES), uint8(0), TAG_PRIME));
        bytes32 b1 = sha256(abi.encodePacked(b0, uint8(1), TAG_PRIME));
        bytes32 b2 = sha256(abi.encodePacked(b0 ^ b1, uint8(2), TAG_PRIME));
        bytes32 b3 = sha256(abi.encodePacked(b0 ^ b2, uint8(3), TAG_PRIME));
        bytes32 b4 = sha256(abi.encodePacked(b0 ^ b3, uint8(4), TAG_PRIME));
        // The precompile clears the cofactor of each point, which gives the same as clearing that of the sum.
        return _call(G1_ADD, bytes.concat(_mapToG1(b1, b2), _mapToG1(b3, b4)), G1_BYTES);
    }

    /// @dev The point that 64 bytes, reduced modulo p, map to.
    function _mapToG1(bytes32 high, bytes32 low) private view returns (bytes memory point) {
        // Lengths of base, exponent and modulus; the answer is as long as the modulus.
        bytes memory power = abi.encodePacked(FIELD_BYTES, uint256(1), FIELD_BYTES, high, low, uint8(1), P_HIGH, P_LOW);
        return _call(MAP_FP_TO_G1, _call(MODEXP, power, FIELD_BYTES), G1_BYTES);
    }

    /// @dev Calls a precompile whose input is right by construction. On a chain without it, the call succeeds and
    /// returns no data.
    function _call(address precompile, bytes memory input, uint256 outputBytes) private view returns (bytes memory) {
        (bool success, bytes memory output) = precompile.staticcall(input);
        if (!success || output.length != outputBytes) revert IDrandRandomness.PrecompileFailed(precompile);
        return output;
    }
}
