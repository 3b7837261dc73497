// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRandomnessSource } from "../interfaces/IRandomnessSource.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { AgreementRecord } from "../types/AgreementRecord.sol";

/// @title Terms of an agreement
/// @notice Which terms are allowed, how they are stored, and what their hash is.
library AgreementTerms {
    /// @notice The token address that stands for the native coin.
    address internal constant NATIVE = address(0);
    /// @notice The last block of an agreement is at most this many blocks after its proposal: about 150 years of
    /// 12-second blocks, 25 years of 2-second blocks.
    uint256 internal constant MAX_BLOCKS = 400_000_000;
    /// @notice Most slices in one challenge. A proof of more would come close to the gas limit of a transaction.
    uint16 internal constant MAX_SAMPLES = 2048;

    /// @dev Reverts when the terms are not allowed at the current block.
    function check(IStorageEscrow.Terms calldata terms) internal view {
        if (terms.provider == address(0)) revert IStorageEscrow.ZeroProvider();
        if (terms.token != NATIVE && terms.token.code.length == 0) revert IStorageEscrow.NotAContract(terms.token);
        if (terms.feePerEpoch == 0) revert IStorageEscrow.ZeroFee();
        if (terms.epochs == 0) revert IStorageEscrow.ZeroEpochs();
        if (terms.sampleCount == 0) revert IStorageEscrow.ZeroSamples();
        if (terms.sampleCount > MAX_SAMPLES) revert IStorageEscrow.TooManySamples(terms.sampleCount, MAX_SAMPLES);
        if (terms.breachLimit == 0) revert IStorageEscrow.ZeroBreachLimit();
        if (terms.auditKeyHash == bytes32(0) || terms.manifestHash == bytes32(0)) revert IStorageEscrow.ZeroHash();
        if (terms.startBlock <= block.number) revert IStorageEscrow.StartNotInFuture(terms.startBlock, block.number);
        if (terms.windowBlocks == 0 || terms.windowBlocks > terms.epochBlocks) {
            revert IStorageEscrow.InvalidWindow(terms.windowBlocks, terms.epochBlocks);
        }
        uint256 endBlock = terms.startBlock + uint256(terms.epochs - 1) * terms.epochBlocks + terms.windowBlocks;
        uint256 latestAllowed = block.number + MAX_BLOCKS;
        if (endBlock > latestAllowed) revert IStorageEscrow.EndTooFar(endBlock, latestAllowed);
        if (terms.firstIndex == 0 || terms.sliceCount == 0 || uint256(terms.firstIndex) + terms.sliceCount > 1 << 48) {
            revert IStorageEscrow.InvalidSliceRange(terms.firstIndex, terms.sliceCount);
        }
        uint256 minimum = terms.breachLimit * (uint256(terms.compensationPerMiss) + terms.bountyPerMiss);
        if (terms.collateral < minimum) revert IStorageEscrow.CollateralTooLow(terms.collateral, minimum);

        if (terms.randomness.code.length == 0) revert IStorageEscrow.NotAContract(terms.randomness);
        uint64 horizonBlocks = IRandomnessSource(terms.randomness).horizonBlocks();
        if (terms.windowBlocks > horizonBlocks) {
            revert IStorageEscrow.WindowBeyondHorizon(terms.windowBlocks, horizonBlocks);
        }
    }

    /// @dev The record of a proposal. The terms must have passed `check`.
    function toRecord(
        IStorageEscrow.Terms calldata terms,
        address user
    ) internal pure returns (AgreementRecord memory) {
        return
            AgreementRecord({
                provider: terms.provider,
                epochBlocks: terms.epochBlocks,
                windowBlocks: terms.windowBlocks,
                epochs: terms.epochs,
                token: terms.token,
                firstIndex: terms.firstIndex,
                sampleCount: terms.sampleCount,
                breachLimit: terms.breachLimit,
                randomness: terms.randomness,
                // Fits: `check` bounds it by the current block number plus MAX_BLOCKS.
                startBlock: uint48(terms.startBlock),
                epochsProven: 0,
                status: IStorageEscrow.AgreementStatus.Proposed,
                user: user,
                sliceCount: terms.sliceCount,
                epochsMissed: 0,
                feePerEpoch: terms.feePerEpoch,
                compensationPerMiss: terms.compensationPerMiss,
                bountyPerMiss: terms.bountyPerMiss,
                collateral: terms.collateral,
                auditKeyHash: terms.auditKeyHash,
                manifestHash: terms.manifestHash
            });
    }

    /// @dev The terms as they were proposed.
    function termsOf(AgreementRecord storage record) internal view returns (IStorageEscrow.Terms memory) {
        return
            IStorageEscrow.Terms({
                provider: record.provider,
                token: record.token,
                feePerEpoch: record.feePerEpoch,
                compensationPerMiss: record.compensationPerMiss,
                bountyPerMiss: record.bountyPerMiss,
                collateral: record.collateral,
                startBlock: record.startBlock,
                epochBlocks: record.epochBlocks,
                windowBlocks: record.windowBlocks,
                epochs: record.epochs,
                sampleCount: record.sampleCount,
                breachLimit: record.breachLimit,
                firstIndex: record.firstIndex,
                sliceCount: record.sliceCount,
                auditKeyHash: record.auditKeyHash,
                manifestHash: record.manifestHash,
                randomness: record.randomness
            });
    }

    /// @dev keccak256(abi.encode(user, terms)).
    function hashOf(AgreementRecord storage record) internal view returns (bytes32) {
        return keccak256(abi.encode(record.user, termsOf(record)));
    }
}
