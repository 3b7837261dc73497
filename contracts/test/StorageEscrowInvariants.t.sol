// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { AgreementId } from "../types/AgreementId.sol";
import { EpochIndex } from "../types/EpochIndex.sol";
import { EscrowHandler } from "./EscrowHandler.t.sol";
import { StorageEscrowHarness } from "./StorageEscrowHarness.t.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

/// @notice INV-1 to INV-6 of `StorageEscrow`, after every step of random sequences of calls by five parties, in four
/// tokens. That each call succeeds exactly when the rules say so is checked by the handler, in all of them.
contract StorageEscrowInvariantsTest is TestBase {
    EscrowHandler internal _handler;
    StorageEscrowHarness internal _escrow;

    function setUp() public {
        _handler = new EscrowHandler();
        _escrow = _handler.escrow();
        bytes4[] memory selectors = new bytes4[](12);
        selectors[0] = EscrowHandler.advance.selector;
        selectors[1] = EscrowHandler.propose.selector;
        selectors[2] = EscrowHandler.cancel.selector;
        selectors[3] = EscrowHandler.accept.selector;
        selectors[4] = EscrowHandler.prove.selector;
        selectors[5] = EscrowHandler.reportMiss.selector;
        selectors[6] = EscrowHandler.close.selector;
        selectors[7] = EscrowHandler.withdraw.selector;
        selectors[8] = EscrowHandler.give.selector;
        selectors[9] = EscrowHandler.disturb.selector;
        selectors[10] = EscrowHandler.recover.selector;
        // Twice in the list: an agreement is accepted before anything else can happen to it.
        selectors[11] = EscrowHandler.accept.selector;
        _targetSelectors(address(_handler), selectors);
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_1_theSumOfAllBalancesIsWhatTheContractHolds() public view {
        uint256 agreements = _handler.agreementCount();
        for (uint256 t; t < _handler.tokenCount(); ++t) {
            address token = _handler.tokens(t);
            uint256 owed = _handler.gifts(token);
            for (uint256 p; p < _handler.partyCount(); ++p) {
                address party = _handler.parties(p);
                uint256 balance = _escrow.balanceOf(token, party);
                vm.assertEq(balance, _handler.credit(token, party), "credit");
                owed += balance;
            }
            for (uint256 i = 1; i <= agreements; ++i) {
                IStorageEscrow.Agreement memory agreement = _escrow.agreementOf(AgreementId.wrap(i));
                if (agreement.terms.token == token) owed += _locked(agreement);
            }
            vm.assertEq(_holdings(token), owed, "holdings");
        }
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_2_aFeeLeavesTheDepositOnce() public view {
        for (uint256 i; i < _handler.agreementCount(); ++i) {
            EscrowHandler.Book memory book = _handler.bookOf(i);
            IStorageEscrow.Agreement memory agreement = _escrow.agreementOf(AgreementId.wrap(i + 1));
            uint256 fee = agreement.terms.feePerEpoch;
            vm.assertEq(book.feesToProvider, fee * agreement.epochsProven, "fees to the provider");
            uint256 unsettled =
                _isOver(agreement) ? 0 : agreement.terms.epochs - agreement.epochsProven - agreement.epochsMissed;
            vm.assertEq(
                book.feesToUser + book.feesToProvider + fee * unsettled,
                fee * agreement.terms.epochs,
                "all fees"
            );
        }
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_3_anEpochIsNeverBothProvenAndMissed() public {
        vm.roll(_handler.currentBlock());
        for (uint256 i; i < _handler.agreementCount(); ++i) {
            AgreementId id = AgreementId.wrap(i + 1);
            EscrowHandler.Book memory book = _handler.bookOf(i);
            uint256 proven;
            uint256 missed;
            for (uint256 epoch; epoch < book.terms.epochs; ++epoch) {
                IStorageEscrow.EpochStatus status = _escrow.epochStatus(id, EpochIndex.wrap(uint32(epoch)));
                if (status == IStorageEscrow.EpochStatus.Proven) ++proven;
                if (status == IStorageEscrow.EpochStatus.Missed) ++missed;
                vm.assertEq(uint256(status), uint256(_expectedStatus(book, epoch)), "epoch status");
            }
            IStorageEscrow.Agreement memory agreement = _escrow.agreementOf(id);
            vm.assertEq(agreement.epochsProven, proven, "proven");
            vm.assertEq(agreement.epochsMissed, missed, "missed");
            vm.assertEq(_handler.countOutcomes(i, _handler.PROVEN()), proven, "proven, by the book");
            vm.assertEq(_handler.countOutcomes(i, _handler.MISSED()), missed, "missed, by the book");
        }
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_4_aProviderLosesAtMostTheLimit() public view {
        for (uint256 i; i < _handler.agreementCount(); ++i) {
            EscrowHandler.Book memory book = _handler.bookOf(i);
            uint256 limit =
                uint256(book.terms.breachLimit) * (uint256(book.terms.compensationPerMiss) + book.terms.bountyPerMiss);
            vm.assertLe(book.providerLoss, limit, "loss");
            vm.assertLe(limit, book.terms.collateral, "cover");
            vm.assertLe(_escrow.agreementOf(AgreementId.wrap(i + 1)).epochsMissed, book.terms.breachLimit, "misses");
        }
    }

    /// @dev With randomness and verifier broken and a token paused, an unrelated account closes every agreement. After
    /// the token is unpaused, all accounts withdraw, and the escrow holds only what was sent to it unasked.
    /// hardhat-config: invariant.failOnRevert = true
    function invariant_5_everyAgreementCanBeWoundUp() public {
        uint256 snapshot = vm.snapshotState();
        _handler.disturb(0);
        _handler.disturb(1);
        _handler.disturb(2);
        vm.roll(_handler.currentBlock() + 10_000);
        for (uint256 i = 1; i <= _handler.agreementCount(); ++i) {
            AgreementId id = AgreementId.wrap(i);
            IStorageEscrow.Agreement memory agreement = _escrow.agreementOf(id);
            if (agreement.status == IStorageEscrow.AgreementStatus.Proposed) _escrow.cancel(id);
            else if (!_isOver(agreement)) _escrow.close(id);
            vm.assertEq(_locked(_escrow.agreementOf(id)), 0, "locked");
        }
        _handler.recover();
        for (uint256 t; t < _handler.tokenCount(); ++t) {
            address token = _handler.tokens(t);
            for (uint256 p; p < _handler.partyCount(); ++p) {
                address party = _handler.parties(p);
                if (_escrow.balanceOf(token, party) == 0) continue;
                vm.prank(party);
                _escrow.withdraw(token, party);
            }
            vm.assertEq(_holdings(token), _handler.gifts(token), "left over");
        }
        vm.revertToState(snapshot);
    }

    /// hardhat-config: invariant.failOnRevert = true
    function invariant_6_termsAndEndsAreFinal() public view {
        for (uint256 i; i < _handler.agreementCount(); ++i) {
            AgreementId id = AgreementId.wrap(i + 1);
            EscrowHandler.Book memory book = _handler.bookOf(i);
            vm.assertEq(_escrow.termsHashOf(id), book.termsHash, "terms");
            IStorageEscrow.Agreement memory agreement = _escrow.agreementOf(id);
            vm.assertEq(keccak256(abi.encode(agreement.user, agreement.terms)), book.termsHash, "terms as read");
            vm.assertEq(uint256(agreement.status), uint256(book.status), "status");
            if (_isOver(agreement)) vm.assertEq(keccak256(abi.encode(agreement)), book.frozen, "frozen");
        }
    }

    /// @dev The invariants would also hold over sequences in which no call succeeds. This checks that every action
    /// succeeds in sequences as long as those of the invariants.
    function test_randomSequencesReachEveryAction() public {
        bytes32[7] memory actions = [
            bytes32("propose"),
            "cancel",
            "accept",
            "prove",
            "reportMiss",
            "close",
            "withdraw"
        ];
        uint256[7] memory successes;
        for (uint256 sequence; sequence < 5; ++sequence) {
            _handler = new EscrowHandler();
            for (uint256 step; step < 200; ++step) {
                _takeRandomStep(uint256(keccak256(abi.encode(sequence, step))));
            }
            for (uint256 i; i < actions.length; ++i) {
                successes[i] += _handler.successes(actions[i]);
            }
        }
        for (uint256 i; i < actions.length; ++i) {
            vm.assertGt(successes[i], 5, string(abi.encodePacked(actions[i])));
        }
    }

    function _takeRandomStep(uint256 dice) private {
        (uint256 a, uint256 b, uint256 c) = (dice >> 16, dice >> 80, dice >> 144);
        if (dice % 11 == 0) _handler.advance(a);
        else if (dice % 11 == 1) _handler.propose(a, c, uint128(b));
        else if (dice % 11 == 2) _handler.cancel(a, b);
        else if (dice % 11 == 3) _handler.accept(a, b);
        else if (dice % 11 == 4) _handler.prove(a, b, c, a + b);
        else if (dice % 11 == 5) _handler.reportMiss(a, b, c);
        else if (dice % 11 == 6) _handler.close(a, b);
        else if (dice % 11 == 7) _handler.withdraw(a, b, c);
        else if (dice % 11 == 8) _handler.give(a, b);
        else if (dice % 11 == 9) _handler.disturb(a);
        else _handler.recover();
    }

    function _holdings(address token) private view returns (uint256) {
        return token == address(0) ? address(_escrow).balance : IERC20(token).balanceOf(address(_escrow));
    }

    function _isOver(IStorageEscrow.Agreement memory agreement) private pure returns (bool) {
        return
            agreement.status == IStorageEscrow.AgreementStatus.Closed ||
            agreement.status == IStorageEscrow.AgreementStatus.Cancelled;
    }

    /// @dev Unsettled fees, and collateral once it is there.
    function _locked(IStorageEscrow.Agreement memory agreement) private pure returns (uint256 locked) {
        if (_isOver(agreement)) return 0;
        IStorageEscrow.Terms memory terms = agreement.terms;
        locked = uint256(terms.feePerEpoch) * (terms.epochs - agreement.epochsProven - agreement.epochsMissed);
        if (agreement.status != IStorageEscrow.AgreementStatus.Proposed) {
            uint256 perMiss = uint256(terms.compensationPerMiss) + terms.bountyPerMiss;
            locked += terms.collateral - agreement.epochsMissed * perMiss;
        }
    }

    function _expectedStatus(
        EscrowHandler.Book memory book,
        uint256 epoch
    ) private view returns (IStorageEscrow.EpochStatus) {
        if (book.outcomes[epoch] == _handler.PROVEN()) return IStorageEscrow.EpochStatus.Proven;
        if (book.outcomes[epoch] == _handler.MISSED()) return IStorageEscrow.EpochStatus.Missed;
        if (book.status == IStorageEscrow.AgreementStatus.Proposed) return IStorageEscrow.EpochStatus.Upcoming;
        if (book.status != IStorageEscrow.AgreementStatus.Active) return IStorageEscrow.EpochStatus.Lapsed;
        uint256 openBlock = book.terms.startBlock + epoch * book.terms.epochBlocks;
        if (block.number <= openBlock) return IStorageEscrow.EpochStatus.Upcoming;
        if (block.number <= openBlock + book.terms.windowBlocks) return IStorageEscrow.EpochStatus.Open;
        return IStorageEscrow.EpochStatus.Overdue;
    }
}
