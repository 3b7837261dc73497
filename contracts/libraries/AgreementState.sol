// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IRandomnessSource } from "../interfaces/IRandomnessSource.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { AgreementId } from "../types/AgreementId.sol";
import { AgreementRecord } from "../types/AgreementRecord.sol";
import { EpochIndex } from "../types/EpochIndex.sol";
import { AgreementTerms } from "./AgreementTerms.sol";
import { EpochSet } from "./EpochSet.sol";
import { PdpVerifier } from "./PdpVerifier.sol";

/// @title State machine of one agreement
/// @notice
///   propose -> Proposed    cancel -> Cancelled
///   accept  -> Active      prove and miss settle epochs, each epoch once
///   miss    -> Breached    when the number of misses reaches the breach limit
///   close   -> Closed      from Breached, or from Active after the last window
///
/// A transition checks that it is allowed, changes the state, and returns what the escrow has to take or to credit. The
/// escrow identifies the caller, moves the money and emits the events.
library AgreementState {
    using AgreementTerms for AgreementRecord;
    using AgreementTerms for IStorageEscrow.Terms;
    using EpochSet for EpochSet.Set;

    struct State {
        AgreementRecord record;
        EpochSet.Set outcomes;
    }

    /// @notice Result of a reported miss.
    /// @param userCredit Fee and compensation.
    /// @param breached Whether this miss ended the agreement.
    struct Miss {
        address user;
        address token;
        uint256 fee;
        uint256 compensation;
        uint256 bounty;
        bool breached;
    }

    /// @notice Result of closing: who gets what, and how the epochs were settled.
    struct Ending {
        address user;
        address provider;
        address token;
        bool breached;
        uint32 proven;
        uint32 missed;
        uint32 lapsed;
        uint256 userCredit;
        uint256 providerCredit;
    }

    /// @return deposit What the user has to deposit: the fees of all epochs.
    function propose(
        State storage self,
        address user,
        IStorageEscrow.Terms calldata terms
    ) internal returns (uint256 deposit) {
        terms.check();
        self.record = terms.toRecord(user);
        deposit = uint256(terms.feePerEpoch) * terms.epochs;
    }

    /// @return user Who gets the refund.
    /// @return token Token of the refund.
    /// @return refund The deposit.
    function cancel(
        State storage self,
        AgreementId id,
        address caller
    ) internal returns (address user, address token, uint256 refund) {
        AgreementRecord storage record = self.record;
        _checkStatus(self, id, IStorageEscrow.AgreementStatus.Proposed);
        user = record.user;
        if (caller != user && block.number < record.startBlock) revert IStorageEscrow.NotUser(caller, user);

        record.status = IStorageEscrow.AgreementStatus.Cancelled;
        token = record.token;
        refund = uint256(record.feePerEpoch) * record.epochs;
    }

    /// @return collateral What the provider has to deposit.
    function accept(
        State storage self,
        AgreementId id,
        address caller,
        bytes32 termsHash
    ) internal returns (uint256 collateral) {
        AgreementRecord storage record = self.record;
        _checkStatus(self, id, IStorageEscrow.AgreementStatus.Proposed);
        if (caller != record.provider) revert IStorageEscrow.NotProvider(caller, record.provider);
        if (block.number >= record.startBlock) revert IStorageEscrow.AcceptedTooLate(record.startBlock, block.number);
        bytes32 actualHash = record.hashOf();
        if (termsHash != actualHash) revert IStorageEscrow.TermsMismatch(id, actualHash, termsHash);

        record.status = IStorageEscrow.AgreementStatus.Active;
        collateral = record.collateral;
    }

    /// @dev The challenge that a proof sent now must answer. Reverts when the epoch takes no proof under this key now.
    function openChallenge(
        State storage self,
        AgreementId id,
        EpochIndex epoch,
        bytes32 keyHash
    ) internal view returns (PdpVerifier.Challenge memory) {
        AgreementRecord storage record = self.record;
        _checkUnsettled(self, id, epoch);
        (uint256 openBlock, uint256 deadlineBlock) = window(self, epoch);
        if (block.number <= openBlock || block.number > deadlineBlock) {
            revert IStorageEscrow.OutsideWindow(block.number, openBlock, deadlineBlock);
        }
        if (keyHash != record.auditKeyHash) revert IStorageEscrow.WrongAuditKey(record.auditKeyHash, keyHash);
        return challengeAt(self, id, epoch, openBlock);
    }

    /// @dev Settles the epoch as proven. The proof must answer the `openChallenge` of the same block.
    /// @return provider Who gets the fee.
    /// @return token Token of the fee.
    /// @return fee Fee of the epoch.
    function prove(
        State storage self,
        EpochIndex epoch
    ) internal returns (address provider, address token, uint256 fee) {
        AgreementRecord storage record = self.record;
        self.outcomes.settle(epoch, EpochSet.Outcome.Proven);
        ++record.epochsProven;
        (provider, token, fee) = (record.provider, record.token, record.feePerEpoch);
    }

    /// @dev Settles the epoch as missed; ends the agreement when the breach limit is reached.
    function miss(State storage self, AgreementId id, EpochIndex epoch) internal returns (Miss memory result) {
        AgreementRecord storage record = self.record;
        _checkUnsettled(self, id, epoch);
        (, uint256 deadlineBlock) = window(self, epoch);
        if (block.number <= deadlineBlock) revert IStorageEscrow.WindowStillOpen(block.number, deadlineBlock);

        self.outcomes.settle(epoch, EpochSet.Outcome.Missed);
        uint32 missed = ++record.epochsMissed;
        result = Miss({
            user: record.user,
            token: record.token,
            fee: record.feePerEpoch,
            compensation: record.compensationPerMiss,
            bounty: record.bountyPerMiss,
            breached: missed == record.breachLimit
        });
        if (result.breached) record.status = IStorageEscrow.AgreementStatus.Breached;
    }

    /// @dev Ends an agreement that is breached, or whose last window is over.
    function close(State storage self, AgreementId id) internal returns (Ending memory ending) {
        AgreementRecord storage record = self.record;
        bool breached = record.status == IStorageEscrow.AgreementStatus.Breached;
        uint32 epochs = record.epochs;
        if (!breached) {
            _checkStatus(self, id, IStorageEscrow.AgreementStatus.Active);
            (, uint256 lastBlock) = window(self, EpochIndex.wrap(epochs - 1));
            if (block.number <= lastBlock) revert IStorageEscrow.WindowStillOpen(block.number, lastBlock);
        }
        record.status = IStorageEscrow.AgreementStatus.Closed;

        (uint32 proven, uint32 missed) = (record.epochsProven, record.epochsMissed);
        uint32 lapsed = epochs - proven - missed;
        (uint256 userCredit, uint256 providerCredit) = _finalCredits(record, missed, lapsed);
        ending = Ending({
            user: record.user,
            provider: record.provider,
            token: record.token,
            breached: breached,
            proven: proven,
            missed: missed,
            lapsed: lapsed,
            userCredit: userCredit,
            providerCredit: providerCredit
        });
    }

    /// @dev How an epoch stands at the current block. Reverts when there is no such agreement or epoch.
    function epochStatus(
        State storage self,
        AgreementId id,
        EpochIndex epoch
    ) internal view returns (IStorageEscrow.EpochStatus) {
        checkExists(self, id);
        checkEpoch(self, id, epoch);
        AgreementRecord storage record = self.record;
        EpochSet.Outcome outcome = self.outcomes.outcomeOf(epoch);
        if (outcome == EpochSet.Outcome.Proven) return IStorageEscrow.EpochStatus.Proven;
        if (outcome == EpochSet.Outcome.Missed) return IStorageEscrow.EpochStatus.Missed;
        IStorageEscrow.AgreementStatus status = record.status;
        if (status == IStorageEscrow.AgreementStatus.Proposed) return IStorageEscrow.EpochStatus.Upcoming;
        if (status != IStorageEscrow.AgreementStatus.Active) return IStorageEscrow.EpochStatus.Lapsed;
        (uint256 openBlock, uint256 deadlineBlock) = window(self, epoch);
        if (block.number <= openBlock) return IStorageEscrow.EpochStatus.Upcoming;
        return block.number <= deadlineBlock ? IStorageEscrow.EpochStatus.Open : IStorageEscrow.EpochStatus.Overdue;
    }

    /// @dev The challenge of an epoch whose challenge block is known to the randomness source. The seed is
    /// keccak256(abi.encode(chain id, this contract, id, epoch, randomness of openBlock)).
    function challengeAt(
        State storage self,
        AgreementId id,
        EpochIndex epoch,
        uint256 openBlock
    ) internal view returns (PdpVerifier.Challenge memory) {
        AgreementRecord storage record = self.record;
        bytes32 randomness = IRandomnessSource(record.randomness).randomnessAt(uint64(openBlock));
        return
            PdpVerifier.Challenge({
                seed: keccak256(abi.encode(block.chainid, address(this), id, epoch, randomness)),
                ranges: abi.encodePacked(uint48(record.firstIndex), uint48(record.sliceCount)),
                sampleCount: record.sampleCount
            });
    }

    /// @dev A proof of the epoch counts in the blocks after `openBlock`, up to and including `deadlineBlock`.
    function window(
        State storage self,
        EpochIndex epoch
    ) internal view returns (uint256 openBlock, uint256 deadlineBlock) {
        AgreementRecord storage record = self.record;
        openBlock = record.startBlock + uint256(EpochIndex.unwrap(epoch)) * record.epochBlocks;
        deadlineBlock = openBlock + record.windowBlocks;
    }

    /// @dev Reverts when there is no such agreement.
    function checkExists(State storage self, AgreementId id) internal view {
        if (self.record.status == IStorageEscrow.AgreementStatus.None) {
            revert IStorageEscrow.WrongStatus(id, IStorageEscrow.AgreementStatus.None);
        }
    }

    /// @dev Reverts when the agreement has no such epoch.
    function checkEpoch(State storage self, AgreementId id, EpochIndex epoch) internal view {
        uint32 epochs = self.record.epochs;
        if (EpochIndex.unwrap(epoch) >= epochs) revert IStorageEscrow.NoSuchEpoch(id, epoch, epochs);
    }

    function _checkStatus(State storage self, AgreementId id, IStorageEscrow.AgreementStatus expected) private view {
        IStorageEscrow.AgreementStatus status = self.record.status;
        if (status != expected) revert IStorageEscrow.WrongStatus(id, status);
    }

    function _checkUnsettled(State storage self, AgreementId id, EpochIndex epoch) private view {
        _checkStatus(self, id, IStorageEscrow.AgreementStatus.Active);
        checkEpoch(self, id, epoch);
        EpochSet.Outcome outcome = self.outcomes.outcomeOf(epoch);
        if (outcome == EpochSet.Outcome.Proven) {
            revert IStorageEscrow.EpochSettled(id, epoch, IStorageEscrow.EpochStatus.Proven);
        }
        if (outcome == EpochSet.Outcome.Missed) {
            revert IStorageEscrow.EpochSettled(id, epoch, IStorageEscrow.EpochStatus.Missed);
        }
    }

    /// @dev What is left of fees and collateral at the end of an agreement.
    function _finalCredits(
        AgreementRecord storage record,
        uint256 missed,
        uint256 lapsed
    ) private view returns (uint256 userCredit, uint256 providerCredit) {
        (uint256 compensation, uint256 bounty) = (record.compensationPerMiss, record.bountyPerMiss);
        // If the lapsed epochs had been reported, the agreement would have ended at the breach limit.
        uint256 compensated = Math.min(lapsed, record.breachLimit - missed);
        userCredit = lapsed * record.feePerEpoch + compensated * compensation;
        providerCredit = record.collateral - missed * (compensation + bounty) - compensated * compensation;
    }
}
