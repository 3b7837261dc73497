// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { DataSetRules } from "../DataSetRules.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { DataSetTestBase } from "./DataSetTestBase.t.sol";
import { vm } from "./Vm.sol";

/// @notice Which terms may be agreed on, one rule at a time: the terms at its border pass, those behind it do not.
contract DataSetRulesTest is DataSetTestBase {
    DataSetRules private _rules;
    IStorageEscrow.Terms private _t;
    IStorageEscrow.AuditTerms private _a;

    function setUp() public override {
        super.setUp();
        _rules = _escrow.RULES();
        _t = _terms(NATIVE);
        _a = _audit();
    }

    function test_termsOfTheBasePass() public view {
        _pass();
    }

    function test_parties() public {
        _t.user = address(0);
        _refuse("user");
        _t.user = _user;
        _t.provider = address(0);
        _refuse("provider");
        _t.provider = _user;
        _refuse("provider");
    }

    function test_aTokenIsAContract() public {
        _t.token = address(_token);
        _pass();
        _t.token = _watcher;
        _refuse("token");
    }

    function test_aMissHurtsAndTheCollateralCoversAllOfThem() public {
        _t.collateralPercent = 240;
        _pass();
        _t.collateralPercent = 239;
        _refuse("collateralPercent");
        _t.collateralPercent = 300;
        _t.compensationPercent = 0;
        _refuse("compensationPercent");
        _t.compensationPercent = 60;
        _t.breachLimit = 0;
        _refuse("breachLimit");
    }

    /// @dev In a token of few decimals, a percentage of a small fee would be nothing.
    function test_noCompensationRoundsToZero() public {
        _t.collateralPercent = 1_000;
        (_t.feeFloor, _t.compensationPercent) = (2, 50);
        _pass();
        _t.compensationPercent = 49;
        _refuse("feeFloor");
        (_t.feeFloor, _t.compensationPercent) = (1, 100);
        _pass();
        _t.feeFloor = 0;
        _refuse("feeFloor");
    }

    function test_aLateProofEarnsNoMoreThanTheFee() public {
        _t.latePercent = 100;
        _pass();
        _t.latePercent = 101;
        _refuse("latePercent");
    }

    function test_samples() public {
        _a.sampleCount = 4096;
        _pass();
        _a.sampleCount = 4097;
        _refuse("sampleCount");
        _a.sampleCount = 0;
        _refuse("sampleCount");
    }

    function test_windowsLieWithinAnEpoch() public {
        _a.phase = uint32(EPOCH - WINDOW - GRACE - 1);
        _pass();
        ++_a.phase;
        _refuse("phase");
        _a.phase = 0;
        _a.windowBlocks = 0;
        _refuse("windowBlocks");
    }

    function test_verifierAndSourceAreContracts() public {
        _a.verifier = _watcher;
        _refuse("verifier");
        _a.verifier = address(_verifier);
        _a.randomness = _watcher;
        _refuse("randomness");
    }

    function test_theSourceKnowsTheChallengeBlockUntilTheEnd() public {
        _randomness.setHorizon(uint64(WINDOW + GRACE));
        _pass();
        _randomness.setHorizon(uint64(WINDOW + GRACE - 1));
        _refuse("graceBlocks");
    }

    function test_theGridHasTheChallengeBlock() public {
        _randomness.setGrid(10);
        _pass();
        _randomness.setGrid(20);
        _refuse("phase");
        _randomness.setGrid(7);
        _refuse("randomness");
        _randomness.setGrid(0);
        _refuse("randomness");
    }

    /// @dev Beside the last `grid + 1` blocks of an epoch there is about as much time to dispute.
    function test_theGridOfASetOnDemandIsAtMostHalfAnEpoch() public {
        _t.mode = IStorageEscrow.Mode.OnDemand;
        _a.phase = 0;
        _randomness.setGrid(uint64(EPOCH / 2));
        _pass();
        _randomness.setGrid(uint64(EPOCH));
        _refuse("randomness");
        _t.mode = IStorageEscrow.Mode.EveryEpoch;
        _pass();
    }

    function test_evidenceOfTwoVersionsIsNone() public {
        bytes32 id = _open(_t);
        IStorageEscrow.Update memory one = _signed(id, 0, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(id, 0, _next(3, _list(1, 120)));
        bytes memory schedule = _schedule(id);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.StaleVersion.selector, uint256(2), uint256(3)));
        _escrow.showDoubleSigning(_t, schedule, _user, abi.encode(uint256(0), one, other));
    }

    function test_evidenceIsSignedByTheParty() public {
        bytes32 id = _open(_t);
        IStorageEscrow.Update memory one = _signed(id, 0, _next(2, _list(1, 150)));
        IStorageEscrow.Update memory other = _signed(id, 0, _next(2, _list(1, 120)));
        other.userSignature = other.providerSignature;
        bytes32 digest = _digest(id, 0, other);
        bytes memory schedule = _schedule(id);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.SignatureInvalid.selector, _user, digest));
        _escrow.showDoubleSigning(_t, schedule, _user, abi.encode(uint256(0), one, other));
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.NotParty.selector, _watcher));
        _escrow.showDoubleSigning(_t, schedule, _watcher, abi.encode(uint256(0), one, other));
    }

    function _pass() private view {
        _rules.checkTerms(_t, _a, EPOCH);
    }

    function _refuse(string memory field) private {
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidTerms.selector, field));
        _rules.checkTerms(_t, _a, EPOCH);
    }
}
