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

    function testFuzz_rejectsAnotherRange(uint48 firstIndex, uint48 sliceCount, uint16 sampleCount) external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        sampleCount = uint16(_bound(sampleCount, 0, 64));
        bytes memory ranges = abi.encodePacked(firstIndex, sliceCount);
        vm.assume(keccak256(ranges) != keccak256(challenge.ranges) || sampleCount != challenge.sampleCount);
        challenge.ranges = ranges;
        challenge.sampleCount = sampleCount;
        assertVerifies(challenge, PdpVectors.key(), proof, false);
    }

    /// @dev Every number of every range: one more and one less. A range that was retired is one whose count is less.
    function test_rejectsOtherRangesThanTheSignedOnes() external view {
        for (uint256 which = 0; which < PdpVectors.COUNT; ++which) {
            (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(which);
            uint256 step = challenge.ranges.length > 36 ? 5 : 1;
            for (uint256 number = 0; number < challenge.ranges.length / 6; number += step) {
                for (uint256 change = 0; change < 2; ++change) {
                    (challenge, ) = PdpVectors.vector(which);
                    uint8 last = uint8(challenge.ranges[6 * number + 5]);
                    unchecked {
                        challenge.ranges[6 * number + 5] = bytes1(change == 0 ? last + 1 : last - 1);
                    }
                    assertVerifies(challenge, PdpVectors.key(), proof, false);
                }
            }
            (challenge, ) = PdpVectors.vector(which);
            challenge.sampleCount += 1;
            assertVerifies(challenge, PdpVectors.key(), proof, false);
        }
    }

    function test_rejectsAProofOfARetiredRange() external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(4);
        bytes memory live = challenge.ranges;
        challenge.ranges = bytes.concat(_range(live, 0), _range(live, 2));
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        // Two ranges that touch have the same slices as one, and are another challenge.
        (challenge, proof) = PdpVectors.vector(1);
        challenge.ranges = abi.encodePacked(uint48(1), uint48(4), uint48(5), uint48(5));
        assertVerifies(challenge, PdpVectors.key(), proof, false);
    }

    function test_refusesRangesOutsideTheProtocol() external view {
        bytes[12] memory ranges = [
            bytes(""),
            hex"00",
            abi.encodePacked(uint48(0), uint48(9)),
            abi.encodePacked(uint48(1), uint48(0)),
            abi.encodePacked(uint48(1), uint48(9), uint48(20), uint48(0)),
            abi.encodePacked(uint48(1), uint48(9), uint8(1)),
            // Overlapping, the same twice, descending.
            abi.encodePacked(uint48(1), uint48(9), uint48(9), uint48(9)),
            abi.encodePacked(uint48(1), uint48(9), uint48(1), uint48(9)),
            abi.encodePacked(uint48(20), uint48(9), uint48(1), uint48(9)),
            // Beyond the last index, and more slices than several ranges may have.
            abi.encodePacked(uint48(2), uint48(type(uint48).max)),
            abi.encodePacked(uint48(1), uint48(1), uint48(3), uint48((1 << 31) - 1)),
            new bytes(33 * 12)
        ];
        for (uint256 k = 0; k < 33 * 12; k += 12) {
            ranges[11][k + 5] = bytes1(uint8(2 * (k / 12) + 1));
            ranges[11][k + 11] = bytes1(uint8(1));
        }
        PdpVerifier.Challenge memory challenge = PdpVerifier.Challenge(bytes32(uint256(1)), "", 5);
        for (uint256 k = 0; k < ranges.length; ++k) {
            challenge.ranges = ranges[k];
            (bool valid, ) = _harness.evaluateChallenge(challenge, 3);
            vm.assertFalse(valid);
        }
        // At the limits they are of the protocol.
        ranges[0] = abi.encodePacked(uint48(1), uint48(type(uint48).max));
        ranges[1] = abi.encodePacked(uint48(1), uint48(1), uint48(3), uint48((1 << 31) - 2));
        ranges[2] = _slice(ranges[11], 0, 32 * 12);
        for (uint256 k = 0; k < 3; ++k) {
            challenge.ranges = ranges[k];
            (bool valid, ) = _harness.evaluateChallenge(challenge, 3);
            vm.assertTrue(valid);
        }
    }

    function test_rejectsIndexZeroAndEmptyChallenges() external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(0);
        challenge.ranges = abi.encodePacked(uint48(0), uint48(1));
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        challenge.ranges = "";
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        (challenge, ) = PdpVectors.vector(0);
        challenge.sampleCount = 0;
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        // With no samples the equation holds for the identity; `verify` must return false nevertheless.
        proof = PdpVerifier.Proof({ sigma: _zeros(128), psi: _zeros(128), W: _zeros(128), y: 0 });
        assertVerifies(challenge, PdpVectors.key(), proof, false);
    }

    function testFuzz_rejectsAFlippedBitOfAPoint(uint256 which, uint256 bit) external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        which = which % 3;
        bytes memory point =
            which == 0
                ? proof.sigma
                : which == 1
                    ? proof.psi
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
                    : key.XB,
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
        for (uint256 which = 0; which < 3; ++which) {
            (, proof) = PdpVectors.vector(1);
            _negate(
                which == 0
                    ? proof.sigma
                    : which == 1
                        ? proof.psi
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
        (proof.psi, proof.W) = (proof.W, proof.psi);
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        (, proof) = PdpVectors.vector(1);
        PdpVerifier.Key memory key = PdpVectors.key();
        (key.X, key.XA) = (key.XA, key.X);
        assertVerifies(challenge, key, proof, false);
        key = PdpVectors.key();
        (key.XA, key.XB) = (key.XB, key.XA);
        assertVerifies(challenge, key, proof, false);
    }

    function test_rejectsIdentityPoints() external view {
        for (uint256 mask = 1; mask < 8; ++mask) {
            (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
            if (mask & 1 != 0) proof.sigma = _zeros(128);
            if (mask & 2 != 0) proof.psi = _zeros(128);
            if (mask & 4 != 0) proof.W = _zeros(128);
            assertVerifies(challenge, PdpVectors.key(), proof, false);
            proof.y = 0;
            assertVerifies(challenge, PdpVectors.key(), proof, false);
        }
    }

    /// @dev With a key of identities, σ = identity satisfies the equation for any data.
    function test_rejectsIdentityKeys() external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        PdpVerifier.Key memory key = PdpVerifier.Key({ X: _zeros(256), XA: _zeros(256), XB: _zeros(256) });
        proof.sigma = _zeros(128);
        assertVerifies(challenge, key, proof, false);
        for (uint256 which = 0; which < 3; ++which) {
            key = PdpVectors.key();
            if (which == 0) key.X = _zeros(256);
            if (which == 1) key.XA = _zeros(256);
            if (which == 2) key.XB = _zeros(256);
            assertVerifies(challenge, key, proof, false);
        }
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
        for (uint256 which = 0; which < 3; ++which) {
            (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
            if (which == 0) proof.sigma = OUTSIDE_SUBGROUP;
            if (which == 1) proof.psi = OUTSIDE_SUBGROUP;
            if (which == 2) proof.W = OUTSIDE_SUBGROUP;
            assertVerifies(challenge, PdpVectors.key(), proof, false);
            assertBatchVerifies(challenge, proof, false);
        }
    }

    function test_rejectsSigmaWithAComponentOutsideTheSubgroup() external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        (bool added, bytes memory sum) = address(0x0b).staticcall(bytes.concat(proof.sigma, OUTSIDE_SUBGROUP));
        vm.assertTrue(added);
        proof.sigma = sum;
        assertVerifies(challenge, PdpVectors.key(), proof, false);
        assertBatchVerifies(challenge, proof, false);
    }

    function testFuzz_rejectsWrongLengths(uint256 which, uint256 lengthBytes) external view {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(1);
        PdpVerifier.Key memory key = PdpVectors.key();
        lengthBytes = _bound(lengthBytes, 0, 600);
        which = which % 6;
        vm.assume(lengthBytes != (which < 3 ? 128 : 256));
        if (which == 0) proof.sigma = _resized(proof.sigma, lengthBytes);
        if (which == 1) proof.psi = _resized(proof.psi, lengthBytes);
        if (which == 2) proof.W = _resized(proof.W, lengthBytes);
        if (which == 3) key.X = _resized(key.X, lengthBytes);
        if (which == 4) key.XA = _resized(key.XA, lengthBytes);
        if (which == 5) key.XB = _resized(key.XB, lengthBytes);
        assertVerifies(challenge, key, proof, false);
    }

    function test_acceptsAllVectorsInOneBatch() external view {
        (
            PdpVerifier.Challenge[] memory challenges,
            PdpVerifier.Key[] memory keys,
            PdpVerifier.Proof[] memory proofs
        ) = _batch(PdpVectors.COUNT);
        vm.assertTrue(_harness.verifyMany{ gas: GAS_LIMIT }(challenges, keys, proofs));
        for (uint256 which = 0; which < PdpVectors.COUNT; ++which) {
            uint256 y = proofs[which].y;
            proofs[which].y = addmod(y, 1, ORDER);
            vm.assertFalse(_harness.verifyMany{ gas: GAS_LIMIT }(challenges, keys, proofs));
            proofs[which].y = y + ORDER;
            vm.assertFalse(_harness.verifyMany{ gas: GAS_LIMIT }(challenges, keys, proofs));
            proofs[which].y = y;
        }
    }

    function test_aBatchOfOneIsTheProof() external view {
        for (uint256 which = 0; which < PdpVectors.COUNT; ++which) {
            (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(which);
            PdpVerifier.Challenge[] memory challenges = new PdpVerifier.Challenge[](1);
            PdpVerifier.Key[] memory keys = new PdpVerifier.Key[](1);
            PdpVerifier.Proof[] memory proofs = new PdpVerifier.Proof[](1);
            (challenges[0], keys[0], proofs[0]) = (challenge, PdpVectors.key(), proof);
            vm.assertTrue(_harness.verifyMany{ gas: GAS_LIMIT }(challenges, keys, proofs));
            proofs[0].psi = proofs[0].W;
            vm.assertFalse(_harness.verifyMany{ gas: GAS_LIMIT }(challenges, keys, proofs));
        }
    }

    function test_rejectsBatchesOfDifferentLengths() external view {
        (
            PdpVerifier.Challenge[] memory challenges,
            PdpVerifier.Key[] memory keys,
            PdpVerifier.Proof[] memory proofs
        ) = _batch(2);
        vm.assertFalse(_harness.verifyMany(challenges, keys, new PdpVerifier.Proof[](1)));
        vm.assertFalse(_harness.verifyMany(challenges, new PdpVerifier.Key[](3), proofs));
        vm.assertFalse(_harness.verifyMany(new PdpVerifier.Challenge[](1), keys, proofs));
        vm.assertFalse(
            _harness.verifyMany(new PdpVerifier.Challenge[](0), new PdpVerifier.Key[](0), new PdpVerifier.Proof[](0))
        );
    }

    /// @dev One set twice with the errors ψ + P and ψ − P, which cancel without weights: the points at which both open
    /// do not depend on ψ. Honest twice, it verifies.
    function test_rejectsASetTwiceWithErrorsThatCancel() external view {
        (
            PdpVerifier.Challenge[] memory challenges,
            PdpVerifier.Key[] memory keys,
            PdpVerifier.Proof[] memory proofs
        ) = _batch(2);
        (challenges[0], proofs[0]) = PdpVectors.vector(1);
        (challenges[1], proofs[1]) = PdpVectors.vector(1);
        vm.assertTrue(_harness.verifyMany{ gas: GAS_LIMIT }(challenges, keys, proofs));
        bytes memory shift = proofs[0].W;
        proofs[0].psi = _sum(proofs[0].psi, shift);
        shift = bytes.concat(shift);
        _negate(shift);
        proofs[1].psi = _sum(proofs[1].psi, shift);
        vm.assertFalse(_harness.verifyMany{ gas: GAS_LIMIT }(challenges, keys, proofs));
    }

    /// @dev The table of powers and the search of ranges against square and multiply and a walk over the ranges.
    function testFuzz_evaluatesTheChallenge(
        bytes32 seed,
        uint8 rangeCount,
        uint8 widthBits,
        uint8 sampleCount,
        uint256 rho
    ) external view {
        rho = rho % ORDER;
        rangeCount = uint8(_bound(rangeCount, 1, 32));
        sampleCount = uint8(_bound(sampleCount, 1, 40));
        widthBits = uint8(_bound(widthBits, 1, rangeCount == 1 ? 46 : 25));
        uint256 next = 1;
        bytes memory ranges;
        for (uint256 k = 0; k < rangeCount; ++k) {
            uint256 random = uint256(keccak256(abi.encode(seed, k)));
            uint256 first = next + ((random >> 128) % (1 << (widthBits - 1)));
            uint256 count = 1 + ((random & type(uint64).max) % (1 << widthBits));
            ranges = bytes.concat(ranges, abi.encodePacked(uint48(first), uint48(count)));
            next = first + count;
        }
        PdpVerifier.Challenge memory challenge = PdpVerifier.Challenge(seed, ranges, sampleCount);
        (bool valid, uint256 value) = _harness.evaluateChallenge(challenge, rho);
        vm.assertTrue(valid);
        vm.assertEq(value, _evaluate(challenge, rho));
    }

    /// @dev Few draws from one range have a table of their own.
    function testFuzz_evaluatesFewDraws(
        bytes32 seed,
        uint48 first,
        uint48 count,
        uint8 sampleCount,
        uint256 rho
    ) external view {
        first = uint48(_bound(first, 1, 1 << 18));
        count = uint48(_bound(count, 1, (1 << 18) + 8 - first));
        sampleCount = uint8(_bound(sampleCount, 1, 90));
        assertEvaluates(
            PdpVerifier.Challenge(seed, abi.encodePacked(first, count), sampleCount),
            uint256(keccak256(abi.encode(rho))) % ORDER
        );
    }

    /// @dev The last powers of every position, and numbers of draws on both sides of the limit.
    function test_evaluatesFewDrawsAtTheLimits() external view {
        uint48[12] memory indices = [
            uint48(1),
            31,
            32,
            1022,
            1023,
            1024,
            (1 << 14) - 1,
            1 << 14,
            (1 << 18) - 1,
            1 << 18,
            (1 << 18) + 1,
            (1 << 20) + 1
        ];
        uint16[6] memory numbers = [uint16(1), 2, 79, 80, 81, 82];
        for (uint256 i = 0; i < indices.length; ++i) {
            for (uint256 k = 0; k < numbers.length; ++k) {
                bytes memory ranges = abi.encodePacked(indices[i], uint48(1));
                PdpVerifier.Challenge memory challenge = PdpVerifier.Challenge(bytes32(i), ranges, numbers[k]);
                assertEvaluates(challenge, ORDER - 2 - i);
                challenge.ranges = abi.encodePacked(uint48(0), indices[i]);
                assertIsRefused(challenge);
                challenge.ranges = abi.encodePacked(indices[i], uint48(0));
                assertIsRefused(challenge);
            }
        }
    }

    function assertEvaluates(PdpVerifier.Challenge memory challenge, uint256 rho) private view {
        (bool valid, uint256 value) = _harness.evaluateChallenge(challenge, rho);
        vm.assertTrue(valid);
        vm.assertEq(value, _evaluate(challenge, rho));
    }

    function assertIsRefused(PdpVerifier.Challenge memory challenge) private view {
        (bool valid, uint256 value) = _harness.evaluateChallenge(challenge, 3);
        vm.assertFalse(valid);
        vm.assertEq(value, 0);
    }

    function _evaluate(PdpVerifier.Challenge memory challenge, uint256 rho) private pure returns (uint256 expected) {
        bytes32 id = keccak256(
            abi.encode(
                keccak256("tallystick/v2/audit-challenge"),
                challenge.seed,
                keccak256(challenge.ranges),
                challenge.sampleCount
            )
        );
        uint256 sliceCount;
        for (uint256 k = 0; k < challenge.ranges.length; k += 12) sliceCount += _number(challenge.ranges, k + 6);
        for (uint256 t = 0; t < challenge.sampleCount; ++t) {
            uint256 hash = uint256(keccak256(abi.encode(id, t)));
            uint256 offset = (hash & type(uint128).max) % sliceCount;
            uint256 k = 0;
            for (; offset >= _number(challenge.ranges, k + 6); k += 12) offset -= _number(challenge.ranges, k + 6);
            uint256 index = _number(challenge.ranges, k) + offset;
            expected = addmod(expected, mulmod(hash >> 128, _power(rho, index), ORDER), ORDER);
        }
    }

    function test_hashesTheKeyAsOneString() external view {
        PdpVerifier.Key memory key = PdpVectors.key();
        vm.assertEq(_harness.hashKey(key), keccak256(abi.encodePacked(key.X, key.XA, key.XB)));
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

    /// @dev A batch of the proof and one that is valid.
    function assertBatchVerifies(
        PdpVerifier.Challenge memory challenge,
        PdpVerifier.Proof memory proof,
        bool expected
    ) private view {
        (
            PdpVerifier.Challenge[] memory challenges,
            PdpVerifier.Key[] memory keys,
            PdpVerifier.Proof[] memory proofs
        ) = _batch(2);
        for (uint256 place = 0; place < 2; ++place) {
            (challenges[0], proofs[0]) = PdpVectors.vector(0);
            (challenges[1], proofs[1]) = PdpVectors.vector(0);
            (challenges[place], proofs[place]) = (challenge, proof);
            vm.assertEq(_harness.verifyMany{ gas: GAS_LIMIT }(challenges, keys, proofs), expected);
        }
    }

    function _batch(
        uint256 count
    )
        private
        pure
        returns (
            PdpVerifier.Challenge[] memory challenges,
            PdpVerifier.Key[] memory keys,
            PdpVerifier.Proof[] memory proofs
        )
    {
        challenges = new PdpVerifier.Challenge[](count);
        keys = new PdpVerifier.Key[](count);
        proofs = new PdpVerifier.Proof[](count);
        for (uint256 k = 0; k < count; ++k) {
            keys[k] = PdpVectors.key();
            (challenges[k], proofs[k]) = PdpVectors.vector(k);
        }
    }

    function _sum(bytes memory left, bytes memory right) private view returns (bytes memory sum) {
        bool added;
        (added, sum) = address(0x0b).staticcall(bytes.concat(left, right));
        vm.assertTrue(added);
    }

    function _slice(bytes memory data, uint256 start, uint256 end) private pure returns (bytes memory slice) {
        slice = new bytes(end - start);
        for (uint256 k = start; k < end; ++k) slice[k - start] = data[k];
    }

    function _range(bytes memory ranges, uint256 which) private pure returns (bytes memory) {
        return _slice(ranges, 12 * which, 12 * which + 12);
    }

    /// @dev Six bytes as a number.
    function _number(bytes memory data, uint256 start) private pure returns (uint256 value) {
        for (uint256 k = start; k < start + 6; ++k) value = (value << 8) | uint8(data[k]);
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
