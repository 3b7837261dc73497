// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRandomnessSource } from "../interfaces/IRandomnessSource.sol";
import { BlockRandomness } from "../randomness/BlockRandomness.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

contract BlockRandomnessTest is TestBase {
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;
    bytes32 private constant HASH = keccak256("hash of a block");

    BlockRandomness private _randomness;

    function setUp() public {
        _randomness = new BlockRandomness();
        vm.roll(20_000);
    }

    function test_recentBlocksAnswerTheirHash() public {
        vm.setBlockhash(19_999, HASH);
        vm.setBlockhash(19_744, ~HASH);
        vm.assertEq(_randomness.randomnessAt(19_999), HASH);
        vm.assertEq(_randomness.randomnessAt(19_744), ~HASH);
    }

    function test_olderBlocksAreReadFromTheHistoryContract() public {
        _mockHistory(19_743, abi.encode(HASH));
        vm.assertEq(_randomness.randomnessAt(19_743), HASH);
        _mockHistory(11_809, abi.encode(~HASH));
        vm.assertEq(_randomness.randomnessAt(11_809), ~HASH);
    }

    /// @dev INV-1, where the two ways of finding the hash meet.
    function test_bothWaysAnswerTheSame() public {
        vm.setBlockhash(19_900, HASH);
        bytes32 early = _randomness.randomnessAt(19_900);
        vm.roll(20_300);
        _mockHistory(19_900, abi.encode(HASH));
        vm.assertEq(_randomness.randomnessAt(19_900), early);
    }

    /// @dev INV-1 over all blocks that can be asked for: neither the asking block nor the asking account changes the
    /// answer.
    function testFuzz_theAnswerDoesNotDependOnWhoAsksWhen(uint256 asked, uint256 later, address asker) public {
        asked = _bound(asked, 12_000, 19_999);
        later = _bound(later, 20_000, asked + 8_191);
        _mockHistory(uint64(asked), abi.encode(HASH));
        vm.setBlockhash(asked, HASH);
        bytes32 answer = _randomness.randomnessAt(uint64(asked));
        vm.roll(later);
        vm.prank(asker);
        vm.assertEq(_randomness.randomnessAt(uint64(asked)), answer);
        vm.assertEq(answer, HASH);
    }

    function test_presentAndFutureBlocksHaveNone() public {
        _refuses(20_000);
        _refuses(20_001);
        _refuses(type(uint64).max);
    }

    function test_forgottenBlocksHaveNone() public {
        vm.etch(HISTORY, "");
        _refuses(19_743);
        // The history contract reverts for what it has forgotten, and development chains answer zero for skipped
        // blocks.
        vm.etch(HISTORY, hex"60006000fd");
        _refuses(11_808);
        _mockHistory(15_000, abi.encode(bytes32(0)));
        _refuses(15_000);
        _mockHistory(15_000, hex"01");
        _refuses(15_000);
    }

    function test_horizonIsThatOfTheChain() public {
        vm.etch(HISTORY, hex"00");
        vm.assertEq(_randomness.horizonBlocks(), 8191);
        vm.etch(HISTORY, "");
        vm.assertEq(_randomness.horizonBlocks(), 256);
    }

    /// @dev What needs no record costs no slot: anybody may ask for it to be recorded, and gets the same answer.
    function test_recordsNothingAndAnswersTheSame() public {
        vm.setBlockhash(19_999, HASH);
        vm.assertEq(_randomness.record(19_999, "any evidence"), HASH);
        vm.assertEq(_randomness.record(19_999, ""), _randomness.randomnessAt(19_999));
        vm.expectRevert(abi.encodeWithSelector(IRandomnessSource.RandomnessUnavailable.selector, 20_000, block.number));
        _randomness.record(20_000, "");
    }

    function test_everyBlockIsOnTheGrid() public view {
        vm.assertEq(_randomness.gridBlocks(), 1);
    }

    function _mockHistory(uint64 blockNumber, bytes memory answer) private {
        if (HISTORY.code.length == 0) vm.etch(HISTORY, hex"00");
        vm.mockCall(HISTORY, abi.encode(blockNumber), answer);
    }

    function _refuses(uint64 blockNumber) private {
        vm.expectRevert(
            abi.encodeWithSelector(IRandomnessSource.RandomnessUnavailable.selector, blockNumber, block.number)
        );
        _randomness.randomnessAt(blockNumber);
    }
}
