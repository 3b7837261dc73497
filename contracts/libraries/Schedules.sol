// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";

/// @title Schedule of a data set
/// @notice Which level counts in which epoch, and what that costs. Levels ascend; a schedule has at least one.
///
/// Encoded, a schedule is version (8 bytes) ‖ number of retirements (4) ‖ content hash (32), then for each level first
/// epoch (4) ‖ fee (10) ‖ slices (6) ‖ highest index (6) ‖ hash of the ranges (32).
///
/// @dev Sums are unchecked: epochs are below 2^33 and fees below 2^80. Functions that read the last level need a
/// schedule that is not empty.
library Schedules {
    /// @notice Most levels of a schedule: those of unsettled epochs, and up to three in the future.
    uint256 internal constant MAX_LEVELS = 8;
    uint256 private constant HEAD_BYTES = 44;
    uint256 private constant LEVEL_BYTES = 58;
    /// @dev The numbers of an encoded level, which its hash follows.
    uint256 private constant NUMBERS_BYTES = 26;
    /// @dev A level in memory: five words.
    uint256 private constant STRUCT_BYTES = 0xa0;

    /// @notice Fee and hash of the ranges of an epoch that is not before the first level.
    function levelAt(
        IStorageEscrow.Level[] memory levels,
        uint256 epoch
    ) internal pure returns (uint256 fee, bytes32 rangesHash) {
        unchecked {
            uint256 i = levels.length;
            while (i > 1 && _fromEpoch(levels, i - 1) > epoch) --i;
            assembly ("memory-safe") {
                // Level i − 1, whose pointer is behind the length and those before it.
                let level := mload(add(levels, shl(5, i)))
                fee := mload(add(level, 0x20))
                rangesHash := mload(add(level, 0x80))
            }
        }
    }

    /// @notice First epoch of the first level.
    function firstEpoch(IStorageEscrow.Level[] memory levels) internal pure returns (uint256) {
        return _fromEpoch(levels, 0);
    }

    /// @notice Reads an encoded schedule whose hash has been checked.
    /// @param levels In memory that is not copied again.
    function decode(
        bytes calldata schedule
    )
        internal
        pure
        returns (uint256 version, uint256 retirements, bytes32 contentHash, IStorageEscrow.Level[] memory levels)
    {
        assembly ("memory-safe") {
            let source := schedule.offset
            let head := calldataload(source)
            version := shr(192, head)
            retirements := and(shr(160, head), 0xffffffff)
            contentHash := calldataload(add(source, 12))
            // The array of pointers, then what they point to.
            let count := div(sub(schedule.length, HEAD_BYTES), LEVEL_BYTES)
            levels := mload(0x40)
            mstore(levels, count)
            let pointer := add(levels, 0x20)
            let level := add(pointer, shl(5, count))
            source := add(source, HEAD_BYTES)
            for {
                let end := add(source, mul(count, LEVEL_BYTES))
            } lt(source, end) {
                source := add(source, LEVEL_BYTES)
            } {
                mstore(pointer, level)
                let numbers := calldataload(source)
                mstore(level, shr(224, numbers))
                mstore(add(level, 0x20), and(shr(144, numbers), 0xffffffffffffffffffff))
                mstore(add(level, 0x40), and(shr(96, numbers), 0xffffffffffff))
                mstore(add(level, 0x60), and(shr(48, numbers), 0xffffffffffff))
                mstore(add(level, 0x80), calldataload(add(source, NUMBERS_BYTES)))
                pointer := add(pointer, 0x20)
                level := add(level, STRUCT_BYTES)
            }
            mstore(0x40, level)
        }
    }

    function encode(
        IStorageEscrow.Level[] memory levels,
        uint256 version,
        uint256 retirements,
        bytes32 contentHash
    ) internal pure returns (bytes memory schedule) {
        assembly ("memory-safe") {
            let count := mload(levels)
            let length := add(HEAD_BYTES, mul(count, LEVEL_BYTES))
            schedule := mload(0x40)
            mstore(schedule, length)
            let target := add(schedule, 0x20)
            mstore(target, or(shl(192, version), shl(160, retirements)))
            mstore(add(target, 12), contentHash)
            target := add(target, HEAD_BYTES)
            let pointer := add(levels, 0x20)
            for {
                let end := add(pointer, shl(5, count))
            } lt(pointer, end) {
                pointer := add(pointer, 0x20)
            } {
                let level := mload(pointer)
                mstore(
                    target,
                    or(
                        or(shl(224, mload(level)), shl(144, mload(add(level, 0x20)))),
                        or(shl(96, mload(add(level, 0x40))), shl(48, mload(add(level, 0x60))))
                    )
                )
                mstore(add(target, NUMBERS_BYTES), mload(add(level, 0x80)))
                target := add(target, LEVEL_BYTES)
            }
            // Up to a whole word, with zeros behind the end.
            mstore(target, 0)
            mstore(0x40, and(add(target, 0x1f), not(0x1f)))
        }
    }

    /// @notice Epoch in which the last level begins.
    function lastEpoch(IStorageEscrow.Level[] memory levels) internal pure returns (uint256) {
        unchecked {
            return _fromEpoch(levels, levels.length - 1);
        }
    }

    /// @notice Fee of the last level.
    function lastFee(IStorageEscrow.Level[] memory levels) internal pure returns (uint256) {
        unchecked {
            return _fee(levels, levels.length - 1);
        }
    }

    /// @notice Highest index and hash of the ranges of the last level.
    function lastRanges(
        IStorageEscrow.Level[] memory levels
    ) internal pure returns (uint256 highestIndex, bytes32 rangesHash) {
        assembly ("memory-safe") {
            let level := mload(add(levels, shl(5, mload(levels))))
            highestIndex := mload(add(level, 0x60))
            rangesHash := mload(add(level, 0x80))
        }
    }

    /// @return sum Fees of the epochs behind `afterEpoch` up to `throughEpoch`.
    function feesBetween(
        IStorageEscrow.Level[] memory levels,
        uint256 afterEpoch,
        uint256 throughEpoch
    ) internal pure returns (uint256 sum) {
        unchecked {
            for (uint256 i; i < levels.length; ++i) {
                uint256 from = _fromEpoch(levels, i);
                if (from <= afterEpoch) from = afterEpoch + 1;
                uint256 through = i + 1 < levels.length ? _fromEpoch(levels, i + 1) - 1 : throughEpoch;
                if (through > throughEpoch) through = throughEpoch;
                if (from <= through) sum += _fee(levels, i) * (through + 1 - from);
            }
        }
    }

    /// @return amount What is paid in advance: the part of the fees after `epoch` that the last fee does not cover.
    function paidAhead(IStorageEscrow.Level[] memory levels, uint256 epoch) internal pure returns (uint256 amount) {
        uint256 through;
        unchecked {
            through = _fromEpoch(levels, levels.length - 1) - 1;
        }
        if (through <= epoch) return 0;
        return feesBetween(levels, epoch, through) - lastFee(levels) * (through - epoch);
    }

    function highestFee(IStorageEscrow.Level[] memory levels) internal pure returns (uint256 highest) {
        unchecked {
            for (uint256 i; i < levels.length; ++i) {
                uint256 fee = _fee(levels, i);
                if (fee > highest) highest = fee;
            }
        }
    }

    /// @notice What collateral is a percentage of: a fee, rounded up to four significant bits. So a set that grows
    /// seldom changes what its provider locks, which is at most an eighth more than without rounding.
    function securedFee(uint256 fee) internal pure returns (uint256) {
        unchecked {
            // As many ones as the fee has bits beside the four.
            uint256 rest = fee >> 4;
            rest |= rest >> 1;
            rest |= rest >> 2;
            rest |= rest >> 4;
            rest |= rest >> 8;
            rest |= rest >> 16;
            rest |= rest >> 32;
            rest |= rest >> 64;
            return (fee + rest) & ~rest;
        }
    }

    /// @notice A new list: without the levels that only count in settled epochs and without those that begin at or
    /// after the new level, and the new level behind them.
    /// @param levels Also as an empty list.
    function extend(
        IStorageEscrow.Level[] memory levels,
        uint256 settledThrough,
        IStorageEscrow.Level memory added
    ) internal pure returns (IStorageEscrow.Level[] memory extended) {
        unchecked {
            uint256 first;
            while (first + 1 < levels.length && _fromEpoch(levels, first + 1) <= settledThrough + 1) ++first;
            uint256 end = levels.length;
            while (end > first && _fromEpoch(levels, end - 1) >= added.fromEpoch) --end;
            uint256 kept = end - first;
            // Pointers only: `new` would also make room for what they point to.
            assembly ("memory-safe") {
                extended := mload(0x40)
                mstore(extended, add(kept, 1))
                let pointers := add(extended, 0x20)
                mcopy(pointers, add(levels, shl(5, add(first, 1))), shl(5, kept))
                let place := add(pointers, shl(5, kept))
                mstore(place, added)
                mstore(0x40, add(place, 0x20))
            }
        }
    }

    /// @dev First epoch of a level that there is: no check of the index.
    function _fromEpoch(IStorageEscrow.Level[] memory levels, uint256 i) private pure returns (uint256 epoch) {
        assembly ("memory-safe") {
            epoch := mload(mload(add(levels, shl(5, add(i, 1)))))
        }
    }

    /// @dev Fee of a level that there is.
    function _fee(IStorageEscrow.Level[] memory levels, uint256 i) private pure returns (uint256 fee) {
        assembly ("memory-safe") {
            fee := mload(add(mload(add(levels, shl(5, add(i, 1)))), 0x20))
        }
    }
}
