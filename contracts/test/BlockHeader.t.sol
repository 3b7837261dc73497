// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRecordedRandomness } from "../interfaces/IRecordedRandomness.sol";
import { RandomnessHarness } from "./RandomnessHarness.sol";
import { RandomnessTestBase } from "./RandomnessTestBase.t.sol";
import { vm } from "./Vm.sol";

contract BlockHeaderTest is RandomnessTestBase {
    bytes32 private constant MIX = keccak256("mix of a block");
    bytes private constant NONCE = hex"880000000000000000";

    RandomnessHarness private _reader;

    function setUp() public {
        _reader = new RandomnessHarness();
    }

    function testFuzz_readsTimestampAndMixHash(uint64 blockNumber, uint64 timestamp, bytes32 mixHash) public view {
        (uint64 time, bytes32 mix) = _reader.readHeader(_header(blockNumber, timestamp, mixHash));
        vm.assertEq(time, timestamp);
        vm.assertEq(mix, mixHash);
    }

    function test_readsHeadersOfEveryForkAndOfForksToCome() public view {
        bytes memory merge = bytes.concat(_fieldsBeforeMixHash(1, 2, hex"80"), bytes1(0xa0), MIX, NONCE);
        bytes memory prague = bytes.concat(merge, _forkFields());
        _reads(_list(merge), 2, MIX);
        _reads(_list(bytes.concat(merge, hex"07")), 2, MIX);
        _reads(_list(prague), 2, MIX);
        _reads(_list(bytes.concat(prague, bytes1(0xa0), keccak256("block access list"), hex"820102c0")), 2, MIX);
    }

    function test_readsExtraDataOfAnyLengthThatAChainAllows() public view {
        _reads(_withExtra(hex"80"), 2, MIX);
        _reads(_withExtra(hex"00"), 2, MIX);
        _reads(_withExtra(hex"7f"), 2, MIX);
        _reads(_withExtra(hex"8180"), 2, MIX);
        _reads(_withExtra(hex"820000"), 2, MIX);
        _reads(_withExtra(bytes.concat(bytes1(0xa0), MIX)), 2, MIX);
    }

    function test_refusesExtraDataInALongerFormOrTooLong() public {
        _refuses(_withExtra(hex"8100"), 457);
        _refuses(_withExtra(hex"817f"), 457);
        _refuses(_withExtra(bytes.concat(bytes1(0xa1), MIX, bytes1(0))), 457);
        _refuses(_withExtra(hex"b800"), 457);
        _refuses(_withExtra(hex"c0"), 457);
    }

    function test_refusesIntegersThatAreNotTheShortestForm() public {
        // Difficulty is the first integer, at 448.
        bytes[6] memory wrong = [bytes(hex"00"), hex"8100", hex"817f", hex"820001", hex"c0", hex"b801"];
        for (uint256 i = 0; i < wrong.length; ++i) _refuses(_withDifficulty(wrong[i]), 448);
        _reads(_withDifficulty(hex"01"), 2, MIX);
        _reads(_withDifficulty(hex"8180"), 2, MIX);
        _reads(_withDifficulty(bytes.concat(bytes1(0xa0), ~bytes32(0))), 2, MIX);
        _refuses(_withDifficulty(bytes.concat(bytes1(0xa1), ~bytes32(0), bytes1(0))), 448);
    }

    function test_refusesATimestampThatHasNoPlace() public {
        bytes memory front = _fieldsBeforeMixHash(1, 2, "");
        bytes memory withoutTimestamp = _slice(front, 0, front.length - 1);
        bytes memory tail = bytes.concat(hex"80", bytes1(0xa0), MIX, NONCE);
        _reads(_list(bytes.concat(withoutTimestamp, hex"88ffffffffffffffff", tail)), type(uint64).max, MIX);
        _refuses(_list(bytes.concat(withoutTimestamp, hex"89010000000000000000", tail)), 3 + withoutTimestamp.length);
    }

    function test_refusesLengthsThatAreNotThoseOfTheFields() public {
        bytes memory header = _header(1, 2, MIX);
        // The list, and the prefixes of the fields with fixed lengths.
        uint256[10] memory offsets = [uint256(0), 1, 3, 36, 69, 90, 123, 156, 189, 189];
        for (uint256 i = 0; i < offsets.length; ++i) {
            bytes memory wrong = bytes.concat(header);
            wrong[offsets[i]] = bytes1(uint8(wrong[offsets[i]]) ^ 1);
            _refuses(wrong, offsets[i]);
        }
    }

    function test_refusesBytesBehindTheListAndAListThatIsCutOff() public {
        bytes memory header = _header(1, 2, MIX);
        _refuses(bytes.concat(header, hex"00"), 1);
        _refuses(_slice(header, 0, header.length - 1), 1);
        _refuses("", 0);
        _refuses(hex"f9", 1);
        _refuses(_slice(header, 0, 258), 258);
    }

    /// @dev The list is as long as it says, but ends within a field: nothing is read beyond it.
    function test_refusesAListThatEndsBeforeTheNonceDoes() public {
        bytes memory content = bytes.concat(_fieldsBeforeMixHash(1, 2, hex"80"), bytes1(0xa0), MIX, NONCE);
        _reads(_list(content), 2, MIX);
        for (uint256 length = 256; length < content.length; ++length) {
            vm.expectPartialRevert(IRecordedRandomness.MalformedHeader.selector);
            _reader.readHeader(_list(_slice(content, 0, length)));
        }
    }

    function test_refusesAMixHashAndANonceOfAnotherLength() public {
        bytes memory front = _fieldsBeforeMixHash(1, 2, hex"80");
        _refuses(_list(bytes.concat(front, hex"9f", MIX, NONCE)), 3 + front.length);
        _refuses(_list(bytes.concat(front, bytes1(0xa0), MIX, hex"8700000000000000")), 36 + front.length);
    }

    /// @dev Whatever the bytes, the reader answers or refuses; it has no other failure.
    function testFuzz_refusesNoise(bytes calldata noise, uint256 offset, bytes1 value) public view {
        try _reader.readHeader(noise) {
            vm.assertTrue(false, "noise was read");
        } catch (bytes memory reason) {
            vm.assertEq(bytes32(bytes4(reason)), bytes32(IRecordedRandomness.MalformedHeader.selector));
        }
        bytes memory header = _header(1, 2, MIX);
        header[offset % header.length] = value;
        try _reader.readHeader(header) {
            return;
        } catch (bytes memory reason) {
            vm.assertEq(bytes32(bytes4(reason)), bytes32(IRecordedRandomness.MalformedHeader.selector));
        }
    }

    function _withExtra(bytes memory extraData) private pure returns (bytes memory) {
        return _list(bytes.concat(_fieldsBeforeMixHash(1, 2, extraData), bytes1(0xa0), MIX, NONCE));
    }

    function _withDifficulty(bytes memory difficulty) private pure returns (bytes memory) {
        bytes memory front = _fieldsBeforeMixHash(1, 2, hex"80");
        // The content begins behind the head of the list, so the difficulty is at 445 of it.
        bytes memory changed = bytes.concat(_slice(front, 0, 445), difficulty, _slice(front, 446, front.length));
        return _list(bytes.concat(changed, bytes1(0xa0), MIX, NONCE));
    }

    function _slice(bytes memory data, uint256 start, uint256 end) private pure returns (bytes memory part) {
        part = new bytes(end - start);
        for (uint256 i = start; i < end; ++i) part[i - start] = data[i];
    }

    function _reads(bytes memory header, uint64 timestamp, bytes32 mixHash) private view {
        (uint64 time, bytes32 mix) = _reader.readHeader(header);
        vm.assertEq(time, timestamp);
        vm.assertEq(mix, mixHash);
    }

    function _refuses(bytes memory header, uint256 offset) private {
        vm.expectRevert(abi.encodeWithSelector(IRecordedRandomness.MalformedHeader.selector, offset));
        _reader.readHeader(header);
    }
}
