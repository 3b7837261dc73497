// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { AccountDirectory } from "../AccountDirectory.sol";
import { IAccountDirectory } from "../interfaces/IAccountDirectory.sol";
import { AccountDirectoryBase } from "./AccountDirectoryBase.t.sol";
import { vm } from "./Vm.sol";

/// @dev Acts as users, relays and thieves. Keeps its own book of who was named.
contract AccountDirectoryHandler is AccountDirectoryBase {
    uint256 public constant ACTORS = 6;

    address[ACTORS] public actors;
    uint256[ACTORS] private _keys;
    mapping(address account => IAccountDirectory.Replacement) private _book;
    mapping(address key => IAccountDirectory.Delegation) private _delegations;
    uint256 public named;
    uint256 public delegated;
    bool public cheatSucceeded;

    constructor() {
        vm.warp(1_800_000_000);
        _directory = new AccountDirectory();
        for (uint256 i = 0; i < ACTORS; ++i) (actors[i], _keys[i]) = _account(vm.toString(i));
    }

    function directory() external view returns (AccountDirectory) {
        return _directory;
    }

    function booked(address account) external view returns (IAccountDirectory.Replacement memory) {
        return _book[account];
    }

    function bookedDelegation(address key) external view returns (IAccountDirectory.Delegation memory) {
        return _delegations[key];
    }

    /// @dev Signed by both; the directory decides.
    function delegate(uint256 who, uint256 key, uint8 scopes, uint256 life) external {
        _tryDelegate([who % ACTORS, key % ACTORS, who % ACTORS, key % ACTORS], scopes % 5, _bound(life, 0, 3 days));
    }

    /// @dev One of the two signatures is by somebody else.
    function cheatWithADelegate(uint256 who, uint256 key, uint256 thief, bool ofAccount) external {
        (who, key, thief) = (who % ACTORS, key % ACTORS, thief % ACTORS);
        if (thief == (ofAccount ? who : key)) return;
        uint256[4] memory places = [who, key, ofAccount ? thief : who, ofAccount ? key : thief];
        if (_tryDelegate(places, 3, 1 days)) cheatSucceeded = true;
    }

    /// @dev Signed by who revokes, who may be anybody.
    function revoke(uint256 by, uint256 key) external {
        (address revoker, address delegate_) = (actors[by % ACTORS], actors[key % ACTORS]);
        bytes memory signature = _signRevocation(_keys[by % ACTORS], revoker, delegate_);
        try _directory.revoke(revoker, delegate_, signature) {
            _delegations[delegate_].isRevoked = true;
        } catch {
            return;
        }
    }

    /// @param places Of account and key, and whose signatures are brought.
    function _tryDelegate(uint256[4] memory places, uint8 scopes, uint256 life) private returns (bool) {
        (address account, address key) = (actors[places[0]], actors[places[1]]);
        uint64 expiresAt = uint64(block.timestamp + life);
        bytes memory byAccount = _signDelegation(_keys[places[2]], account, key, scopes, expiresAt);
        bytes memory byKey = _signDelegation(_keys[places[3]], account, key, scopes, expiresAt);
        uint64 deadline = uint64(block.timestamp);
        try _directory.delegate(account, key, scopes, expiresAt, deadline, byAccount, byKey) {
            // A second delegation of the same key is no entry: the invariants find the difference.
            if (_delegations[key].account == address(0)) {
                _delegations[key] = IAccountDirectory.Delegation(account, uint48(expiresAt), scopes, false);
            }
            ++delegated;
            return true;
        } catch {
            return false;
        }
    }

    /// @dev Signed by both; the directory decides.
    function replace(uint256 who, uint256 successor) external {
        _try(who % ACTORS, successor % ACTORS, who % ACTORS, successor % ACTORS);
    }

    /// @dev One of the two signatures is by somebody else.
    function cheatWithAnotherKey(uint256 who, uint256 successor, uint256 thief, bool ofAccount) external {
        (who, successor, thief) = (who % ACTORS, successor % ACTORS, thief % ACTORS);
        if (thief == (ofAccount ? who : successor)) return;
        if (_try(who, successor, ofAccount ? thief : who, ofAccount ? successor : thief)) cheatSucceeded = true;
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + _bound(time, 1, 1 days));
        vm.roll(block.number + 1);
    }

    function _try(uint256 who, uint256 successor, uint256 first, uint256 second) private returns (bool) {
        (address account, address next) = (actors[who], actors[successor]);
        uint64 deadline = uint64(block.timestamp);
        bytes memory byAccount = _signSuccession(_keys[first], account, next, "", deadline);
        bytes memory bySuccessor = _signSuccession(_keys[second], account, next, "", deadline);
        try _directory.replace(account, next, "", deadline, byAccount, bySuccessor) {
            // A second naming of the same account is no entry: the invariants find the difference.
            if (_book[account].successor == address(0)) {
                _book[account] = IAccountDirectory.Replacement(next, uint48(block.timestamp), uint48(block.number));
            }
            ++named;
            return true;
        } catch {
            return false;
        }
    }
}

