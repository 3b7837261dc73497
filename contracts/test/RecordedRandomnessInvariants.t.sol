// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRecordedRandomness } from "../interfaces/IRecordedRandomness.sol";
import { PrevrandaoRandomness } from "../randomness/PrevrandaoRandomness.sol";
import { RandomnessTestBase } from "./RandomnessTestBase.t.sol";
import { vm } from "./Vm.sol";

/// @dev Records blocks in any order on a chain that tells the hash of every past block, so that only the contract's own
/// rules keep an older block out. Keeps a model of what each place must hold.
contract RingHandler is RandomnessTestBase {
    uint64 public constant GRID = 1024;
    uint64 public constant SIZE = 8;

    IRecordedRandomness private immutable SOURCE;

    /// @dev Blocks that were recorded, each once, and the value that the first call returned.
    uint64[] public recorded;
    mapping(uint64 blockNumber => bytes32 value) public valueOf;
    /// @dev The latest block that was recorded at a place.
    mapping(uint64 place => uint64 blockNumber) public latestAt;
    /// @dev Rules that were seen broken, for the invariants to report.
    bool public cheatSucceeded;
    bool public valueChanged;
    bool public wrongRefusal;
    uint256 public refusedAsOlder;

    constructor(IRecordedRandomness source) {
        SOURCE = source;
    }

    function recordedCount() external view returns (uint256) {
        return recorded.length;
    }

    function advance(uint256 blocks) external {
        vm.roll(block.number + _bound(blocks, 1, 3 * GRID));
    }

    /// @dev Any block of the last three turns of the ring, with its right header.
    function record(uint256 age) external {
        uint64 newest = uint64((block.number - 1) / GRID);
        uint64 position = newest - uint64(_bound(age, 0, newest < 3 * SIZE ? newest : 3 * SIZE));
        uint64 blockNumber = position * GRID;
        bytes memory header = _header(blockNumber, 1, keccak256(abi.encode(blockNumber)));
        _setHash(blockNumber, keccak256(header));
        bool isOlder = latestAt[position % SIZE] > blockNumber;
        try SOURCE.record(blockNumber, header) returns (bytes32 value) {
            if (isOlder) cheatSucceeded = true;
            if (valueOf[blockNumber] == bytes32(0)) recorded.push(blockNumber);
            else if (valueOf[blockNumber] != value) valueChanged = true;
            valueOf[blockNumber] = value;
            latestAt[position % SIZE] = blockNumber;
        } catch {
            if (!isOlder) wrongRefusal = true;
            ++refusedAsOlder;
        }
    }

    /// @dev Another header than the block's, for blocks that are known and blocks that are not.
    function cheat(uint256 age, bytes32 mix) external {
        uint64 newest = uint64((block.number - 1) / GRID);
        uint64 blockNumber = (newest - uint64(_bound(age, 0, newest < SIZE ? newest : SIZE))) * GRID;
        _setHash(blockNumber, keccak256(_header(blockNumber, 1, keccak256(abi.encode(blockNumber)))));
        bool isKnown = latestAt[(blockNumber / GRID) % SIZE] == blockNumber && valueOf[blockNumber] != bytes32(0);
        try SOURCE.record(blockNumber, _header(blockNumber, 2, mix)) returns (bytes32 value) {
            if (!isKnown || value != valueOf[blockNumber]) cheatSucceeded = true;
        } catch {
            if (isKnown) wrongRefusal = true;
        }
    }
}

/// @notice The numbered invariants of `RecordedRandomness`, after random sequences of calls.
contract RecordedRandomnessInvariantsTest is RandomnessTestBase {
    PrevrandaoRandomness private _source;
    RingHandler private _handler;

    function setUp() public {
        _source = new PrevrandaoRandomness(1024, 8);
        _handler = new RingHandler(_source);
        vm.roll(50_000);
        bytes4[] memory selectors = new bytes4[](3);
        selectors[0] = RingHandler.advance.selector;
        selectors[1] = RingHandler.record.selector;
        selectors[2] = RingHandler.cheat.selector;
        _targetSelectors(address(_handler), selectors);
    }

    /// @dev After every call of every sequence; one campaign for all, since each checks the same states.
    /// hardhat-config: invariant.failOnRevert = true
    function invariant_everything() public view {
        _valuesNeverChangeAndAreNeverZero();
        _eachPlaceHoldsItsLatestBlock();
        _onlyEvidenceDecides();
    }

    /// @dev INV-1, INV-3
    function _valuesNeverChangeAndAreNeverZero() private view {
        vm.assertFalse(_handler.valueChanged(), "a value changed");
        for (uint256 i = 0; i < _handler.recordedCount(); ++i) {
            uint64 blockNumber = _handler.recorded(i);
            bytes32 value = _handler.valueOf(blockNumber);
            vm.assertNotEq(value, bytes32(0));
            try _source.randomnessAt(blockNumber) returns (bytes32 found) {
                vm.assertEq(found, value);
            } catch {
                vm.assertGt(block.number - blockNumber, 8191, "a value was gone within the horizon");
            }
        }
    }

    /// @dev INV-2
    function _eachPlaceHoldsItsLatestBlock() private view {
        vm.assertFalse(_handler.wrongRefusal(), "a right header was refused");
        for (uint64 place = 0; place < _handler.SIZE(); ++place) {
            uint64 latest = _handler.latestAt(place);
            if (latest != 0) vm.assertEq(_source.randomnessAt(latest), _handler.valueOf(latest));
        }
    }

    /// @dev INV-4
    function _onlyEvidenceDecides() private view {
        vm.assertFalse(_handler.cheatSucceeded(), "a wrong header or an older block got through");
    }

    /// @dev Not an invariant of the contract but of these tests: a campaign in which nothing is recorded or replaced
    /// tests nothing.
    function test_the_handler_records_replaces_and_is_refused() public {
        _handler.record(0);
        _handler.record(8);
        _handler.cheat(1, 0);
        for (uint256 i = 0; i < 4; ++i) _handler.advance(3 * 1024);
        _handler.record(4);
        vm.assertEq(_handler.recordedCount(), 2);
        vm.assertEq(_handler.refusedAsOlder(), 1);
        vm.assertFalse(_handler.cheatSucceeded());
        vm.assertFalse(_handler.wrongRefusal());
    }
}
