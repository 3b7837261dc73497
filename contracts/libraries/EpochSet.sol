// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { EpochIndex } from "../types/EpochIndex.sol";

/// @title How the epochs of one agreement were settled
/// @notice Two bits per epoch, 128 epochs per storage word: unsettled, proven, or missed. Both outcomes share one
/// field, so an epoch cannot have both.
library EpochSet {
    enum Outcome {
        Unsettled,
        Proven,
        Missed
    }

    struct Set {
        mapping(uint256 word => uint256 outcomes) words;
    }

    uint256 private constant OUTCOME_MASK = 3;

    function outcomeOf(Set storage set, EpochIndex epoch) internal view returns (Outcome) {
        (uint256 word, uint256 shift) = _position(epoch);
        return Outcome((set.words[word] >> shift) & OUTCOME_MASK);
    }

    /// @dev The epoch must be unsettled: an outcome is ORed in, and never replaced.
    function settle(Set storage set, EpochIndex epoch, Outcome outcome) internal {
        (uint256 word, uint256 shift) = _position(epoch);
        set.words[word] |= uint256(outcome) << shift;
    }

    function _position(EpochIndex epoch) private pure returns (uint256 word, uint256 shift) {
        uint256 index = EpochIndex.unwrap(epoch);
        word = index >> 7;
        shift = (index & 127) << 1;
    }
}
