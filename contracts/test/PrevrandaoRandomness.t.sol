// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRandomnessSource } from "../interfaces/IRandomnessSource.sol";
import { IRecordedRandomness } from "../interfaces/IRecordedRandomness.sol";
import { PrevrandaoRandomness } from "../randomness/PrevrandaoRandomness.sol";
import { RandomnessTestBase } from "./RandomnessTestBase.t.sol";
import { vm } from "./Vm.sol";

/// @dev The rules of the ring are tested here too: all recorded sources share them.
contract PrevrandaoRandomnessTest is RandomnessTestBase {
    bytes32 private constant TAG = keccak256("tallystick/v1/randomness-prevrandao");
    bytes32 private constant MIX = keccak256("mix of a block");
    uint64 private constant GRID = 16;
    uint64 private constant SIZE = 512;
    uint64 private constant NOW = 100_000;
    uint64 private constant BLOCK = 99_984;

    PrevrandaoRandomness private _source;

    function setUp() public {
        _source = new PrevrandaoRandomness(GRID, SIZE);
        vm.roll(NOW);
    }

    function test_recordsTheMixOfARecentBlock() public {
        bytes memory header = _known(BLOCK, MIX);
        bytes32 expected = _value(BLOCK, MIX);
        vm.expectEmit(address(_source));
        emit IRecordedRandomness.RandomnessRecorded(BLOCK, expected);
        vm.assertEq(_source.record(BLOCK, header), expected);
        vm.assertEq(_source.randomnessAt(BLOCK), expected);
    }

    function test_recordsTheMixOfAnOldBlock() public {
        bytes memory header = _known(NOW - 8192 + 16, MIX);
        vm.assertEq(_source.record(NOW - 8192 + 16, header), _value(NOW - 8192 + 16, MIX));
    }

    function test_returnsWhatIsKnownWithoutLookingAtTheEvidence() public {
        bytes32 value = _source.record(BLOCK, _known(BLOCK, MIX));
        vm.recordLogs();
        vm.assertEq(_source.record(BLOCK, "nonsense"), value);
        // Also when the chain has forgotten the block.
        vm.roll(NOW + 1_000_000);
        vm.assertEq(_source.record(BLOCK, ""), value);
        vm.assertEq(_source.randomnessAt(BLOCK), value);
        vm.assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_refusesAHeaderThatIsNotTheBlocks() public {
        bytes memory header = _known(BLOCK, MIX);
        bytes memory other = _header(BLOCK, 1, ~MIX);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRecordedRandomness.HeaderMismatch.selector,
                BLOCK,
                keccak256(header),
                keccak256(other)
            )
        );
        _source.record(BLOCK, other);
        _isUnavailable(BLOCK);
    }

    function test_refusesAMalformedHeaderThoughItsHashIsTheBlocks() public {
        bytes memory header = _known(BLOCK, MIX);
        header[448] = 0x00;
        _setHash(BLOCK, keccak256(header));
        vm.expectRevert(abi.encodeWithSelector(IRecordedRandomness.MalformedHeader.selector, 448));
        _source.record(BLOCK, header);
    }

    function test_refusesBlocksOffTheGrid() public {
        for (uint64 blockNumber = BLOCK + 1; blockNumber < BLOCK + GRID; ++blockNumber) {
            bytes memory header = _known(blockNumber, MIX);
            vm.expectRevert(abi.encodeWithSelector(IRecordedRandomness.BlockOffGrid.selector, blockNumber, GRID));
            _source.record(blockNumber, header);
        }
        _source.record(BLOCK, _known(BLOCK, MIX));
        // Nor does the value of a block answer for its neighbours, which have the same place.
        for (uint64 blockNumber = BLOCK + 1; blockNumber < BLOCK + GRID; ++blockNumber) _isUnavailable(blockNumber);
    }

    function test_refusesTheCurrentBlockAndLaterOnes() public {
        uint64[2] memory early = [NOW, NOW + GRID];
        for (uint256 i = 0; i < early.length; ++i) {
            bytes memory header = _known(early[i], MIX);
            vm.expectRevert(abi.encodeWithSelector(IRecordedRandomness.BlockNotInPast.selector, early[i], NOW));
            _source.record(early[i], header);
            _isUnavailable(early[i]);
        }
    }

    function test_refusesABlockThatTheChainHasForgotten() public {
        vm.etch(HISTORY, "");
        vm.expectRevert(abi.encodeWithSelector(IRecordedRandomness.BlockTooOld.selector, NOW - 272, NOW));
        _source.record(NOW - 272, _header(NOW - 272, 1, MIX));
    }

    /// @dev INV-2, on a chain that would tell the hash.
    function test_anOlderBlockDoesNotReplaceALaterOne() public {
        uint64 older = BLOCK - GRID * SIZE;
        bytes32 value = _source.record(BLOCK, _known(BLOCK, MIX));
        bytes memory header = _known(older, ~MIX);
        vm.expectRevert(abi.encodeWithSelector(IRecordedRandomness.BlockTooOld.selector, older, NOW));
        _source.record(older, header);
        vm.assertEq(_source.randomnessAt(BLOCK), value);
        _isUnavailable(older);
    }

    function test_aLaterBlockOfTheSamePlaceReplacesAnOlderOne() public {
        bytes32 value = _source.record(BLOCK, _known(BLOCK, MIX));
        vm.roll(BLOCK + GRID * SIZE);
        vm.assertEq(_source.randomnessAt(BLOCK), value);
        uint64 later = BLOCK + GRID * SIZE;
        vm.roll(later + 1);
        vm.assertEq(_source.record(later, _known(later, ~MIX)), _value(later, ~MIX));
        _isUnavailable(BLOCK);
        vm.assertEq(_source.randomnessAt(later), _value(later, ~MIX));
    }

    /// @dev INV-3
    function test_noValueIsReplacedWithinTheHorizon() public {
        vm.etch(HISTORY, hex"00");
        vm.assertGe(uint256(GRID) * SIZE, _source.horizonBlocks());
        vm.assertEq(_source.horizonBlocks(), 8191);
        vm.etch(HISTORY, "");
        vm.assertEq(_source.horizonBlocks(), 256);
        vm.assertEq(_source.gridBlocks(), GRID);
        vm.assertEq(_source.ringSize(), SIZE);
    }

    function test_aRingMustCoverTheHorizon() public {
        uint64[2][4] memory small = [[uint64(1), 8190], [uint64(0), 8192], [uint64(8192), 0], [uint64(90), 91]];
        for (uint256 i = 0; i < small.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    IRecordedRandomness.RingTooSmall.selector,
                    uint256(small[i][0]) * small[i][1],
                    8191
                )
            );
            new PrevrandaoRandomness(small[i][0], small[i][1]);
        }
        new PrevrandaoRandomness(1, 8191);
        new PrevrandaoRandomness(type(uint64).max, type(uint64).max);
    }

    function test_theFirstBlockHasRandomness() public {
        vm.roll(100);
        _isUnavailable(0);
        vm.assertEq(_source.record(0, _known(0, MIX)), _value(0, MIX));
        vm.assertEq(_source.randomnessAt(0), _value(0, MIX));
    }

    /// @dev INV-4: neither the account nor the block of the call changes the value.
    function testFuzz_onlyTheHeaderDecides(uint64 blockNumber, bytes32 mix, address caller, uint256 later) public {
        blockNumber = uint64(_bound(blockNumber, 0, type(uint64).max / GRID - 1)) * GRID;
        vm.roll(_bound(later, uint256(blockNumber) + 1, uint256(blockNumber) + 8191));
        bytes memory header = _known(blockNumber, mix);
        vm.prank(caller);
        vm.assertEq(_source.record(blockNumber, header), _value(blockNumber, mix));
        vm.assertNotEq(_source.randomnessAt(blockNumber), bytes32(0));
    }

    function _known(uint64 blockNumber, bytes32 mix) private returns (bytes memory header) {
        header = _header(blockNumber, 1, mix);
        _setHash(blockNumber, keccak256(header));
    }

    function _value(uint64 blockNumber, bytes32 mix) private pure returns (bytes32) {
        return _expand(blockNumber, keccak256(abi.encode(TAG, mix, blockNumber)));
    }

    function _isUnavailable(uint64 blockNumber) private {
        vm.expectRevert(
            abi.encodeWithSelector(IRandomnessSource.RandomnessUnavailable.selector, blockNumber, block.number)
        );
        _source.randomnessAt(blockNumber);
    }
}
