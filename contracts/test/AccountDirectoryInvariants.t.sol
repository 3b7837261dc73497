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
    uint256 public named;
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
        bytes4[] memory selectors = new bytes4[](3);
        selectors[0] = AccountDirectoryHandler.replace.selector;
        selectors[1] = AccountDirectoryHandler.cheatWithAnotherKey.selector;
        selectors[2] = AccountDirectoryHandler.wait.selector;
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
                bool isOfLine = found.successor == address(0) && _isAtOrBefore(directory, owner, account);
                vm.assertEq(directory.mayActFor(account, owner), isOfLine);
            }
        }
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

    /// @dev Not an invariant of the contract but of these tests: a campaign in which nobody is named tests nothing.
    function test_the_handler_gets_namings_through() public {
        _handler.replace(0, 1);
        _handler.wait(10);
        _handler.replace(1, 2);
        _handler.replace(1, 3);
        _handler.replace(2, 0);
        _handler.cheatWithAnotherKey(2, 3, 4, true);
        vm.assertEq(_handler.named(), 2);
        vm.assertFalse(_handler.cheatSucceeded());
        vm.assertEq(_handler.directory().originOf(_handler.actors(2)), _handler.actors(0));
    }
}
