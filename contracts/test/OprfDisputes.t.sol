// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { INodeRegistry } from "../interfaces/INodeRegistry.sol";
import { IOprfDisputes } from "../interfaces/IOprfDisputes.sol";
import { OprfEvaluation } from "../libraries/OprfEvaluation.sol";
import { CommitteeId } from "../types/CommitteeId.sol";
import { OprfDisputesBase } from "./OprfDisputesBase.t.sol";
import { OprfProver } from "./OprfProver.sol";
import { vm } from "./Vm.sol";

/// @dev Rejects money.
contract PennilessChallenger {
    function challenge(
        IOprfDisputes disputes,
        IOprfDisputes.Answer calldata answer,
        bytes calldata signature,
        INodeRegistry.KeyMaterial calldata keys
    ) external payable {
        disputes.challenge{ value: msg.value }(answer, signature, keys);
    }

    function withdraw(IOprfDisputes disputes, address payable to) external {
        disputes.withdraw(to);
    }
}

/// @dev Asks again while it is being paid.
contract GreedyAccount {
    IOprfDisputes private immutable DISPUTES;
    uint256 public attempts;

    constructor(IOprfDisputes disputes) {
        DISPUTES = disputes;
    }

    function withdraw() external {
        DISPUTES.withdraw(payable(address(this)));
    }

    receive() external payable {
        ++attempts;
        try DISPUTES.withdraw(payable(address(this))) {
            revert("paid twice");
        } catch (bytes memory reason) {
            require(bytes4(reason) == IOprfDisputes.NothingOwed.selector, "other reason");
        }
    }
}

