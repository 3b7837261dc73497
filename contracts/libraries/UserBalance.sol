// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";

/// @title Balance of a user for all its data sets in one token
/// @notice A stream: every epoch costs `rate`, the sum of the fees of all running sets, and is paid at its beginning.
/// The balance is brought up to date when it is touched, in one step for any number of epochs. When it is used up, all
/// sets end at the same epoch, whatever is settled first: the **generation** of the balance ends, and a set belongs to
/// the generation in which it was opened.
///
/// A change in epoch e counts from epoch e + 1 on. A set whose fee will sink later than that, or which will end, is
/// paid in advance for the epochs between, so that the rate is always the sum of the last fees of all schedules.
library UserBalance {
    /// @dev In storage an account is one word: 112 bits available, 80 bits rate, 32 bits each for epoch and generation.
    uint256 private constant RATE_SHIFT = 112;
    uint256 private constant PAID_THROUGH_SHIFT = 192;
    uint256 private constant GENERATION_SHIFT = 224;

    function unpack(uint256 word) internal pure returns (IStorageEscrow.Account memory account) {
        load(account, word);
    }

    /// @notice Reads a word into a structure that is there already.
    function load(IStorageEscrow.Account memory account, uint256 word) internal pure {
        account.available = uint112(word);
        account.rate = uint80(word >> RATE_SHIFT);
        account.paidThrough = uint32(word >> PAID_THROUGH_SHIFT);
        account.generation = word >> GENERATION_SHIFT;
    }

    /// @notice The account as a word. Reverts with `InvalidAmount` for more money than it can count.
    function pack(IStorageEscrow.Account memory account) internal pure returns (uint256) {
        if (account.available > type(uint112).max) revert IStorageEscrow.InvalidAmount(account.available);
        if (account.rate > type(uint80).max) revert IStorageEscrow.InvalidAmount(account.rate);
        return
            account.available |
            (account.rate << RATE_SHIFT) |
            (account.paidThrough << PAID_THROUGH_SHIFT) |
            (account.generation << GENERATION_SHIFT);
    }

    /// @notice Brings an account up to date.
    /// @param account Changed in memory only.
    /// @param epoch Current epoch.
    /// @return endEpoch First epoch that could not be paid, if the balance was used up; else 0.
    function accrue(IStorageEscrow.Account memory account, uint256 epoch) internal pure returns (uint256 endEpoch) {
        uint256 paidThrough = account.paidThrough;
        if (epoch <= paidThrough) return 0;
        account.paidThrough = epoch;
        uint256 rate = account.rate;
        if (rate == 0) return 0;
        uint256 available = account.available;
        uint256 affordable;
        assembly ("memory-safe") {
            // The rate is not 0, which the compiler would look for.
            affordable := div(available, rate)
        }
        unchecked {
            // What is subtracted is at most the part of the balance that the rate divides.
            if (epoch - paidThrough <= affordable) {
                account.available = available - rate * (epoch - paidThrough);
                return 0;
            }
            account.available = available - rate * affordable;
            account.rate = 0;
            ++account.generation;
            return paidThrough + affordable + 1;
        }
    }

    /// @notice Epochs after the paid ones that the balance covers.
    function runway(IStorageEscrow.Account memory account) internal pure returns (uint256) {
        return account.rate == 0 ? type(uint256).max : account.available / account.rate;
    }
}
