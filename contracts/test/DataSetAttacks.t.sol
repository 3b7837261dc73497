// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { StorageEscrow } from "../StorageEscrow.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { DataSetTestBase } from "./DataSetTestBase.t.sol";
import { vm } from "./Vm.sol";
import { AgreeingWallet } from "./zoo/AgreeingWallet.sol";
import { FakeVerifier } from "./zoo/FakeVerifier.sol";

/// @notice What a party, an operator or a stranger could try to get more than the rules give, by name.
contract DataSetAttacksTest is DataSetTestBase {
    IStorageEscrow.Terms internal _t;
    bytes32 internal _id;
    uint256 internal _first;

    function setUp() public override {
        super.setUp();
        _t = _terms(NATIVE);
        _id = _open(_t);
        _first = _epoch() + 1;
    }

    /// @dev Everything that anybody in these tests can own is all that the contract holds.
    function _assertNothingIsStuck() private view {
        vm.assertEq(
            address(_escrow).balance,
            _available(_user) + _available(_watcher) + _available(_provider) + _pool().total,
            "holdings"
        );
    }

    // ---- Exhaustion

    /// @dev A set alone, of 1,000 an epoch, in whose last epoch 700 are left. A retirement then pays 500 ahead for one
    /// more epoch, which never comes.
    function _retireInTheLastEpoch(uint8 breachLimit) private returns (IStorageEscrow.Terms memory terms, bytes32 id) {
        _update(_t, "");
        terms = _onDemandTerms();
        terms.breachLimit = breachLimit;
        id = _openOnly(terms);
        _deposit(NATIVE, 700);
        _rollTo(_first + 99);
        vm.assertEq(_available(_user), 700);
        _retire(terms, _list(1, 50));
        vm.assertEq(_available(_user), 200);
        vm.prank(_watcher);
        _escrow.deposit{ value: 500 }(NATIVE, _watcher, 500);
    }

    function test_whatIsPaidAheadComesBackWhenTheBalanceIsUsedUpBefore() public {
        (IStorageEscrow.Terms memory terms, ) = _retireInTheLastEpoch(3);
        _rollTo(_first + 101);
        _close(terms, _watcher);
        vm.assertEq(_available(_user), 700);
        vm.assertEq(_pool().total, 110_000);
        _assertNothingIsStuck();
    }

    function test_whatIsPaidAheadComesBackWithABreachBehindTheLastEpoch() public {
        (IStorageEscrow.Terms memory terms, bytes32 id) = _retireInTheLastEpoch(1);
        bytes memory schedule = _schedule(id);
        vm.prank(_watcher);
        _escrow.dispute(terms, _audit(), schedule);
        _rollTo(_first + 100);
        _escrow.upholdDispute(terms, _audit(), schedule);
        // The fee of the disputed epoch, 60 % of it, and 220 % of 1,024 that were left of the collateral.
        vm.assertEq(_available(_user), 700 + 1_000 + 600 + 2_252);
        _assertNothingIsStuck();
    }

    // ---- Double signing

    /// @dev A user may have a second account as the provider of one of its sets. What its balance still pays to others
    /// must not go there.
    function test_aUserThatSignsTwoStatesLeavesOtherSetsTheirRunway() public {
        _update(_t, "");
        IStorageEscrow.Terms memory honest = _onDemandTerms();
        _openOnly(honest);
        IStorageEscrow.Terms memory own = _onDemandTerms();
        own.feeFloor = 9_000;
        _depositCollateral(NATIVE, 21_000);
        bytes32 ownId = _openOnly(own);
        // 10,000 an epoch: 2 epochs are left.
        _rollTo(_first + 7);
        vm.assertEq(_available(_user), 20_000);
        IStorageEscrow.Update memory one = _signed(ownId, 0, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(ownId, 0, _next(2, _list(1, 120)));
        _escrow.showDoubleSigning(own, _schedule(ownId), _user, abi.encode(uint256(0), one, other));
        vm.assertGe(_available(_user), 2_000);
        _rollTo(_first + 9);
        vm.assertEq(_balance(NATIVE, _user).generation, 0);
    }

    /// @dev In mode OnDemand, epochs without a dispute have earned their fees.
    function test_aUserThatSignsTwoStatesDoesNotTakeBackFees() public {
        IStorageEscrow.Terms memory terms = _onDemandTerms();
        bytes32 id = _openOnly(terms);
        _rollTo(_first + 1);
        uint256 pool = _pool().total;
        IStorageEscrow.Update memory one = _signed(id, 0, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(id, 0, _next(2, _list(1, 120)));
        _escrow.showDoubleSigning(terms, _schedule(id), _user, abi.encode(uint256(0), one, other));
        // Two epochs that are paid, and the notice period.
        vm.assertEq(_pool().total, pool + 2_000 + NOTICE * 1_000);
    }

    function test_aProviderThatSignsTwoStatesDoesNotEscapeByNotice() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(_id, 0, _next(2, _list(1, 120)));
        _rollTo(_first);
        _giveNotice(_t, _provider);
        _escrow.showDoubleSigning(_t, _schedule(_id), _operator, abi.encode(uint256(0), one, other));
        vm.assertEq(_pool().total, 10_000 - LOCK);
        vm.assertEq(_pool().locked, 0);
        vm.assertEq(_available(_user), 100_000 + LOCK);
        _assertNothingIsStuck();
    }

    /// @dev After notice the period is paid already; a breach would bring it back.
    function test_aUserDoesNotGetTheNoticePeriodBackByShowingItsOwnDoubleSigning() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(_id, 0, _next(2, _list(1, 120)));
        _giveNotice(_t, _user);
        bytes memory schedule = _schedule(_id);
        vm.expectPartialRevert(IStorageEscrow.DataSetEnded.selector);
        _escrow.showDoubleSigning(_t, schedule, _user, abi.encode(uint256(0), one, other));
    }

    // ---- Proofs that cannot get in

    /// @dev Every retirement makes a new schedule, and a proof names the newest one. A user that retires before each
    /// proof of the provider in a window would make a miss of it.
    function test_aUserRetiresOncePerEpochSoThatItCannotKeepProofsOut() public {
        _rollTo(_first);
        _retire(_t, _list(1, 99));
        bytes memory schedule = _schedule(_id);
        IStorageEscrow.Update memory none;
        vm.prank(_user);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.ChangePending.selector, _id, uint32(_first + 2)));
        _escrow.retire(_t, schedule, _list(1, 99), none, _list(1, 98));
        _rollTo(_first + 1);
        _retire(_t, _list(1, 98));
    }

    /// @dev A user that holds states that the provider has signed could send one before each proof of the provider.
    function test_aUserSendsOneStatePerEpochSoThatItCannotKeepProofsOut() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 101)));
        IStorageEscrow.Update memory other = _signed(_id, 0, _next(3, _list(1, 102)));
        _rollTo(_first);
        _send(_user, one);
        _refusePending(_user, other, _first + 1);
        _refusePending(_watcher, other, _first + 1);
        _rollTo(_first + 1);
        _send(_user, other);
    }

    /// @dev Neither does it with states that retirements carry along.
    function test_aRetirementCarriesNoStateWhileAChangeWaits() public {
        IStorageEscrow.Update memory next = _signed(_id, 1, _next(2, _list(1, 98, 101, 10)));
        _rollTo(_first);
        _retire(_t, _list(1, 99));
        bytes memory schedule = _schedule(_id);
        vm.prank(_user);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.ChangePending.selector, _id, _first + 2));
        _escrow.retire(_t, schedule, _list(1, 99), next, _list(1, 97, 101, 10));
        // The retirement still waits in the next epoch.
        _rollTo(_first + 1);
        _refusePending(_user, next, _first + 2);
        _rollTo(_first + 2);
        _retireWith(_t, next, _list(1, 97, 101, 10));
    }

    /// @dev The provider has its own proofs to wait for, so it may.
    function test_theProviderReplacesWhatWaits() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 101)));
        IStorageEscrow.Update memory other = _signed(_id, 0, _next(3, _list(1, 102)));
        IStorageEscrow.Update memory third = _signed(_id, 0, _next(4, _list(1, 103)));
        _rollTo(_first);
        _send(_user, one);
        // With its signature in the call it is a call as anybody's.
        _refusePending(_operator, other, _first + 1);
        other.providerSignature = "";
        _send(_operator, other);
        third.providerSignature = "";
        _send(_provider, third);
        vm.assertEq(_levels(_id).length, 2);
        vm.assertEq(_levels(_id)[1].sliceCount, 103);
    }

    /// @dev A contract wallet may accept an empty signature, as those do in which a message is approved beforehand.
    function test_anEmptySignatureIsTheProvidersOwnCallAlone() public {
        _nameOperator(address(new AgreeingWallet()));
        IStorageEscrow.Update memory next = _signed(_id, 0, _next(2, _list(1, 101)));
        next.providerSignature = "";
        bytes memory schedule = _schedule(_id);
        for (uint256 epoch = _first - 1; epoch <= _first; ++epoch) {
            _rollTo(epoch);
            vm.prank(_user);
            vm.expectPartialRevert(IStorageEscrow.SignatureInvalid.selector);
            _escrow.update(_t, schedule, _list(1, 100), next);
        }
        next.providerSignature = hex"01";
        _send(_user, next);
    }

    /// @dev By the user, one state and one retirement make two proofs of the provider revert, which it sends again.
    function test_aProofGetsInAfterAllThatAUserCanSend() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 101)));
        vm.roll(_challengeBlock(_first) + 1);
        IStorageEscrow.ProofCall[] memory calls = new IStorageEscrow.ProofCall[](1);
        calls[0] = _call(_t, _challengeBlock(_first), _list(1, 100));
        _send(_user, one);
        vm.expectPartialRevert(IStorageEscrow.WrongSchedule.selector);
        _escrow.prove(calls);
        calls[0].schedule = _schedule(_id);
        _retire(_t, _list(1, 50));
        vm.expectPartialRevert(IStorageEscrow.WrongSchedule.selector);
        _escrow.prove(calls);
        // The same proof, with the new schedule.
        calls[0].schedule = _schedule(_id);
        _escrow.prove(calls);
        vm.assertEq(_escrow.booksOf(_id).proven, 1);
    }

    function _send(address sender, IStorageEscrow.Update memory next) private {
        bytes memory schedule = _schedule(_id);
        bytes memory before = _ranges[_id];
        vm.recordLogs();
        vm.prank(sender);
        _escrow.update(_t, schedule, before, next);
        _remember();
    }

    function _refusePending(address sender, IStorageEscrow.Update memory next, uint256 fromEpoch) private {
        bytes memory schedule = _schedule(_id);
        bytes memory before = _ranges[_id];
        vm.prank(sender);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.ChangePending.selector, _id, fromEpoch));
        _escrow.update(_t, schedule, before, next);
    }

    // ---- Operators that were replaced

    /// @dev A provider that names another operator would void what it has signed, and the evidence against it.
    function test_whatAReplacedOperatorHasSignedCountsForSomeEpochs() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 101)));
        IStorageEscrow.Update memory two = _signed(_id, 0, _next(3, _list(1, 102)));
        _nameOperator(_watcher);
        uint256 until = _epoch() + _escrow.REPLACED_EPOCHS();
        vm.assertEq(_escrow.replacedUntil(_provider, _operator), until);
        _rollTo(until - 1);
        _send(_user, one);
        _rollTo(until);
        bytes memory schedule = _schedule(_id);
        bytes32 digest = _digest(_id, 0, two);
        vm.prank(_user);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.SignatureInvalid.selector, _watcher, digest));
        _escrow.update(_t, schedule, _list(1, 101), two);
    }

    function test_aReplacedOperatorIsShownToHaveSignedTwoStates() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(_id, 0, _next(2, _list(1, 120)));
        _nameOperator(_watcher);
        uint256 until = _escrow.replacedUntil(_provider, _operator);
        bytes memory schedule = _schedule(_id);
        _rollTo(until);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.NotParty.selector, _operator));
        _escrow.showDoubleSigning(_t, schedule, _operator, abi.encode(uint256(0), one, other));
        _rollTo(until - 1);
        _escrow.showDoubleSigning(_t, schedule, _operator, abi.encode(uint256(0), one, other));
        vm.assertEq(_pool().total, 10_000 - LOCK);
    }

    /// @dev Naming operators one after the other neither shortens nor ends the time of those before.
    function test_namingOperatorsQuicklyVoidsNothing() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 101)));
        _nameOperator(_watcher);
        uint256 until = _escrow.replacedUntil(_provider, _operator);
        _nameOperator(address(0));
        _nameOperator(_user);
        _rollTo(_first);
        _nameOperator(_operator);
        _nameOperator(_watcher);
        vm.assertEq(_escrow.replacedUntil(_provider, _operator), until + 1);
        vm.assertEq(_escrow.replacedUntil(_provider, _provider), until);
        _rollTo(until - 1);
        _send(_user, one);
    }

    /// @dev With a stolen key, one could otherwise lock all that is free in the pool, on terms of one's own.
    function test_aReplacedOperatorOpensNothing() public {
        IStorageEscrow.Terms memory terms = _onDemandTerms();
        bytes32 id = _escrow.idOf(terms);
        IStorageEscrow.Update memory first = _signed(id, 0, _next(1, _list(1, 100)));
        (address successor, uint256 successorKey) = _account("successor");
        _nameOperator(successor);
        bytes32 digest = _digest(id, 0, first);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.SignatureInvalid.selector, successor, digest));
        _escrow.open(terms, _audit(), first);
        // What was agreed on before the change is opened by the successor: it signs, or sends.
        first.providerSignature = _signature(successorKey, digest);
        uint256 before = vm.snapshotState();
        _escrow.open(terms, _audit(), first);
        vm.revertToState(before);
        first.providerSignature = "";
        vm.prank(successor);
        _escrow.open(terms, _audit(), first);
        // The states of sets that are open count on.
        _rollTo(_first);
        _send(_user, _signed(_id, 0, _next(2, _list(1, 101))));
    }

    /// @dev In the first epochs of a chain, nobody has been replaced either.
    function test_whoNeverWasOperatorSignsForNoProvider() public {
        vm.roll(1);
        IStorageEscrow.Terms memory terms = _onDemandTerms();
        IStorageEscrow.Update memory first = _next(1, _list(1, 100));
        bytes32 digest = _digest(_escrow.idOf(terms), 0, first);
        first.userSignature = _signature(_userKey, digest);
        (, uint256 strangersKey) = _account("stranger");
        first.providerSignature = _signature(strangersKey, digest);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.SignatureInvalid.selector, _operator, digest));
        _escrow.open(terms, _audit(), first);
    }

    /// @dev A replaced operator signs for a while, but sends nothing in the provider's name.
    function test_aReplacedOperatorSendsNothing() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 101)));
        one.providerSignature = "";
        _nameOperator(_watcher);
        bytes memory schedule = _schedule(_id);
        vm.startPrank(_operator);
        vm.expectPartialRevert(IStorageEscrow.SignatureInvalid.selector);
        _escrow.update(_t, schedule, _list(1, 100), one);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.NotParty.selector, _operator));
        _escrow.giveNotice(_t, schedule);
        vm.stopPrank();
    }

    function _nameOperator(address operator) private {
        vm.prank(_provider);
        _escrow.setOperator(operator);
    }

    // ---- Retirements and evidence

    /// @dev It would count, and so make signatures void, for nothing.
    function test_aRetirementThatTakesNothingOutIsRefused() public {
        bytes memory schedule = _schedule(_id);
        IStorageEscrow.Update memory none;
        vm.prank(_user);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidTerms.selector, "ranges"));
        _escrow.retire(_t, schedule, _list(1, 100), none, _list(1, 100));
        IStorageEscrow.Update memory next = _signed(_id, 0, _next(2, _list(1, 150)));
        _rollTo(_first);
        vm.prank(_user);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidTerms.selector, "ranges"));
        _escrow.retire(_t, schedule, _list(1, 100), next, _list(1, 150));
    }

    function test_aRetirementDoesNotVoidEvidence() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(_id, 0, _next(2, _list(1, 120)));
        _retire(_t, _list(1, 99));
        bytes memory schedule = _schedule(_id);
        // Under another number it is none.
        vm.expectPartialRevert(IStorageEscrow.SignatureInvalid.selector);
        _escrow.showDoubleSigning(_t, schedule, _user, abi.encode(uint256(1), one, other));
        _escrow.showDoubleSigning(_t, schedule, _user, abi.encode(uint256(0), one, other));
        vm.assertEq(uint256(_escrow.booksOf(_id).status), uint256(IStorageEscrow.Status.Breached));
    }

    /// @dev A retirement makes what is not sent yet void, so an honest party signs the version again.
    function test_signingAVersionAgainAfterARetirementIsNoEvidence() public {
        IStorageEscrow.Update memory one = _signed(_id, 0, _next(2, _list(1, 150)));
        _retire(_t, _list(1, 99));
        IStorageEscrow.Update memory again = _signed(_id, 1, _next(2, _list(1, 99, 101, 50)));
        bytes memory schedule = _schedule(_id);
        for (uint256 named; named < 2; ++named) {
            vm.expectPartialRevert(IStorageEscrow.SignatureInvalid.selector);
            _escrow.showDoubleSigning(_t, schedule, _user, abi.encode(named, one, again));
            vm.expectPartialRevert(IStorageEscrow.SignatureInvalid.selector);
            _escrow.showDoubleSigning(_t, schedule, _operator, abi.encode(named, one, again));
        }
    }

    function test_evidenceUnderRetirementsToComeIsNone() public {
        IStorageEscrow.Update memory one = _signed(_id, 1, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(_id, 1, _next(2, _list(1, 120)));
        bytes memory schedule = _schedule(_id);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.RetirementsToCome.selector, uint256(0), uint256(1)));
        _escrow.showDoubleSigning(_t, schedule, _user, abi.encode(uint256(1), one, other));
    }

    // ---- Borders

    function test_epochsAndNoticeHaveALeastLength() public {
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidTerms.selector, "epochBlocks"));
        new StorageEscrow(1, 2, _directory);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidTerms.selector, "noticeEpochs"));
        new StorageEscrow(2, 1, _directory);
        new StorageEscrow(2, 2, _directory);
    }

    function test_termsThatTheRulesRefuseDoNotOpen() public {
        IStorageEscrow.Terms memory terms = _onDemandTerms();
        terms.breachLimit = 0;
        IStorageEscrow.Update memory first = _signed(_escrow.idOf(terms), 0, _next(1, _list(1, 100)));
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidTerms.selector, "breachLimit"));
        _escrow.open(terms, _audit(), first);
    }

    function test_aSetWithoutSlicesDoesNotOpen() public {
        IStorageEscrow.Terms memory terms = _onDemandTerms();
        IStorageEscrow.Update memory first = _signed(_escrow.idOf(terms), 0, _next(1, ""));
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidTerms.selector, "ranges"));
        _escrow.open(terms, _audit(), first);
    }

    function test_aSetThatOpensAfterAnotherGenerationRuns() public {
        _rollTo(_first + 100);
        _deposit(NATIVE, 50_000);
        IStorageEscrow.Terms memory terms = _onDemandTerms();
        bytes32 id = _openOnly(terms);
        vm.assertEq(_escrow.booksOf(id).generation, 1);
        _rollTo(_epoch() + 1);
        _update(terms, _list(1, 120));
        bytes memory schedule = _schedule(id);
        vm.expectPartialRevert(IStorageEscrow.StillRunning.selector);
        _escrow.close(terms, schedule);
    }

    function test_aSetThatIsBreachedIsOver() public {
        for (uint256 i; i < 3; ++i) _report(_t, _first + i);
        bytes memory schedule = _schedule(_id);
        bytes memory refusal = abi.encodeWithSelector(
            IStorageEscrow.WrongStatus.selector,
            _id,
            IStorageEscrow.Status.Breached
        );
        vm.expectRevert(refusal);
        _escrow.settle(_t, schedule);
        _rollTo(_first + 200);
        vm.expectRevert(refusal);
        _escrow.close(_t, schedule);
    }

    function test_aSetWithAnOpenDisputeDoesNotClose() public {
        (IStorageEscrow.Terms memory terms, bytes32 id) = _retireInTheLastEpoch(3);
        bytes memory schedule = _schedule(id);
        vm.prank(_watcher);
        _escrow.dispute(terms, _audit(), schedule);
        _rollTo(_first + 110);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.DisputeOpen.selector, id));
        _escrow.close(terms, schedule);
    }

    /// @dev The bounty of an abandoned set is for strangers, and at most what the set locks.
    function test_theBountyOfAnAbandonedSet() public {
        IStorageEscrow.Terms memory terms = _t;
        terms.bountyPercent = 200;
        terms.compensationPercent = 1;
        terms.breachLimit = 2;
        terms.collateralPercent = 402;
        _openOnly(terms);
        _report(terms, _first);
        vm.assertEq(_available(_watcher), 2_000);
        _update(terms, "");
        _rollTo(_first + 60);
        uint256 snapshot = vm.snapshotState();
        uint256 total = _pool().total;
        _close(terms, _user);
        vm.assertEq(_pool().total, total);
        vm.revertToState(snapshot);
        _close(terms, _watcher);
        // 402 % less 201 % of 1,000 were locked; the bounty is 200 %.
        vm.assertEq(_pool().total, total - 2_000);
    }

    function test_oneCallNamesOneVerifier() public {
        FakeVerifier other = new FakeVerifier();
        vm.roll(_challengeBlock(_first) + 1);
        IStorageEscrow.ProofCall[] memory calls = new IStorageEscrow.ProofCall[](2);
        calls[0] = _call(_t, _challengeBlock(_first), _list(1, 100));
        calls[1] = _call(_t, _challengeBlock(_first), _list(1, 100));
        calls[1].audit.verifier = address(other);
        vm.expectRevert(
            abi.encodeWithSelector(IStorageEscrow.DifferentVerifiers.selector, address(_verifier), address(other))
        );
        _escrow.prove(calls);
    }

    /// @dev The RANDAO mix of a block is known to the proposer of the block before it. So the block behind a dispute
    /// does not challenge it: who includes a dispute would know what it asks for, and could leave out those that it
    /// loses.
    function test_aDisputeIsChallengedByTheGridBehindTheNextBlock() public {
        IStorageEscrow.Terms memory terms = _onDemandTerms();
        bytes32 id = _openOnly(terms);
        bytes memory schedule = _schedule(id);
        uint256 before = vm.snapshotState();
        uint256 start = _first * EPOCH;
        uint256[3][5] memory cases = [
            [uint256(1), start, start + 2],
            [uint256(1), start + 7, start + 9],
            [uint256(5), start + 10, start + 15],
            [uint256(5), start + 13, start + 15],
            [uint256(5), start + 14, start + 20]
        ];
        for (uint256 i; i < cases.length; ++i) {
            _randomness.setGrid(uint64(cases[i][0]));
            vm.roll(cases[i][1]);
            vm.prank(_user);
            _escrow.dispute(terms, _audit(), schedule);
            vm.assertEq(_escrow.disputeOf(id).challengeBlock, cases[i][2]);
            vm.assertEq(_escrow.disputeOf(id).bond, 500);
            vm.revertToState(before);
            before = vm.snapshotState();
        }
    }

    /// @dev The user's balance is in memory while its set ends.
    function test_theBondOfAUserComesBackWithTheBreachOfItsSet() public {
        IStorageEscrow.Terms memory terms = _onDemandTerms();
        bytes32 id = _openOnly(terms);
        _rollTo(_first);
        uint256 before = _available(_user);
        bytes memory schedule = _schedule(id);
        vm.prank(_user);
        _escrow.dispute(terms, _audit(), schedule);
        vm.assertEq(_available(_user), before - 500);
        IStorageEscrow.Update memory one = _signed(id, 0, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(id, 0, _next(2, _list(1, 120)));
        _escrow.showDoubleSigning(terms, schedule, _operator, abi.encode(uint256(0), one, other));
        // The fee of the epoch, and the collateral.
        vm.assertEq(_available(_user), before + 1_000 + LOCK);
        vm.assertEq(_escrow.booksOf(id).disputed, false);
    }

    /// @dev Also when the fee stays that of the retirement: then the rate of the balance does not change, but it does.
    function test_anUpdateWithTheFeeOfARetirementGivesBackWhatThatPaidAhead() public {
        _retire(_t, _list(1, 50));
        vm.assertEq(_available(_user), 99_500);
        _update(_t, _list(1, 49, 101, 1));
        vm.assertEq(_available(_user), 100_000);
        vm.assertEq(_balance(NATIVE, _user).rate, 500);
        _assertNothingIsStuck();
    }

    // ---- Chains that change

    /// @dev A fork of a chain may take another id. Sets that are open keep theirs, so that they can be settled and
    /// closed; what was signed for the other chain counts on it alone.
    function test_aChainThatChangesItsIdLocksNothing() public {
        IStorageEscrow.Update memory next = _signed(_id, 0, _next(2, _list(1, 101)));
        uint256 chainId = block.chainid;
        vm.chainId(chainId + 1);
        vm.assertEq(_escrow.idOf(_t), _id);
        bytes32 digest = _digest(_id, 0, next);
        bytes memory schedule = _schedule(_id);
        vm.prank(_operator);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.SignatureInvalid.selector, _user, digest));
        _escrow.update(_t, schedule, _list(1, 100), next);
        _giveNotice(_t, _user);
        _rollTo(_first + NOTICE + 2);
        _close(_t, _user);
        vm.assertEq(_pool().locked, 0);
        _assertNothingIsStuck();
        vm.chainId(chainId);
    }

    /// @dev An update takes the place of a retirement that has not begun, and what that paid ahead comes back.
    function test_anUpdateGivesBackWhatARetirementPaidAhead() public {
        _retire(_t, _list(1, 50));
        vm.assertEq(_available(_user), 99_500);
        _update(_t, _list(1, 50, 101, 50));
        vm.assertEq(_available(_user), 100_000);
        _assertNothingIsStuck();
    }

    /// @dev While a dispute holds the settlement, each epoch with an update makes a level.
    function test_aScheduleHasAtMostEightLevels() public {
        IStorageEscrow.Terms memory terms = _onDemandTerms();
        bytes32 id = _openOnly(terms);
        _rollTo(_first);
        bytes memory schedule = _schedule(id);
        vm.prank(_user);
        _escrow.dispute(terms, _audit(), schedule);
        for (uint256 i; i < 7; ++i) {
            _update(terms, _list(1, 101 + i));
            _rollTo(_first + 1 + i);
        }
        vm.assertEq(_levels(id).length, 8);
        IStorageEscrow.Update memory next = _signed(id, 0, _next(_version(id) + 1, _list(1, 150)));
        schedule = _schedule(id);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.TooManyLevels.selector, id));
        _escrow.update(terms, schedule, _list(1, 107), next);
        // Deciding the dispute makes room.
        _escrow.upholdDispute(terms, _audit(), schedule);
        _escrow.update(terms, schedule, _list(1, 107), next);
    }

    function test_anEpochThatIsSettledIsNotReported() public {
        _rollTo(_first + 3);
        _settle(_t);
        vm.assertEq(_escrow.booksOf(_id).settledThrough, _first + 1);
        bytes memory schedule = _schedule(_id);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.EpochSettled.selector, _id, uint32(_first + 1)));
        _escrow.reportMiss(_t, _audit(), schedule, uint32(_first + 1));
    }

    function test_lockedCollateralIsNotWithdrawn() public {
        vm.startPrank(_provider);
        vm.expectRevert(
            abi.encodeWithSelector(IStorageEscrow.CollateralTooLow.selector, NATIVE, _provider, uint256(10_000), LOCK)
        );
        _escrow.withdrawCollateral(NATIVE, _provider, 10_001 - LOCK);
        _escrow.withdrawCollateral(NATIVE, _provider, 10_000 - LOCK);
        vm.stopPrank();
    }

    function test_aProofInTheLastBlockOfTheWindowIsNotLate() public {
        vm.roll(_challengeBlock(_first) + WINDOW);
        _proveWith(_t, _challengeBlock(_first), _list(1, 100));
        vm.assertEq(_pool().total, 11_000);
    }

    /// @dev A proof of an epoch that is settled in the same call as one of a later epoch counts once.
    function test_outcomesAreKeptUntilTheirEpochIsSettled() public {
        _prove(_t, _first, _list(1, 100));
        _prove(_t, _first + 1, _list(1, 100));
        _prove(_t, _first + 2, _list(1, 100));
        _prove(_t, _first + 3, _list(1, 100));
        vm.assertEq(_pool().total, 14_000);
        _rollTo(_first + 5);
        _settle(_t);
        vm.assertEq(_pool().total, 14_000);
        _assertNothingIsUnpaid(6);
    }

    /// @dev Nothing was proven in the last two of so many epochs.
    function _assertNothingIsUnpaid(uint256 epochs) private view {
        vm.assertEq(_available(_user), 100_000 - epochs * 1_000);
        vm.assertEq(address(_escrow).balance, 100_000 + 10_000);
    }

    // ---- Encodings

    /// @dev Terms with unused bits that are not zero are those of another set, which some calls would refuse: it could
    /// be opened and never be closed.
    function test_termsWithUnusedBitsDoNotOpen() public {
        for (uint256 field; field < 13; ++field) {
            IStorageEscrow.Terms memory dirty = _terms(NATIVE);
            assembly ("memory-safe") {
                let place := add(dirty, shl(5, field))
                mstore(place, or(mload(place), shl(255, 1)))
            }
            bytes memory words = _raw(dirty);
            (bool known, bytes memory answer) = address(_escrow).call(bytes.concat(_escrow.idOf.selector, words));
            vm.assertTrue(known);
            IStorageEscrow.Update memory first = _signed(abi.decode(answer, (bytes32)), 0, _next(1, _list(1, 100)));
            (bool opened, ) = address(_escrow).call(
                bytes.concat(
                    _escrow.open.selector,
                    words,
                    abi.encode(_audit()),
                    abi.encode(uint256(26 * 32)),
                    _tail(first)
                )
            );
            vm.assertFalse(opened, "opened");
        }
    }

    /// @dev Later calls take the words of audit terms as they are.
    function test_auditTermsWithUnusedBitsDoNotOpen() public {
        // Beside the three hashes, which have no unused bits.
        uint256[8] memory fields = [uint256(0), 1, 3, 4, 5, 6, 7, 8];
        for (uint256 k; k < fields.length; ++k) {
            bytes memory words = abi.encode(_audit());
            uint256 place = 32 * (fields[k] + 1);
            assembly ("memory-safe") {
                place := add(words, place)
                mstore(place, or(mload(place), shl(255, 1)))
            }
            IStorageEscrow.Terms memory terms = _terms(NATIVE);
            terms.auditHash = keccak256(words);
            IStorageEscrow.Update memory first = _signed(_escrow.idOf(terms), 0, _next(1, _list(1, 100)));
            (bool opened, ) = address(_escrow).call(
                bytes.concat(_escrow.open.selector, _raw(terms), words, abi.encode(uint256(26 * 32)), _tail(first))
            );
            vm.assertFalse(opened, "opened");
        }
    }

    /// @dev The same call with clean terms works: the tests above fail for the bits alone.
    function test_theSameEncodingWithoutUnusedBitsOpens() public {
        IStorageEscrow.Terms memory clean = _terms(NATIVE);
        clean.feeFloor = 101;
        IStorageEscrow.Update memory first = _signed(_escrow.idOf(clean), 0, _next(1, _list(1, 100)));
        (bool opened, ) = address(_escrow).call(
            bytes.concat(
                _escrow.open.selector,
                _raw(clean),
                abi.encode(_audit()),
                abi.encode(uint256(26 * 32)),
                _tail(first)
            )
        );
        vm.assertTrue(opened);
    }

    /// @dev The words of terms as they are in memory, which abi.encode would clean.
    function _raw(IStorageEscrow.Terms memory terms) private pure returns (bytes memory words) {
        words = new bytes(14 * 32);
        assembly ("memory-safe") {
            mcopy(add(words, 0x20), terms, mul(14, 32))
        }
    }

    /// @dev An encoded update without the word in front that says where it begins.
    function _tail(IStorageEscrow.Update memory next) private pure returns (bytes memory tail) {
        bytes memory encoded = abi.encode(next);
        tail = new bytes(encoded.length - 32);
        assembly ("memory-safe") {
            mcopy(add(tail, 0x20), add(encoded, 0x40), mload(tail))
        }
    }
}
