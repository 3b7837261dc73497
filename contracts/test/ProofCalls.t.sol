// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IPossessionVerifier } from "../interfaces/IPossessionVerifier.sol";
import { IRandomnessSource } from "../interfaces/IRandomnessSource.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { DataSetTestBase } from "./DataSetTestBase.t.sol";
import { vm } from "./Vm.sol";

/// @notice What `prove` asks of randomness source and verifier, and what it makes of their answers. The escrow encodes
/// and decodes these calls by hand.
contract ProofCallsTest is DataSetTestBase {
    /// @dev In call data with one proof: selector, offset of the list, its length, offset of the proof.
    uint256 private constant PROOF_PLACE = 4 + 3 * 32;
    uint256 private constant FIRST_FIELD = 25;

    IStorageEscrow.Terms internal _t;
    uint256 internal _block;

    function setUp() public override {
        super.setUp();
        _t = _terms(NATIVE);
        _open(_t);
        _block = _challengeBlock(_epoch() + 1);
        vm.roll(_block + 1);
    }

    function _calls(uint256 count) private view returns (IStorageEscrow.ProofCall[] memory calls) {
        calls = new IStorageEscrow.ProofCall[](count);
        calls[0] = _call(_t, _block, _list(1, 100));
    }

    function _claim(IStorageEscrow.ProofCall memory call) private view returns (IPossessionVerifier.Claim memory) {
        IStorageEscrow.ProofCall memory known = _call(call.terms, _block, call.ranges);
        (bytes32 seed, , , ) = abi.decode(known.answer, (bytes32, bytes32, uint256, bytes32));
        return IPossessionVerifier.Claim(seed, call.audit.keyHash, call.audit.sampleCount, call.ranges, call.answer);
    }

    function _filled(uint256 lengthBytes, uint256 value) private pure returns (bytes memory data) {
        data = new bytes(lengthBytes % 200);
        for (uint256 k = 0; k < data.length; ++k) data[k] = bytes1(uint8(value + k));
    }

    /// @dev Two sets, whose lists of ranges end within a word; answers and evidence of any length.
    function testFuzz_encodesCallsAsTheCompilerDoes(uint8 first, uint8 second, uint8 evidence) external {
        vm.roll(_block - PHASE - EPOCH);
        IStorageEscrow.Terms memory other = _t;
        other.feeFloor += 1;
        _open(other);
        _update(other, _list(1, 50, 60, 10));
        vm.roll(_block + 1);
        IStorageEscrow.ProofCall[] memory calls = _calls(2);
        calls[1] = _call(other, _block, _list(1, 50, 60, 10));
        (calls[0].answer, calls[1].answer) = (_filled(first, 1), _filled(second, 2));
        (calls[0].evidence, calls[1].evidence) = (_filled(evidence, 3), _filled(first, 4));

        IPossessionVerifier.Claim[] memory claims = new IPossessionVerifier.Claim[](2);
        (claims[0], claims[1]) = (_claim(calls[0]), _claim(calls[1]));
        bytes memory question = abi.encodeCall(IPossessionVerifier.verify, (claims));
        vm.mockCall(address(_verifier), "", abi.encode(false));
        vm.mockCall(address(_verifier), question, abi.encode(true));
        for (uint256 k = 0; k < 2; ++k) {
            vm.expectCall(
                address(_randomness),
                abi.encodeCall(IRandomnessSource.record, (uint64(_block), calls[k].evidence))
            );
        }
        vm.expectCall(address(_verifier), question);
        _escrow.prove(calls);
    }

    function test_aVerifierWithoutCodeRefuses() external {
        IStorageEscrow.ProofCall[] memory calls = _calls(1);
        vm.etch(address(_verifier), "");
        // What the escrow read last must not be taken for an answer.
        vm.mockCall(address(_randomness), "", abi.encode(uint256(1)));
        vm.expectRevert(IStorageEscrow.ProofRejected.selector);
        _escrow.prove(calls);
    }

    function test_onlyTrueIsTrue() external {
        IStorageEscrow.ProofCall[] memory calls = _calls(1);
        bytes[4] memory answers = [abi.encode(0), abi.encode(2), abi.encode(type(uint256).max), bytes(hex"01")];
        for (uint256 k = 0; k < answers.length; ++k) {
            vm.mockCall(address(_verifier), "", answers[k]);
            vm.expectRevert(IStorageEscrow.ProofRejected.selector);
            _escrow.prove(calls);
        }
        vm.mockCall(address(_verifier), "", abi.encode(1, 2));
        _escrow.prove(calls);
    }

    function test_passesOnWhyOthersRefuse() external {
        IStorageEscrow.ProofCall[] memory calls = _calls(1);
        bytes memory reason = abi.encodeWithSignature("Reason(bytes)", _filled(77, 5));
        vm.mockCallRevert(address(_verifier), "", reason);
        vm.expectRevert(reason);
        _escrow.prove(calls);
        vm.mockCallRevert(address(_randomness), "", reason);
        vm.expectRevert(reason);
        _escrow.prove(calls);
    }

    function test_aSourceMustAnswer() external {
        IStorageEscrow.ProofCall[] memory calls = _calls(1);
        vm.mockCall(address(_verifier), "", abi.encode(true));
        bytes memory short_ = hex"00112233445566778899aabbccddeeff00112233445566778899aabbccddee";
        vm.mockCall(address(_randomness), "", short_);
        vm.expectRevert(short_);
        _escrow.prove(calls);
        vm.mockCall(address(_randomness), "", abi.encode(3));
        _escrow.prove(calls);
    }

    /// @dev Schedule, ranges, answer and evidence may lie anywhere: what is not right there is refused.
    function testFuzz_refusesFieldsElsewhere(uint256 place, uint256 lengthBytes) external {
        bytes memory right = abi.encodeCall(IStorageEscrow.prove, (_calls(1)));
        // Before the proof, behind the end, and where sums wrap.
        uint256[4] memory places = [place, right.length, type(uint256).max - (place % 4096), place % right.length];
        for (uint256 field = FIRST_FIELD; field < FIRST_FIELD + 3; ++field) {
            for (uint256 k = 0; k < places.length; ++k) {
                bytes memory wrong = bytes.concat(right);
                uint256 offset = PROOF_PLACE + 32 * field + 32;
                uint256 known;
                assembly ("memory-safe") {
                    known := mload(add(wrong, offset))
                    mstore(add(wrong, offset), mload(add(places, shl(5, k))))
                }
                if (known == places[k]) continue;
                (bool accepted, ) = address(_escrow).call{ gas: 10_000_000 }(wrong);
                vm.assertFalse(accepted, "another place");
            }
            bytes memory longer = bytes.concat(right);
            assembly ("memory-safe") {
                let head := add(longer, add(0x20, PROOF_PLACE))
                let at := add(head, mload(add(head, shl(5, field))))
                if eq(mload(at), lengthBytes) {
                    lengthBytes := not(lengthBytes)
                }
                mstore(at, lengthBytes)
            }
            (bool taken, ) = address(_escrow).call{ gas: 10_000_000 }(longer);
            vm.assertFalse(taken, "another length");
        }
        (bool proven, ) = address(_escrow).call(right);
        vm.assertTrue(proven, "the right call");
    }
}
