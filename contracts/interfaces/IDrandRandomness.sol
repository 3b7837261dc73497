// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRecordedRandomness } from "./IRecordedRandomness.sol";

/// @title Randomness from a drand network
/// @notice The network that a source takes its values from, and what may be wrong with a signature of it.
interface IDrandRandomness is IRecordedRandomness {
    /// @notice A drand network of the scheme `bls-unchained-g1-rfc9380`, and how far its rounds lie after a block.
    /// @param publicKey Key of the network, a point of G2 in the EIP-2537 form (256 bytes).
    /// @param genesisTime Unix time at which round 1 is published.
    /// @param periodSeconds Time between two rounds, at least 1.
    /// @param marginSeconds The round of a block is published at least this long after the block's timestamp.
    struct Network {
        bytes publicKey;
        uint64 genesisTime;
        uint64 periodSeconds;
        uint64 marginSeconds;
    }

    /// @notice The network has rounds without time between them.
    error PeriodZero();

    /// @notice The public key is not a point of G2, or it is the identity.
    /// @param publicKey The bytes that were given.
    error InvalidPublicKey(bytes publicKey);

    /// @notice The evidence is for another round than the block's.
    /// @param blockNumber The block.
    /// @param expected The block's round.
    /// @param received The round in the evidence.
    error RoundMismatch(uint64 blockNumber, uint64 expected, uint64 received);

    /// @notice The signature is not a point of G1 in the EIP-2537 form, or the gas did not suffice for the pairing.
    /// @param signature The bytes that were given.
    error MalformedSignature(bytes signature);

    /// @notice The signature is not that of the network over the round.
    /// @param round The round.
    error WrongSignature(uint64 round);

    /// @notice A precompile gave no answer: the chain lacks it (EIP-2537 came with Prague), or the gas did not suffice.
    /// @param precompile Address of the precompile.
    error PrecompileFailed(address precompile);

    /// @notice The round whose signature gives the randomness of a block: the first that is published at least
    /// `MARGIN_SECONDS()` after the block's timestamp.
    /// @param timestamp Unix time of the block.
    /// @return Number of the round; the first one is 1.
    function roundAt(uint64 timestamp) external view returns (uint64);

    /// @notice Key of the network.
    /// @return A point of G2 in the EIP-2537 form, 256 bytes.
    function publicKey() external view returns (bytes memory);

    // solhint-disable func-name-mixedcase

    /// @notice When round 1 was published.
    /// @return Unix time.
    function GENESIS_TIME() external view returns (uint64);

    /// @notice Time between two rounds.
    /// @return Seconds.
    function PERIOD_SECONDS() external view returns (uint64);

    /// @notice How long after a block's timestamp its round is published, at least.
    /// @return Seconds.
    function MARGIN_SECONDS() external view returns (uint64);

    // solhint-enable func-name-mixedcase
}
