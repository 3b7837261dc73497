// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRecordedRandomness } from "../interfaces/IRecordedRandomness.sol";

/// @title Reader of block headers
/// @notice Reads two fields of an RLP-encoded header of the execution layer: a list of parentHash, ommersHash,
/// beneficiary, stateRoot, transactionsRoot, receiptsRoot, logsBloom, difficulty, number, gasLimit, gasUsed, timestamp,
/// extraData, mixHash, nonce, and the fields that forks have added after these.
///
/// The caller has compared the hash of the header with that of the block, so the fields are those of the block. What is
/// checked here is that this chain's headers have the form above, because a field that is read at the wrong place would
/// be no randomness: every length is that of its field, encodings are the shortest possible, and nothing is read beyond
/// the list. Fields after the nonce may be any.
library BlockHeader {
    /// @dev Lists whose content has two bytes of length. The bloom filter alone is longer than one byte can say.
    uint256 private constant LIST_OF_TWO_LENGTH_BYTES = 0xf9;
    uint256 private constant LIST_HEAD_BYTES = 3;
    /// @dev Prefixes of strings of 8, 20, 32 and 256 bytes.
    uint256 private constant STRING_8 = 0x88;
    uint256 private constant STRING_20 = 0x94;
    uint256 private constant STRING_32 = 0xa0;
    uint256 private constant STRING_256 = 0xb90100;
    /// @dev Integers and extra data have at most 32 bytes.
    uint256 private constant EMPTY_STRING = 0x80;
    uint256 private constant MAX_SHORT_BYTES = 32;

    /// @dev Where the fields in front of the difficulty begin; all of them have fixed lengths.
    uint256 private constant PARENT_HASH = 3;
    uint256 private constant OMMERS_HASH = 36;
    uint256 private constant BENEFICIARY = 69;
    uint256 private constant STATE_ROOT = 90;
    uint256 private constant TRANSACTIONS_ROOT = 123;
    uint256 private constant RECEIPTS_ROOT = 156;
    uint256 private constant LOGS_BLOOM = 189;
    uint256 private constant DIFFICULTY = 448;

    /// @notice Reads a header.
    /// @param header RLP encoding, with nothing behind it
    /// @return timestamp Unix time of the block
    /// @return mixHash what consensus put there: since the Merge, the RANDAO mix of the beacon chain (EIP-4399).
    /// Reverts with `MalformedHeader`.
    function read(bytes calldata header) internal pure returns (uint64 timestamp, bytes32 mixHash) {
        // A length of the content that one byte could hold would not be the shortest encoding.
        bool isTooShort = header.length <= LIST_HEAD_BYTES + type(uint8).max;
        if (isTooShort) revert IRecordedRandomness.MalformedHeader(header.length);
        _expect(header, 0, 1, LIST_OF_TWO_LENGTH_BYTES);
        _expect(header, 1, 2, header.length - LIST_HEAD_BYTES);

        _expect(header, PARENT_HASH, 1, STRING_32);
        _expect(header, OMMERS_HASH, 1, STRING_32);
        _expect(header, BENEFICIARY, 1, STRING_20);
        _expect(header, STATE_ROOT, 1, STRING_32);
        _expect(header, TRANSACTIONS_ROOT, 1, STRING_32);
        _expect(header, RECEIPTS_ROOT, 1, STRING_32);
        _expect(header, LOGS_BLOOM, 3, STRING_256);

        uint256 offset = DIFFICULTY;
        uint256 value;
        // Difficulty, number, gas limit, gas used.
        for (uint256 i = 0; i < 4; ++i) (, offset) = _readInteger(header, offset);
        uint256 place = offset;
        (value, offset) = _readInteger(header, place);
        if (value > type(uint64).max) revert IRecordedRandomness.MalformedHeader(place);
        timestamp = uint64(value);
        offset = _skipExtraData(header, offset);

        _expect(header, offset, 1, STRING_32);
        mixHash = bytes32(_read(header, offset + 1, 32));
        _expect(header, offset + 33, 1, STRING_8);
        _read(header, offset + 34, 8);
    }

    /// @dev The bytes at an offset must be these.
    function _expect(bytes calldata header, uint256 offset, uint256 count, uint256 expected) private pure {
        if (_read(header, offset, count) != expected) revert IRecordedRandomness.MalformedHeader(offset);
    }

    /// @dev Up to 32 bytes as a number. The only function that reads, and it does not read beyond the header.
    function _read(bytes calldata header, uint256 offset, uint256 count) private pure returns (uint256 value) {
        if (offset + count > header.length) revert IRecordedRandomness.MalformedHeader(offset);
        assembly ("memory-safe") {
            // Bytes behind the ones that are asked for are shifted out.
            value := shr(sub(256, mul(8, count)), calldataload(add(header.offset, offset)))
        }
    }

    /// @dev An integer is a string without leading zeros; zero is the empty string.
    function _readInteger(bytes calldata header, uint256 offset) private pure returns (uint256 value, uint256 next) {
        uint256 prefix = _read(header, offset, 1);
        if (prefix < EMPTY_STRING) {
            if (prefix == 0) revert IRecordedRandomness.MalformedHeader(offset);
            return (prefix, offset + 1);
        }
        uint256 count = _shortLength(prefix, offset);
        next = offset + 1 + count;
        if (count == 0) return (0, next);
        value = _read(header, offset + 1, count);
        bool hasLeadingZero = value >> (8 * (count - 1)) == 0;
        bool hasLongForm = value < EMPTY_STRING;
        if (hasLeadingZero || hasLongForm) revert IRecordedRandomness.MalformedHeader(offset);
    }

    /// @dev Extra data is a string that may begin with zeros.
    function _skipExtraData(bytes calldata header, uint256 offset) private pure returns (uint256 next) {
        uint256 prefix = _read(header, offset, 1);
        if (prefix < EMPTY_STRING) return offset + 1;
        uint256 count = _shortLength(prefix, offset);
        bool hasLongForm = count == 1 && _read(header, offset + 1, 1) < EMPTY_STRING;
        if (hasLongForm) revert IRecordedRandomness.MalformedHeader(offset);
        return offset + 1 + count;
    }

    /// @dev Length of a string that has a prefix of one byte.
    function _shortLength(uint256 prefix, uint256 offset) private pure returns (uint256 count) {
        if (prefix > EMPTY_STRING + MAX_SHORT_BYTES) revert IRecordedRandomness.MalformedHeader(offset);
        return prefix - EMPTY_STRING;
    }
}
