// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Live ranges of a data set
/// @notice The indices of the slices that are stored, as a packed list: for each range its first index and its number
/// of indices, 6 bytes each, most significant byte first. Ranges ascend, do not touch and are not empty; index 0 does
/// not exist. So there is one list for a set of indices, and its hash stands for it.
library LiveRanges {
    /// @notice The list is not a number of whole ranges, or has too many.
    error MalformedRanges(uint256 lengthBytes);
    /// @notice A range is empty, begins at 0, or does not lie behind the one before it with a gap between them.
    error RangeOutOfOrder(uint256 position, uint256 firstIndex, uint256 sliceCount);
    /// @notice Several ranges have more slices than a proof can draw from.
    error TooManySlices(uint256 sliceCount);
    /// @notice A slice that is not new was not in the list before: it is retired, or its index was never given.
    error IndexNotLive(uint256 firstIndex, uint256 lastIndex, uint256 highestIndex);

    /// @notice The list leaves out slices that it has to keep.
    error SliceDropped(uint256 firstIndex, uint256 lastIndex);

    /// @notice Most ranges in a list.
    uint256 internal constant MAX_RANGES = 32;
    uint256 private constant RANGE_BYTES = 12;
    /// @dev Several ranges have fewer slices together: `PdpVerifier` needs the highest bit of a lane of 32 bits, and
    /// refuses every proof of a longer list. One range may have more.
    uint256 private constant SEVERAL_RANGES_LIMIT = 1 << 31;

    /// @notice Checks a list.
    /// @return sliceCount Number of indices in it.
    /// @return lastIndex Its last index, 0 for an empty list.
    function check(bytes calldata ranges) internal pure returns (uint256 sliceCount, uint256 lastIndex) {
        uint256 length = ranges.length;
        if (length % RANGE_BYTES != 0 || length > MAX_RANGES * RANGE_BYTES) revert MalformedRanges(length);
        uint256 free = 1;
        unchecked {
            for (uint256 offset; offset < length; offset += RANGE_BYTES) {
                (uint256 first, uint256 last) = _range(ranges, offset);
                // `last` is below `first` for an empty range. The end must have an index behind it, for `free` below.
                if (first < free || last < first || last >= type(uint48).max) {
                    revert RangeOutOfOrder(offset / RANGE_BYTES, first, last + 1 - first);
                }
                sliceCount += last + 1 - first;
                lastIndex = last;
                free = last + 2;
            }
        }
        if (sliceCount >= SEVERAL_RANGES_LIMIT && length > RANGE_BYTES) revert TooManySlices(sliceCount);
    }

    /// @notice Checks that a list revives nothing: its indices up to `highestIndex` are in the list before it.
    /// @dev Both lists must have been checked. One pass over both.
    function checkFollows(bytes calldata ranges, bytes calldata before, uint256 highestIndex) internal pure {
        uint256 old;
        unchecked {
            for (uint256 offset; offset < ranges.length; offset += RANGE_BYTES) {
                (uint256 first, uint256 last) = _range(ranges, offset);
                if (first > highestIndex) return;
                if (last > highestIndex) last = highestIndex;
                while (true) {
                    if (old == before.length) revert IndexNotLive(first, last, highestIndex);
                    (uint256 oldFirst, uint256 oldLast) = _range(before, old);
                    if (oldLast >= first) {
                        if (oldFirst > first || oldLast < last) revert IndexNotLive(first, last, highestIndex);
                        break;
                    }
                    old += RANGE_BYTES;
                }
            }
        }
    }

    /// @notice Checks that a list keeps every index of the one before it.
    /// @dev That one must have been checked. Ranges do not touch, so each has to lie within one range of the list.
    function checkContains(bytes calldata ranges, bytes calldata before) internal pure {
        uint256 place;
        unchecked {
            for (uint256 offset; offset < before.length; offset += RANGE_BYTES) {
                (uint256 first, uint256 last) = _range(before, offset);
                while (true) {
                    if (place >= ranges.length) revert SliceDropped(first, last);
                    (uint256 newFirst, uint256 newLast) = _range(ranges, place);
                    if (newLast >= first) {
                        if (newFirst > first || newLast < last) revert SliceDropped(first, last);
                        break;
                    }
                    place += RANGE_BYTES;
                }
            }
        }
    }

    function _range(bytes calldata ranges, uint256 offset) private pure returns (uint256 first, uint256 last) {
        assembly ("memory-safe") {
            let word := calldataload(add(ranges.offset, offset))
            first := shr(208, word)
            // Wraps for an empty range that begins at 0, which the caller refuses for its beginning.
            last := sub(add(first, and(shr(160, word), 0xffffffffffff)), 1)
        }
    }
}