contract OprfDisputesTest is OprfDisputesBase {
    function setUp() public {
        _build();
    }

    // A wrong answer

    function test_slashes_a_node_that_signed_a_wrong_answer() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        bytes memory signature = _signed(answer, _nodeKey);
        uint256 burnt = address(0).balance;
        bytes32 digest = _disputes.answerDigest(answer);
        vm.expectEmit(address(_registry));
        emit INodeRegistry.NodeSlashed(_node, STAKE);
        vm.expectEmit(address(_disputes));
        emit IOprfDisputes.NodeConvicted(digest, _node, _user, _challenger, STAKE, STAKE / 5);
        vm.assertTrue(_challenge(answer, signature));

        vm.assertEq(_registry.nodeOf(_node).stakeWei, 0);
        vm.assertEq(_registry.nodeCount(), 1);
        vm.assertEq(_disputes.owedWei(_user), STAKE / 5);
        vm.assertEq(_disputes.owedWei(_challenger), BOND);
        vm.assertEq(_disputes.owedWei(_node), 0);
        vm.assertEq(address(0).balance - burnt, STAKE - STAKE / 5);
        vm.assertEq(address(_registry).balance, STAKE);
        vm.assertEq(address(_disputes).balance, STAKE / 5 + BOND);
    }

    function test_pays_what_is_owed_and_only_once() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        _challenge(answer, _signed(answer, _nodeKey));
        (address heir, ) = _account("heir");
        vm.expectEmit(address(_disputes));
        emit IOprfDisputes.Withdrawn(_user, heir, STAKE / 5);
        vm.prank(_user);
        _disputes.withdraw(payable(heir));
        vm.assertEq(heir.balance, STAKE / 5);
        vm.prank(_user);
        vm.expectRevert(abi.encodeWithSelector(IOprfDisputes.NothingOwed.selector, _user));
        _disputes.withdraw(payable(heir));
        vm.prank(_challenger);
        _disputes.withdraw(payable(_challenger));
        vm.assertEq(address(_disputes).balance, 0);
    }

    function test_a_node_that_convicts_itself_loses_all_but_the_reward() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        answer.account = _node;
        bytes memory signature = _signed(answer, _nodeKey);
        vm.deal(_node, BOND);
        vm.prank(_node);
        _disputes.challenge{ value: BOND }(answer, signature, _keys);
        vm.assertEq(_disputes.owedWei(_node), STAKE / 5 + BOND);
    }

    function test_gives_the_reward_to_who_was_answered_whoever_challenges() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        (address thief, ) = _account("thief");
        bytes memory signature = _signed(answer, _nodeKey);
        vm.deal(thief, BOND);
        vm.prank(thief);
        _disputes.challenge{ value: BOND }(answer, signature, _keys);
        vm.assertEq(_disputes.owedWei(thief), BOND);
        vm.assertEq(_disputes.owedWei(_user), STAKE / 5);
    }

    function test_takes_the_whole_of_a_larger_stake() public {
        vm.prank(_node);
        _registry.requestExit();
        vm.warp(block.timestamp + DELAY);
        vm.prank(_node);
        _registry.withdrawStake(payable(_node));
        _register(_node, 7 ether);
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        _challenge(answer, _signed(answer, _nodeKey));
        vm.assertEq(_disputes.owedWei(_user), 1.4 ether);
    }

    function test_slashes_for_a_malformed_element_or_scalar_that_was_signed() public {
        IOprfDisputes.Answer memory answer = _rightAnswer();
        answer.s = bytes32(type(uint256).max);
        vm.assertTrue(_challenge(answer, _signed(answer, _nodeKey)));
        answer = _rightAnswer();
        answer.index = 2;
        answer.evaluated = bytes32(uint256(1) << 248);
        vm.assertTrue(_challenge(answer, _signed(answer, _colleagueKey)));
    }

    // A right answer

    function test_gives_the_bond_to_a_node_that_answered_rightly() public {
        IOprfDisputes.Answer memory answer = _rightAnswer();
        bytes memory signature = _signed(answer, _nodeKey);
        bytes32 digest = _disputes.answerDigest(answer);
        vm.expectEmit(address(_disputes));
        emit IOprfDisputes.ChallengeFailed(digest, _node, _challenger, BOND);
        vm.assertFalse(_challenge(answer, signature));
        vm.assertEq(_disputes.owedWei(_node), BOND);
        vm.assertEq(_disputes.owedWei(_challenger), 0);
        vm.assertEq(_registry.nodeOf(_node).stakeWei, STAKE);
        vm.prank(_node);
        _disputes.withdraw(payable(_node));
        vm.assertEq(_node.balance, BOND);
    }

    function test_no_time_turns_a_right_answer_into_a_wrong_one() public {
        IOprfDisputes.Answer memory answer = _rightAnswer();
        vm.warp(block.timestamp + 10 * 365 days);
        vm.assertFalse(_challenge(answer, _signed(answer, _nodeKey)));
        vm.assertEq(_registry.nodeOf(_node).stakeWei, STAKE);
    }

    function test_judges_an_answer_once() public {
        IOprfDisputes.Answer memory answer = _rightAnswer();
        bytes memory signature = _signed(answer, _nodeKey);
        vm.assertFalse(_disputes.isJudged(_disputes.answerDigest(answer)));
        _challenge(answer, signature);
        bytes32 digest = _disputes.answerDigest(answer);
        vm.assertTrue(_disputes.isJudged(digest));
        vm.deal(_challenger, BOND);
        vm.prank(_challenger);
        vm.expectRevert(abi.encodeWithSelector(IOprfDisputes.AlreadyJudged.selector, digest));
        _disputes.challenge{ value: BOND }(answer, signature, _keys);
    }

    function test_an_old_wrong_answer_cannot_slash_the_next_stake() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        bytes memory signature = _signed(answer, _nodeKey);
        _challenge(answer, signature);
        _register(_node, STAKE);
        bytes32 digest = _disputes.answerDigest(answer);
        vm.deal(_challenger, BOND);
        vm.prank(_challenger);
        vm.expectRevert(abi.encodeWithSelector(IOprfDisputes.AlreadyJudged.selector, digest));
        _disputes.challenge{ value: BOND }(answer, signature, _keys);
    }

    // What convicts nobody

    function test_nobody_is_slashed_without_the_node_s_own_signature() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        _refused(answer, _signed(answer, _colleagueKey), _notSigned(_node, _colleague));
        _refused(answer, hex"1234", _notSigned(_node, address(0)));
        // Signed for one member, shown for another.
        bytes memory signature = _signed(answer, _nodeKey);
        answer.index = 2;
        _refusedPartially(answer, signature, IOprfDisputes.NotSignedByMember.selector);
    }

    function testFuzz_any_change_of_a_signed_answer_breaks_the_signature(uint256 field, bytes32 value) public {
        IOprfDisputes.Answer memory answer = _rightAnswer();
        bytes memory signature = _signed(answer, _nodeKey);
        field = _bound(field, 0, 4);
        bytes32 before = keccak256(abi.encode(answer));
        if (field == 0) answer.account = address(uint160(uint256(value)));
        if (field == 1) answer.blinded = value;
        if (field == 2) answer.evaluated = value;
        if (field == 3) answer.c = value;
        if (field == 4) answer.s = value;
        vm.assume(keccak256(abi.encode(answer)) != before);
        _refusedPartially(answer, signature, IOprfDisputes.NotSignedByMember.selector);
    }

    function test_a_signature_is_good_for_one_registry_and_one_chain_only() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        bytes memory signature = _signed(answer, _nodeKey);
        vm.chainId(5);
        _refusedPartially(answer, signature, IOprfDisputes.NotSignedByMember.selector);
        vm.chainId(31337);
        IOprfDisputes first = _disputes;
        _build();
        vm.assertTrue(address(first) != address(_disputes));
        _refusedPartially(answer, signature, IOprfDisputes.NotSignedByMember.selector);
    }

    function test_refuses_what_the_registry_does_not_know() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        answer.generation = 2;
        _refused(answer, "", abi.encodeWithSelector(INodeRegistry.UnknownGeneration.selector, _id, 2));
        answer = _wrongAnswer();
        for (uint16 index = 0; index <= 3; index += 3) {
            answer.index = index;
            _refused(answer, "", abi.encodeWithSelector(INodeRegistry.NoSuchIndex.selector, 2, index));
        }
        answer = _wrongAnswer();
        answer.committeeId = CommitteeId.wrap(2);
        _refused(answer, "", abi.encodeWithSelector(INodeRegistry.UnknownCommittee.selector, answer.committeeId));
        // A committee that has no key yet.
        address[] memory members = new address[](1);
        members[0] = _node;
        vm.prank(_node);
        _registry.createCommittee(members, 1);
        bytes32 hash = _registry.hashKeyMaterial(_keys);
        _refused(answer, "", abi.encodeWithSelector(INodeRegistry.OtherKeyMaterial.selector, bytes32(0), hash));
    }

    function test_refuses_key_material_that_is_not_the_generations() public {
        IOprfDisputes.Answer memory answer = _rightAnswer();
        bytes memory signature = _signed(answer, _nodeKey);
        bytes32 expected = _registry.hashKeyMaterial(_keys);
        // With the shares of the colleague in its place, a right answer would convict.
        _keys.oprfShares[0] = _keys.oprfShares[1];
        bytes32 received = _registry.hashKeyMaterial(_keys);
        _refused(
            answer,
            signature,
            abi.encodeWithSelector(INodeRegistry.OtherKeyMaterial.selector, expected, received)
        );
        vm.assertEq(_registry.nodeOf(_node).stakeWei, STAKE);
    }

    function test_an_answer_is_held_against_no_other_keys_than_it_was_given_with() public {
        // What a reorganisation does: the generation of this number has other keys than those the node answered with.
        INodeRegistry.KeyMaterial memory before = _keys;
        before.oprfShares[0] = OprfProver.element(KEY + 5);
        IOprfDisputes.Answer memory answer = _rightAnswer();
        OprfEvaluation.Proof memory proof;
        (answer.evaluated, proof) = OprfProver.prove(KEY + 5, NONCE, answer.blinded);
        (answer.c, answer.s) = (proof.c, proof.s);
        answer.keyMaterialHash = _registry.hashKeyMaterial(before);
        bytes32 current = _registry.hashKeyMaterial(_keys);
        _refused(
            answer,
            _signed(answer, _nodeKey),
            abi.encodeWithSelector(INodeRegistry.OtherKeyMaterial.selector, answer.keyMaterialHash, current)
        );
        vm.expectPartialRevert(INodeRegistry.OtherKeyMaterial.selector);
        _disputes.isRight(answer, _keys);
        vm.assertEq(_registry.nodeOf(_node).stakeWei, STAKE);
    }

    function test_refuses_another_bond() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        bytes memory signature = _signed(answer, _nodeKey);
        vm.deal(_challenger, 1 ether);
        for (uint256 value = BOND - 1; value <= BOND + 1; value += 2) {
            vm.prank(_challenger);
            vm.expectRevert(abi.encodeWithSelector(IOprfDisputes.WrongBond.selector, BOND, value));
            _disputes.challenge{ value: value }(answer, signature, _keys);
        }
    }

    // Exits

    function test_slashes_during_the_exit_delay_and_until_the_stake_is_withdrawn() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        bytes memory signature = _signed(answer, _nodeKey);
        vm.prank(_node);
        _registry.requestExit();
        vm.warp(block.timestamp + DELAY + 1);
        _challenge(answer, signature);
        vm.prank(_node);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, _node));
        _registry.withdrawStake(payable(_node));
    }

    function test_returns_the_bond_when_the_stake_has_been_withdrawn() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        bytes memory signature = _signed(answer, _nodeKey);
        vm.prank(_node);
        _registry.requestExit();
        vm.warp(block.timestamp + DELAY);
        vm.prank(_node);
        _registry.withdrawStake(payable(_node));
        _refused(answer, signature, abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, _node));
        vm.assertEq(_challenger.balance, BOND);
    }

    // Money and permissions

    function test_only_the_disputes_contract_slashes_and_only_the_registry_sends() public {
        vm.prank(_challenger);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotDisputes.selector, _challenger));
        _registry.slash(_node);
        vm.deal(_challenger, 1 ether);
        vm.prank(_challenger);
        (bool sent, bytes memory reason) = address(_disputes).call{ value: 1 }("");
        vm.assertFalse(sent);
        vm.assertEq(reason, abi.encodeWithSelector(IOprfDisputes.NotRegistry.selector, _challenger));
    }

    function test_a_challenger_that_rejects_money_still_convicts() public {
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        PennilessChallenger penniless = new PennilessChallenger();
        bytes memory signature = _signed(answer, _nodeKey);
        vm.deal(address(this), BOND);
        penniless.challenge{ value: BOND }(_disputes, answer, signature, _keys);
        vm.assertEq(_registry.nodeOf(_node).stakeWei, 0);
        vm.expectRevert(abi.encodeWithSelector(IOprfDisputes.TransferFailed.selector, address(penniless), BOND));
        penniless.withdraw(_disputes, payable(address(penniless)));
        vm.expectRevert(IOprfDisputes.ZeroRecipient.selector);
        penniless.withdraw(_disputes, payable(address(0)));
        penniless.withdraw(_disputes, payable(_user));
        vm.assertEq(_user.balance, BOND);
    }

    function test_cannot_be_withdrawn_twice_by_reentering() public {
        GreedyAccount greedy = new GreedyAccount(_disputes);
        IOprfDisputes.Answer memory answer = _wrongAnswer();
        answer.account = address(greedy);
        _challenge(answer, _signed(answer, _nodeKey));
        greedy.withdraw();
        vm.assertEq(greedy.attempts(), 1);
        vm.assertEq(address(greedy).balance, STAKE / 5);
        vm.assertEq(address(_disputes).balance, BOND);
    }

    function test_a_challenge_with_too_little_gas_convicts_nobody() public {
        IOprfDisputes.Answer memory answer = _rightAnswer();
        bytes memory signature = _signed(answer, _nodeKey);
        vm.deal(_challenger, 100 ether);
        for (uint256 limit = 50_000; limit < 600_000; limit += 10_000) {
            vm.prank(_challenger);
            try _disputes.challenge{ value: BOND, gas: limit }(answer, signature, _keys) returns (bool convicted) {
                vm.assertFalse(convicted);
                break;
            } catch {
                vm.assertEq(_registry.nodeOf(_node).stakeWei, STAKE);
            }
        }
        vm.assertEq(_registry.nodeOf(_node).stakeWei, STAKE);
    }

    // Views

    function test_views_tell_the_outcome_before() public view {
        vm.assertTrue(_disputes.isRight(_rightAnswer(), _keys));
        vm.assertFalse(_disputes.isRight(_wrongAnswer(), _keys));
        vm.assertEq(_disputes.BOND_WEI(), BOND);
        vm.assertEq(_disputes.REWARD_PERCENT(), 20);
        vm.assertEq(address(_disputes.REGISTRY()), address(_registry));
    }

    function test_checks_single_evaluations_of_members() public view {
        // Composites are no elements of a batch: the same two values prove nothing as a batch of one.
        IOprfDisputes.Answer memory answer = _rightAnswer();
        OprfEvaluation.Proof memory proof = OprfEvaluation.Proof(answer.c, answer.s);
        vm.assertFalse(_disputes.isEvaluation(_id, 1, 1, answer.blinded, answer.evaluated, proof, _keys));
        vm.assertFalse(_disputes.isEvaluation(_id, 1, 1, 0, answer.evaluated, proof, _keys));
    }

    function testFuzz_convicts_exactly_for_an_evaluation_with_another_key(uint64 key, uint64 element) public {
        key = uint64(_bound(key, 1, type(uint64).max));
        IOprfDisputes.Answer memory answer = _rightAnswer();
        answer.blinded = OprfProver.element(_bound(element, 1, type(uint64).max));
        (, OprfEvaluation.Proof memory proof) = OprfProver.prove(KEY, NONCE, answer.blinded);
        (answer.c, answer.s) = (proof.c, proof.s);
        (answer.evaluated, ) = OprfProver.prove(key, NONCE, answer.blinded);
        vm.assertEq(_challenge(answer, _signed(answer, _nodeKey)), key != KEY);
        vm.assertEq(_registry.nodeOf(_node).stakeWei, key == KEY ? STAKE : 0);
    }

    function _notSigned(address operator, address signer) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IOprfDisputes.NotSignedByMember.selector, operator, signer);
    }

    function _refused(IOprfDisputes.Answer memory answer, bytes memory signature, bytes memory reason) private {
        vm.deal(_challenger, BOND);
        vm.prank(_challenger);
        vm.expectRevert(reason);
        _disputes.challenge{ value: BOND }(answer, signature, _keys);
    }

    function _refusedPartially(IOprfDisputes.Answer memory answer, bytes memory signature, bytes4 reason) private {
        vm.deal(_challenger, BOND);
        vm.prank(_challenger);
        vm.expectPartialRevert(reason);
        _disputes.challenge{ value: BOND }(answer, signature, _keys);
    }
}
