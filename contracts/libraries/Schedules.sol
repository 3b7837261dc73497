// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IDataSetEscrow } from "../interfaces/IDataSetEscrow.sol";

/// @title Schedule of a data set
/// @notice Which level counts in which epoch, and what that costs. Levels ascend; a schedule has at least one.
library Schedules {
    /// @notice Most levels of a schedule: those of unsettled epochs, and up to three in the future.
    uint256 internal constant MAX_LEVELS = 8;
    uint256 private constant HEAD_BYTES = 0x40;
    uint256 private constant LEVEL_BYTES = 0xc0;

    /// @return found The level of an epoch that is not before the first level.
    function levelAt(
        IDataSetEscrow.Level[] memory levels,
        uint256 epoch
    ) internal pure returns (IDataSetEscrow.Level memory found) {
        uint256 i = levels.length;
        while (i > 1 && levels[i - 1].fromEpoch > epoch) --i;
        return levels[i - 1];
    }

    /// @notice Reads an encoded schedule whose hash has been checked: version, number of retirements, then the levels,
    /// a word for each value.
    /// @param levels In memory that is not copied again.
    function decode(
        bytes calldata schedule
    ) internal pure returns (uint256 version, uint256 retirements, IDataSetEscrow.Level[] memory levels) {
        assembly ("memory-safe") {
            version := calldataload(schedule.offset)
            retirements := calldataload(add(schedule.offset, 0x20))
            // The array of pointers, then what they point to.
            let bytes_ := sub(schedule.length, HEAD_BYTES)
            let count := div(bytes_, LEVEL_BYTES)
            levels := mload(0x40)
            mstore(levels, count)
            let source := add(levels, shl(5, add(count, 1)))
            mstore(0x40, add(source, bytes_))
            calldatacopy(source, add(schedule.offset, HEAD_BYTES), bytes_)
            for {
                let i := 1
            } iszero(gt(i, count)) {
                i := add(i, 1)
            } {
                mstore(add(levels, shl(5, i)), source)
                source := add(source, LEVEL_BYTES)
            }
        }
    }

    function encode(
        IDataSetEscrow.Level[] memory levels,
        uint256 version,
        uint256 retirements
    ) internal pure returns (bytes memory schedule) {
        schedule = new bytes(HEAD_BYTES + levels.length * LEVEL_BYTES);
        assembly ("memory-safe") {
            let target := add(schedule, 0x20)
            mstore(target, version)
            mstore(add(target, 0x20), retirements)
            target := add(target, HEAD_BYTES)
            let entry := add(levels, 0x20)
            for {
                let end := add(entry, shl(5, mload(levels)))
            } lt(entry, end) {
                entry := add(entry, 0x20)
            } {
                mcopy(target, mload(entry), LEVEL_BYTES)
                target := add(target, LEVEL_BYTES)
            }
        }
    }

    function last(IDataSetEscrow.Level[] memory levels) internal pure returns (IDataSetEscrow.Level memory) {
        return levels[levels.length - 1];
    }

    /// @return sum Fees of the epochs behind `afterEpoch` up to `throughEpoch`.
    function feesBetween(
        IDataSetEscrow.Level[] memory levels,
        uint256 afterEpoch,
        uint256 throughEpoch
    ) internal pure returns (uint256 sum) {
        for (uint256 i; i < levels.length; ++i) {
            uint256 from = levels[i].fromEpoch;
            if (from <= afterEpoch) from = afterEpoch + 1;
            uint256 through = i + 1 < levels.length ? levels[i + 1].fromEpoch - 1 : throughEpoch;
            if (through > throughEpoch) through = throughEpoch;
            if (from <= through) sum += levels[i].fee * (through + 1 - from);
        }
    }

    /// @return amount What is paid in advance: the part of the fees after `epoch` that the last fee does not cover.
    function paidAhead(IDataSetEscrow.Level[] memory levels, uint256 epoch) internal pure returns (uint256 amount) {
        IDataSetEscrow.Level memory final_ = last(levels);
        if (final_.fromEpoch <= epoch + 1) return 0;
        uint256 through = final_.fromEpoch - 1;
        return feesBetween(levels, epoch, through) - final_.fee * (through - epoch);
    }

    function highestFee(IDataSetEscrow.Level[] memory levels) internal pure returns (uint256 highest) {
        for (uint256 i; i < levels.length; ++i) {
            if (levels[i].fee > highest) highest = levels[i].fee;
        }
    }

    /// @notice A new list: without the levels that only count in settled epochs and without those that begin at or
    /// after the new level, and the new level behind them.
    function extend(
        IDataSetEscrow.Level[] memory levels,
        uint256 settledThrough,
        IDataSetEscrow.Level memory added
    ) internal pure returns (IDataSetEscrow.Level[] memory extended) {
        uint256 first;
        while (first + 1 < levels.length && levels[first + 1].fromEpoch <= settledThrough + 1) ++first;
        uint256 end = levels.length;
        while (end > first && levels[end - 1].fromEpoch >= added.fromEpoch) --end;
        extended = new IDataSetEscrow.Level[](end - first + 1);
        for (uint256 i = first; i < end; ++i) extended[i - first] = levels[i];
        extended[end - first] = added;
    }
}
