// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";

/// @title The part of a data set that changes with every epoch, as one word
/// @notice From the lowest bits: 8 bits status, 8 disputed, 8 missed, 8 outcomes, and 32 bits each for the last settled
/// epoch, the number of proofs, the generation of the balance and the last epoch after notice.
library SetBooks {
    uint256 private constant DISPUTED_SHIFT = 8;
    uint256 private constant MISSED_SHIFT = 16;
    uint256 private constant OUTCOMES_SHIFT = 24;
    uint256 private constant SETTLED_THROUGH_SHIFT = 32;
    uint256 private constant PROVEN_SHIFT = 64;
    uint256 private constant GENERATION_SHIFT = 96;
    uint256 private constant NOTICED_END_SHIFT = 128;

    function unpack(uint256 word) internal pure returns (IStorageEscrow.Books memory books) {
        load(books, word);
    }

    /// @notice Reads a word into a structure that is there already.
    function load(IStorageEscrow.Books memory books, uint256 word) internal pure {
        books.status = IStorageEscrow.Status(uint8(word));
        books.disputed = uint8(word >> DISPUTED_SHIFT) != 0;
        books.missed = uint8(word >> MISSED_SHIFT);
        books.outcomes = uint8(word >> OUTCOMES_SHIFT);
        books.settledThrough = uint32(word >> SETTLED_THROUGH_SHIFT);
        books.proven = uint32(word >> PROVEN_SHIFT);
        books.generation = uint32(word >> GENERATION_SHIFT);
        books.noticedEnd = word >> NOTICED_END_SHIFT;
    }

    function pack(IStorageEscrow.Books memory books) internal pure returns (uint256) {
        return
            uint256(books.status) |
            (books.disputed ? 1 << DISPUTED_SHIFT : 0) |
            (books.missed << MISSED_SHIFT) |
            (books.outcomes << OUTCOMES_SHIFT) |
            (books.settledThrough << SETTLED_THROUGH_SHIFT) |
            (books.proven << PROVEN_SHIFT) |
            (books.generation << GENERATION_SHIFT) |
            (books.noticedEnd << NOTICED_END_SHIFT);
    }
}
