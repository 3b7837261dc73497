// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { IRandomnessSource } from "../interfaces/IRandomnessSource.sol";
import { PdpVerifier } from "../libraries/PdpVerifier.sol";
import { AgreementId } from "../types/AgreementId.sol";
import { EscrowTestBase } from "./EscrowTestBase.t.sol";
import { vm } from "./Vm.sol";

/// @notice What each party may do at which time, what it costs, and with which error other calls revert.
contract StorageEscrowTest is EscrowTestBase {
    function test_proposeKeepsTermsTakesDepositAndTells() public {
        IStorageEscrow.Terms memory terms = _terms(NATIVE);
        vm.expectEmit(address(_escrow));
        emit IStorageEscrow.AgreementProposed(AgreementId.wrap(1), _user, _provider, terms);
        AgreementId id = _propose(terms);

        vm.assertEq(AgreementId.unwrap(id), 1);
        vm.assertEq(_escrow.agreementCount(), 1);
        vm.assertEq(address(_escrow).balance, 10_000);
        IStorageEscrow.Agreement memory agreement = _escrow.agreementOf(id);
        vm.assertEq(agreement.user, _user);
        vm.assertEq(abi.encode(agreement.terms), abi.encode(terms));
        vm.assertEq(_escrow.termsHashOf(id), keccak256(abi.encode(_user, terms)));
        _assertStatus(id, IStorageEscrow.AgreementStatus.Proposed);
        _assertEpoch(id, 0, IStorageEscrow.EpochStatus.Upcoming);
        vm.assertEq(AgreementId.unwrap(_propose(terms)), 2);
    }

    function test_proposeTakesTokens() public {
        AgreementId id = _propose(_terms(address(_token)));
        vm.assertEq(_token.balanceOf(address(_escrow)), 10_000);
        _assertStatus(id, IStorageEscrow.AgreementStatus.Proposed);
    }

    function test_proposeRefusesZeroes() public {
        IStorageEscrow.Terms memory terms = _terms(NATIVE);
        terms.provider = address(0);
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.ZeroProvider.selector));
        terms = _terms(NATIVE);
        terms.feePerEpoch = 0;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.ZeroFee.selector));
        terms = _terms(NATIVE);
        terms.epochs = 0;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.ZeroEpochs.selector));
        terms = _terms(NATIVE);
        terms.sampleCount = 0;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.ZeroSamples.selector));
        terms = _terms(NATIVE);
        terms.breachLimit = 0;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.ZeroBreachLimit.selector));
        terms = _terms(NATIVE);
        terms.auditKeyHash = 0;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.ZeroHash.selector));
        terms = _terms(NATIVE);
        terms.manifestHash = 0;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.ZeroHash.selector));
    }

    function test_proposeRefusesPastAndPresentStart() public {
        IStorageEscrow.Terms memory terms = _terms(NATIVE);
        terms.startBlock = uint64(block.number);
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.StartNotInFuture.selector, block.number, block.number));
        terms.startBlock = 1;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.StartNotInFuture.selector, 1, block.number));
    }

    function test_proposeRefusesWindowsThatDoNotFit() public {
        IStorageEscrow.Terms memory terms = _terms(NATIVE);
        terms.windowBlocks = 51;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.InvalidWindow.selector, 51, 50));
        terms.windowBlocks = 0;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.InvalidWindow.selector, 0, 50));
        terms.windowBlocks = 20;
        _randomness.setHorizon(19);
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.WindowBeyondHorizon.selector, 20, 19));
        _randomness.setHorizon(20);
        _propose(terms);
    }

    function test_proposeRefusesAnEndBeyondReach() public {
        IStorageEscrow.Terms memory terms = _terms(NATIVE);
        uint256 latestAllowed = block.number + _escrow.MAX_AGREEMENT_BLOCKS();
        terms.epochs = 1;
        terms.startBlock = uint64(latestAllowed - 20);
        uint256 snapshot = vm.snapshotState();
        _propose(terms);
        vm.revertToState(snapshot);
        ++terms.startBlock;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.EndTooFar.selector, latestAllowed + 1, latestAllowed));
        terms.startBlock = type(uint64).max;
        terms.epochs = type(uint32).max;
        terms.epochBlocks = type(uint32).max;
        uint256 endBlock = uint256(type(uint64).max) + uint256(type(uint32).max - 1) * type(uint32).max + 20;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.EndTooFar.selector, endBlock, latestAllowed));
    }

    function test_proposeRefusesImpossibleSlices() public {
        IStorageEscrow.Terms memory terms = _terms(NATIVE);
        terms.firstIndex = 0;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.InvalidSliceRange.selector, 0, 8));
        terms.firstIndex = 1;
        terms.sliceCount = 0;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.InvalidSliceRange.selector, 1, 0));
        terms.sliceCount = type(uint64).max;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.InvalidSliceRange.selector, 1, type(uint64).max));
        terms.sliceCount = 8;
        terms.sampleCount = _escrow.MAX_SAMPLES() + 1;
        _refuses(
            terms,
            abi.encodeWithSelector(IStorageEscrow.TooManySamples.selector, terms.sampleCount, _escrow.MAX_SAMPLES())
        );
    }

    function test_proposeRefusesCollateralBelowWhatMissesCost() public {
        IStorageEscrow.Terms memory terms = _terms(NATIVE);
        terms.collateral = 1049;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.CollateralTooLow.selector, 1049, 1050));
        terms.breachLimit = type(uint16).max;
        terms.compensationPerMiss = type(uint128).max;
        terms.bountyPerMiss = type(uint128).max;
        uint256 minimum = uint256(type(uint16).max) * (2 * uint256(type(uint128).max));
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.CollateralTooLow.selector, 1049, minimum));
    }

    function test_proposeRefusesAccountsWithoutCode() public {
        IStorageEscrow.Terms memory terms = _terms(NATIVE);
        terms.randomness = _watcher;
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.NotAContract.selector, _watcher));
        terms = _terms(_watcher);
        _refuses(terms, abi.encodeWithSelector(IStorageEscrow.NotAContract.selector, _watcher));
    }

    function test_proposeTakesExactlyTheDeposit() public {
        IStorageEscrow.Terms memory terms = _terms(NATIVE);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.WrongValue.selector, 10_000, 9_999));
        vm.prank(_user);
        _escrow.propose{ value: 9_999 }(terms);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.WrongValue.selector, 10_000, 10_001));
        vm.prank(_user);
        _escrow.propose{ value: 10_001 }(terms);
        terms.token = address(_token);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.WrongValue.selector, 0, 1));
        vm.prank(_user);
        _escrow.propose{ value: 1 }(terms);
    }

    function test_cancelRefundsTheUser() public {
        AgreementId id = _propose(_terms(NATIVE));
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.NotUser.selector, _watcher, _user));
        vm.prank(_watcher);
        _escrow.cancel(id);

        vm.expectEmit(address(_escrow));
        emit IStorageEscrow.AgreementCancelled(id, _user, NATIVE, 10_000);
        vm.prank(_user);
        _escrow.cancel(id);
        _assertCredits(NATIVE, 10_000, 0, 0);
        _assertEpoch(id, 0, IStorageEscrow.EpochStatus.Lapsed);
        _refusesStatus(id, IStorageEscrow.AgreementStatus.Cancelled);
        vm.prank(_user);
        _escrow.cancel(id);
    }

    function test_anyoneCancelsWhatWasNotAcceptedInTime() public {
        AgreementId id = _propose(_terms(NATIVE));
        vm.roll(_openBlock(id, 0));
        vm.prank(_watcher);
        _escrow.cancel(id);
        _assertCredits(NATIVE, 10_000, 0, 0);
    }

    function test_acceptBindsTheProvider() public {
        AgreementId id = _propose(_terms(NATIVE));
        bytes32 termsHash = _escrow.termsHashOf(id);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.NotProvider.selector, _user, _provider));
        vm.prank(_user);
        _escrow.accept{ value: 1200 }(id, termsHash);

        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.TermsMismatch.selector, id, termsHash, keccak256("")));
        vm.prank(_provider);
        _escrow.accept{ value: 1200 }(id, keccak256(""));

        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.WrongValue.selector, 1200, 1199));
        vm.prank(_provider);
        _escrow.accept{ value: 1199 }(id, termsHash);

        vm.expectEmit(address(_escrow));
        emit IStorageEscrow.AgreementAccepted(id, _user, _provider, termsHash);
        vm.prank(_provider);
        _escrow.accept{ value: 1200 }(id, termsHash);
        vm.assertEq(address(_escrow).balance, 11_200);
        _assertStatus(id, IStorageEscrow.AgreementStatus.Active);

        _refusesStatus(id, IStorageEscrow.AgreementStatus.Active);
        vm.prank(_provider);
        _escrow.accept{ value: 1200 }(id, termsHash);
        _refusesStatus(id, IStorageEscrow.AgreementStatus.Active);
        vm.prank(_user);
        _escrow.cancel(id);
    }

    function test_acceptEndsWithTheStart() public {
        AgreementId id = _propose(_terms(NATIVE));
        bytes32 termsHash = _escrow.termsHashOf(id);
        uint256 startBlock = _openBlock(id, 0);
        vm.roll(startBlock);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.AcceptedTooLate.selector, startBlock, startBlock));
        vm.prank(_provider);
        _escrow.accept{ value: 1200 }(id, termsHash);
        vm.roll(startBlock - 1);
        _accept(id);
    }

    function test_provePaysTheProviderWhoeverSends() public {
        AgreementId id = _activate(NATIVE);
        _rollIntoWindow(id, 0);
        _assertEpoch(id, 0, IStorageEscrow.EpochStatus.Open);
        PdpVerifier.Proof memory proof = _proof(id, 0);
        vm.expectEmit(address(_escrow));
        emit IStorageEscrow.EpochProven(id, _epoch(0), _provider, 1000);
        vm.prank(_watcher);
        _escrow.prove(id, _epoch(0), _key(), proof);
        _assertCredits(NATIVE, 0, 1000, 0);
        _assertEpoch(id, 0, IStorageEscrow.EpochStatus.Proven);
        vm.assertEq(_escrow.agreementOf(id).epochsProven, 1);
    }

    function test_proveAtMostOnce() public {
        AgreementId id = _activate(NATIVE);
        _prove(id, 0);
        PdpVerifier.Proof memory proof = _proof(id, 0);
        _refusesSettled(id, 0, IStorageEscrow.EpochStatus.Proven);
        _escrow.prove(id, _epoch(0), _key(), proof);
        _assertCredits(NATIVE, 0, 1000, 0);
    }

    function test_proveCountsOnlyInTheWindow() public {
        AgreementId id = _activate(NATIVE);
        uint256 openBlock = _openBlock(id, 2);
        vm.roll(openBlock + 1);
        PdpVerifier.Proof memory proof = _proof(id, 2);

        vm.roll(openBlock);
        _assertEpoch(id, 2, IStorageEscrow.EpochStatus.Upcoming);
        _refusesOutsideWindow(openBlock);
        _escrow.prove(id, _epoch(2), _key(), proof);

        vm.roll(openBlock + 21);
        _assertEpoch(id, 2, IStorageEscrow.EpochStatus.Overdue);
        _refusesOutsideWindow(openBlock);
        _escrow.prove(id, _epoch(2), _key(), proof);

        vm.roll(openBlock + 20);
        _assertEpoch(id, 2, IStorageEscrow.EpochStatus.Open);
        _escrow.prove(id, _epoch(2), _key(), proof);
    }

    function test_proveRefusesOtherKeysAndOtherProofs() public {
        AgreementId id = _activate(NATIVE);
        _rollIntoWindow(id, 0);
        PdpVerifier.Proof memory proof = _proof(id, 0);
        PdpVerifier.Key memory key = _key();
        key.XB[255] = 0x01;
        vm.expectRevert(
            abi.encodeWithSelector(
                IStorageEscrow.WrongAuditKey.selector,
                _terms(NATIVE).auditKeyHash,
                keccak256(bytes.concat(key.X, key.XA, key.XB))
            )
        );
        _escrow.prove(id, _epoch(0), key, proof);

        proof.y ^= 1;
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.ProofRejected.selector, id, 0));
        _escrow.prove(id, _epoch(0), _key(), proof);
    }

    function test_proveRefusesProofsOfOtherEpochsAndAgreements() public {
        AgreementId id = _activate(NATIVE);
        AgreementId other = _propose(_terms(NATIVE));
        _accept(other);
        _rollIntoWindow(id, 0);
        PdpVerifier.Proof memory proof = _proof(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.ProofRejected.selector, other, 0));
        _escrow.prove(other, _epoch(0), _key(), proof);
        _rollIntoWindow(id, 1);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.ProofRejected.selector, id, 1));
        _escrow.prove(id, _epoch(1), _key(), proof);
    }

    function test_proveNeedsAnAgreementThatRuns() public {
        AgreementId id = _propose(_terms(NATIVE));
        vm.roll(_openBlock(id, 0) + 1);
        PdpVerifier.Proof memory proof = _proof(id, 0);
        _refusesStatus(id, IStorageEscrow.AgreementStatus.Proposed);
        _escrow.prove(id, _epoch(0), _key(), proof);
        _refusesStatus(id, IStorageEscrow.AgreementStatus.Proposed);
        _escrow.reportMiss(id, _epoch(0));
        _refusesStatus(id, IStorageEscrow.AgreementStatus.Proposed);
        _escrow.close(id);
        AgreementId none = AgreementId.wrap(99);
        _refusesStatus(none, IStorageEscrow.AgreementStatus.None);
        _escrow.prove(none, _epoch(0), _key(), proof);
        _refusesStatus(none, IStorageEscrow.AgreementStatus.None);
        _escrow.close(none);
        _refusesStatus(none, IStorageEscrow.AgreementStatus.None);
        _escrow.cancel(none);
    }

    function test_epochsEndWithTheLast() public {
        AgreementId id = _activate(NATIVE);
        bytes memory refusal = abi.encodeWithSelector(IStorageEscrow.NoSuchEpoch.selector, id, 10, 10);
        vm.roll(_openBlock(id, 10) + 1);
        vm.expectRevert(refusal);
        _escrow.prove(id, _epoch(10), _key(), _proofFor(0));
        vm.expectRevert(refusal);
        _escrow.reportMiss(id, _epoch(10));
        vm.expectRevert(refusal);
        _escrow.epochStatus(id, _epoch(10));
        vm.expectRevert(refusal);
        _escrow.challengeOf(id, _epoch(10));
    }

    function test_reportMissCompensatesTheUserAndPaysTheReporter() public {
        AgreementId id = _activate(address(_token));
        uint256 deadlineBlock = _openBlock(id, 0) + 20;
        vm.roll(deadlineBlock);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.WindowStillOpen.selector, deadlineBlock, deadlineBlock));
        _escrow.reportMiss(id, _epoch(0));

        vm.roll(deadlineBlock + 1);
        vm.expectEmit(address(_escrow));
        emit IStorageEscrow.EpochMissed(id, _epoch(0), _watcher, 1000, 300, 50);
        vm.prank(_watcher);
        _escrow.reportMiss(id, _epoch(0));
        _assertCredits(address(_token), 1300, 0, 50);
        _assertEpoch(id, 0, IStorageEscrow.EpochStatus.Missed);
        vm.assertEq(_escrow.agreementOf(id).epochsMissed, 1);

        _refusesSettled(id, 0, IStorageEscrow.EpochStatus.Missed);
        _escrow.reportMiss(id, _epoch(0));
    }

    function test_aMissAndAProofOfOneEpochExcludeEachOther() public {
        AgreementId id = _activate(NATIVE);
        _prove(id, 0);
        _rollPastWindow(id, 0);
        _refusesSettled(id, 0, IStorageEscrow.EpochStatus.Proven);
        _escrow.reportMiss(id, _epoch(0));

        _rollIntoWindow(id, 1);
        PdpVerifier.Proof memory proof = _proof(id, 1);
        _report(id, 1);
        _rollIntoWindow(id, 1);
        _refusesSettled(id, 1, IStorageEscrow.EpochStatus.Missed);
        _escrow.prove(id, _epoch(1), _key(), proof);
        _assertCredits(NATIVE, 1300, 1000, 50);
    }

    function test_theUserMayReportItself() public {
        AgreementId id = _activate(NATIVE);
        _rollPastWindow(id, 0);
        vm.prank(_user);
        _escrow.reportMiss(id, _epoch(0));
        _assertCredits(NATIVE, 1350, 0, 0);
    }

    function test_breachEndsTheAgreement() public {
        AgreementId id = _activate(NATIVE);
        _prove(id, 0);
        _report(id, 1);
        _report(id, 2);
        _rollPastWindow(id, 4);
        vm.expectEmit(address(_escrow));
        emit IStorageEscrow.AgreementBreached(id, _user, _provider);
        vm.prank(_watcher);
        _escrow.reportMiss(id, _epoch(4));
        _assertStatus(id, IStorageEscrow.AgreementStatus.Breached);
        _assertEpoch(id, 3, IStorageEscrow.EpochStatus.Lapsed);
        _assertEpoch(id, 5, IStorageEscrow.EpochStatus.Lapsed);

        _rollIntoWindow(id, 5);
        PdpVerifier.Proof memory proof = _proof(id, 5);
        _refusesStatus(id, IStorageEscrow.AgreementStatus.Breached);
        _escrow.prove(id, _epoch(5), _key(), proof);
        _refusesStatus(id, IStorageEscrow.AgreementStatus.Breached);
        _escrow.reportMiss(id, _epoch(3));

        // 6 epochs lapsed; 3 * 350 of the collateral of 1200 is gone.
        vm.expectEmit(address(_escrow));
        emit IStorageEscrow.AgreementEnded(id, _user, _provider, true, 1, 3, 6, 6000, 150);
        vm.prank(_watcher);
        _escrow.close(id);
        _assertCredits(NATIVE, 3 * 1300 + 6000, 1000 + 150, 150);
        _assertStatus(id, IStorageEscrow.AgreementStatus.Closed);
        _withdrawAll(NATIVE);
        vm.assertEq(address(_escrow).balance, 0);
    }

    function test_closeAfterTheLastWindow() public {
        AgreementId id = _activate(NATIVE);
        for (uint256 epoch; epoch < 10; ++epoch) {
            _prove(id, epoch);
        }
        uint256 lastBlock = _openBlock(id, 9) + 20;
        vm.roll(lastBlock);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.WindowStillOpen.selector, lastBlock, lastBlock));
        _escrow.close(id);
        vm.roll(lastBlock + 1);
        vm.expectEmit(address(_escrow));
        emit IStorageEscrow.AgreementEnded(id, _user, _provider, false, 10, 0, 0, 0, 1200);
        _escrow.close(id);
        _assertCredits(NATIVE, 0, 11_200, 0);
        _refusesStatus(id, IStorageEscrow.AgreementStatus.Closed);
        _escrow.close(id);
    }

    function test_closeCompensatesUnreportedMissesUpToTheBreachLimit() public {
        AgreementId id = _activate(NATIVE);
        _prove(id, 0);
        _report(id, 1);
        vm.roll(_openBlock(id, 9) + 21);
        // 8 lapsed epochs, of which 2 are compensated: with the one reported they make 3.
        vm.expectEmit(address(_escrow));
        emit IStorageEscrow.AgreementEnded(id, _user, _provider, false, 1, 1, 8, 8000 + 600, 1200 - 350 - 600);
        _escrow.close(id);
        _assertEpoch(id, 5, IStorageEscrow.EpochStatus.Lapsed);
        _assertEpoch(id, 0, IStorageEscrow.EpochStatus.Proven);
    }

    function test_closeCompensatesEachUnreportedMissBelowTheLimit() public {
        AgreementId id = _activate(NATIVE);
        for (uint256 epoch; epoch < 8; ++epoch) {
            _prove(id, epoch);
        }
        _report(id, 8);
        vm.roll(_openBlock(id, 9) + 21);
        vm.expectEmit(address(_escrow));
        emit IStorageEscrow.AgreementEnded(id, _user, _provider, false, 8, 1, 1, 1300, 1200 - 350 - 300);
        _escrow.close(id);
    }

    /// @dev Closing needs neither randomness nor a working verifier.
    function test_brokenRandomnessAndVerifierDoNotLockFunds() public {
        AgreementId id = _activate(NATIVE);
        _rollIntoWindow(id, 0);
        PdpVerifier.Proof memory proof = _proof(id, 0);
        _escrow.setBroken(true);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.ProofRejected.selector, id, 0));
        _escrow.prove(id, _epoch(0), _key(), proof);
        _randomness.setAvailable(false);
        vm.expectRevert(
            abi.encodeWithSelector(IRandomnessSource.RandomnessUnavailable.selector, _openBlock(id, 0), block.number)
        );
        _escrow.prove(id, _epoch(0), _key(), proof);
        _report(id, 0);
        vm.roll(_openBlock(id, 9) + 21);
        _escrow.close(id);
        _withdrawAll(NATIVE);
        vm.assertEq(address(_escrow).balance, 0);
    }

    function test_withdrawPaysAllOfTheCallerToWhomItSays() public {
        AgreementId id = _activate(NATIVE);
        _prove(id, 0);
        address payable to = payable(address(uint160(0xBEEF)));
        vm.expectEmit(address(_escrow));
        emit IStorageEscrow.Withdrawn(NATIVE, _provider, to, 1000);
        vm.prank(_provider);
        vm.assertEq(_escrow.withdraw(NATIVE, to), 1000);
        vm.assertEq(to.balance, 1000);
        _assertCredits(NATIVE, 0, 0, 0);

        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.NothingToWithdraw.selector, NATIVE, _provider));
        vm.prank(_provider);
        _escrow.withdraw(NATIVE, to);
    }

    function test_withdrawRefusesToBurn() public {
        AgreementId id = _activate(NATIVE);
        _prove(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidRecipient.selector, address(0)));
        vm.prank(_provider);
        _escrow.withdraw(NATIVE, address(0));
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidRecipient.selector, address(_escrow)));
        vm.prank(_provider);
        _escrow.withdraw(NATIVE, address(_escrow));
    }

    function test_challengeNamesSeedSlicesAndWindow() public {
        AgreementId id = _activate(NATIVE);
        _rollIntoWindow(id, 3);
        uint256 expectedOpen = _openBlock(id, 3);
        (
            bytes32 seed,
            uint16 sampleCount,
            uint64 firstIndex,
            uint64 sliceCount,
            uint64 openBlock,
            uint64 deadlineBlock
        ) = _escrow.challengeOf(id, _epoch(3));
        bytes32 randomness = _randomness.randomnessAt(uint64(expectedOpen));
        vm.assertEq(
            seed,
            keccak256(abi.encode(block.chainid, address(_escrow), AgreementId.unwrap(id), uint256(3), randomness))
        );
        vm.assertEq(sampleCount, 30);
        vm.assertEq(firstIndex, 1);
        vm.assertEq(sliceCount, 8);
        vm.assertEq(openBlock, expectedOpen);
        vm.assertEq(deadlineBlock, expectedOpen + 20);
    }

    function test_viewsOfNoAgreement() public {
        AgreementId none = AgreementId.wrap(7);
        vm.assertEq(_escrow.agreementOf(none).user, address(0));
        _refusesStatus(none, IStorageEscrow.AgreementStatus.None);
        _escrow.termsHashOf(none);
        _refusesStatus(none, IStorageEscrow.AgreementStatus.None);
        _escrow.epochStatus(none, _epoch(0));
        _refusesStatus(none, IStorageEscrow.AgreementStatus.None);
        _escrow.challengeOf(none, _epoch(0));
    }

    function test_etherWithoutACallIsRefused() public {
        vm.prank(_user);
        (bool success, ) = address(_escrow).call{ value: 1 }("");
        vm.assertFalse(success);
    }

    function _withdrawAll(address token) internal {
        address[3] memory accounts = [_user, _provider, _watcher];
        for (uint256 i; i < accounts.length; ++i) {
            if (_escrow.balanceOf(token, accounts[i]) == 0) continue;
            vm.prank(accounts[i]);
            _escrow.withdraw(token, accounts[i]);
        }
    }

    function _refuses(IStorageEscrow.Terms memory terms, bytes memory refusal) internal {
        uint256 deposit = _deposit(terms);
        vm.deal(_user, deposit);
        vm.expectRevert(refusal);
        vm.prank(_user);
        _escrow.propose{ value: deposit }(terms);
    }

    function _refusesStatus(AgreementId id, IStorageEscrow.AgreementStatus actual) internal {
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.WrongStatus.selector, id, actual));
    }

    function _refusesSettled(AgreementId id, uint256 epoch, IStorageEscrow.EpochStatus status) internal {
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.EpochSettled.selector, id, _epoch(epoch), status));
    }

    function _refusesOutsideWindow(uint256 openBlock) internal {
        vm.expectRevert(
            abi.encodeWithSelector(IStorageEscrow.OutsideWindow.selector, block.number, openBlock, openBlock + 20)
        );
    }
}
