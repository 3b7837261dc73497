// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { PossessionVerifier } from "../PossessionVerifier.sol";
import { IPossessionVerifier } from "../interfaces/IPossessionVerifier.sol";
import { PdpVerifier } from "../libraries/PdpVerifier.sol";
import { PdpVectors } from "./PdpVectors.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

/// @title Tests of the verifier that data sets name
/// @notice The same proofs as in the tests of the library, packed, and every way of damaging the packing. A malformed
/// point makes a precompile consume the gas it is given, so calls carry a limit.
contract PossessionVerifierTest is TestBase {
    /// @dev A 64th of it must suffice for the rest of the call, also when coverage is measured.
    uint256 private constant GAS_LIMIT = 16_000_000;
    uint256 private constant ORDER = PdpVerifier.GROUP_ORDER;
    uint256 private constant KEY_BYTES = 768;
    uint256 private constant Y_AT = 1152;

    PossessionVerifier private _possession;

    function setUp() external {
        _possession = new PossessionVerifier();
    }

    function test_anAnswerHas1184Bytes() external pure {
        vm.assertEq(PdpVerifier.ANSWER_BYTES, 1184);
        vm.assertEq(_claim(1).answer.length, 1184);
    }

    function test_acceptsEveryVector() external view {
        for (uint256 which = 0; which < PdpVectors.COUNT; ++which) assertVerifies(_claim(which), true);
    }

    function test_acceptsAllVectorsInOneBatch() external view {
        IPossessionVerifier.Claim[] memory claims = new IPossessionVerifier.Claim[](PdpVectors.COUNT);
        for (uint256 which = 0; which < PdpVectors.COUNT; ++which) claims[which] = _claim(which);
        assertVerify(claims, true);
        for (uint256 which = 0; which < PdpVectors.COUNT; ++which) {
            _flip(claims[which].answer, 8 * 1183);
            assertVerify(claims, false);
            _flip(claims[which].answer, 8 * 1183);
        }
    }

    function test_rejectsNoClaims() external view {
        assertVerify(new IPossessionVerifier.Claim[](0), false);
    }

    /// @dev A bit of the first and of the last byte of every part, its padding among them.
    function test_rejectsDamageInEveryPart() external view {
        uint256[8] memory ends = [uint256(256), 512, 768, 896, 1024, 1152, 1184, 0];
        uint256 start;
        for (uint256 part = 0; ends[part] != 0; ++part) {
            for (uint256 place = start; place < ends[part]; place += ends[part] - start - 1) {
                IPossessionVerifier.Claim memory claim = _claim(1);
                _flip(claim.answer, 8 * place);
                assertVerifies(claim, false);
                // With the hash of the damaged key the point itself is what is wrong.
                claim.keyHash = _keyHash(claim.answer);
                assertVerifies(claim, false);
            }
            start = ends[part];
        }
    }

    function testFuzz_rejectsAFlippedBit(uint256 bit) external view {
        IPossessionVerifier.Claim memory claim = _claim(1);
        _flip(claim.answer, bit % (8 * 1184));
        assertVerifies(claim, false);
        claim.keyHash = _keyHash(claim.answer);
        assertVerifies(claim, false);
    }

    function testFuzz_rejectsAnotherKeyHash(bytes32 keyHash) external view {
        IPossessionVerifier.Claim memory claim = _claim(1);
        vm.assume(keyHash != claim.keyHash);
        claim.keyHash = keyHash;
        assertVerifies(claim, false);
    }

    function test_rejectsAnotherSeedSampleCountAndRanges() external view {
        IPossessionVerifier.Claim memory claim = _claim(1);
        claim.seed = ~claim.seed;
        assertVerifies(claim, false);
        claim = _claim(1);
        claim.sampleCount += 1;
        assertVerifies(claim, false);
        claim.sampleCount = 0;
        assertVerifies(claim, false);
        claim = _claim(1);
        claim.ranges[11] = bytes1(uint8(8));
        assertVerifies(claim, false);
    }

    function testFuzz_rejectsOtherLengths(uint256 lengthBytes) external view {
        lengthBytes = _bound(lengthBytes, 0, 2 * 1184);
        vm.assume(lengthBytes != 1184);
        IPossessionVerifier.Claim memory claim = _claim(1);
        claim.answer = _resized(claim.answer, lengthBytes);
        assertVerifies(claim, false);
    }

    function test_rejectsAnswersOneByteTooShortOrTooLong() external view {
        for (uint256 lengthBytes = 1183; lengthBytes <= 1185; lengthBytes += 2) {
            IPossessionVerifier.Claim memory claim = _claim(1);
            claim.answer = _resized(claim.answer, lengthBytes);
            assertVerifies(claim, false);
        }
    }

    function test_rejectsMalformedRanges() external view {
        bytes[8] memory malformed = [
            bytes(""),
            hex"00",
            new bytes(12),
            abi.encodePacked(uint48(1), uint48(9), uint8(1)),
            abi.encodePacked(uint48(0), uint48(9)),
            abi.encodePacked(uint48(5), uint48(5), uint48(1), uint48(4)),
            new bytes(33 * 12),
            new bytes(100_000)
        ];
        for (uint256 k = 0; k < malformed.length; ++k) {
            IPossessionVerifier.Claim memory claim = _claim(1);
            claim.ranges = malformed[k];
            assertVerifies(claim, false);
        }
    }

    function test_rejectsTheSecondEncodingOfTheValue() external view {
        IPossessionVerifier.Claim memory claim = _claim(1);
        bytes memory answer = claim.answer;
        uint256 order = ORDER;
        assembly ("memory-safe") {
            let place := add(add(answer, 0x20), Y_AT)
            mstore(place, add(mload(place), order))
        }
        assertVerifies(claim, false);
    }

    /// @dev With a key of identities, σ = identity satisfies the equation for any data.
    function test_rejectsKeysWithTheIdentity() external view {
        IPossessionVerifier.Claim memory claim;
        for (uint256 which = 0; which < 3; ++which) {
            claim = _claim(1);
            for (uint256 k = 0; k < 256; ++k) claim.answer[256 * which + k] = 0;
            claim.keyHash = _keyHash(claim.answer);
            assertVerifies(claim, false);
        }
        claim = _claim(1);
        for (uint256 k = 0; k < KEY_BYTES + 128; ++k) claim.answer[k] = 0;
        claim.keyHash = _keyHash(claim.answer);
        assertVerifies(claim, false);
    }

    function test_rejectsABatchWithOneBadClaim() external view {
        for (uint256 bad = 0; bad < 2; ++bad) {
            IPossessionVerifier.Claim[] memory claims = _pair();
            assertVerify(claims, true);
            claims[bad].seed = ~claims[bad].seed;
            assertVerify(claims, false);
            claims = _pair();
            claims[bad].keyHash = ~claims[bad].keyHash;
            assertVerify(claims, false);
            claims = _pair();
            claims[bad].answer = _resized(claims[bad].answer, 1183);
            assertVerify(claims, false);
            claims = _pair();
            // Off the curve: the precompile fails.
            _flip(claims[bad].answer, 8 * (KEY_BYTES + 127));
            assertVerify(claims, false);
        }
    }

    /// @dev Two claims whose answers are exchanged.
    function test_rejectsExchangedAnswers() external view {
        IPossessionVerifier.Claim[] memory claims = _pair();
        (claims[0].answer, claims[1].answer) = (claims[1].answer, claims[0].answer);
        assertVerify(claims, false);
    }

    /// @dev The same set twice with the errors σ + P and σ − P, which cancel without weights. Honest twice, it verifies.
    function test_rejectsErrorsThatCancel() external view {
        IPossessionVerifier.Claim[] memory claims = new IPossessionVerifier.Claim[](2);
        (claims[0], claims[1]) = (_claim(1), _claim(1));
        assertVerify(claims, true);
        bytes memory shift = _part(claims[0].answer, KEY_BYTES + 128, 128);
        _addToSigma(claims[0].answer, shift);
        _negate(shift, 0x40);
        _addToSigma(claims[1].answer, shift);
        assertVerify(claims, false);
        assertVerifies(claims[0], false);
    }

    /// @dev The second claim has the negated key and σ of the first, and its ψ and W. A batch in which the two would
    /// cancel without weights needs points that are chosen for it: possession-verifier.test.ts makes one.
    function test_rejectsAForgedClaimUnderTheNegatedKey() external view {
        IPossessionVerifier.Claim[] memory claims = new IPossessionVerifier.Claim[](2);
        (claims[0], claims[1]) = (_claim(1), _claim(1));
        bytes memory forged = claims[1].answer;
        for (uint256 point = 0; point < 3; ++point) {
            // The coordinate y of G2 is two elements of the base field.
            _negate(forged, 256 * point + 0x80);
            _negate(forged, 256 * point + 0xc0);
        }
        _negate(forged, KEY_BYTES + 0x40);
        claims[1].keyHash = _keyHash(forged);
        assertVerifies(claims[1], false);
        assertVerify(claims, false);
        (claims[0], claims[1]) = (claims[1], claims[0]);
        assertVerify(claims, false);
    }

    /// @dev A chain without the precompiles has empty accounts there: calls succeed and return nothing.
    function test_rejectsEverythingWhereThePrecompilesAreMissing() external {
        for (uint160 precompile = 0x0b; precompile <= 0x0f; ++precompile) vm.mockCall(address(precompile), "", "");
        assertVerifies(_claim(1), false);
        assertVerify(_pair(), false);
        vm.clearMockedCalls();
        assertVerifies(_claim(1), true);
    }

    function test_answersFalseWhenAPrecompileReverts() external {
        for (uint160 precompile = 0x0c; precompile <= 0x0f; precompile += 3) {
            vm.mockCallRevert(address(precompile), "", "");
            assertVerifies(_claim(1), false);
            assertVerify(_pair(), false);
            vm.clearMockedCalls();
        }
    }

    function assertVerifies(IPossessionVerifier.Claim memory claim, bool expected) private view {
        IPossessionVerifier.Claim[] memory claims = new IPossessionVerifier.Claim[](1);
        claims[0] = claim;
        assertVerify(claims, expected);
    }

    function assertVerify(IPossessionVerifier.Claim[] memory claims, bool expected) private view {
        vm.assertEq(_possession.verify{ gas: GAS_LIMIT }(claims), expected);
    }

    function _claim(uint256 which) private pure returns (IPossessionVerifier.Claim memory claim) {
        (PdpVerifier.Challenge memory challenge, PdpVerifier.Proof memory proof) = PdpVectors.vector(which);
        PdpVerifier.Key memory key = PdpVectors.key();
        (claim.seed, claim.ranges, claim.sampleCount) = (challenge.seed, challenge.ranges, challenge.sampleCount);
        claim.answer = bytes.concat(
            bytes.concat(key.X, key.XA, key.XB),
            bytes.concat(proof.sigma, proof.psi, proof.W, bytes32(proof.y))
        );
        claim.keyHash = _keyHash(claim.answer);
    }

    function _pair() private pure returns (IPossessionVerifier.Claim[] memory claims) {
        claims = new IPossessionVerifier.Claim[](2);
        (claims[0], claims[1]) = (_claim(1), _claim(4));
    }

    function _keyHash(bytes memory answer) private pure returns (bytes32) {
        return keccak256(_part(answer, 0, KEY_BYTES));
    }

    /// @dev Adds a point to σ.
    function _addToSigma(bytes memory answer, bytes memory shift) private view {
        (bool added, bytes memory sum) = address(0x0b).staticcall(bytes.concat(_part(answer, KEY_BYTES, 128), shift));
        vm.assertTrue(added);
        for (uint256 k = 0; k < 128; ++k) answer[KEY_BYTES + k] = sum[k];
    }

    function _part(bytes memory data, uint256 start, uint256 lengthBytes) private pure returns (bytes memory part) {
        part = new bytes(lengthBytes);
        for (uint256 k = 0; k < lengthBytes; ++k) part[k] = data[start + k];
    }

    function _flip(bytes memory data, uint256 bit) private pure {
        data[bit / 8] = bytes1(uint8(data[bit / 8]) ^ uint8(1 << (bit % 8)));
    }

    function _resized(bytes memory data, uint256 lengthBytes) private pure returns (bytes memory resized) {
        resized = new bytes(lengthBytes);
        for (uint256 i = 0; i < lengthBytes && i < data.length; ++i) resized[i] = data[i];
    }

    /// @dev Replaces an element of the base field, 64 bytes, by p − it.
    function _negate(bytes memory data, uint256 offset) private pure {
        uint256 high = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
        uint256 low = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
        assembly ("memory-safe") {
            let place := add(add(data, 0x20), offset)
            let borrow := gt(mload(add(place, 0x20)), low)
            mstore(add(place, 0x20), sub(low, mload(add(place, 0x20))))
            mstore(place, sub(sub(high, mload(place)), borrow))
        }
    }
}
