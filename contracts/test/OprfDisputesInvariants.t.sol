// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { NodeRegistry } from "../NodeRegistry.sol";
import { IOprfDisputes } from "../interfaces/IOprfDisputes.sol";
import { OprfDisputesBase } from "./OprfDisputesBase.t.sol";
import { vm } from "./Vm.sol";

/// @dev Acts as both nodes, their users and challengers, and keeps the books that the contracts should keep. A proof
/// does not depend on the account that was answered, so one proof makes any number of answers.
contract OprfDisputesHandler is OprfDisputesBase {
    uint256 public constant ACCOUNTS = 5;
    uint256 private constant USERS = 2;

    address[ACCOUNTS] public accounts;
    /// @dev What each account deposited as a stake and has not got back.
    mapping(address account => uint256) public staked;
    mapping(address account => uint256) public owed;
    uint256 public burnt;
    uint256 private immutable BURNT_BEFORE;
    IOprfDisputes.Answer private _right;

    constructor() {
        _build();
        accounts = [_node, _colleague, _user, _challenger, address(uint160(uint256(keccak256("other"))))];
        (staked[_node], staked[_colleague]) = (STAKE, STAKE);
        _right = _rightAnswer();
        BURNT_BEFORE = address(0).balance;
    }

    function registry() external view returns (NodeRegistry) {
        return _registry;
    }

    function disputes() external view returns (IOprfDisputes) {
        return _disputes;
    }

    function burntOnChain() external view returns (uint256) {
        return address(0).balance - BURNT_BEFORE;
    }

    function register(bool first, uint256 stake) external {
        address node = first ? _node : _colleague;
        if (staked[node] != 0) return;
        stake = _bound(stake, STAKE, 50 ether);
        _register(node, stake);
        staked[node] = stake;
    }

    function requestExit(bool first) external {
        address node = first ? _node : _colleague;
        if (staked[node] == 0 || _registry.nodeOf(node).exitAt != 0) return;
        vm.prank(node);
        _registry.requestExit();
    }

    function withdrawStake(bool first) external {
        address node = first ? _node : _colleague;
        uint64 exitAt = _registry.nodeOf(node).exitAt;
        if (exitAt == 0 || block.timestamp < exitAt) return;
        vm.prank(node);
        _registry.withdrawStake(payable(node));
        staked[node] = 0;
    }

    /// @dev A challenge with a right or a wrong answer of the first node, or a wrong one of the second.
    function challenge(uint256 which, uint256 answered, uint256 by) external {
        IOprfDisputes.Answer memory answer = _right;
        answer.account = accounts[answered % ACCOUNTS];
        address challenger = accounts[by % ACCOUNTS];
        which %= 3;
        // The right answer of one member is a wrong one of the other.
        if (which == 1) answer.index = 2;
        if (which == 2) answer.evaluated = answer.blinded;
        address node = which == 1 ? _colleague : _node;
        bytes memory signature = _signed(answer, which == 1 ? _colleagueKey : _nodeKey);
        bool judged = _disputes.isJudged(_disputes.answerDigest(answer));

        vm.deal(challenger, challenger.balance + BOND);
        vm.prank(challenger);
        try _disputes.challenge{ value: BOND }(answer, signature, _keys) returns (bool convicted) {
            require(!judged, "judged twice");
            require(convicted == (which != 0), "wrong judgement");
            if (!convicted) {
                owed[node] += BOND;
                return;
            }
            uint256 reward = staked[node] / 5;
            owed[challenger] += BOND;
            owed[answer.account] += reward;
            burnt += staked[node] - reward;
            staked[node] = 0;
        } catch {
            require(judged || (which != 0 && staked[node] == 0), "refused for no reason");
        }
    }

    /// @dev Signed by the other member.
    function forge(uint256 answered) external {
        IOprfDisputes.Answer memory answer = _right;
        answer.account = accounts[answered % ACCOUNTS];
        answer.evaluated = answer.blinded;
        bytes memory signature = _signed(answer, _colleagueKey);
        vm.deal(_challenger, _challenger.balance + BOND);
        vm.prank(_challenger);
        vm.expectPartialRevert(IOprfDisputes.NotSignedByMember.selector);
        _disputes.challenge{ value: BOND }(answer, signature, _keys);
    }

    function withdraw(uint256 who) external {
        address account = accounts[who % ACCOUNTS];
        if (owed[account] == 0) return;
        uint256 before = account.balance;
        vm.prank(account);
        _disputes.withdraw(payable(account));
        require(account.balance - before == owed[account], "not all that was owed");
        owed[account] = 0;
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + _bound(time, 1, 2 days));
    }
}

contract OprfDisputesInvariants is OprfDisputesBase {
    OprfDisputesHandler private _handler;

    function setUp() public {
        _handler = new OprfDisputesHandler();
        bytes4[] memory selectors = new bytes4[](7);
        selectors[0] = OprfDisputesHandler.register.selector;
        selectors[1] = OprfDisputesHandler.requestExit.selector;
        selectors[2] = OprfDisputesHandler.withdrawStake.selector;
        selectors[3] = OprfDisputesHandler.challenge.selector;
        selectors[4] = OprfDisputesHandler.forge.selector;
        selectors[5] = OprfDisputesHandler.withdraw.selector;
        selectors[6] = OprfDisputesHandler.wait.selector;
        _targetSelectors(address(_handler), selectors);
    }

    /// @dev After every call of every sequence; one campaign for all, since each checks the same states.
    /// hardhat-config: invariant.failOnRevert = true
    function invariant_everything() public view {
        NodeRegistry registry = _handler.registry();
        IOprfDisputes disputes = _handler.disputes();
        uint256 stakes;
        uint256 owed;
        for (uint256 i = 0; i < _handler.ACCOUNTS(); ++i) {
            address account = _handler.accounts(i);
            vm.assertEq(registry.nodeOf(account).stakeWei, _handler.staked(account));
            vm.assertEq(disputes.owedWei(account), _handler.owed(account));
            stakes += _handler.staked(account);
            owed += _handler.owed(account);
        }
        // INV-1 of both contracts, and every wei of a slashed stake credited or burnt. The handler checks INV-2 and
        // INV-3 at each challenge.
        vm.assertEq(address(registry).balance, stakes);
        vm.assertEq(address(disputes).balance, owed);
        vm.assertEq(_handler.burntOnChain(), _handler.burnt());
    }
}
