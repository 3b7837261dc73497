// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { AccountDirectory } from "../AccountDirectory.sol";
import { IAccountDirectory } from "../interfaces/IAccountDirectory.sol";
import { AccountDirectoryBase } from "./AccountDirectoryBase.t.sol";
import { vm } from "./Vm.sol";

contract DelegatesTest is AccountDirectoryBase {
    uint8 private constant READ = 1;
    uint8 private constant WRITE = 2;
    bytes32 private constant SET = keccak256("set");

    address private _owner;
    address private _next;
    address private _device;
    address private _stranger;
    uint256 private _ownerKey;
    uint256 private _nextKey;
    uint256 private _deviceKey;
    uint256 private _strangerKey;
    uint64 private _expiry;

    function setUp() public {
        vm.warp(1_800_000_000);
        _directory = new AccountDirectory();
        (_owner, _ownerKey) = _account("owner");
        (_next, _nextKey) = _account("next");
        (_device, _deviceKey) = _account("device");
        (_stranger, _strangerKey) = _account("stranger");
        _expiry = uint64(block.timestamp) + 1000;
    }

    function _make(uint8 scopes) private {
        _delegate(_owner, _ownerKey, _device, _deviceKey, scopes, _expiry);
    }

    function _assertPowerless() private view {
        vm.assertFalse(_directory.hasScope(_device, READ));
        vm.assertFalse(_directory.hasScope(_device, WRITE));
        vm.assertFalse(_directory.mayActFor(_device, _owner));
        vm.assertFalse(_directory.mayActFor(_device, _device));
        vm.assertEq(_directory.feeLimitOf(_device, _owner, SET), 0);
    }

    function test_bothMakeADelegateThroughAnybody() public {
        vm.expectEmit(address(_directory));
        emit IAccountDirectory.Delegated(_owner, _device, WRITE, _expiry);
        vm.prank(_stranger);
        _make(WRITE);
        IAccountDirectory.Delegation memory delegation = _directory.delegationOf(_device);
        vm.assertEq(delegation.account, _owner);
        vm.assertEq(delegation.expiresAt, _expiry);
        vm.assertEq(delegation.scopes, WRITE);
        vm.assertFalse(delegation.isRevoked);
        vm.assertEq(_directory.delegatesOf(_owner).length, 1);
        vm.assertEq(_directory.delegatesOf(_owner)[0], _device);
        vm.assertEq(_directory.delegationOf(_owner).account, address(0));
    }

    function test_neitherMakesOneAlone() public {
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidSignature.selector, _owner));
        _delegate(_owner, _strangerKey, _device, _deviceKey, WRITE, _expiry);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidSignature.selector, _device));
        _delegate(_owner, _ownerKey, _device, _strangerKey, WRITE, _expiry);
    }

    /// @dev What is signed is all of the delegation: neither relay nor device makes it broader or longer.
    function test_aRelayChangesNothing() public {
        uint64 deadline = uint64(block.timestamp);
        bytes memory byOwner = _signDelegation(_ownerKey, _owner, _device, WRITE, _expiry);
        bytes memory byDevice = _signDelegation(_deviceKey, _owner, _device, READ | WRITE, _expiry);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidSignature.selector, _owner));
        _directory.delegate(_owner, _device, READ | WRITE, _expiry, deadline, byOwner, byDevice);
        byDevice = _signDelegation(_deviceKey, _owner, _device, WRITE, _expiry + 1);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidSignature.selector, _owner));
        _directory.delegate(_owner, _device, WRITE, _expiry + 1, deadline, byOwner, byDevice);
        byDevice = _signDelegation(_deviceKey, _owner, _device, WRITE, _expiry);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidSignature.selector, _owner));
        _directory.delegate(_owner, _device, WRITE, _expiry, deadline + 1, byOwner, byDevice);
        vm.warp(deadline + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IAccountDirectory.DeadlinePassed.selector, deadline, uint64(deadline + 1))
        );
        _directory.delegate(_owner, _device, WRITE, _expiry, deadline, byOwner, byDevice);
    }

    function test_refusesWhatIsTooBroad() public {
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidScopes.selector, 0));
        _make(0);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidScopes.selector, 4));
        _make(4);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidScopes.selector, 255));
        _make(255);
        uint64 latest = uint64(block.timestamp) + _directory.MAX_DELEGATION_SECONDS();
        _expiry = latest + 1;
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidExpiry.selector, _expiry, latest));
        _make(WRITE);
        _expiry = uint64(block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidExpiry.selector, _expiry, latest));
        _make(WRITE);
        _expiry = latest;
        _make(READ | WRITE);
    }

    function test_aDelegateBelongsToOneAccountForGood() public {
        _make(WRITE);
        bytes memory refusal = abi.encodeWithSelector(IAccountDirectory.IsDelegate.selector, _device, _owner);
        vm.expectRevert(refusal);
        _make(READ | WRITE);
        vm.expectRevert(refusal);
        _delegate(_stranger, _strangerKey, _device, _deviceKey, READ, _expiry);
        // Nor does it have delegates, or take part in successions: it would hand on what it may not have.
        vm.expectRevert(refusal);
        _delegate(_device, _deviceKey, _stranger, _strangerKey, READ, _expiry);
        vm.expectRevert(refusal);
        _replace(_device, _deviceKey, _stranger, _strangerKey);
        vm.expectRevert(refusal);
        _replace(_stranger, _strangerKey, _device, _deviceKey);
        _directory.revoke(_device, _device, _signRevocation(_deviceKey, _device, _device));
        vm.expectRevert(refusal);
        _make(READ);
    }

    function test_accountsWithOthersBecomeNoDelegates() public {
        _replace(_device, _deviceKey, _next, _nextKey);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.HasOthers.selector, _device));
        _make(WRITE);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.HasOthers.selector, _next));
        _delegate(_owner, _ownerKey, _next, _nextKey, WRITE, _expiry);
        _delegate(_stranger, _strangerKey, vm.addr(77), 77, WRITE, _expiry);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.HasOthers.selector, _stranger));
        _delegate(_owner, _ownerKey, _stranger, _strangerKey, WRITE, _expiry);
    }

    function test_aReplacedAccountHasNone() public {
        _make(READ | WRITE);
        vm.prank(_owner);
        _directory.limitFee(_device, SET, 5);
        vm.assertTrue(_directory.mayActFor(_device, _owner));
        _replace(_owner, _ownerKey, _next, _nextKey);
        _assertPowerless();
        // Whoever has the old key makes no more of them.
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.AlreadyReplaced.selector, _owner, _next));
        _delegate(_owner, _ownerKey, _stranger, _strangerKey, READ, _expiry);
        // What the delegate owns is the successor's.
        vm.assertTrue(_directory.mayActFor(_next, _device));
    }

    function test_oneWhoReadsActsOnlyToRead() public {
        _make(READ);
        vm.assertTrue(_directory.mayActFor(_device, _owner));
        vm.assertTrue(_directory.mayActFor(_device, _device));
        vm.assertFalse(_directory.mayActFor(_device, _stranger));
        vm.assertFalse(_directory.hasScope(_device, WRITE));
        vm.prank(_owner);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidScopes.selector, READ));
        _directory.limitFee(_device, SET, 5);
    }

    function test_oneWhoWritesGetsNotEvenWhatItStored() public {
        _make(WRITE);
        vm.assertFalse(_directory.mayActFor(_device, _owner));
        vm.assertFalse(_directory.mayActFor(_device, _device));
        vm.assertTrue(_directory.mayActFor(_owner, _device));
        vm.assertTrue(_directory.hasScope(_device, WRITE));
        vm.assertFalse(_directory.hasScope(_device, READ));
    }

    function test_expires() public {
        _make(READ | WRITE);
        vm.prank(_owner);
        _directory.limitFee(_device, SET, 5);
        vm.warp(_expiry - 1);
        vm.assertTrue(_directory.hasScope(_device, READ));
        vm.assertEq(_directory.feeLimitOf(_device, _owner, SET), 5);
        vm.warp(_expiry);
        _assertPowerless();
    }

    function test_revokedAtOnceAndForGood() public {
        _make(READ | WRITE);
        vm.prank(_owner);
        _directory.limitFee(_device, SET, 5);
        vm.expectEmit(address(_directory));
        emit IAccountDirectory.DelegateRevoked(_device, _owner);
        vm.prank(_owner);
        _directory.revoke(_owner, _device, "");
        _assertPowerless();
        vm.assertTrue(_directory.delegationOf(_device).isRevoked);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.AlreadyRevoked.selector, _device));
        vm.prank(_owner);
        _directory.revoke(_owner, _device, "");
    }

    function test_whoRevokes() public {
        _make(WRITE);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.NotOfDelegate.selector, _stranger, _owner));
        vm.prank(_stranger);
        _directory.revoke(_stranger, _device, "");
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.InvalidSignature.selector, _owner));
        vm.prank(_stranger);
        _directory.revoke(_owner, _device, _signRevocation(_deviceKey, _owner, _device));
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.NotDelegate.selector, _stranger));
        _directory.revoke(_owner, _stranger, "");
        // The last of the line, whose word anybody brings.
        _replace(_owner, _ownerKey, _next, _nextKey);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.NotOfDelegate.selector, _owner, _owner));
        vm.prank(_owner);
        _directory.revoke(_owner, _device, "");
        vm.prank(_stranger);
        _directory.revoke(_next, _device, _signRevocation(_nextKey, _next, _device));
        vm.assertTrue(_directory.delegationOf(_device).isRevoked);
    }

    function test_onlyItsAccountLimitsFees() public {
        _make(WRITE);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.NotOfDelegate.selector, _device, _owner));
        vm.prank(_device);
        _directory.limitFee(_device, SET, 5);
        vm.expectRevert(abi.encodeWithSelector(IAccountDirectory.NotDelegate.selector, _stranger));
        _directory.limitFee(_stranger, SET, 5);
        vm.expectEmit(address(_directory));
        emit IAccountDirectory.FeeLimited(_device, SET, 5);
        vm.prank(_owner);
        _directory.limitFee(_device, SET, 5);
        vm.assertEq(_directory.feeLimitOf(_device, _owner, SET), 5);
        vm.assertEq(_directory.feeLimitOf(_device, _owner, keccak256("other")), 0);
        vm.assertEq(_directory.feeLimitOf(_device, _stranger, SET), 0);
        vm.prank(_owner);
        _directory.limitFee(_device, SET, 0);
        vm.assertEq(_directory.feeLimitOf(_device, _owner, SET), 0);
    }

    function test_tellsWhatToSign() public view {
        uint64 deadline = uint64(block.timestamp);
        bytes32 digest = _directory.delegationSignatureHash(_owner, _device, WRITE, _expiry, deadline);
        vm.assertEq(_signature(_ownerKey, digest), _signDelegation(_ownerKey, _owner, _device, WRITE, _expiry));
        digest = _directory.revocationSignatureHash(_owner, _device);
        vm.assertEq(_signature(_ownerKey, digest), _signRevocation(_ownerKey, _owner, _device));
    }

    /// @dev Any scopes, any time, any outcome: power only with the scope, before the expiry.
    function testFuzz_powerEndsWithTheExpiry(uint8 scopes, uint64 life, uint64 later) public {
        scopes = uint8(_bound(scopes, 1, 3));
        _expiry = uint64(block.timestamp + _bound(life, 1, 366 days));
        _make(scopes);
        vm.warp(block.timestamp + _bound(later, 0, 2 * 366 days));
        bool lives = block.timestamp < _expiry;
        vm.assertEq(_directory.hasScope(_device, READ), lives && scopes != WRITE);
        vm.assertEq(_directory.hasScope(_device, WRITE), lives && scopes != READ);
        vm.assertEq(_directory.mayActFor(_device, _owner), lives && scopes != WRITE);
    }
}
