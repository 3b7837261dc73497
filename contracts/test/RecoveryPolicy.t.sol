// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IRecoveryPolicy } from "../interfaces/IRecoveryPolicy.sol";
import { RecoveryPolicyBase } from "./RecoveryPolicyBase.t.sol";
import { SingleKeyWallet } from "./zoo/SignatureWallets.sol";
import { RejectingWallet } from "./zoo/Wallets.sol";
import { vm } from "./Vm.sol";

contract RecoveryPolicyTest is RecoveryPolicyBase {
    IRecoveryPolicy.Path private constant WALLET = IRecoveryPolicy.Path.Wallet;
    IRecoveryPolicy.Path private constant GUARDIANS = IRecoveryPolicy.Path.Guardians;
    uint256 private constant GAS_CAP = 500_000;

    function setUp() public {
        _deployPolicy();
    }

    function test_walletMayHaveTheSecretFromTheDelayOnAndUntilTheWindowCloses() public {
        _open(_byWallet(1));
        vm.assertFalse(_isReleased(_wallet, KEY));
        vm.warp(START + WALLET_DELAY - 1);
        vm.assertFalse(_isReleased(_wallet, KEY));
        vm.warp(START + WALLET_DELAY);
        vm.assertTrue(_isReleased(_wallet, KEY));
        vm.warp(START + WALLET_DELAY + WINDOW);
        vm.assertTrue(_isReleased(_wallet, KEY));
        vm.warp(START + WALLET_DELAY + WINDOW + 1);
        vm.assertFalse(_isReleased(_wallet, KEY));
    }

    function test_releaseIsForThisRequesterAndSessionKeyAndSecretOnly() public {
        _open(_byWallet(1));
        vm.warp(START + WALLET_DELAY);
        vm.assertFalse(_isReleased(_thief, KEY));
        vm.assertFalse(_isReleased(_author, KEY));
        vm.assertFalse(_isReleased(_wallet, bytes32("another")));
        bytes memory data = abi.encode(_data());
        IRecoveryPolicy.Secret memory s = _secret();
        vm.assertTrue(_policy.mayRelease(s.recordId, _wallet, _context(s, data, KEY)));
        vm.assertFalse(_policy.mayRelease(bytes32("other record"), _wallet, _context(s, data, KEY)));
        s.version = 2;
        vm.assertFalse(_policy.mayRelease(s.recordId, _wallet, _context(s, data, KEY)));
        s = _secret();
        s.author = _thief;
        vm.assertFalse(_policy.mayRelease(s.recordId, _wallet, _context(s, data, KEY)));
        s = _secret();
        s.ledger = address(1);
        vm.assertFalse(_policy.mayRelease(s.recordId, _wallet, _context(s, data, KEY)));
    }

    function test_otherDataThanTheLabelsReleasesNothing() public {
        _open(_byWallet(1));
        vm.warp(START + WALLET_DELAY);
        IRecoveryPolicy.Secret memory s = _secret();
        IRecoveryPolicy.RecoveryData memory data = _data();
        data.threshold = 1;
        vm.assertFalse(_policy.mayRelease(s.recordId, _wallet, _context(s, abi.encode(data), KEY)));
        // The same values in another encoding have another hash.
        bytes memory padded = abi.encodePacked(abi.encode(_data()), bytes32(0));
        vm.assertFalse(_policy.mayRelease(s.recordId, _wallet, _context(s, padded, KEY)));
    }

    function test_malformedContextReverts() public {
        vm.expectRevert();
        _policy.mayRelease(bytes32("record"), _wallet, hex"0102");
        vm.expectRevert();
        _policy.mayRelease(bytes32("record"), _wallet, _context(_secret(), hex"0102", KEY));
    }

    function test_guardiansReleaseToWhomTheyNameAfterTheirDelay() public {
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        _open(r);
        vm.warp(START + 1 days);
        vm.assertFalse(_isReleased(_requester, KEY));
        _approve(r, 2);
        vm.assertFalse(_isReleased(_requester, KEY));
        vm.warp(START + 1 days + GUARDIAN_DELAY - 1);
        vm.assertFalse(_isReleased(_requester, KEY));
        vm.warp(START + 1 days + GUARDIAN_DELAY);
        vm.assertTrue(_isReleased(_requester, KEY));
        vm.assertFalse(_isReleased(_guardians[0], KEY));
        vm.warp(START + 1 days + GUARDIAN_DELAY + WINDOW + 1);
        vm.assertFalse(_isReleased(_requester, KEY));
    }

    function test_fewerApprovalsThanTheThresholdReleaseNothingEver() public {
        _open(_byGuardian(0, 1));
        // One guardian each for two requests of the same content are not two for one.
        _open(_byGuardian(1, 1));
        vm.warp(START + GUARDIAN_DELAY);
        vm.assertFalse(_isReleased(_requester, KEY));
        vm.warp(START + 365 days);
        vm.assertFalse(_isReleased(_requester, KEY));
    }

    function test_guardiansWithoutADelayReleaseAtOnce() public {
        IRecoveryPolicy.RecoveryData memory data = _data();
        data.guardianDelay = 0;
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        vm.prank(_guardians[0]);
        _policy.open(_secret(), data, r, 0, "");
        IRecoveryPolicy.Secret memory s = _secret();
        bytes memory context = _context(s, abi.encode(data), KEY);
        vm.assertFalse(_policy.mayRelease(s.recordId, _requester, context));
        vm.prank(_guardians[1]);
        _policy.approve(s, data, r, _guardians[1], "");
        vm.assertTrue(_policy.mayRelease(s.recordId, _requester, context));
    }

    function test_eventsTellTheAuthorEverything() public {
        IRecoveryPolicy.Secret memory s = _secret();
        bytes32 secretId = _idOf(s);
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        bytes32 requestId = _idOf(secretId, r);
        vm.expectEmit(address(_policy));
        emit IRecoveryPolicy.RecoveryRequested(_author, secretId, requestId, s, r, START + WINDOW);
        vm.expectEmit(address(_policy));
        emit IRecoveryPolicy.RecoveryApproved(_author, requestId, _guardians[0], 1, 2);
        _open(r);

        vm.warp(START + 3);
        uint64 due = START + 3 + GUARDIAN_DELAY;
        vm.expectEmit(address(_policy));
        emit IRecoveryPolicy.RecoveryApproved(_author, requestId, _guardians[1], 2, 2);
        vm.expectEmit(address(_policy));
        emit IRecoveryPolicy.RecoveryScheduled(_author, secretId, requestId, _requester, due, due + WINDOW);
        _approve(r, 1);

        vm.expectEmit(address(_policy));
        emit IRecoveryPolicy.RecoveryVetoed(_author, secretId, requestId, GUARDIANS, _guardians[0]);
        _veto(GUARDIANS, _guardians[0]);

        r = _byWallet(1);
        requestId = _idOf(secretId, r);
        due = START + 3 + WALLET_DELAY;
        vm.expectEmit(address(_policy));
        emit IRecoveryPolicy.RecoveryRequested(_author, secretId, requestId, s, r, START + 3 + WINDOW);
        vm.expectEmit(address(_policy));
        emit IRecoveryPolicy.RecoveryScheduled(_author, secretId, requestId, _wallet, due, due + WINDOW);
        _open(r);

        vm.expectEmit(address(_policy));
        emit IRecoveryPolicy.VersionsRetired(_author, s.ledger, s.recordId, 2);
        _retire(2);
    }

    function test_idsAndDigestsAreThoseOfTheSpecification() public view {
        IRecoveryPolicy.Request memory r = _byGuardian(1, 3);
        bytes32 dataHash = _policy.dataHashOf(_data());
        vm.assertEq(dataHash, keccak256(abi.encode(_data())));
        bytes32 secretId = _policy.secretIdOf(_secret(), dataHash);
        vm.assertEq(secretId, _idOf(_secret()));
        vm.assertEq(_policy.requestIdOf(secretId, r), _idOf(secretId, r));
        vm.assertEq(_policy.openingSignatureHash(secretId, r, 9), _openingDigest(secretId, r, 9));
        vm.assertEq(_policy.approvalSignatureHash(secretId, r, _thief), _approvalDigest(secretId, r, _thief));
        vm.assertEq(_policy.vetoSignatureHash(secretId, WALLET, _wallet), _vetoDigest(secretId, WALLET, _wallet));
        vm.assertEq(
            _policy.retirementSignatureHash(_secret().ledger, bytes32("record"), 2, _author),
            _retirementDigest(2)
        );
    }

    // Who may request

    function test_strangerCanNeitherOpenNorApprove() public {
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        r.proposer = _thief;
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NotNamed.selector, GUARDIANS, _thief));
        _open(r);
        r.path = WALLET;
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NotNamed.selector, WALLET, _thief));
        _open(r);

        r = _byGuardian(0, 1);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.InvalidSignature.selector, _guardians[0]));
        vm.prank(_thief);
        _policy.open(_secret(), _data(), r, START, "");
        _open(r);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NotNamed.selector, GUARDIANS, _thief));
        vm.prank(_thief);
        _policy.approve(_secret(), _data(), r, _thief, "");
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.InvalidSignature.selector, _guardians[1]));
        vm.prank(_thief);
        _policy.approve(_secret(), _data(), r, _guardians[1], "");
    }

    function test_guardianIsNoWalletAndAWalletNoGuardian() public {
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        r.path = WALLET;
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NotNamed.selector, WALLET, _guardians[0]));
        _open(r);
        r = _byWallet(1);
        r.path = GUARDIANS;
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NotNamed.selector, GUARDIANS, _wallet));
        _open(r);
    }

    function test_walletNamesWhoMayHaveTheSecret() public {
        IRecoveryPolicy.Request memory r = _byWallet(1);
        r.requester = _requester;
        _open(r);
        vm.warp(START + WALLET_DELAY);
        vm.assertTrue(_isReleased(_requester, KEY));
        vm.assertFalse(_isReleased(_wallet, KEY));
    }

    function test_approvalOfAWalletsRequestIsRefused() public {
        IRecoveryPolicy.Request memory r = _byWallet(1);
        _open(r);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NotNamed.selector, WALLET, _guardians[0]));
        _approve(r, 0);
    }

    function test_zeroAddressesAndAZeroKeyAreRefused() public {
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        r.requester = address(0);
        vm.expectRevert(IRecoveryPolicy.ZeroRequester.selector);
        _open(r);
        r = _byGuardian(0, 1);
        r.sessionKey = 0;
        vm.expectRevert(IRecoveryPolicy.ZeroSessionKey.selector);
        _open(r);
        IRecoveryPolicy.Secret memory s = _secret();
        s.author = address(0);
        vm.expectRevert(IRecoveryPolicy.ZeroAuthor.selector);
        vm.prank(_guardians[0]);
        _policy.open(s, _data(), _byGuardian(0, 1), 0, "");
        // No wallet is named by the zero address.
        IRecoveryPolicy.RecoveryData memory data = _data();
        (data.wallet, data.walletDelay) = (address(0), 0);
        r = _byWallet(1);
        r.proposer = address(0);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NotNamed.selector, WALLET, address(0)));
        vm.prank(address(0));
        _policy.open(_secret(), data, r, 0, "");
    }

    // Replays and replacement

    function test_guardianWhoApprovesTwiceCountsOnce() public {
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        _open(r);
        bytes32 requestId = _idOf(_idOf(_secret()), r);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.AlreadyApproved.selector, requestId, _guardians[0]));
        _approve(r, 0);
        _approve(r, 1);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.AlreadyApproved.selector, requestId, _guardians[1]));
        _approve(r, 1);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.AlreadyScheduled.selector, requestId));
        _approve(r, 2);
    }

    function test_replayedOpeningIsRefused() public {
        IRecoveryPolicy.Request memory r = _byWallet(1);
        bytes memory signature = _signature(_walletKey, _openingDigest(_idOf(_secret()), r, START + 1 days));
        vm.prank(_thief);
        _policy.open(_secret(), _data(), r, START + 1 days, signature);
        vm.warp(START + 100);
        // It would have put the delay back, and after a veto it would have been a second attempt.
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.WrongNumber.selector, 2, 1));
        vm.prank(_thief);
        _policy.open(_secret(), _data(), r, START + 1 days, signature);
        r.number = 2;
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.InvalidSignature.selector, _wallet));
        vm.prank(_thief);
        _policy.open(_secret(), _data(), r, START + 1 days, signature);
        r.number = 3;
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.WrongNumber.selector, 2, 3));
        _open(r);
    }

    function test_openingAfterItsDeadlineIsRefused() public {
        IRecoveryPolicy.Request memory r = _byWallet(1);
        bytes memory signature = _signature(_walletKey, _openingDigest(_idOf(_secret()), r, START));
        vm.warp(START + 1);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.DeadlinePassed.selector, START, START + 1));
        _policy.open(_secret(), _data(), r, START, signature);
    }

    function test_signaturesHoldForNoOtherSecretAndNoOtherPolicy() public {
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        _open(r);
        IRecoveryPolicy.Secret memory other = _secret();
        other.version = 2;
        vm.prank(_guardians[0]);
        _policy.open(other, _data(), r, 0, "");
        bytes memory signature = _signature(_guardianKeys[1], _approvalDigest(_idOf(_secret()), r, _guardians[1]));
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.InvalidSignature.selector, _guardians[1]));
        _policy.approve(other, _data(), r, _guardians[1], signature);
        _policy.approve(_secret(), _data(), r, _guardians[1], signature);

        bytes memory elsewhere = _signature(_authorKey, _vetoDigest(_idOf(_secret()), GUARDIANS, _guardians[0]));
        _deployPolicy();
        _open(r);
        bytes32 dataHash = keccak256(abi.encode(_data()));
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.InvalidSignature.selector, _author));
        _policy.veto(_secret(), dataHash, GUARDIANS, _guardians[0], elsewhere);
    }

    /// @dev Wallets that share a key and do not bind signatures to their own address.
    function test_aSignatureIsNoOtherGuardians() public {
        IRecoveryPolicy.RecoveryData memory data = _data();
        address one = address(new SingleKeyWallet(_guardians[1]));
        address other = address(new SingleKeyWallet(_guardians[1]));
        (address low, address high) = one < other ? (one, other) : (other, one);
        data.guardians = new address[](2);
        (data.guardians[0], data.guardians[1]) = (low, high);
        IRecoveryPolicy.Request memory r = IRecoveryPolicy.Request(GUARDIANS, low, _requester, KEY, 1);
        vm.prank(low);
        _policy.open(_secret(), data, r, 0, "");
        bytes32 secretId = _idOf(_secret(), data);
        bytes memory byLow = _signature(_guardianKeys[1], _approvalDigest(secretId, r, low));
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.InvalidSignature.selector, high));
        _policy.approve(_secret(), data, r, high, byLow);
        _policy.approve(_secret(), data, r, high, _signature(_guardianKeys[1], _approvalDigest(secretId, r, high)));
        vm.assertEq(_policy.requestOf(secretId, GUARDIANS, low).approvals, 2);
    }

    function test_aRetirementIsNoOtherAuthors() public {
        IRecoveryPolicy.Secret memory s = _secret();
        bytes memory byAuthor = _signature(_authorKey, _retirementDigest(2));
        address wallet = address(new SingleKeyWallet(_author));
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.InvalidSignature.selector, wallet));
        _policy.retire(s.ledger, s.recordId, wallet, 2, byAuthor);
        vm.assertEq(_policy.firstLiveVersion(s.ledger, s.recordId, wallet), 0);
        _policy.retire(s.ledger, s.recordId, _author, 2, byAuthor);
    }

    function test_replacingARequestRestartsItsDelayAndDropsItsApprovals() public {
        IRecoveryPolicy.Request memory first = _byGuardian(0, 1);
        _open(first);
        _approve(first, 1);
        vm.warp(START + GUARDIAN_DELAY);
        vm.assertTrue(_isReleased(_requester, KEY));
        IRecoveryPolicy.Request memory second = _byGuardian(0, 2);
        _open(second);
        vm.assertFalse(_isReleased(_requester, KEY));
        vm.warp(START + 2 * GUARDIAN_DELAY);
        vm.assertFalse(_isReleased(_requester, KEY));
        _approve(second, 1);
        vm.assertFalse(_isReleased(_requester, KEY));
        vm.warp(START + 3 * GUARDIAN_DELAY);
        vm.assertTrue(_isReleased(_requester, KEY));

        vm.warp(START);
        _open(_byWallet(1));
        vm.warp(START + WALLET_DELAY - 1);
        _open(_byWallet(2));
        vm.warp(START + WALLET_DELAY);
        vm.assertFalse(_isReleased(_wallet, KEY));
    }

    /// @dev The proposer sees an approval on its way and puts another request in the place of the one it was for.
    function test_approvalIsNotForARequestThatWasReplacedInFrontOfIt() public {
        IRecoveryPolicy.Request memory honest = _byGuardian(0, 1);
        _open(honest);
        IRecoveryPolicy.Request memory swapped = _byGuardian(0, 2);
        swapped.requester = _thief;
        _open(swapped);
        bytes32 secretId = _idOf(_secret());
        vm.expectRevert(
            abi.encodeWithSelector(
                IRecoveryPolicy.NotCurrentRequest.selector,
                _idOf(secretId, swapped),
                _idOf(secretId, honest)
            )
        );
        _approve(honest, 1);
        honest.number = 2;
        vm.expectRevert(
            abi.encodeWithSelector(
                IRecoveryPolicy.NotCurrentRequest.selector,
                _idOf(secretId, swapped),
                _idOf(secretId, honest)
            )
        );
        _approve(honest, 1);
    }

    function test_approvalWithoutARequestIsRefused() public {
        bytes32 requestId = _idOf(_idOf(_secret()), _byGuardian(0, 1));
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NotCurrentRequest.selector, bytes32(0), requestId));
        _approve(_byGuardian(0, 1), 1);
    }

    function test_approvalsAreCollectedForTheWindowOnly() public {
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        _open(r);
        vm.warp(START + WINDOW + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IRecoveryPolicy.RequestClosed.selector, START + WINDOW, START + WINDOW + 1)
        );
        _approve(r, 1);
        vm.warp(START + WINDOW);
        _approve(r, 1);
    }

    /// @dev A guardian that spams requests blocks nobody: every proposer has a place of its own.
    function test_floodingByANamedPartyDoesNotTouchTheOthers() public {
        IRecoveryPolicy.Request memory honest = _byGuardian(1, 1);
        _open(honest);
        for (uint64 number = 1; number <= 20; ++number) {
            _open(_byGuardian(0, number));
            _open(_byWallet(number));
        }
        _approve(honest, 2);
        vm.warp(START + GUARDIAN_DELAY);
        vm.assertTrue(_isReleased(_requester, KEY));
    }

    // Guardians that change

    function test_approvalsDoNotOutliveAChangeOfGuardians() public {
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        _open(r);
        // The author seals version 2 with other guardians, of whom one stays, and ends version 1.
        IRecoveryPolicy.RecoveryData memory data = _data();
        data.guardians = new address[](2);
        (data.guardians[0], data.guardians[1]) = (_guardians[0], _guardians[1]);
        IRecoveryPolicy.Secret memory next = _secret();
        next.version = 2;
        _retire(2);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.VersionRetired.selector, 2, 1));
        _approve(r, 1);

        vm.prank(_guardians[0]);
        _policy.open(next, data, r, 0, "");
        bytes32 nextId = _idOf(next, data);
        vm.assertEq(_policy.requestOf(nextId, GUARDIANS, _guardians[0]).approvals, 1);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NotNamed.selector, GUARDIANS, _guardians[2]));
        vm.prank(_guardians[2]);
        _policy.approve(next, data, r, _guardians[2], "");
        vm.warp(START + GUARDIAN_DELAY);
        vm.assertFalse(_policy.mayRelease(next.recordId, _requester, _context(next, abi.encode(data), KEY)));
    }

    function test_retiredVersionReleasesNothingEvenIfItWasReleasable() public {
        _open(_byWallet(1));
        vm.warp(START + WALLET_DELAY);
        vm.assertTrue(_isReleased(_wallet, KEY));
        _retire(2);
        vm.assertFalse(_isReleased(_wallet, KEY));
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.VersionRetired.selector, 2, 1));
        _open(_byWallet(2));
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.VersionRetired.selector, 2, 1));
        _veto(WALLET, _wallet);
    }

    function test_retiringIsTheAuthorsAndNeverGoesBack() public {
        IRecoveryPolicy.Secret memory s = _secret();
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.InvalidSignature.selector, _author));
        vm.prank(_thief);
        _policy.retire(s.ledger, s.recordId, _author, 2, "");
        // Under its own name, a thief changes nothing for the author.
        vm.prank(_thief);
        _policy.retire(s.ledger, s.recordId, _thief, 9, "");
        vm.assertEq(_policy.firstLiveVersion(s.ledger, s.recordId, _author), 0);
        _policy.retire(s.ledger, s.recordId, _author, 2, _signature(_authorKey, _retirementDigest(2)));
        vm.assertEq(_policy.firstLiveVersion(s.ledger, s.recordId, _author), 2);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NothingToRetire.selector, 2, 2));
        _retire(2);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NothingToRetire.selector, 2, 1));
        _retire(1);
        _retire(type(uint32).max);
    }

    // Vetoes

    function test_vetoStopsTheRequestAndBarsItsProposer() public {
        _open(_byWallet(1));
        vm.warp(START + WALLET_DELAY - 1);
        _veto(WALLET, _wallet);
        vm.warp(START + WALLET_DELAY);
        vm.assertFalse(_isReleased(_wallet, KEY));
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.ProposerBarred.selector, _wallet));
        _open(_byWallet(2));
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.ProposerBarred.selector, _wallet));
        _veto(WALLET, _wallet);
        // The guardians are not concerned.
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        _open(r);
        _approve(r, 1);
        vm.warp(START + WALLET_DELAY + GUARDIAN_DELAY);
        vm.assertTrue(_isReleased(_requester, KEY));
    }

    function test_approvalAfterAVetoIsRefused() public {
        IRecoveryPolicy.Request memory r = _byGuardian(0, 1);
        _open(r);
        _veto(GUARDIANS, _guardians[0]);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.ProposerBarred.selector, _guardians[0]));
        _approve(r, 1);
        // Who was barred as a proposer may still approve what others propose.
        r = _byGuardian(1, 1);
        _open(r);
        _approve(r, 0);
        vm.warp(START + GUARDIAN_DELAY);
        vm.assertTrue(_isReleased(_requester, KEY));
    }

    function test_vetoAfterTheDelayIsRefused() public {
        _open(_byWallet(1));
        uint64 due = START + WALLET_DELAY;
        vm.warp(due);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.VetoTooLate.selector, due, due));
        _veto(WALLET, _wallet);
        vm.assertTrue(_isReleased(_wallet, KEY));
        vm.warp(due + WINDOW + 1);
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NothingToVeto.selector, _wallet));
        _veto(WALLET, _wallet);
    }

    function test_vetoByAnyoneButTheAuthorIsRefused() public {
        _open(_byWallet(1));
        bytes32 dataHash = keccak256(abi.encode(_data()));
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.InvalidSignature.selector, _author));
        vm.prank(_guardians[0]);
        _policy.veto(_secret(), dataHash, WALLET, _wallet, "");
        vm.expectRevert(abi.encodeWithSelector(IRecoveryPolicy.NothingToVeto.selector, _guardians[0]));
        _veto(GUARDIANS, _guardians[0]);
    }

    /// @dev The proposer sees a veto on its way and opens its next request first: the veto hits that one.
    function test_vetoCannotBeDodgedByANewRequest() public {
        _open(_byWallet(1));
        vm.warp(START + WALLET_DELAY - 2);
        bytes memory signature = _signature(_authorKey, _vetoDigest(_idOf(_secret()), WALLET, _wallet));
        _open(_byWallet(2));
        bytes32 dataHash = keccak256(abi.encode(_data()));
        vm.prank(_thief);
        _policy.veto(_secret(), dataHash, WALLET, _wallet, signature);
        vm.warp(START + 3 * WALLET_DELAY);
        vm.assertFalse(_isReleased(_wallet, KEY));
        vm.assertTrue(_policy.requestOf(_idOf(_secret()), WALLET, _wallet).isBarred);
    }

    // Contract wallets

    function test_contractWalletsActByTransactionAndBySignature() public {
        RejectingWallet sender = new RejectingWallet();
        SingleKeyWallet signer = new SingleKeyWallet(vm.addr(_guardianKeys[0]));
        SingleKeyWallet author = new SingleKeyWallet(vm.addr(_authorKey));
        IRecoveryPolicy.Secret memory s = _secret();
        s.author = address(author);
        IRecoveryPolicy.RecoveryData memory data = _guardedBy(address(sender), address(signer));
        bytes32 secretId = _idOf(s, data);
        IRecoveryPolicy.Request memory r = IRecoveryPolicy.Request(GUARDIANS, address(signer), _requester, KEY, 1);
        _policy.open(s, data, r, START, _signature(_guardianKeys[0], _openingDigest(secretId, r, START)));
        _approveBy(sender, s, data, r);
        vm.warp(START + GUARDIAN_DELAY - 1);
        bytes memory veto = _signature(_authorKey, _vetoDigest(secretId, GUARDIANS, address(signer)));
        _policy.veto(s, keccak256(abi.encode(data)), GUARDIANS, address(signer), veto);
        vm.warp(START + GUARDIAN_DELAY);
        vm.assertFalse(_policy.mayRelease(s.recordId, _requester, _context(s, abi.encode(data), KEY)));
    }

    function _guardedBy(address one, address other) private view returns (IRecoveryPolicy.RecoveryData memory data) {
        data = _data();
        data.guardians = new address[](2);
        (data.guardians[0], data.guardians[1]) = one < other ? (one, other) : (other, one);
    }

    function _approveBy(
        RejectingWallet sender,
        IRecoveryPolicy.Secret memory s,
        IRecoveryPolicy.RecoveryData memory data,
        IRecoveryPolicy.Request memory r
    ) private {
        sender.execute(address(_policy), 0, abi.encodeCall(_policy.approve, (s, data, r, address(sender), "")));
    }

    // The policy's data

    function _refused(IRecoveryPolicy.RecoveryData memory data, bytes memory reason) private {
        vm.expectRevert(reason);
        _policy.dataHashOf(data);
        vm.expectRevert(reason);
        vm.prank(_guardians[0]);
        _policy.open(_secret(), data, _byGuardian(0, 1), 0, "");
    }

    function test_dataThatNamesNobodyOrGuardiansTwiceIsRefused() public {
        IRecoveryPolicy.RecoveryData memory data = _data();
        (data.wallet, data.guardians) = (address(0), new address[](0));
        _refused(data, abi.encodeWithSelector(IRecoveryPolicy.NobodyNamed.selector));
        data = _data();
        data.guardians[1] = data.guardians[0];
        _refused(data, abi.encodeWithSelector(IRecoveryPolicy.GuardiansNotAscending.selector, 1));
        data.guardians[0] = address(0);
        _refused(data, abi.encodeWithSelector(IRecoveryPolicy.GuardiansNotAscending.selector, 0));
        data = _data();
        (data.guardians[1], data.guardians[2]) = (data.guardians[2], data.guardians[1]);
        _refused(data, abi.encodeWithSelector(IRecoveryPolicy.GuardiansNotAscending.selector, 2));
        data.guardians = new address[](17);
        _refused(data, abi.encodeWithSelector(IRecoveryPolicy.TooManyGuardians.selector, 16, 17));
    }

    function test_thresholdOutOfRangeIsRefused() public {
        IRecoveryPolicy.RecoveryData memory data = _data();
        data.threshold = 4;
        _refused(data, abi.encodeWithSelector(IRecoveryPolicy.ThresholdOutOfRange.selector, 3, 4));
        data.threshold = 0;
        _refused(data, abi.encodeWithSelector(IRecoveryPolicy.ThresholdOutOfRange.selector, 3, 0));
        data.guardians = new address[](0);
        data.threshold = 1;
        _refused(data, abi.encodeWithSelector(IRecoveryPolicy.ThresholdOutOfRange.selector, 0, 1));
    }

    function test_delaysAndWindowsOutOfRangeAreRefused() public {
        bytes4 range = IRecoveryPolicy.SecondsOutOfRange.selector;
        IRecoveryPolicy.RecoveryData memory data = _data();
        data.walletDelay = 3599;
        _refused(data, abi.encodeWithSelector(range, 3600, 365 days, 3599));
        data.walletDelay = type(uint32).max;
        _refused(data, abi.encodeWithSelector(range, 3600, 365 days, type(uint32).max));
        data.wallet = address(0);
        data.walletDelay = 1;
        _refused(data, abi.encodeWithSelector(range, 0, 0, 1));
        data = _data();
        data.guardianDelay = 365 days + 1;
        _refused(data, abi.encodeWithSelector(range, 3600, 365 days, 365 days + 1));
        data.guardianDelay = 1;
        _refused(data, abi.encodeWithSelector(range, 3600, 365 days, 1));
        // One guardian alone must leave time for a veto.
        (data.threshold, data.guardianDelay) = (1, 0);
        _refused(data, abi.encodeWithSelector(range, 3600, 365 days, 0));
        data = _data();
        (data.guardians, data.threshold) = (new address[](0), 0);
        _refused(data, abi.encodeWithSelector(range, 0, 0, GUARDIAN_DELAY));
        data = _data();
        data.window = 0;
        _refused(data, abi.encodeWithSelector(range, 3600, 365 days, 0));
        data.window = 365 days + 1;
        _refused(data, abi.encodeWithSelector(range, 3600, 365 days, 365 days + 1));
    }

    function test_longestDelaysDoNotOverflow() public {
        IRecoveryPolicy.RecoveryData memory data = _data();
        (data.walletDelay, data.window) = (365 days, 365 days);
        vm.warp(uint256(type(uint64).max) - 2 * 365 days);
        IRecoveryPolicy.Request memory r = _byWallet(1);
        vm.prank(_wallet);
        _policy.open(_secret(), data, r, 0, "");
        IRecoveryPolicy.RequestState memory state = _policy.requestOf(_idOf(_secret(), data), WALLET, _wallet);
        vm.assertEq(state.closesAt, type(uint64).max);
        IRecoveryPolicy.Secret memory s = _secret();
        bytes memory context = _context(s, abi.encode(data), KEY);
        vm.assertFalse(_policy.mayRelease(s.recordId, _wallet, context));
        vm.warp(state.releasableAt);
        vm.assertTrue(_policy.mayRelease(s.recordId, _wallet, context));
    }

    function test_mostGuardiansStayWithinTheGasCap() public {
        IRecoveryPolicy.RecoveryData memory data = _data();
        data.guardians = new address[](16);
        for (uint256 i = 0; i < 16; ++i) data.guardians[i] = address(uint160(i + 1));
        data.threshold = 16;
        IRecoveryPolicy.Request memory r = IRecoveryPolicy.Request(GUARDIANS, data.guardians[15], _requester, KEY, 1);
        for (uint256 i = 0; i < 16; ++i) {
            vm.prank(data.guardians[15 - i]);
            if (i == 0) _policy.open(_secret(), data, r, 0, "");
            else _policy.approve(_secret(), data, r, data.guardians[15 - i], "");
        }
        vm.warp(START + GUARDIAN_DELAY);
        IRecoveryPolicy.Secret memory s = _secret();
        bytes memory context = _context(s, abi.encode(data), KEY);
        vm.assertTrue(_policy.mayRelease{ gas: GAS_CAP }(s.recordId, _requester, context));
        vm.assertLt(vm.lastCallGas().gasTotalUsed, GAS_CAP / 2);
    }

    // Properties

    function testFuzz_releaseIsExactlyBetweenTheTwoTimes(uint256 delay, uint256 window, uint256 time) public {
        IRecoveryPolicy.RecoveryData memory data = _data();
        data.walletDelay = uint32(_bound(delay, 1 hours, 365 days));
        data.window = uint32(_bound(window, 1 hours, 365 days));
        vm.prank(_wallet);
        _policy.open(_secret(), data, _byWallet(1), 0, "");
        uint256 elapsed = _bound(time, 0, uint256(data.walletDelay) + data.window + 2);
        vm.warp(START + elapsed);
        IRecoveryPolicy.Secret memory s = _secret();
        bool expected = elapsed >= data.walletDelay && elapsed <= uint256(data.walletDelay) + data.window;
        vm.assertEq(_policy.mayRelease(s.recordId, _wallet, _context(s, abi.encode(data), KEY)), expected);
    }

    function testFuzz_differentRequestsHaveDifferentIds(
        IRecoveryPolicy.Secret memory s,
        IRecoveryPolicy.Secret memory t,
        bytes32 hash,
        bytes32 otherHash
    ) public view {
        bool isSame = keccak256(abi.encode(s, hash)) == keccak256(abi.encode(t, otherHash));
        vm.assertEq(_policy.secretIdOf(s, hash) == _policy.secretIdOf(t, otherHash), isSame);
    }

    function testFuzz_anyContextButTheRightOneReleasesNothing(bytes memory context) public {
        _open(_byWallet(1));
        vm.warp(START + WALLET_DELAY);
        try _policy.mayRelease(_secret().recordId, _wallet, context) returns (bool released) {
            vm.assertFalse(released);
        } catch {
            return;
        }
    }
}