contract AccountDirectoryInvariants is AccountDirectoryBase {
    AccountDirectoryHandler private _handler;

    function setUp() public {
        _handler = new AccountDirectoryHandler();
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = AccountDirectoryHandler.replace.selector;
        selectors[1] = AccountDirectoryHandler.cheatWithAnotherKey.selector;
        selectors[2] = AccountDirectoryHandler.wait.selector;
        selectors[3] = AccountDirectoryHandler.delegate.selector;
        selectors[4] = AccountDirectoryHandler.cheatWithADelegate.selector;
        selectors[5] = AccountDirectoryHandler.revoke.selector;
        _targetSelectors(address(_handler), selectors);
    }

    /// @dev After every call of every sequence; one campaign for all, since each checks the same states.
    /// hardhat-config: invariant.failOnRevert = true
    function invariant_everything() public view {
        // INV-1
        vm.assertFalse(_handler.cheatSucceeded(), "a cheat got through");
        AccountDirectory directory = _handler.directory();
        uint256 actors = _handler.ACTORS();
        for (uint256 i = 0; i < actors; ++i) {
            address account = _handler.actors(i);
            IAccountDirectory.Replacement memory found = directory.replacementOf(account);
            IAccountDirectory.Replacement memory booked = _handler.booked(account);
            // INV-2
            vm.assertEq(found.successor, booked.successor);
            vm.assertEq(found.replacedAt, booked.replacedAt);
            vm.assertEq(found.replacedAtBlock, booked.replacedAtBlock);
            // INV-3
            if (found.successor != address(0)) vm.assertEq(directory.predecessorOf(found.successor), account);
            address predecessor = directory.predecessorOf(account);
            if (predecessor != address(0)) vm.assertEq(directory.replacementOf(predecessor).successor, account);
            // INV-4
            address origin = _originOf(directory, account);
            vm.assertEq(directory.originOf(account), origin);
            vm.assertEq(directory.predecessorOf(origin), address(0));
            // INV-5
            for (uint256 j = 0; j < actors; ++j) {
                address owner = _handler.actors(j);
                vm.assertEq(directory.mayActFor(account, owner), _mayAct(directory, account, owner));
            }
            _checkDelegation(directory, account);
        }
    }

    function _checkDelegation(AccountDirectory directory, address key) private view {
        IAccountDirectory.Delegation memory found = directory.delegationOf(key);
        IAccountDirectory.Delegation memory booked = _handler.bookedDelegation(key);
        // INV-6
        vm.assertEq(keccak256(abi.encode(found)), keccak256(abi.encode(booked)));
        if (found.account == address(0)) return;
        // INV-7
        bool isOver =
            found.isRevoked ||
                block.timestamp >= found.expiresAt ||
                directory.replacementOf(found.account).successor != address(0);
        vm.assertEq(directory.hasScope(key, 1), !isOver && found.scopes != 2);
        vm.assertEq(directory.hasScope(key, 2), !isOver && found.scopes != 1);
        // INV-8
        vm.assertEq(directory.delegationOf(found.account).account, address(0));
        vm.assertEq(directory.predecessorOf(key), address(0));
        vm.assertEq(directory.replacementOf(key).successor, address(0));
        vm.assertEq(directory.delegatesOf(key).length, 0);
    }

    /// @dev By the links and the book alone.
    function _mayAct(AccountDirectory directory, address account, address owner) private view returns (bool) {
        IAccountDirectory.Delegation memory acting = _handler.bookedDelegation(account);
        if (acting.account != address(0)) {
            if (acting.isRevoked || acting.scopes == 2 || block.timestamp >= acting.expiresAt) return false;
            account = acting.account;
        }
        IAccountDirectory.Delegation memory owning = _handler.bookedDelegation(owner);
        if (owning.account != address(0)) owner = owning.account;
        return directory.replacementOf(account).successor == address(0) && _isAtOrBefore(directory, owner, account);
    }

    /// @dev By the links alone; reverts on a cycle.
    function _originOf(AccountDirectory directory, address account) private view returns (address) {
        for (uint256 steps = 0; steps < _handler.ACTORS(); ++steps) {
            address predecessor = directory.predecessorOf(account);
            if (predecessor == address(0)) return account;
            account = predecessor;
        }
        revert("a cycle");
    }

    function _isAtOrBefore(AccountDirectory directory, address earlier, address account) private view returns (bool) {
        for (; account != address(0); account = directory.predecessorOf(account)) {
            if (account == earlier) return true;
        }
        return false;
    }

    /// @dev Not an invariant of the contract but of these tests: a campaign in which nothing happens tests nothing.
    function test_the_handler_gets_namings_and_delegations_through() public {
        _handler.replace(0, 1);
        _handler.wait(10);
        _handler.replace(1, 2);
        _handler.replace(1, 3);
        _handler.replace(2, 0);
        _handler.cheatWithAnotherKey(2, 3, 4, true);
        vm.assertEq(_handler.named(), 2);
        _handler.delegate(4, 5, 3, 2 days);
        _handler.delegate(4, 5, 3, 2 days);
        _handler.cheatWithADelegate(4, 3, 2, false);
        _handler.revoke(3, 5);
        vm.assertEq(_handler.delegated(), 1);
        vm.assertFalse(_handler.directory().delegationOf(_handler.actors(5)).isRevoked);
        _handler.revoke(4, 5);
        vm.assertTrue(_handler.directory().delegationOf(_handler.actors(5)).isRevoked);
        vm.assertFalse(_handler.cheatSucceeded());
        vm.assertEq(_handler.directory().originOf(_handler.actors(2)), _handler.actors(0));
    }
}
