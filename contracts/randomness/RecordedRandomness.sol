// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRecordedRandomness } from "../interfaces/IRecordedRandomness.sol";
import { IRandomnessSource } from "../interfaces/IRandomnessSource.sol";
import { BlockHash } from "../libraries/BlockHash.sol";

/// @title Ring of recorded values
/// @notice Holds the values of the last blocks of a grid, one storage slot each. The slot of a block is
/// (blockNumber / gridBlocks) modulo ringSize, so that no new slots are used once the ring is full. A slot has the
/// number of the block (64 bits), then the last 192 bits of a hash of what the evidence proved. What is returned is the
/// hash of the slot. Has no owner and holds no money; any account may record.
///
/// INV-1: two calls for one block never return different values, and never zero.
/// INV-2: the value of a block replaces that of an earlier block of the same slot only.
/// INV-3: a value stays readable for `horizonBlocks()` blocks after its block, because two blocks of one slot are at
/// least as far apart as the chain tells hashes of blocks.
/// INV-4: only the evidence decides the value: not the caller, nor the time of the call.
abstract contract RecordedRandomness is IRecordedRandomness {
    uint256 private constant DIGEST_BITS = 192;

    uint64 private immutable GRID_BLOCKS;
    uint64 private immutable RING_SIZE;

    mapping(uint256 place => uint256 entry) private _entries;

    /// @param grid only blocks whose number is a multiple of this have randomness
    /// @param size entries of the ring; `grid · size` must be at least 8191
    constructor(uint64 grid, uint64 size) {
        uint256 coveredBlocks = uint256(grid) * size;
        if (coveredBlocks < BlockHash.HISTORY_BLOCKS) revert RingTooSmall(coveredBlocks, BlockHash.HISTORY_BLOCKS);
        GRID_BLOCKS = grid;
        RING_SIZE = size;
    }

    /// @inheritdoc IRandomnessSource
    function record(uint64 blockNumber, bytes calldata evidence) external returns (bytes32 randomness) {
        if (blockNumber % GRID_BLOCKS != 0) revert BlockOffGrid(blockNumber, GRID_BLOCKS);
        uint256 place = _placeOf(blockNumber);
        uint256 entry = _entries[place];
        if (_isOf(entry, blockNumber)) return _expand(entry);

        if (blockNumber >= block.number) revert BlockNotInPast(blockNumber, block.number);
        bytes32 blockHash = BlockHash.find(blockNumber);
        bool isReplaced = entry >> DIGEST_BITS > blockNumber;
        if (isReplaced || blockHash == bytes32(0)) revert BlockTooOld(blockNumber, block.number);

        uint256 digest = uint256(_check(blockNumber, blockHash, evidence));
        entry = (uint256(blockNumber) << DIGEST_BITS) | uint192(digest);
        _entries[place] = entry;
        randomness = _expand(entry);
        emit RandomnessRecorded(blockNumber, randomness);
    }

    /// @inheritdoc IRandomnessSource
    function randomnessAt(uint64 blockNumber) external view returns (bytes32 randomness) {
        uint256 entry = _entries[_placeOf(blockNumber)];
        if (!_isOf(entry, blockNumber)) revert RandomnessUnavailable(blockNumber, block.number);
        return _expand(entry);
    }

    /// @inheritdoc IRandomnessSource
    function horizonBlocks() external view returns (uint64) {
        return BlockHash.horizon();
    }

    /// @inheritdoc IRandomnessSource
    function gridBlocks() external view returns (uint64) {
        return GRID_BLOCKS;
    }

    /// @inheritdoc IRecordedRandomness
    function ringSize() external view returns (uint64) {
        return RING_SIZE;
    }

    /// @dev Checks evidence.
    /// @param blockNumber a past block
    /// @param blockHash its hash
    /// @param evidence as it was given
    /// @return digest a hash of what the evidence proved and of the block's number; the low 192 bits are stored
    function _check(
        uint64 blockNumber,
        bytes32 blockHash,
        bytes calldata evidence
    ) internal view virtual returns (bytes32 digest);

    /// @dev Reverts unless the header is that of the block.
    function _requireHeader(uint64 blockNumber, bytes32 blockHash, bytes calldata header) internal pure {
        bytes32 received = keccak256(header);
        if (received != blockHash) revert HeaderMismatch(blockNumber, blockHash, received);
    }

    function _placeOf(uint64 blockNumber) private view returns (uint256) {
        return (blockNumber / GRID_BLOCKS) % RING_SIZE;
    }

    /// @dev Whether an entry is the one of this block. An empty one is zero, which no entry is, not even of block 0.
    function _isOf(uint256 entry, uint64 blockNumber) private pure returns (bool) {
        return entry != 0 && entry >> DIGEST_BITS == blockNumber;
    }

    function _expand(uint256 entry) private pure returns (bytes32) {
        return keccak256(abi.encode(entry));
    }
}
