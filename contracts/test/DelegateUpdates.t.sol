// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { DataSetRules } from "../DataSetRules.sol";
import { IAccountDirectory } from "../interfaces/IAccountDirectory.sol";
import { IStorageEscrow } from "../interfaces/IStorageEscrow.sol";
import { LiveRanges } from "../libraries/LiveRanges.sol";
import { DataSetTestBase } from "./DataSetTestBase.t.sol";
import { vm } from "./Vm.sol";
import { OddWallet, SingleKeyWallet } from "./zoo/SignatureWallets.sol";

/// @title Updates that a delegate of the user signs
/// @notice The set has slices 1 to 100 for 10 each; the delegate may add up to a fee of 1,500.
contract DelegateUpdatesTest is DataSetTestBase {
    uint96 private constant LIMIT = 1_500;

    IStorageEscrow.Terms private _agreed;
    bytes32 private _id;
    address private _device;
    uint256 private _deviceKey;
    uint64 private _expiry;

    function setUp() public override {
        super.setUp();
        vm.warp(1_800_000_000);
        (_device, _deviceKey) = _account("device");
        _expiry = uint64(block.timestamp) + 1000;
        _agreed = _terms(NATIVE);
        _id = _open(_agreed);
        _rollTo(_epoch() + 1);
        _makeDelegate(2);
        vm.prank(_user);
        _directory.limitFee(_device, _id, LIMIT);
    }

    function _makeDelegate(uint8 scopes) private {
        uint64 deadline = uint64(block.timestamp);
        bytes32 digest = _directory.delegationSignatureHash(_user, _device, scopes, _expiry, deadline);
        bytes memory byUser = _signature(_userKey, digest);
        bytes memory byDevice = _signature(_deviceKey, digest);
        _directory.delegate(_user, _device, scopes, _expiry, deadline, byUser, byDevice);
    }

    /// @dev Of the delegate and the provider, sent by anybody.
    function _byDevice(bytes memory ranges) private view returns (IStorageEscrow.Update memory next) {
        next = _signed(_id, _retirements(_id), _next(_version(_id) + 1, ranges));
        next.userSignature = _signature(_deviceKey, _digest(_id, _retirements(_id), next));
    }

    function _send(IStorageEscrow.Update memory next) private {
        bytes memory schedule = _schedule(_id);
        bytes memory before = _ranges[_id];
        vm.recordLogs();
        _escrow.update(_agreed, schedule, before, next);
        _remember();
    }

    function _refuse(IStorageEscrow.Update memory next, bytes memory reason) private {
        bytes memory schedule = _schedule(_id);
        bytes memory before = _ranges[_id];
        vm.expectRevert(reason);
        _escrow.update(_agreed, schedule, before, next);
    }

    function _noSignature(IStorageEscrow.Update memory next) private view returns (bytes memory) {
        bytes32 digest = _digest(_id, _retirements(_id), next);
        return abi.encodeWithSelector(IStorageEscrow.SignatureInvalid.selector, _user, digest);
    }

    function _refuseSignature(IStorageEscrow.Update memory next) private {
        _refuse(next, _noSignature(next));
    }

    function test_adds() public {
        _send(_byDevice(_list(1, 150)));
        vm.assertEq(_levels(_id)[1].sliceCount, 150);
        vm.assertEq(_levels(_id)[1].fee, LIMIT);
        _rollTo(_epoch() + 2);
        // With a gap, which the index gets when its slice is dropped before it was scheduled.
        vm.prank(_user);
        _directory.limitFee(_device, _id, 2 * LIMIT);
        _send(_byDevice(_list(1, 150, 152, 3)));
    }

    function test_dropsNothing() public {
        bytes memory first = abi.encodeWithSelector(LiveRanges.SliceDropped.selector, 1, 100);
        _refuse(_byDevice(_list(1, 99)), first);
        _refuse(_byDevice(_list(2, 99)), first);
        _refuse(_byDevice(_list(1, 50, 52, 80)), first);
        _refuse(_byDevice(_list(101, 40)), first);
        // Not even everything, which would end the set.
        _refuse(_byDevice(""), first);
    }

    function test_spendsNoMoreThanItsLimit() public {
        _refuse(
            _byDevice(_list(1, 151)),
            abi.encodeWithSelector(IStorageEscrow.FeeAboveLimit.selector, _device, 1_510, LIMIT)
        );
    }

    /// @dev The high-water mark of what was retired counts for the price of indices.
    function test_paysForIndicesToo() public {
        _agreed = _terms(NATIVE);
        _agreed.feePerIndex = 5;
        _id = _open(_agreed);
        vm.prank(_user);
        _directory.limitFee(_device, _id, LIMIT);
        _rollTo(_epoch() + 1);
        // 40 · 10 + 100 · 5.
        vm.prank(_user);
        _update(_agreed, _list(1, 40));
        vm.prank(_user);
        _directory.limitFee(_device, _id, 899);
        _refuse(
            _byDevice(_list(1, 40)),
            abi.encodeWithSelector(IStorageEscrow.FeeAboveLimit.selector, _device, 900, 899)
        );
        vm.prank(_user);
        _directory.limitFee(_device, _id, 900);
        vm.startPrank(_operator);
        IStorageEscrow.Update memory next = _byDevice(_list(1, 40));
        next.providerSignature = "";
        _send(next);
        vm.stopPrank();
    }

    function test_doesNotReviveWhatItsUserRetired() public {
        _retire(_agreed, _list(1, 90, 100, 1));
        _rollTo(_epoch() + 2);
        _refuse(_byDevice(_list(1, 120)), abi.encodeWithSelector(LiveRanges.IndexNotLive.selector, 1, 100, 100));
        _refuse(_byDevice(_list(100, 20)), abi.encodeWithSelector(LiveRanges.SliceDropped.selector, 1, 90));
        _send(_byDevice(_list(1, 90, 100, 20)));
    }

    function test_addsToNoOtherSet() public {
        IStorageEscrow.Terms memory other = _onDemandTerms();
        bytes32 id = _open(other);
        _rollTo(_epoch() + 1);
        (_agreed, _id) = (other, id);
        _refuseSignature(_byDevice(_list(1, 110)));
    }

    function test_opensNone() public {
        IStorageEscrow.Terms memory other = _onDemandTerms();
        bytes32 id = _escrow.idOf(other);
        vm.prank(_user);
        _directory.limitFee(_device, id, type(uint96).max);
        _deposit(NATIVE, 100_000);
        IStorageEscrow.Update memory first = _signed(id, 0, _next(1, _list(1, 100)));
        bytes32 digest = _digest(id, 0, first);
        first.userSignature = _signature(_deviceKey, digest);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.SignatureInvalid.selector, _user, digest));
        _escrow.open(other, _audit(), first);
    }

    function test_stopsWhenRevoked() public {
        IStorageEscrow.Update memory next = _byDevice(_list(1, 110));
        vm.prank(_user);
        _directory.revoke(_user, _device, "");
        _refuseSignature(next);
    }

    function test_stopsWhenExpired() public {
        IStorageEscrow.Update memory next = _byDevice(_list(1, 110));
        vm.warp(_expiry);
        _refuseSignature(next);
        vm.warp(_expiry - 1);
        _send(next);
    }

    function test_stopsWithoutALimit() public {
        vm.prank(_user);
        _directory.limitFee(_device, _id, 0);
        _refuseSignature(_byDevice(_list(1, 110)));
    }

    /// @dev A stranger's key, a delegate of a stranger, and a signature that is none.
    function test_othersAddNothing() public {
        IStorageEscrow.Update memory next = _byDevice(_list(1, 110));
        next.userSignature = _signature(_operatorKey, _digest(_id, 0, next));
        _refuseSignature(next);
        next.userSignature = "";
        _refuseSignature(next);
        next.userSignature = new bytes(65);
        _refuseSignature(next);
        (address other, uint256 otherKey) = _account("other device");
        uint64 deadline = uint64(block.timestamp);
        bytes32 digest = _directory.delegationSignatureHash(_operator, other, 2, _expiry, deadline);
        bytes memory byOperator = _signature(_operatorKey, digest);
        _directory.delegate(_operator, other, 2, _expiry, deadline, byOperator, _signature(otherKey, digest));
        vm.prank(_operator);
        _directory.limitFee(other, _id, LIMIT);
        next.userSignature = _signature(otherKey, _digest(_id, 0, next));
        _refuseSignature(next);
    }

    /// @dev What only the user does.
    function test_neitherRetiresNorLeavesNorWithdraws() public {
        bytes memory schedule = _schedule(_id);
        bytes memory before = _ranges[_id];
        IStorageEscrow.Update memory none;
        vm.startPrank(_device);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.NotUser.selector, _device, _user));
        _escrow.retire(_agreed, schedule, before, none, _list(1, 50, 100, 1));
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.NotParty.selector, _device));
        _escrow.giveNotice(_agreed, schedule);
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.BalanceTooLow.selector, NATIVE, _device, 0, 1));
        _escrow.withdraw(NATIVE, _device, 1);
        vm.stopPrank();
    }

    /// @dev The provider sends such states, and must not pay for code of the user, whatever that says of the signature.
    function test_asksNoCodeOfTheUser() public {
        vm.etch(_user, address(new OddWallet(OddWallet.Answer.BurnsAllGas)).code);
        bytes memory schedule = _schedule(_id);
        bytes memory before = _ranges[_id];
        IStorageEscrow.Update memory next = _byDevice(_list(1, 110));
        next.providerSignature = "";
        vm.recordLogs();
        vm.prank(_operator);
        uint256 gasBefore = gasleft();
        _escrow.update(_agreed, schedule, before, next);
        vm.assertTrue(gasBefore - gasleft() < 300_000);
        _remember();
        vm.assertEq(_levels(_id)[1].sliceCount, 110);
    }

    /// @dev A contract wallet is asked about what no key of the user has signed.
    function test_aWalletSignsBesideItsDelegates() public {
        (address owner, uint256 ownerKey) = _account("owner of the wallet");
        SingleKeyWallet wallet = new SingleKeyWallet(owner);
        vm.etch(_user, address(wallet).code);
        vm.store(_user, bytes32(0), bytes32(uint256(uint160(owner))));
        IStorageEscrow.Update memory next = _byDevice(_list(1, 151));
        next.userSignature = _signature(ownerKey, _digest(_id, 0, next));
        _send(next);
        vm.assertEq(_levels(_id)[1].sliceCount, 151);
    }

    function test_theRulesNeedADirectory() public {
        vm.expectRevert(abi.encodeWithSelector(IStorageEscrow.InvalidTerms.selector, "directory"));
        new DataSetRules(IAccountDirectory(_user));
    }

    /// @dev Whatever list it signs: what was live stays live, and the fee within the limit.
    function testFuzz_whateverItSigns(uint48 first, uint48 count, uint48 gap, uint48 count2) public {
        bytes memory ranges = _list(_bound(first, 1, 103), _bound(count, 1, 160));
        uint256 behind = _bound(first, 1, 103) + _bound(count, 1, 160) + _bound(gap, 1, 5);
        if (count2 % 3 != 0) ranges = bytes.concat(ranges, _list(behind, _bound(count2, 1, 60)));
        IStorageEscrow.Update memory next = _byDevice(ranges);
        bytes memory schedule = _schedule(_id);
        bytes memory before = _ranges[_id];
        vm.recordLogs();
        try _escrow.update(_agreed, schedule, before, next) {
            _remember();
            vm.assertTrue(_bound(first, 1, 103) == 1 && _bound(count, 1, 160) >= 100);
            vm.assertTrue(_levels(_id)[1].fee <= LIMIT);
        } catch (bytes memory) {
            vm.assertEq(_levels(_id).length, 1);
        }
    }
}
