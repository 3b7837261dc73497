// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { LiveRanges } from "../libraries/LiveRanges.sol";
import { DataSetTestBase } from "./DataSetTestBase.t.sol";
import { vm } from "./Vm.sol";

/// @notice The life of data sets, each figure computed by hand from the terms of the base: 10 per slice and epoch, at
/// least 100; three misses end a set.
contract StorageEscrowTest is DataSetTestBase {
    IStorageEscrow.Terms internal _t;
    bytes32 internal _id;
    uint256 internal _first;

    function setUp() public override {
        super.setUp();
        _t = _terms(NATIVE);
        _id = _open(_t);
        _first = _epoch() + 1;
    }

    // ---- Opening and payment

    function test_openChargesFromTheNextEpochOn() public {
        vm.assertEq(_available(_user), 100_000);
        vm.assertEq(_balance(NATIVE, _user).rate, 1_000);
        _rollTo(_first);
        vm.assertEq(_available(_user), 99_000);
        vm.assertEq(_pool().locked, LOCK);
        vm.assertEq(uint256(_escrow.booksOf(_id).status), uint256(IStorageEscrow.Status.Running));
    }

    function test_theSameTermsOpenOnce() public {
        IStorageEscrow.Update memory first = _signed(_id, 0, _next(1, _list(1, 100)));
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.DataSetExists.selector, _id));
        _escrow.open(_t, _audit(), first);
    }

    function test_aProofInTheWindowEarnsTheFee() public {
        _prove(_t, _first, _list(1, 100));
        vm.assertEq(_pool().total, 11_000);
        vm.assertEq(_escrow.booksOf(_id).proven, 1);
    }

    function test_aLateProofEarnsAPart() public {
        vm.roll(_challengeBlock(_first) + WINDOW + 1);
        _proveWith(_t, _challengeBlock(_first), _list(1, 100));
        vm.assertEq(_pool().total, 10_500);
        vm.assertEq(_available(_user), 99_500);
    }

    function test_aProofBehindTheGraceWindowIsRefused() public {
        vm.roll(_challengeBlock(_first) + WINDOW + GRACE + 1);
        IStorageEscrow.ProofCall[] memory calls = new IStorageEscrow.ProofCall[](1);
        calls[0] = _call(_t, _challengeBlock(_first), _list(1, 100));
        vm.expectRevert(
            abi.encodeWithSelector(
                IStorageEscrow.OutsideWindow.selector,
                _challengeBlock(_first) + WINDOW + GRACE + 1,
                _challengeBlock(_first),
                _challengeBlock(_first) + WINDOW + GRACE
            )
        );
        _escrow.prove(calls);
    }

    function test_anEpochIsProvenOnce() public {
        _prove(_t, _first, _list(1, 100));
        IStorageEscrow.ProofCall[] memory calls = new IStorageEscrow.ProofCall[](1);
        calls[0] = _call(_t, _challengeBlock(_first), _list(1, 100));
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.EpochSettled.selector, _id, uint32(_first)));
        _escrow.prove(calls);
    }

    function test_oneSetTwiceInACallIsRefused() public {
        vm.roll(_challengeBlock(_first) + 1);
        IStorageEscrow.ProofCall[] memory calls = new IStorageEscrow.ProofCall[](2);
        calls[0] = _call(_t, _challengeBlock(_first), _list(1, 100));
        calls[1] = calls[0];
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.EpochSettled.selector, _id, uint32(_first)));
        _escrow.prove(calls);
    }

    function test_aWrongProofChangesNothing() public {
        vm.roll(_challengeBlock(_first) + 1);
        IStorageEscrow.ProofCall[] memory calls = new IStorageEscrow.ProofCall[](1);
        calls[0] = _call(_t, _challengeBlock(_first), _list(1, 100));
        calls[0].answer = "wrong";
        vm.expectRevert(IStorageEscrow.ProofRejected.selector);
        _escrow.prove(calls);
        vm.assertEq(_pool().total, 10_000);
    }

    function test_aProofForAnotherListIsRefused() public {
        vm.roll(_challengeBlock(_first) + 1);
        IStorageEscrow.ProofCall[] memory calls = new IStorageEscrow.ProofCall[](1);
        calls[0] = _call(_t, _challengeBlock(_first), _list(1, 99));
        vm.expectRevert(
            abi.encodeWithSelector(
                IStorageEscrow.WrongRanges.selector,
                keccak256(_list(1, 100)),
                keccak256(_list(1, 99))
            )
        );
        _escrow.prove(calls);
    }

    // ---- Misses

    function test_aMissPaysUserAndReporter() public {
        _report(_t, _first);
        // The fee of 1,000 and 600 from the collateral; the epoch itself had been paid.
        vm.assertEq(_available(_user), 99_000 + 1_600);
        vm.assertEq(_available(_watcher), 200);
        vm.assertEq(_pool().total, 9_200);
        // 220 % of 1,024.
        vm.assertEq(_pool().locked, 2_252);
    }

    function test_aMissIsReportedOnceAndNeverBesideAProof() public {
        _report(_t, _first);
        bytes memory schedule = _schedule(_id);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.EpochSettled.selector, _id, uint32(_first)));
        _escrow.reportMiss(_t, _audit(), schedule, uint32(_first));
        _prove(_t, _first + 1, _list(1, 100));
        vm.roll(_challengeBlock(_first + 1) + WINDOW + GRACE + 1);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.EpochSettled.selector, _id, uint32(_first + 1)));
        _escrow.reportMiss(_t, _audit(), schedule, uint32(_first + 1));
    }

    function test_aMissIsReportableUntilTheEndOfTheNextEpoch() public {
        bytes memory schedule = _schedule(_id);
        uint256 from = _challengeBlock(_first) + WINDOW + GRACE + 1;
        uint256 until = (_first + 2) * EPOCH - 1;
        vm.roll(from - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IStorageEscrow.NotReportable.selector, _id, uint32(_first), from - 1, from, until)
        );
        _escrow.reportMiss(_t, _audit(), schedule, uint32(_first));
        vm.roll(until + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IStorageEscrow.NotReportable.selector, _id, uint32(_first), until + 1, from, until)
        );
        _escrow.reportMiss(_t, _audit(), schedule, uint32(_first));
        vm.roll(until);
        _escrow.reportMiss(_t, _audit(), schedule, uint32(_first));
    }

    function test_aMissThatNobodyReportsCostsTheFeeAndNothingMore() public {
        _rollTo(_first + 3);
        _settle(_t);
        // Four epochs were paid, two of them are settled and came back.
        vm.assertEq(_available(_user), 96_000 + 2_000);
        vm.assertEq(_pool().total, 10_000);
        vm.assertEq(_pool().locked, LOCK);
    }

    function test_theBreachGivesTheRestOfTheCollateralToTheUser() public {
        _report(_t, _first);
        _report(_t, _first + 1);
        vm.expectEmit();
        emit IStorageEscrow.DataSetBreached(_id, uint32(_first + 2), 614);
        _report(_t, _first + 2);
        // The last 614 are 60 % of 1,024.
        vm.assertEq(_available(_user), 100_000 + 3 * 600 + 614);
        vm.assertEq(_available(_watcher), 600);
        vm.assertEq(_pool().total, 10_000 - 3 * 800 - 614);
        vm.assertEq(_pool().locked, 0);
        vm.assertEq(_balance(NATIVE, _user).rate, 0);
        vm.assertEq(uint256(_escrow.booksOf(_id).status), uint256(IStorageEscrow.Status.Breached));
    }

    /// @dev Also when an earlier call has settled everything.
    function test_aSetIsClosedOnce() public {
        _giveNotice(_t, _user);
        _rollTo(_epoch() + NOTICE + 2);
        _settle(_t);
        _close(_t, _user);
        vm.assertEq(uint256(_escrow.booksOf(_id).status), uint256(IStorageEscrow.Status.Closed));
        bytes memory schedule = _schedule(_id);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.WrongStatus.selector, _id, IStorageEscrow.Status.Closed));
        _escrow.close(_t, schedule);
    }

    // ---- Updates

    function test_anUpdateCountsFromTheNextEpochOn() public {
        _rollTo(_first);
        _update(_t, _list(1, 150));
        vm.assertEq(_available(_user), 99_000);
        _prove(_t, _first, _list(1, 100));
        _rollTo(_first + 1);
        vm.assertEq(_available(_user), 97_500);
        vm.assertEq(_pool().locked, 3 * 1_536);
        _prove(_t, _first + 1, _list(1, 150));
        vm.assertEq(_pool().total, 10_000 + 1_000 + 1_500);
    }

    function test_untilThenAHigherVersionReplacesALowerOne() public {
        _rollTo(_first);
        _update(_t, _list(1, 150));
        _update(_t, _list(1, 120));
        vm.assertEq(_balance(NATIVE, _user).rate, 1_200);
        vm.assertEq(_levels(_id).length, 2);
        vm.assertEq(_pool().locked, 3 * 1_280);
        // The slices behind 120 are burnt all the same.
        vm.assertEq(_levels(_id)[1].highestIndex, 150);
    }

    function test_anUpdateIsRefusedTwice() public {
        bytes memory before = _schedule(_id);
        IStorageEscrow.Update memory next = _signed(_id, 0, _next(2, _list(1, 150)));
        _update(_t, _list(1, 150));
        bytes memory schedule = _schedule(_id);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.StaleVersion.selector, uint64(2), uint64(2)));
        _escrow.update(_t, schedule, _list(1, 150), next);
        vm.expectPartialRevert(IStorageEscrow.WrongSchedule.selector);
        _escrow.update(_t, before, _list(1, 100), next);
    }

    function test_anOlderVersionIsRefused() public {
        IStorageEscrow.Update memory older = _signed(_id, 0, _next(2, _list(1, 130)));
        IStorageEscrow.Update memory newer = _signed(_id, 0, _next(7, _list(1, 150)));
        _rollTo(_first);
        vm.recordLogs();
        _escrow.update(_t, _schedule(_id), _list(1, 100), newer);
        _remember();
        bytes memory schedule = _schedule(_id);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.StaleVersion.selector, uint64(7), uint64(2)));
        _escrow.update(_t, schedule, _list(1, 150), older);
    }

    function test_aRetiredIndexNeverReturns() public {
        _update(_t, _list(1, 40, 61, 40));
        _refuseUpdate(
            _list(1, 100),
            abi.encodeWithSelector(LiveRanges.IndexNotLive.selector, uint256(1), uint256(100), uint256(100))
        );
        _refuseUpdate(
            _list(1, 40, 51, 50),
            abi.encodeWithSelector(LiveRanges.IndexNotLive.selector, uint256(51), uint256(100), uint256(100))
        );
        // Neither does one behind the list that the high-water mark covers.
        _update(_t, _list(1, 40));
        _refuseUpdate(
            _list(1, 40, 90, 20),
            abi.encodeWithSelector(LiveRanges.IndexNotLive.selector, uint256(90), uint256(100), uint256(100))
        );
        _refuseUpdate(
            _list(1, 40, 100, 20),
            abi.encodeWithSelector(LiveRanges.IndexNotLive.selector, uint256(100), uint256(100), uint256(100))
        );
        _update(_t, _list(1, 40, 101, 20));
    }

    function test_overlappingRangesAreRefused() public {
        bytes4 outOfOrder = LiveRanges.RangeOutOfOrder.selector;
        _refuseUpdate(_list(1, 60, 60, 80), abi.encodeWithSelector(outOfOrder, uint256(1), uint256(60), uint256(80)));
        _refuseUpdate(_list(1, 60, 61, 80), abi.encodeWithSelector(outOfOrder, uint256(1), uint256(61), uint256(80)));
        _refuseUpdate(_list(50, 51, 1, 9), abi.encodeWithSelector(outOfOrder, uint256(1), uint256(1), uint256(9)));
        _refuseUpdate(_list(0, 100), abi.encodeWithSelector(outOfOrder, uint256(0), uint256(0), uint256(100)));
        _refuseUpdate(_list(0, 0), abi.encodeWithSelector(outOfOrder, uint256(0), uint256(0), uint256(0)));
        _refuseUpdate(_list(1, 100, 120, 0), abi.encodeWithSelector(outOfOrder, uint256(1), uint256(120), uint256(0)));
        _refuseUpdate(hex"0102", abi.encodeWithSelector(LiveRanges.MalformedRanges.selector, uint256(2)));
    }

    function test_anUpdateBeyondTheCapIsRefused() public {
        _refuseUpdate(
            _list(1, 1_001),
            abi.encodeWithSelector(IStorageEscrow.FeeAboveCap.selector, uint256(10_010), uint80(10_000))
        );
    }

    function test_anExpiredUpdateIsRefused() public {
        IStorageEscrow.Update memory next = _next(2, _list(1, 150));
        next.deadlineBlock = uint64(block.number - 1);
        next = _signed(_id, 0, next);
        next.providerSignature = "";
        bytes memory schedule = _schedule(_id);
        vm.prank(_operator);
        vm.expectRevert(
            abi.encodeWithSelector(IStorageEscrow.SignatureExpired.selector, block.number - 1, block.number)
        );
        _escrow.update(_t, schedule, _list(1, 100), next);
    }

    function test_anUpdateForAnotherChainIsRefused() public {
        vm.chainId(5);
        IStorageEscrow.Update memory next = _signed(_id, 0, _next(2, _list(1, 150)));
        vm.chainId(31_337);
        _rollTo(_first);
        bytes memory schedule = _schedule(_id);
        vm.expectPartialRevert(IStorageEscrow.SignatureInvalid.selector);
        _escrow.update(_t, schedule, _list(1, 100), next);
    }

    function test_anUpdateNeedsBothSignatures() public {
        _rollTo(_first);
        IStorageEscrow.Update memory next = _signed(_id, 0, _next(2, _list(1, 150)));
        bytes32 digest = _digest(_id, 0, next);
        bytes memory schedule = _schedule(_id);
        IStorageEscrow.Update memory forged = next;
        forged.userSignature = _signature(_operatorKey, digest);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.SignatureInvalid.selector, _user, digest));
        _escrow.update(_t, schedule, _list(1, 100), forged);
        forged.userSignature = _signature(_userKey, digest);
        forged.providerSignature = _signature(_userKey, digest);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.SignatureInvalid.selector, _operator, digest));
        _escrow.update(_t, schedule, _list(1, 100), forged);
        forged.providerSignature = "";
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.SignatureInvalid.selector, _operator, digest));
        _escrow.update(_t, schedule, _list(1, 100), forged);
    }

    function test_whoSendsNeedsNoSignatureOfItsOwn() public {
        IStorageEscrow.Update memory next = _signed(_id, 0, _next(2, _list(1, 150)));
        next.providerSignature = "";
        bytes memory schedule = _schedule(_id);
        vm.prank(_operator);
        _escrow.update(_t, schedule, _list(1, 100), next);
    }

    function test_anUpdateThatTheBalanceDoesNotCoverIsRefused() public {
        vm.prank(_user);
        _escrow.withdraw(NATIVE, _user, 95_000);
        _refuseUpdate(
            _list(1, 101),
            abi.encodeWithSelector(IStorageEscrow.BalanceTooLow.selector, NATIVE, _user, uint256(5_000), uint256(5_050))
        );
        _update(_t, _list(1, 99));
    }

    function test_anUpdateThatThePoolDoesNotCoverIsRefused() public {
        vm.prank(_provider);
        _escrow.withdrawCollateral(NATIVE, _provider, 10_000 - LOCK);
        _refuseUpdate(
            _list(1, 103),
            abi.encodeWithSelector(
                IStorageEscrow.CollateralTooLow.selector,
                NATIVE,
                _provider,
                LOCK,
                uint256(3 * 1_152)
            )
        );
    }

    /// @dev Up to a fee of 1,024 the collateral is the same, also when the pool has no more.
    function test_aSmallUpdateLocksNothingMore() public {
        vm.prank(_provider);
        _escrow.withdrawCollateral(NATIVE, _provider, 10_000 - LOCK);
        _update(_t, _list(1, 102));
        vm.assertEq(_pool().locked, LOCK);
        vm.assertEq(_balance(NATIVE, _user).rate, 1_020);
    }

    function test_anUpdateToNothingEndsTheSet() public {
        _rollTo(_first);
        _update(_t, "");
        vm.assertEq(_balance(NATIVE, _user).rate, 0);
        vm.assertEq(_escrow.booksOf(_id).noticedEnd, _first);
        _prove(_t, _first, _list(1, 100));
        _rollTo(_first + 2);
        _close(_t, _watcher);
        vm.assertEq(_available(_user), 99_000);
        vm.assertEq(_pool().total, 11_000);
        vm.assertEq(_pool().locked, 0);
    }

    // ---- Retirement

    function test_retirementCountsFromTheEpochAfterTheNextOn() public {
        _rollTo(_first);
        _retire(_t, _list(1, 50));
        // 500 a epoch from then on; the other half of the next epoch is paid now.
        vm.assertEq(_balance(NATIVE, _user).rate, 500);
        vm.assertEq(_available(_user), 99_000 - 500);
        _prove(_t, _first, _list(1, 100));
        _prove(_t, _first + 1, _list(1, 100));
        _prove(_t, _first + 2, _list(1, 50));
        vm.assertEq(_pool().total, 10_000 + 2_500);
        vm.assertEq(_available(_user), 97_500);
    }

    function test_anUpdateFromBeforeARetirementIsRefused() public {
        IStorageEscrow.Update memory older = _signed(_id, 0, _next(2, _list(1, 150)));
        _retire(_t, _list(1, 50));
        older.providerSignature = "";
        bytes memory schedule = _schedule(_id);
        vm.prank(_operator);
        vm.expectPartialRevert(IStorageEscrow.SignatureInvalid.selector);
        _escrow.update(_t, schedule, _list(1, 50), older);
        // One that knows of it takes its place.
        _update(_t, _list(1, 50, 101, 10));
        vm.assertEq(_balance(NATIVE, _user).rate, 600);
        vm.assertEq(_available(_user), 100_000);
    }

    function test_aRetirementCarriesAnUpdateAlong() public {
        IStorageEscrow.Update memory next = _signed(_id, 0, _next(2, _list(1, 150)));
        _rollTo(_first);
        _retireWith(_t, next, _list(1, 50, 101, 50));
        // What was added is paid for an epoch.
        IStorageEscrow.Level[] memory levels = _levels(_id);
        vm.assertEq(levels.length, 3);
        vm.assertEq(levels[1].sliceCount, 150);
        vm.assertEq(levels[2].sliceCount, 100);
        vm.assertEq(levels[2].fromEpoch, _first + 2);
    }

    function test_onlyTheUserRetires() public {
        bytes memory schedule = _schedule(_id);
        IStorageEscrow.Update memory none;
        vm.prank(_provider);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.NotUser.selector, _provider, _user));
        _escrow.retire(_t, schedule, _list(1, 100), none, _list(1, 50));
    }

    function test_aRetirementAddsNothing() public {
        bytes memory schedule = _schedule(_id);
        IStorageEscrow.Update memory none;
        vm.prank(_user);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidTerms.selector, "ranges"));
        _escrow.retire(_t, schedule, _list(1, 100), none, _list(1, 50, 101, 1));
    }

    // ---- Notice and end

    function test_noticePaysThePeriodAtOnce() public {
        _rollTo(_first);
        _giveNotice(_t, _user);
        vm.assertEq(_escrow.booksOf(_id).noticedEnd, _first + NOTICE);
        vm.assertEq(_balance(NATIVE, _user).rate, 0);
        vm.assertEq(_available(_user), 99_000 - NOTICE * 1_000);
        for (uint256 e = _first; e <= _first + NOTICE; ++e) _prove(_t, e, _list(1, 100));
        vm.assertEq(_pool().total, 10_000 + 6_000);
        _rollTo(_first + NOTICE + 1);
        vm.expectPartialRevert(IStorageEscrow.StillRunning.selector);
        this.closeByUser();
        _rollTo(_first + NOTICE + 2);
        _close(_t, _user);
        vm.assertEq(_pool().locked, 0);
    }

    function closeByUser() external {
        _close(_t, _user);
    }

    function test_noticeIsGivenOnce() public {
        _giveNotice(_t, _operator);
        bytes memory schedule = _schedule(_id);
        uint32 end = uint32(_first - 1 + NOTICE);
        vm.prank(_user);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.DataSetEnded.selector, _id, end));
        _escrow.giveNotice(_t, schedule);
        vm.prank(_watcher);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.NotParty.selector, _watcher));
        _escrow.giveNotice(_t, schedule);
    }

    function test_noticeWithAShortBalanceEndsWhenTheBalanceWould() public {
        _rollTo(_first + 97);
        vm.assertEq(_available(_user), 2_000);
        _giveNotice(_t, _provider);
        vm.assertEq(_escrow.booksOf(_id).noticedEnd, _first + 99);
    }

    function test_theNoticePeriodStaysInTheBalance() public {
        vm.prank(_user);
        vm.expectRevert(
            abi.encodeWithSelector(
                IStorageEscrow.BalanceTooLow.selector,
                NATIVE,
                _user,
                uint256(100_000),
                uint256(100_001)
            )
        );
        _escrow.withdraw(NATIVE, _user, 95_001);
        vm.prank(_user);
        _escrow.withdraw(NATIVE, _user, 95_000);
    }

    function test_whenTheBalanceIsUsedUpAllSetsEndAtOneEpoch() public {
        IStorageEscrow.Terms memory second = _t;
        second.feeFloor = 2_000;
        _openOnly(second);
        // 3,000 an epoch from 100,000: 33 epochs, and 1,000 is left.
        uint256 last = _first + 32;
        _rollTo(last + 1);
        vm.assertEq(_available(_user), 1_000);
        bytes memory schedule = _schedule(_id);
        vm.roll(_challengeBlock(last + 1) + WINDOW + GRACE + 1);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.NotPartOfSet.selector, _id, uint32(last + 1)));
        _escrow.reportMiss(_t, _audit(), schedule, uint32(last + 1));
        // Money that comes too late changes nothing.
        _deposit(NATIVE, 50_000);
        vm.assertEq(_escrow.endEpochOf(NATIVE, _user, 0), last + 1);
        _rollTo(last + 2);
        _close(_t, _watcher);
        _close(second, _watcher);
        // Nothing was proven, so all of it came back.
        vm.assertEq(_available(_user), 150_000);
        vm.assertEq(_pool().locked, 0);
    }

    function test_aStrangerWhoWindsUpAnAbandonedSetGetsABounty() public {
        _rollTo(_first);
        _update(_t, "");
        _rollTo(_first + 2 + 30);
        uint256 snapshot = vm.snapshotState();
        _close(_t, _watcher);
        vm.assertEq(_available(_watcher), 0);
        vm.revertToState(snapshot);
        _rollTo(_first + 2 + 31);
        _close(_t, _watcher);
        vm.assertEq(_available(_watcher), 200);
        vm.assertEq(_pool().total, 9_800);
        vm.assertEq(_pool().locked, 0);
    }

    // ---- Disputes

    function _openOnDemand() private returns (IStorageEscrow.Terms memory terms, bytes32 id) {
        terms = _onDemandTerms();
        id = _openOnly(terms);
        vm.prank(_watcher);
        _escrow.deposit{ value: 1_000 }(NATIVE, _watcher, 1_000);
    }

    function _dispute(IStorageEscrow.Terms memory terms) private returns (uint256 challengeBlock) {
        bytes memory schedule = _schedule(_escrow.idOf(terms));
        vm.prank(_watcher);
        _escrow.dispute(terms, _audit(), schedule);
        return block.number + 2;
    }

    function test_onDemandEpochsEarnWithoutProof() public {
        (IStorageEscrow.Terms memory terms, ) = _openOnDemand();
        _rollTo(_first + 3);
        uint256 before = _pool().total;
        _settle(terms);
        vm.assertEq(_pool().total, before + 2_000);
    }

    function test_anAnsweredDisputeCostsItsAuthorTheBond() public {
        (IStorageEscrow.Terms memory terms, bytes32 id) = _openOnDemand();
        _rollTo(_first);
        uint256 challengeBlock = _dispute(terms);
        vm.assertEq(_available(_watcher), 500);
        vm.roll(challengeBlock + 1);
        _proveWith(terms, challengeBlock, _list(1, 100));
        vm.assertEq(_pool().total, 10_000 + 1_000 + 500);
        vm.assertEq(_escrow.disputeOf(id).disputer, address(0));
        // An epoch that was proven is not disputed again, and is paid once.
        bytes memory schedule = _schedule(id);
        vm.prank(_watcher);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.EpochSettled.selector, id, uint32(_first)));
        _escrow.dispute(terms, _audit(), schedule);
        _rollTo(_first + 3);
        _settle(terms);
        vm.assertEq(_pool().total, 10_000 + 2_000 + 500);
    }

    function test_aDisputeThatIsNotAnsweredIsAMiss() public {
        (IStorageEscrow.Terms memory terms, bytes32 id) = _openOnDemand();
        _rollTo(_first);
        uint256 challengeBlock = _dispute(terms);
        bytes memory schedule = _schedule(id);
        vm.roll(challengeBlock + WINDOW + GRACE);
        vm.expectPartialRevert(IStorageEscrow.NotReportable.selector);
        _escrow.upholdDispute(terms, _audit(), schedule);
        vm.roll(challengeBlock + WINDOW + GRACE + 1);
        _escrow.upholdDispute(terms, _audit(), schedule);
        vm.assertEq(_available(_watcher), 1_000 + 200);
        // Two sets are paid for one epoch; the fee of one and 600 came back.
        vm.assertEq(_available(_user), 98_000 + 1_600);
        vm.assertEq(_escrow.booksOf(id).missed, 1);
    }

    function test_anOpenDisputeHoldsTheSettlement() public {
        (IStorageEscrow.Terms memory terms, bytes32 id) = _openOnDemand();
        _rollTo(_first + 1);
        _dispute(terms);
        _rollTo(_first + 9);
        _settle(terms);
        vm.assertEq(_escrow.booksOf(id).settledThrough, _first);
        vm.assertEq(_pool().total, 11_000);
        bytes memory schedule = _schedule(id);
        _escrow.upholdDispute(terms, _audit(), schedule);
        _settle(terms);
        // Epochs but the disputed one: the first, and the six behind it.
        vm.assertEq(_pool().total, 10_000 - 800 + 7_000);
    }

    function test_aDisputeNeedsABond() public {
        (IStorageEscrow.Terms memory terms, bytes32 id) = _openOnDemand();
        _rollTo(_first);
        bytes memory schedule = _schedule(id);
        (address poor, ) = _account("poor");
        vm.prank(poor);
        vm.expectRevert(
            abi.encodeWithSelector(IStorageEscrow.BalanceTooLow.selector, NATIVE, poor, uint256(0), uint256(500))
        );
        _escrow.dispute(terms, _audit(), schedule);
    }

    function test_aDisputeAtTheEndOfAnEpochIsTooLate() public {
        (IStorageEscrow.Terms memory terms, bytes32 id) = _openOnDemand();
        vm.roll((_first + 1) * EPOCH - 2);
        bytes memory schedule = _schedule(id);
        vm.prank(_watcher);
        vm.expectRevert(
            abi.encodeWithSelector(IStorageEscrow.DisputeTooLate.selector, (_first + 1) * EPOCH, uint32(_first))
        );
        _escrow.dispute(terms, _audit(), schedule);
        vm.roll((_first + 1) * EPOCH - 3);
        vm.prank(_watcher);
        _escrow.dispute(terms, _audit(), schedule);
        vm.assertEq(_escrow.disputeOf(id).challengeBlock, (_first + 1) * EPOCH - 1);
    }

    function test_modesDoNotMix() public {
        (IStorageEscrow.Terms memory terms, bytes32 id) = _openOnDemand();
        _rollTo(_first);
        bytes memory schedule = _schedule(_id);
        vm.prank(_watcher);
        vm.expectPartialRevert(IStorageEscrow.WrongMode.selector);
        _escrow.dispute(_t, _audit(), schedule);
        schedule = _schedule(id);
        vm.roll(_challengeBlock(_first) + WINDOW + GRACE + 1);
        vm.expectPartialRevert(IStorageEscrow.WrongMode.selector);
        _escrow.reportMiss(terms, _audit(), schedule, uint32(_first));
    }

    // ---- Double signing

    function test_aProviderThatSignsTwoStatesLosesItsCollateral() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(_id, 0, _next(2, _list(1, 120)));
        bytes memory schedule = _schedule(_id);
        _escrow.showDoubleSigning(_t, schedule, _operator, abi.encode(uint256(0), one, other));
        vm.assertEq(_available(_user), 100_000 + LOCK);
        vm.assertEq(_pool().total, 10_000 - LOCK);
        vm.assertEq(_pool().locked, 0);
        vm.assertEq(_balance(NATIVE, _user).rate, 0);
    }

    function test_aUserWhoSignsTwoStatesPaysTheNoticePeriod() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(_id, 0, _next(2, _list(1, 120)));
        bytes memory schedule = _schedule(_id);
        _escrow.showDoubleSigning(_t, schedule, _user, abi.encode(uint256(0), one, other));
        vm.assertEq(_available(_user), 95_000);
        vm.assertEq(_pool().total, 15_000);
        vm.assertEq(_pool().locked, 0);
    }

    function test_theSameStateTwiceIsNoDoubleSigning() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 150)));
        bytes memory schedule = _schedule(_id);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.SameState.selector, _id, uint64(2)));
        _escrow.showDoubleSigning(_t, schedule, _user, abi.encode(uint256(0), one, one));
    }

    function _refuseUpdate(bytes memory ranges, bytes memory error_) private {
        bytes memory schedule = _schedule(_id);
        IStorageEscrow.Update memory next = _signed(_id, _retirements(_id), _next(_version(_id) + 1, ranges));
        next.providerSignature = "";
        bytes memory before = _ranges[_id];
        vm.prank(_operator);
        vm.expectRevert(error_);
        _escrow.update(_t, schedule, before, next);
    }
}
