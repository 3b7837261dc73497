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
        assembly ("memory-safe") {
            // Only `pack` writes words, so the status is one of the enumeration.
            mstore(books, and(word, 0xff))
            mstore(add(books, 0x20), iszero(iszero(and(shr(DISPUTED_SHIFT, word), 0xff))))
            mstore(add(books, 0x40), and(shr(MISSED_SHIFT, word), 0xff))
            mstore(add(books, 0x60), and(shr(OUTCOMES_SHIFT, word), 0xff))
            mstore(add(books, 0x80), and(shr(SETTLED_THROUGH_SHIFT, word), 0xffffffff))
            mstore(add(books, 0xa0), and(shr(PROVEN_SHIFT, word), 0xffffffff))
            mstore(add(books, 0xc0), and(shr(GENERATION_SHIFT, word), 0xffffffff))
            mstore(add(books, 0xe0), shr(NOTICED_END_SHIFT, word))
        }
    }

    function isRunning(IStorageEscrow.Books memory books) internal pure returns (bool running) {
        uint256 expected = uint256(IStorageEscrow.Status.Running);
        assembly ("memory-safe") {
            running := eq(mload(books), expected)
        }
    }

    function pack(IStorageEscrow.Books memory books) internal pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := or(
                or(
                    or(mload(books), shl(DISPUTED_SHIFT, mload(add(books, 0x20)))),
                    or(shl(MISSED_SHIFT, mload(add(books, 0x40))), shl(OUTCOMES_SHIFT, mload(add(books, 0x60))))
                ),
                or(
                    or(shl(SETTLED_THROUGH_SHIFT, mload(add(books, 0x80))), shl(PROVEN_SHIFT, mload(add(books, 0xa0)))),
                    or(shl(GENERATION_SHIFT, mload(add(books, 0xc0))), shl(NOTICED_END_SHIFT, mload(add(books, 0xe0))))
                )
            )
        }
    }
}
