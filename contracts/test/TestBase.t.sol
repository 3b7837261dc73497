// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

contract Counter {
    uint256 public total;
    address public lastCaller;

    event Counted(address indexed caller, uint256 amount);

    error TooMuch(uint256 amount);

    function count(uint256 amount) external {
        require(amount < 100, TooMuch(amount));
        total += amount;
        lastCaller = msg.sender;
        emit Counted(msg.sender, amount);
    }

    function forbidden() external {
        total = type(uint256).max;
    }
}

/// @notice The cheatcodes that the other tests use have their documented effect. One without effect would make tests
/// that cannot fail.
contract TestBaseTest is TestBase {
    Counter internal _counter;

    event Counted(address indexed caller, uint256 amount);

    function setUp() public {
        _counter = new Counter();
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = Counter.count.selector;
        _targetSelectors(address(_counter), selectors);
    }

    function test_cheatcodesChangeCallerBalanceAndBlock() public {
        (address alice, uint256 key) = _account("alice");
        vm.expectEmit(address(_counter));
        emit Counted(alice, 7);
        vm.prank(alice);
        _counter.count(7);
        vm.assertEq(_counter.lastCaller(), alice);

        vm.deal(alice, 5 ether);
        vm.assertEq(alice.balance, 5 ether);
        vm.roll(1234);
        vm.warp(99_999);
        vm.assertEq(block.number, 1234);
        vm.assertEq(block.timestamp, 99_999);
        vm.setBlockhash(1230, bytes32(uint256(42)));
        vm.assertEq(blockhash(1230), bytes32(uint256(42)));

        bytes32 digest = keccak256("digest");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        vm.assertEq(ecrecover(digest, v, r, s), alice);
        vm.assertEq(_signature(key, digest).length, 65);
    }

    function test_expectRevertChecksTheArguments() public {
        vm.expectRevert(abi.encodeWithSelector(Counter.TooMuch.selector, 100));
        _counter.count(100);
    }

    function testFuzz_boundStaysInRange(uint256 value, uint256 a, uint256 b) public pure {
        (uint256 min, uint256 max) = a < b ? (a, b) : (b, a);
        uint256 bounded = _bound(value, min, max);
        vm.assertGe(bounded, min);
        vm.assertLe(bounded, max);
    }

    /// @dev Fails at once if the runner ignored the list of selectors: `forbidden` sets the total to the maximum.
    function invariant_onlyTargetedSelectorsAreCalled() public view {
        vm.assertLt(_counter.total(), type(uint256).max);
    }
}
