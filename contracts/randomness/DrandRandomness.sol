// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IDrandRandomness } from "../interfaces/IDrandRandomness.sol";
import { BlockHeader } from "../libraries/BlockHeader.sol";
import { DrandSignature } from "../libraries/DrandSignature.sol";
import { RecordedRandomness } from "./RecordedRandomness.sol";

/// @title Randomness from a drand network
/// @notice The value of a block is a hash of the signature that a drand network made over one round. The round follows
/// from the timestamp of the block: the first one that is published at least `MARGIN_SECONDS` later. So nobody knew it
/// when the block was built, unless a threshold of the network's members colludes. A BLS signature is unique, so nobody
/// can choose between two.
///
/// The margin must be longer than the time for which the block at a height can still be replaced: who waits for the
/// round and then makes the chain take another block, or none, at this height chooses between two rounds.
///
/// Evidence: number of the round (8 bytes, most significant first), signature (G1 in the EIP-2537 form, 128 bytes),
/// then the RLP-encoded header of the block, which proves the timestamp.
///
/// INV-1 to INV-4 are those of `RecordedRandomness`.
/// INV-5: the round of a block is the first that is published `MARGIN_SECONDS` or later after the block's timestamp.
contract DrandRandomness is IDrandRandomness, RecordedRandomness {
    bytes32 private constant TAG = keccak256("tallystick/v1/randomness-drand");
    uint256 private constant ROUND_BYTES = 8;
    uint256 private constant SIGNATURE_END = ROUND_BYTES + DrandSignature.G1_BYTES;

    /// @inheritdoc IDrandRandomness
    uint64 public immutable GENESIS_TIME;
    /// @inheritdoc IDrandRandomness
    uint64 public immutable PERIOD_SECONDS;
    /// @inheritdoc IDrandRandomness
    uint64 public immutable MARGIN_SECONDS;

    /// @dev The public key, in words of the EIP-2537 form: immutables hold no longer values.
    bytes32 private immutable KEY_0;
    bytes32 private immutable KEY_1;
    bytes32 private immutable KEY_2;
    bytes32 private immutable KEY_3;
    bytes32 private immutable KEY_4;
    bytes32 private immutable KEY_5;
    bytes32 private immutable KEY_6;
    bytes32 private immutable KEY_7;

    /// @param network where the values come from
    /// @param grid only blocks whose number is a multiple of this have randomness
    /// @param size entries of the ring; `grid · size` must be at least 8191
    constructor(Network memory network, uint64 grid, uint64 size) RecordedRandomness(grid, size) {
        if (network.periodSeconds == 0) revert PeriodZero();
        if (!DrandSignature.isPublicKey(network.publicKey)) revert InvalidPublicKey(network.publicKey);
        GENESIS_TIME = network.genesisTime;
        PERIOD_SECONDS = network.periodSeconds;
        MARGIN_SECONDS = network.marginSeconds;
        bytes32[8] memory words = abi.decode(network.publicKey, (bytes32[8]));
        (KEY_0, KEY_1, KEY_2, KEY_3) = (words[0], words[1], words[2], words[3]);
        (KEY_4, KEY_5, KEY_6, KEY_7) = (words[4], words[5], words[6], words[7]);
    }

    /// @inheritdoc IDrandRandomness
    function roundAt(uint64 timestamp) external view returns (uint64) {
        return _roundAt(timestamp);
    }

    /// @inheritdoc IDrandRandomness
    function publicKey() external view returns (bytes memory) {
        return _publicKey();
    }

    /// @inheritdoc RecordedRandomness
    function _check(
        uint64 blockNumber,
        bytes32 blockHash,
        bytes calldata evidence
    ) internal view override returns (bytes32 digest) {
        if (evidence.length < SIGNATURE_END) revert EvidenceTooShort(evidence.length, SIGNATURE_END);
        bytes calldata header = evidence[SIGNATURE_END:];
        _requireHeader(blockNumber, blockHash, header);
        (uint64 timestamp, ) = BlockHeader.read(header);

        uint64 expected = _roundAt(timestamp);
        uint64 received = uint64(bytes8(evidence[:ROUND_BYTES]));
        if (received != expected) revert RoundMismatch(blockNumber, expected, received);
        bytes calldata signature = evidence[ROUND_BYTES:SIGNATURE_END];
        DrandSignature.requireValid(expected, signature, _publicKey());
        return keccak256(abi.encode(TAG, keccak256(signature), blockNumber));
    }

    /// @dev Round r is published at GENESIS_TIME + (r − 1)·PERIOD_SECONDS.
    function _roundAt(uint64 timestamp) private view returns (uint64) {
        uint256 earliest = uint256(timestamp) + MARGIN_SECONDS;
        if (earliest <= GENESIS_TIME) return 1;
        uint256 periods = (earliest - GENESIS_TIME + PERIOD_SECONDS - 1) / PERIOD_SECONDS;
        // At most 2·2^64 seconds after genesis; a round beyond 2^64 would be signed in no time that matters, but must
        // not wrap around to an early one.
        return periods >= type(uint64).max ? type(uint64).max : uint64(periods + 1);
    }

    function _publicKey() private view returns (bytes memory) {
        return abi.encodePacked(KEY_0, KEY_1, KEY_2, KEY_3, KEY_4, KEY_5, KEY_6, KEY_7);
    }
}
