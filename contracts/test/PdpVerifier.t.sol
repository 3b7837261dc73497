// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { PdpVerifier } from "../libraries/PdpVerifier.sol";
import { PdpVectors } from "./PdpVectors.sol";
import { PdpVerifierHarness } from "./PdpVerifierHarness.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

/// @title Tests of the verifier library
/// @notice Honest proofs from an independent implementation, and every way of tampering with them. A malformed point
/// makes a precompile consume the gas it is given, so calls carry a limit.
contract PdpVerifierTest is TestBase {
    /// @dev A 64th of it must suffice for the rest of the call, also when coverage is measured.
    uint256 private constant GAS_LIMIT = 16_000_000;
    uint256 private constant ORDER = PdpVerifier.GROUP_ORDER;

    /// @dev On the curve, outside the subgroup: x = 4 and one of its y, EIP-2537. A test checks both properties.
    bytes private constant OUTSIDE_SUBGROUP =
        hex"0000000000000000000000000000000000000000000000000000000000000000"
        hex"0000000000000000000000000000000000000000000000000000000000000004"
        hex"000000000000000000000000000000000a989badd40d6212b33cffc3f3763e9b"
        hex"c760f988c9926b26da9dd85e928483446346b8ed00e1de5d5ea93e354abe706c";

    PdpVerifierHarness private _harness;

    function setUp() external {
        _harness = new PdpVerifierHarness();
    }

    function test_acceptsEveryVector() external view {
        for (uint256 which = 0; which < PdpVectors.COUNT; ++which) {
            (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(which);
            assertVerifies(challenge, PdpVectors.key(), proof, true);
        }
    }

    function test_rejectsTheProofOfAnotherChallenge() external view {
        (PdpVerifier.Challenge memory challenge, ) = PdpVectors.vector(1);
        (, PdpVerifier.Proof memory proof) = PdpVectors.vector(2);
        assertVerifies(challenge, PdpVectors.key(), proof, false);
    }

    function testFuzz_rejectsAnotherSeed(bytes32 seed) external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        vm.assume(seed != challenge.seed);
        challenge.seed = seed;
        assertVerifies(challenge, PdpVectors.key(), proof, false);
    }

    function testFuzz_rejectsAnotherRange(uint64 firstIndex, uint64 sliceCount, uint16 sampleCount) external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        sampleCount = uint16(_bound(sampleCount, 0, 64));
        vm.assume(
            firstIndex != challenge.firstIndex ||
                sliceCount != challenge.sliceCount ||
                sampleCount != challenge.sampleCount
        );
        challenge.firstIndex = firstIndex;
        challenge.sliceCount = sliceCount;
        challenge.sampleCount = sampleCount;
        assertVerifies(challenge, PdpVectors.key(), proof, false);
    }

    function test_rejectsRangesMovedByOne() external view {
        for (uint256 which = 0; which < PdpVectors.COUNT; ++which) {
            (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(which);
            challenge.firstIndex += 1;
            assertVerifies(challenge, PdpVectors.key(), proof, false);
            challenge.firstIndex -= 1;
            challenge.sliceCount += 1;
            assertVerifies(challenge, PdpVectors.key(), proof, false);
            challenge.sliceCount -= 2;
            assertVerifies(challenge, PdpVectors.key(), proof, false);
            challenge.sliceCount += 1;
            challenge.sampleCount += 1;
            assertVerifies(challenge, PdpVectors.key(), proof, false);
        }
    }

    function test_rejectsIndexZeroAndEmptyChallenges() external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(0);
        challenge.firstIndex = 0;
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        (challenge, ) = PdpVectors.vector(0);
        challenge.sliceCount = 0;
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        (challenge, ) = PdpVectors.vector(0);
        challenge.sampleCount = 0;
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        // With no samples the equations hold for the identity; `verify` must return false nevertheless.
        proof = PdpVerifier.Proof({ sigma: _zeros(128), psi: _zeros(128), V: _zeros(128), W: _zeros(128), y: 0 });
        assertVerifies(challenge, PdpVectors.key(), proof, false);
    }

    function testFuzz_rejectsAFlippedBitOfAPoint(uint256 which, uint256 bit) external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        which = which % 4;
        bytes memory point =
            which == 0
                ? proof.sigma
                : which == 1
                    ? proof.psi
                    : which == 2
                        ? proof.V
                        : proof.W;
        _flip(point, bit);
        assertVerifies(challenge, PdpVectors.key(), proof, false);
    }

    function testFuzz_rejectsAFlippedBitOfTheKey(uint256 which, uint256 bit) external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        PdpVerifier.Key memory key = PdpVectors.key();
        which = which % 3;
        _flip(
            which == 0
                ? key.X
                : which == 1
                    ? key.XA
                    : key.Bt,
            bit
        );
        assertVerifies(challenge, key, proof, false);
    }

    function testFuzz_rejectsAnotherValue(uint256 y) external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        vm.assume(y != proof.y);
        proof.y = y;
        assertVerifies(challenge, PdpVectors.key(), proof, false);
    }

    function test_rejectsTheSecondEncodingOfTheValue() external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        proof.y += ORDER;
        assertVerifies(challenge, PdpVectors.key(), proof, false);
    }

    function test_rejectsNegatedPoints() external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        for (uint256 which = 0; which < 4; ++which) {
            (, proof) = PdpVectors.vector(1);
            _negate(
                which == 0
                    ? proof.sigma
                    : which == 1
                        ? proof.psi
                        : which == 2
                            ? proof.V
                            : proof.W
            );
            assertVerifies(challenge, PdpVectors.key(), proof, false);
        }
    }

    function test_rejectsExchangedPoints() external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        (proof.sigma, proof.psi) = (proof.psi, proof.sigma);
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        (, proof) = PdpVectors.vector(1);
        (proof.V, proof.W) = (proof.W, proof.V);
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        (, proof) = PdpVectors.vector(1);
        PdpVerifier.Key memory key = PdpVectors.key();
        (key.X, key.XA) = (key.XA, key.X);
        assertVerifies(challenge, key, proof, false);
    }

    function test_rejectsIdentityPoints() external view {
        for (uint256 mask = 1; mask < 16; ++mask) {
            (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
            if (mask & 1 != 0) proof.sigma = _zeros(128);
            if (mask & 2 != 0) proof.psi = _zeros(128);
            if (mask & 4 != 0) proof.V = _zeros(128);
            if (mask & 8 != 0) proof.W = _zeros(128);
            assertVerifies(challenge, PdpVectors.key(), proof, false);
            proof.y = 0;
            assertVerifies(challenge, PdpVectors.key(), proof, false);
        }
    }

    /// @dev With X = XA = identity, σ = identity satisfies the first equation for any data. Identity keys are rejected
    /// before.
    function test_rejectsIdentityKeys() external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        PdpVerifier.Key memory key = PdpVectors.key();
        key.X = _zeros(256);
        key.XA = _zeros(256);
        proof.sigma = _zeros(128);
        assertVerifies(challenge, key, proof, false);
        key = PdpVectors.key();
        key.Bt = _zeros(256);
        assertVerifies(challenge, key, proof, false);
    }

    function test_theOutsidePointIsOnTheCurveAndOutsideTheSubgroup() external view {
        // Addition checks the curve only, multiplication checks the subgroup.
        (bool onCurve, ) = address(0x0b).staticcall{ gas: 10_000 }(bytes.concat(OUTSIDE_SUBGROUP, _zeros(128)));
        (bool inSubgroup, ) = address(0x0c).staticcall{ gas: 20_000 }(
            bytes.concat(OUTSIDE_SUBGROUP, bytes32(uint256(1)))
        );
        vm.assertTrue(onCurve, "on the curve");
        vm.assertFalse(inSubgroup, "in the subgroup");
    }

    function test_rejectsPointsOutsideTheSubgroup() external view {
        for (uint256 which = 0; which < 4; ++which) {
            (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
            if (which == 0) proof.sigma = OUTSIDE_SUBGROUP;
            if (which == 1) proof.psi = OUTSIDE_SUBGROUP;
            if (which == 2) proof.V = OUTSIDE_SUBGROUP;
            if (which == 3) proof.W = OUTSIDE_SUBGROUP;
            assertVerifies(challenge, PdpVectors.key(), proof, false);
        }
    }

    function test_rejectsSigmaWithAComponentOutsideTheSubgroup() external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        (bool added, bytes memory sum) = address(0x0b).staticcall(bytes.concat(proof.sigma, OUTSIDE_SUBGROUP));
        vm.assertTrue(added);
        proof.sigma = sum;
        assertVerifies(challenge, PdpVectors.key(), proof, false);
    }

    function testFuzz_rejectsWrongLengths(uint256 which, uint256 lengthBytes) external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        PdpVerifier.Key memory key = PdpVectors.key();
        lengthBytes = _bound(lengthBytes, 0, 600);
        which = which % 7;
        vm.assume(lengthBytes != (which < 4 ? 128 : 256));
        if (which == 0) proof.sigma = _resized(proof.sigma, lengthBytes);
        if (which == 1) proof.psi = _resized(proof.psi, lengthBytes);
        if (which == 2) proof.V = _resized(proof.V, lengthBytes);
        if (which == 3) proof.W = _resized(proof.W, lengthBytes);
        if (which == 4) key.X = _resized(key.X, lengthBytes);
        if (which == 5) key.XA = _resized(key.XA, lengthBytes);
        if (which == 6) key.Bt = _resized(key.Bt, lengthBytes);
        assertVerifies(challenge, key, proof, false);
    }

    /// @dev The table of powers against square and multiply, for ranges of one slice up to all of uint64.
    function testFuzz_evaluatesTheChallenge(
        bytes32 seed,
        uint64 firstIndex,
        uint64 sliceCount,
        uint8 widthBits,
        uint8 sampleCount,
        uint256 rho
    ) external view {
        rho = rho % ORDER;
        firstIndex = uint64(_bound(firstIndex, 1, type(uint64).max));
        sliceCount = uint64(_bound(sliceCount >> (widthBits % 64), 1, type(uint64).max));
        PdpVerifier.Challenge memory challenge = PdpVerifier.Challenge(seed, firstIndex, sliceCount, sampleCount);
        bytes32 id = PdpVerifier.hashChallenge(challenge);
        uint256 expected;
        for (uint256 t = 0; t < sampleCount; ++t) {
            uint256 hash = uint256(keccak256(abi.encode(id, t)));
            uint256 index = firstIndex + ((hash & type(uint128).max) % sliceCount);
            expected = addmod(expected, mulmod(hash >> 128, _power(rho, index), ORDER), ORDER);
        }
        vm.assertEq(_harness.evaluateChallenge(challenge, rho), expected);
    }

    function test_hashesTheKeyAsOneString() external view {
        PdpVerifier.Key memory key = PdpVectors.key();
        vm.assertEq(_harness.hashKey(key), keccak256(abi.encodePacked(key.X, key.XA, key.Bt)));
    }

    /// @dev A chain without the precompiles has empty accounts there: calls succeed and return nothing.
    function test_rejectsEverythingWhereThePrecompilesAreMissing() external {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        for (uint160 precompile = 0x0b; precompile <= 0x0f; ++precompile) {
            vm.mockCall(address(precompile), "", "");
        }
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        // The answer of the pairing would be read where the first word of W still stands.
        proof.W = bytes.concat(bytes32(uint256(1)), _zeros(96));
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        vm.clearMockedCalls();
        (, proof) = PdpVectors.vector(1);
        assertVerifies(challenge, PdpVectors.key(), proof, true);
    }

    function assertVerifies(
        PdpVerifier.Challenge memory challenge,
        PdpVerifier.Key memory key,
        PdpVerifier.Proof memory proof,
        bool expected
    ) private view {
        vm.assertEq(_harness.verify{ gas: GAS_LIMIT }(challenge, key, proof), expected);
    }

    function _power(uint256 base, uint256 exponent) private pure returns (uint256 result) {
        result = 1;
        for (; exponent != 0; exponent >>= 1) {
            if (exponent & 1 != 0) result = mulmod(result, base, ORDER);
            base = mulmod(base, base, ORDER);
        }
    }

    function _zeros(uint256 lengthBytes) private pure returns (bytes memory) {
        return new bytes(lengthBytes);
    }

    function _flip(bytes memory data, uint256 bit) private pure {
        bit = bit % (8 * data.length);
        data[bit / 8] = bytes1(uint8(data[bit / 8]) ^ uint8(1 << (bit % 8)));
    }

    function _resized(bytes memory data, uint256 lengthBytes) private pure returns (bytes memory resized) {
        resized = new bytes(lengthBytes);
        for (uint256 i = 0; i < lengthBytes && i < data.length; ++i) resized[i] = data[i];
    }

    /// @dev −(x, y) = (x, p − y), by subtraction of the two words of y from those of p.
    function _negate(bytes memory point) private pure {
        uint256 high = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
        uint256 low = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
        assembly ("memory-safe") {
            let y := add(point, 0x60)
            let borrow := gt(mload(add(y, 0x20)), low)
            mstore(add(y, 0x20), sub(low, mload(add(y, 0x20))))
            mstore(y, sub(sub(high, mload(y)), borrow))
        }
    }
}
