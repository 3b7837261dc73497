// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { NodeRegistry } from "../NodeRegistry.sol";
import { INodeRegistry } from "../interfaces/INodeRegistry.sol";
import { CommitteeId } from "../types/CommitteeId.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

/// @dev Rejects money.
contract Penniless {
    function register(NodeRegistry registry) external payable {
        registry.registerNode{ value: msg.value }("http://penniless", bytes32("hpke"));
    }

    function exit(NodeRegistry registry) external {
        registry.requestExit();
    }

    function withdraw(NodeRegistry registry, address payable to) external {
        registry.withdrawStake(to);
    }
}

/// @dev Asks for its stake again while it is being paid.
contract GreedyOperator {
    NodeRegistry private immutable REGISTRY;
    uint256 public attempts;
    uint256 public successes;

    constructor(NodeRegistry registry) payable {
        REGISTRY = registry;
        registry.registerNode{ value: msg.value }("http://greedy", bytes32("hpke"));
        registry.requestExit();
    }

    function withdraw() external {
        REGISTRY.withdrawStake(payable(address(this)));
    }

    receive() external payable {
        ++attempts;
        try REGISTRY.withdrawStake(payable(address(this))) {
            ++successes;
        } catch (bytes memory reason) {
            require(bytes4(reason) == INodeRegistry.NotRegistered.selector, "other reason");
        }
    }
}

contract NodeRegistryTest is TestBase {
    uint256 private constant STAKE = 1 ether;
    uint64 private constant DELAY = 3 days;
    bytes32 private constant HPKE = bytes32(uint256(0x1234));

    NodeRegistry private _registry;
    address private _alice;
    address private _bob;
    address private _carol;

    function setUp() public {
        vm.warp(1_800_000_000);
        _registry = new NodeRegistry(STAKE, DELAY);
        (_alice, ) = _account("alice");
        (_bob, ) = _account("bob");
        (_carol, ) = _account("carol");
        _register(_alice);
        _register(_bob);
        _register(_carol);
    }

    // Deployment

    function test_refuses_a_stake_of_nothing() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StakeTooLow.selector, 1, 0));
        new NodeRegistry(0, DELAY);
    }

    function test_refuses_a_minimum_stake_that_no_node_could_hold() public {
        uint256 maximum = type(uint128).max;
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StakeTooHigh.selector, maximum, maximum + 1));
        new NodeRegistry(maximum + 1, DELAY);
    }

    function test_refuses_an_exit_delay_above_a_year() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ExitDelayTooLong.selector, 365 days, 365 days + 1));
        new NodeRegistry(STAKE, 365 days + 1);
    }

    function test_has_no_way_to_receive_plain_ether() public {
        vm.deal(address(this), 1 ether);
        (bool taken, ) = address(_registry).call{ value: 1 ether }("");
        vm.assertFalse(taken);
    }

    // Nodes

    function test_registers_a_node() public {
        (address dave, ) = _account("dave");
        vm.deal(dave, 5 ether);
        vm.expectEmit(address(_registry));
        emit INodeRegistry.NodeRegistered(dave, 2 ether, uint64(block.timestamp), HPKE, "https://dave.example");
        vm.prank(dave);
        _registry.registerNode{ value: 2 ether }("https://dave.example", HPKE);

        INodeRegistry.Node memory node = _registry.nodeOf(dave);
        vm.assertEq(node.stakeWei, 2 ether);
        vm.assertEq(node.registeredAt, block.timestamp);
        vm.assertEq(node.exitAt, 0);
        vm.assertEq(node.hpkePublicKey, HPKE);
        vm.assertEq(node.endpoint, "https://dave.example");
        vm.assertEq(_registry.nodeCount(), 4);
        vm.assertEq(dave.balance, 3 ether);
    }

    function test_refuses_a_stake_below_the_minimum() public {
        (address dave, ) = _account("dave");
        vm.deal(dave, STAKE);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StakeTooLow.selector, STAKE, STAKE - 1));
        vm.prank(dave);
        _registry.registerNode{ value: STAKE - 1 }("https://dave.example", HPKE);
    }

    function test_refuses_a_stake_that_does_not_fit() public {
        (address dave, ) = _account("dave");
        uint256 maximum = type(uint128).max;
        vm.deal(dave, maximum + 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StakeTooHigh.selector, maximum, maximum + 1));
        vm.prank(dave);
        _registry.registerNode{ value: maximum + 1 }("https://dave.example", HPKE);
    }

    function test_refuses_to_register_twice() public {
        vm.deal(_alice, STAKE);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.AlreadyRegistered.selector, _alice));
        vm.prank(_alice);
        _registry.registerNode{ value: STAKE }("https://alice.example", HPKE);
    }

    function test_refuses_endpoints_of_wrong_length_and_zero_keys() public {
        string memory longest = string(new bytes(256));
        string memory tooLong = string(new bytes(257));
        vm.startPrank(_alice);
        _registry.updateNode(longest, HPKE);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.EndpointLength.selector, 256, 257));
        _registry.updateNode(tooLong, HPKE);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.EndpointLength.selector, 256, 0));
        _registry.updateNode("", HPKE);
        vm.expectRevert(INodeRegistry.ZeroHpkePublicKey.selector);
        _registry.updateNode("http://a", 0);
        vm.stopPrank();
    }

    function test_updates_only_the_callers_node() public {
        vm.expectEmit(address(_registry));
        emit INodeRegistry.NodeUpdated(_alice, bytes32("new"), "http://new");
        vm.prank(_alice);
        _registry.updateNode("http://new", bytes32("new"));
        vm.assertEq(_registry.nodeOf(_alice).endpoint, "http://new");
        vm.assertEq(_registry.nodeOf(_alice).hpkePublicKey, bytes32("new"));
        vm.assertEq(_registry.nodeOf(_alice).stakeWei, STAKE);
        vm.assertEq(_registry.nodeOf(_bob).endpoint, "http://node");

        (address dave, ) = _account("dave");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, dave));
        vm.prank(dave);
        _registry.updateNode("http://new", bytes32("new"));
    }

    function test_lists_operators_in_pages() public view {
        vm.assertEq(_registry.operators(0, 2).length, 2);
        vm.assertEq(_registry.operators(2, 2).length, 1);
        vm.assertEq(_registry.operators(3, 2).length, 0);
        vm.assertEq(_registry.operators(type(uint256).max, type(uint256).max).length, 0);
        address[] memory all = _registry.operators(0, type(uint256).max);
        vm.assertEq(all.length, 3);
        vm.assertEq(all[0], _alice);
        vm.assertEq(all[1], _bob);
        vm.assertEq(all[2], _carol);
    }

    // Leaving

    function test_pays_the_whole_stake_after_the_delay_and_not_before() public {
        uint64 exitAt = uint64(block.timestamp) + DELAY;
        vm.expectEmit(address(_registry));
        emit INodeRegistry.ExitRequested(_alice, exitAt);
        vm.startPrank(_alice);
        _registry.requestExit();
        vm.assertEq(_registry.nodeOf(_alice).exitAt, exitAt);

        vm.warp(exitAt - 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ExitPending.selector, exitAt, exitAt - 1));
        _registry.withdrawStake(payable(_alice));

        vm.warp(exitAt);
        (address vault, ) = _account("vault");
        vm.expectEmit(address(_registry));
        emit INodeRegistry.StakeWithdrawn(_alice, vault, STAKE);
        _registry.withdrawStake(payable(vault));
        vm.stopPrank();

        vm.assertEq(vault.balance, STAKE);
        vm.assertEq(address(_registry).balance, 2 * STAKE);
        vm.assertEq(_registry.nodeOf(_alice).stakeWei, 0);
        vm.assertEq(_registry.nodeOf(_alice).endpoint, "");
        vm.assertEq(_registry.nodeCount(), 2);
        // The last one moved to the free position.
        vm.assertEq(_registry.operators(0, 1)[0], _carol);
    }

    function test_lets_a_node_that_left_come_back() public {
        _leave(_carol);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, _carol));
        vm.prank(_carol);
        _registry.withdrawStake(payable(_carol));
        _register(_carol);
        vm.assertEq(_registry.operators(2, 1)[0], _carol);
        _leave(_alice);
        _leave(_carol);
        _leave(_bob);
        vm.assertEq(_registry.nodeCount(), 0);
        vm.assertEq(address(_registry).balance, 0);
    }

    function test_refuses_to_leave_twice_or_without_asking() public {
        vm.startPrank(_alice);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ExitNotRequested.selector, _alice));
        _registry.withdrawStake(payable(_alice));
        _registry.requestExit();
        uint64 exitAt = _registry.nodeOf(_alice).exitAt;
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeExiting.selector, _alice, exitAt));
        _registry.requestExit();
        vm.expectRevert(INodeRegistry.ZeroRecipient.selector);
        _registry.withdrawStake(payable(address(0)));
        vm.stopPrank();

        (address dave, ) = _account("dave");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, dave));
        vm.prank(dave);
        _registry.requestExit();
    }

    function test_keeps_a_stake_that_the_recipient_does_not_take() public {
        Penniless penniless = new Penniless();
        vm.deal(address(this), STAKE);
        penniless.register{ value: STAKE }(_registry);
        penniless.exit(_registry);
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StakeTransferFailed.selector, address(penniless), STAKE));
        penniless.withdraw(_registry, payable(address(penniless)));
        vm.assertEq(_registry.nodeOf(address(penniless)).stakeWei, STAKE);

        (address vault, ) = _account("vault");
        penniless.withdraw(_registry, payable(vault));
        vm.assertEq(vault.balance, STAKE);
    }

    function test_pays_an_operator_that_calls_back_only_once() public {
        vm.deal(address(this), STAKE);
        GreedyOperator greedy = new GreedyOperator{ value: STAKE }(_registry);
        vm.warp(block.timestamp + DELAY);
        greedy.withdraw();
        vm.assertEq(greedy.attempts(), 1);
        vm.assertEq(greedy.successes(), 0);
        vm.assertEq(address(greedy).balance, STAKE);
        vm.assertEq(address(_registry).balance, 3 * STAKE);
    }

    function testFuzz_returns_any_stake_to_the_wei(uint128 stake, uint64 delay, uint64 wait) public {
        uint256 stakeWei = _bound(stake, 1, type(uint128).max);
        delay = uint64(_bound(delay, 0, 365 days));
        wait = uint64(_bound(wait, 0, 366 days));
        NodeRegistry registry = new NodeRegistry(1, delay);
        (address dave, ) = _account("dave");
        vm.deal(dave, stakeWei);
        vm.startPrank(dave);
        registry.registerNode{ value: stakeWei }("http://dave", HPKE);
        registry.requestExit();
        uint64 exitAt = uint64(block.timestamp) + delay;
        uint64 later = uint64(block.timestamp) + wait;
        vm.warp(later);
        if (wait < delay) {
            vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ExitPending.selector, exitAt, later));
            registry.withdrawStake(payable(dave));
            vm.assertEq(address(registry).balance, stakeWei);
        } else {
            registry.withdrawStake(payable(dave));
            vm.assertEq(dave.balance, stakeWei);
            vm.assertEq(address(registry).balance, 0);
        }
        vm.stopPrank();
    }

    // Committees

    function test_forms_a_committee_in_the_order_given() public {
        address[] memory members = _three(_carol, _alice, _bob);
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectEmit(address(_registry));
            emit INodeRegistry.MemberNamed(members[i], _id(1), 1);
        }
        vm.expectEmit(address(_registry));
        emit INodeRegistry.GenerationOpened(_id(1), 1, 0, 2, uint64(block.timestamp), members);
        vm.prank(_alice);
        CommitteeId id = _registry.createCommittee(members, 2);
        vm.assertTrue(id == _id(1));
        vm.assertTrue(id != _id(2));

        INodeRegistry.Committee memory committee = _registry.committeeById(id);
        vm.assertEq(committee.active, 0);
        vm.assertEq(committee.latest, 1);
        vm.assertEq(committee.oprfPublicKey, 0);
        vm.assertEq(committee.recordPublicKey, 0);
        INodeRegistry.Generation memory generation = _registry.generationById(id, 1);
        vm.assertTrue(generation.status == INodeRegistry.GenerationStatus.Forming);
        vm.assertEq(generation.size, 3);
        vm.assertEq(generation.threshold, 2);
        vm.assertEq(generation.from, 0);
        vm.assertEq(generation.createdAt, block.timestamp);
        vm.assertEq(generation.activatedAt, 0);
        vm.assertEq(generation.keyMaterialHash, 0);
        vm.assertEq(generation.members[0], _carol);
        vm.assertEq(generation.members[1], _alice);
        vm.assertEq(generation.members[2], _bob);
        vm.assertFalse(_registry.isActive(id));
        vm.assertEq(_registry.committeeCount(), 1);
        vm.assertTrue(_registry.defaultCommittee() == _id(0));
    }

    function test_refuses_committees_of_wrong_size_or_threshold() public {
        vm.startPrank(_alice);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.CommitteeSize.selector, 32, 0));
        _registry.createCommittee(new address[](0), 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.CommitteeSize.selector, 32, 33));
        _registry.createCommittee(new address[](33), 1);
        address[] memory members = _three(_alice, _bob, _carol);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ThresholdOutOfRange.selector, 3, 0));
        _registry.createCommittee(members, 0);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ThresholdOutOfRange.selector, 3, 4));
        _registry.createCommittee(members, 4);
        vm.stopPrank();
        vm.assertEq(_registry.committeeCount(), 0);
    }

    function test_refuses_members_that_are_double_unknown_or_leaving() public {
        (address dave, ) = _account("dave");
        vm.startPrank(_alice);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.DuplicateMember.selector, _bob));
        _registry.createCommittee(_three(_bob, _alice, _bob), 2);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, dave));
        _registry.createCommittee(_three(_alice, _bob, dave), 2);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, address(0)));
        _registry.createCommittee(_three(_alice, _bob, address(0)), 2);
        vm.stopPrank();

        vm.prank(_bob);
        _registry.requestExit();
        uint64 exitAt = _registry.nodeOf(_bob).exitAt;
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeExiting.selector, _bob, exitAt));
        vm.prank(_alice);
        _registry.createCommittee(_three(_alice, _bob, _carol), 2);
    }

    function test_refuses_a_committee_by_somebody_outside_it() public {
        (address dave, ) = _account("dave");
        _register(dave);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotMember.selector, _id(1), 1, dave));
        vm.prank(dave);
        _registry.createCommittee(_three(_alice, _bob, _carol), 2);
    }

    function test_takes_a_committee_of_thirty_two() public {
        address[] memory members = new address[](32);
        bytes32[] memory shares = new bytes32[](32);
        for (uint256 i = 0; i < 32; ++i) {
            (members[i], ) = _account(vm.toString(i));
            shares[i] = bytes32(i + 1);
            _register(members[i]);
        }
        vm.prank(members[31]);
        CommitteeId id = _registry.createCommittee(members, 17);
        for (uint256 i = 0; i < 32; ++i) {
            vm.prank(members[i]);
            _registry.attestGeneration(id, 1, _material("group", shares));
        }
        vm.assertTrue(_registry.isActive(id));
    }

    function test_becomes_active_when_all_members_agree() public {
        CommitteeId id = _committee();
        bytes32[] memory shares = _shares(7);
        INodeRegistry.KeyMaterial memory keys = _material("group", shares);
        bytes32 hash = _registry.hashKeyMaterial(keys);
        vm.assertEq(hash, keccak256(abi.encode(keys)));

        vm.expectEmit(address(_registry));
        emit INodeRegistry.GenerationAttested(id, 1, _alice, hash, 1);
        _attest(_alice, id, 1, "group", shares);
        vm.assertEq(_registry.attestationOf(id, 1, _alice), hash);
        // Attesting again counts once.
        _attest(_alice, id, 1, "group", shares);
        vm.assertEq(_registry.agreementOn(id, 1, hash), 1);
        _attest(_bob, id, 1, "group", shares);
        vm.assertFalse(_registry.isActive(id));

        vm.roll(77);
        vm.expectEmit(address(_registry));
        emit INodeRegistry.GenerationAttested(id, 1, _carol, hash, 3);
        vm.expectEmit(address(_registry));
        emit INodeRegistry.GenerationActivated(id, 1, hash, keys);
        _attest(_carol, id, 1, "group", shares);

        vm.assertTrue(_registry.isActive(id));
        INodeRegistry.Committee memory committee = _registry.committeeById(id);
        vm.assertEq(committee.active, 1);
        vm.assertEq(committee.oprfPublicKey, bytes32("group"));
        vm.assertEq(committee.recordPublicKey, bytes32("record"));
        INodeRegistry.Generation memory generation = _registry.generationById(id, 1);
        vm.assertTrue(generation.status == INodeRegistry.GenerationStatus.Active);
        vm.assertEq(generation.keyMaterialHash, hash);
        vm.assertEq(generation.activatedAt, block.timestamp);
        vm.assertEq(generation.activatedBlock, 77);
        vm.assertTrue(_registry.defaultCommittee() == id);

        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.GenerationNotForming.selector, id, 1));
        _attest(_carol, id, 1, "other", shares);
    }

    function test_survives_a_member_that_attests_nonsense_first() public {
        CommitteeId id = _committee();
        bytes32 nonsense = _registry.hashKeyMaterial(_material("nonsense", _shares(9)));
        _attest(_carol, id, 1, "nonsense", _shares(9));
        _attest(_alice, id, 1, "group", _shares(7));
        _attest(_bob, id, 1, "group", _shares(7));
        vm.assertEq(_registry.agreementOn(id, 1, nonsense), 1);
        vm.assertFalse(_registry.isActive(id));
        _attest(_carol, id, 1, "group", _shares(7));
        vm.assertEq(_registry.agreementOn(id, 1, nonsense), 0);
        vm.assertTrue(_registry.isActive(id));
        vm.assertEq(_registry.committeeById(id).oprfPublicKey, bytes32("group"));
    }

    function test_refuses_attestations_that_are_malformed_or_not_a_members() public {
        CommitteeId id = _committee();
        (address dave, ) = _account("dave");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.UnknownCommittee.selector, _id(2)));
        _attest(_alice, _id(2), 1, "group", _shares(7));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.UnknownGeneration.selector, id, 2));
        _attest(_alice, id, 2, "group", _shares(7));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotMember.selector, id, 1, dave));
        _attest(dave, id, 1, "group", _shares(7));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.VerificationShareCount.selector, 3, 2));
        _attest(_alice, id, 1, "group", new bytes32[](2));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.IdentityElement.selector, 0));
        _attest(_alice, id, 1, bytes32(0), _shares(7));
        bytes32[] memory shares = _shares(7);
        shares[1] = 0;
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.IdentityElement.selector, 2));
        _attest(_alice, id, 1, "group", shares);

        // The record key is looked at like the OPRF key.
        INodeRegistry.KeyMaterial memory keys = _material("group", _shares(7));
        vm.startPrank(_alice);
        keys.recordPublicKey = 0;
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.IdentityElement.selector, 0));
        _registry.attestGeneration(id, 1, keys);
        keys = _material("group", _shares(7));
        keys.recordShares[2] = 0;
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.IdentityElement.selector, 3));
        _registry.attestGeneration(id, 1, keys);
        keys.recordShares = new bytes32[](4);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.VerificationShareCount.selector, 3, 4));
        _registry.attestGeneration(id, 1, keys);

        _registry.requestExit();
        vm.stopPrank();
        uint64 exitAt = _registry.nodeOf(_alice).exitAt;
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeExiting.selector, _alice, exitAt));
        _attest(_alice, id, 1, "group", _shares(7));
    }

    function test_expires_a_generation_that_is_not_active_in_time() public {
        CommitteeId id = _committee();
        uint256 end = block.timestamp + _registry.FORMING_SECONDS();
        vm.warp(end);
        _attest(_alice, id, 1, "group", _shares(7));
        vm.warp(end + 1);
        vm.assertTrue(_registry.generationById(id, 1).status == INodeRegistry.GenerationStatus.Expired);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.GenerationNotForming.selector, id, 1));
        _attest(_bob, id, 1, "group", _shares(7));
        vm.assertFalse(_registry.isActive(id));
    }

    // Generations

    function test_opens_a_generation_when_as_many_members_as_the_threshold_propose_it() public {
        CommitteeId id = _active();
        (address dave, ) = _account("dave");
        _register(dave);
        address[] memory members = _three(dave, _alice, _bob);
        bytes32 proposal = keccak256(abi.encode(uint32(1), uint32(2), members, uint16(3)));
        vm.expectEmit(address(_registry));
        emit INodeRegistry.GenerationProposed(id, 2, _alice, proposal, 1);
        vm.assertEq(_propose(_alice, id, 2, members, 3), 1);
        vm.assertEq(_registry.proposalOf(id, _alice), proposal);
        // Once more counts once.
        vm.assertEq(_propose(_alice, id, 2, members, 3), 1);
        vm.assertEq(_registry.committeeById(id).latest, 1);

        vm.expectEmit(address(_registry));
        emit INodeRegistry.MemberNamed(dave, id, 2);
        vm.expectEmit(address(_registry));
        emit INodeRegistry.GenerationOpened(id, 2, 1, 3, uint64(block.timestamp), members);
        vm.assertEq(_propose(_carol, id, 2, members, 3), 2);
        INodeRegistry.Generation memory generation = _registry.generationById(id, 2);
        vm.assertTrue(generation.status == INodeRegistry.GenerationStatus.Forming);
        vm.assertEq(generation.from, 1);
        vm.assertEq(generation.threshold, 3);
        vm.assertEq(generation.members[0], dave);
        // Until it is active, the one before is.
        vm.assertEq(_registry.committeeById(id).active, 1);

        _attest(dave, id, 2, "group", _shares(20));
        _attest(_alice, id, 2, "group", _shares(20));
        vm.assertTrue(_registry.generationById(id, 1).status == INodeRegistry.GenerationStatus.Active);
        _attest(_bob, id, 2, "group", _shares(20));
        vm.assertEq(_registry.committeeById(id).active, 2);
        vm.assertTrue(_registry.generationById(id, 1).status == INodeRegistry.GenerationStatus.Replaced);
        vm.assertTrue(_registry.generationById(id, 2).status == INodeRegistry.GenerationStatus.Active);
        vm.assertTrue(_registry.defaultCommittee() == id);

        // The next one is for the members of this one to propose.
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotMember.selector, id, 2, _carol));
        _propose(_carol, id, 3, members, 3);
    }

    /// @dev Else members that were voted out would choose the next generation together with fewer than a threshold.
    function test_votes_of_a_replaced_generation_count_for_nothing() public {
        CommitteeId id = _active();
        _open(id, 2);
        address[] memory taken = new address[](1);
        taken[0] = _carol;
        vm.assertEq(_propose(_carol, id, 3, taken, 1), 1);
        _attest(_alice, id, 2, "group", _shares(20));
        _attest(_bob, id, 2, "group", _shares(20));
        _attest(_carol, id, 2, "group", _shares(20));
        vm.assertEq(_registry.committeeById(id).active, 2);
        vm.assertEq(_propose(_bob, id, 3, taken, 1), 1);
        vm.assertEq(_registry.committeeById(id).latest, 2);
        // Hers counts again when she repeats it.
        vm.assertEq(_propose(_carol, id, 3, taken, 1), 2);
        vm.assertEq(_registry.committeeById(id).latest, 3);
    }

    function test_refuses_other_group_keys_in_a_later_generation() public {
        CommitteeId id = _active();
        _open(id, 2);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.GroupKeyChanged.selector, id));
        _attest(_alice, id, 2, "other", _shares(20));
        INodeRegistry.KeyMaterial memory keys = _material("group", _shares(20));
        keys.recordPublicKey = bytes32("other");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.GroupKeyChanged.selector, id));
        vm.prank(_alice);
        _registry.attestGeneration(id, 2, keys);
    }

    function test_never_uses_the_number_of_a_failed_generation_again() public {
        CommitteeId id = _active();
        _open(id, 2);
        // Another one while it is forming: that one is abandoned.
        address[] memory members = _three(_alice, _bob, _carol);
        _propose(_alice, id, 3, members, 1);
        vm.expectEmit(address(_registry));
        emit INodeRegistry.GenerationAbandoned(id, 2);
        _propose(_bob, id, 3, members, 1);
        vm.assertTrue(_registry.generationById(id, 2).status == INodeRegistry.GenerationStatus.Abandoned);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.GenerationNotForming.selector, id, 2));
        _attest(_alice, id, 2, "group", _shares(20));

        // One that has expired.
        vm.warp(block.timestamp + _registry.FORMING_SECONDS() + 1);
        vm.assertTrue(_registry.generationById(id, 3).status == INodeRegistry.GenerationStatus.Expired);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.GenerationOutOfTurn.selector, id, 4, 3));
        _propose(_alice, id, 3, members, 1);
        _open(id, 4);
        _attest(_alice, id, 4, "group", _shares(20));
        _attest(_bob, id, 4, "group", _shares(20));
        _attest(_carol, id, 4, "group", _shares(20));
        vm.assertEq(_registry.committeeById(id).active, 4);
    }

    function test_counts_one_proposal_of_each_member_and_none_of_an_earlier_turn() public {
        CommitteeId id = _active();
        address[] memory members = _three(_alice, _bob, _carol);
        address[] memory others = _three(_bob, _alice, _carol);
        _propose(_alice, id, 2, members, 2);
        // It changes its mind: the first proposal is not counted any more.
        _propose(_alice, id, 2, others, 2);
        vm.assertEq(_registry.agreementOnProposal(id, keccak256(abi.encode(uint32(2), members, uint16(2)))), 0);
        vm.assertEq(_propose(_bob, id, 2, members, 2), 1);
        vm.assertEq(_registry.committeeById(id).latest, 1);
        vm.assertEq(_propose(_carol, id, 2, others, 2), 2);
        vm.assertEq(_registry.committeeById(id).latest, 2);
        // Bob's proposal of the same members was for turn 2.
        vm.assertEq(_propose(_carol, id, 3, members, 2), 1);
        vm.assertEq(_registry.committeeById(id).latest, 2);
    }

    function test_refuses_proposals_that_are_malformed_or_not_a_members() public {
        CommitteeId forming = _committee();
        address[] memory members = _three(_alice, _bob, _carol);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.CommitteeNotActive.selector, forming));
        _propose(_alice, forming, 2, members, 2);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.UnknownCommittee.selector, _id(9)));
        _propose(_alice, _id(9), 2, members, 2);

        CommitteeId id = _active();
        (address dave, ) = _account("dave");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotMember.selector, id, 1, dave));
        _propose(dave, id, 2, members, 2);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.GenerationOutOfTurn.selector, id, 2, 1));
        _propose(_alice, id, 1, members, 2);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ThresholdOutOfRange.selector, 3, 4));
        _propose(_alice, id, 2, members, 4);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.CommitteeSize.selector, 32, 33));
        _propose(_alice, id, 2, new address[](33), 2);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.DuplicateMember.selector, _bob));
        _propose(_alice, id, 2, _three(_bob, _alice, _bob), 2);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, dave));
        _propose(_alice, id, 2, _three(_bob, _alice, dave), 2);
    }

    function test_lets_members_that_leave_propose_their_replacement() public {
        CommitteeId id = _active();
        (address dave, ) = _account("dave");
        _register(dave);
        vm.prank(_bob);
        _registry.requestExit();
        _leave(_carol);
        address[] memory members = new address[](2);
        (members[0], members[1]) = (_alice, dave);
        _propose(_bob, id, 2, members, 2);
        _propose(_carol, id, 2, members, 2);
        _attest(_alice, id, 2, "group", _two());
        _attest(dave, id, 2, "group", _two());
        vm.assertEq(_registry.committeeById(id).active, 2);
    }

    function test_checks_verification_shares_against_key_material() public {
        CommitteeId id = _committee();
        INodeRegistry.KeyMaterial memory keys = _material("group", _shares(7));
        bytes32 hash = keccak256(abi.encode(keys));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.OtherKeyMaterial.selector, bytes32(0), hash));
        _registry.verificationSharesOf(id, 1, 1, keys);
        _activate(id);
        (address operator, bytes32 oprfShare, bytes32 recordShare) = _registry.verificationSharesOf(id, 1, 2, keys);
        vm.assertEq(operator, _bob);
        vm.assertEq(oprfShare, bytes32(uint256(8)));
        vm.assertEq(recordShare, ~bytes32(uint256(8)));
        uint16[2] memory outside = [uint16(0), 4];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NoSuchIndex.selector, 3, outside[i]));
            _registry.verificationSharesOf(id, 1, outside[i], keys);
        }
        // Also when it was replaced.
        _open(id, 2);
        _attest(_alice, id, 2, "group", _shares(20));
        _attest(_bob, id, 2, "group", _shares(20));
        _attest(_carol, id, 2, "group", _shares(20));
        (operator, oprfShare, ) = _registry.verificationSharesOf(id, 1, 3, keys);
        vm.assertEq(operator, _carol);
        vm.assertEq(oprfShare, bytes32(uint256(9)));
        bytes32 other = _registry.generationById(id, 2).keyMaterialHash;
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.OtherKeyMaterial.selector, other, hash));
        _registry.verificationSharesOf(id, 2, 3, keys);
    }

    function test_shows_members_that_left_as_empty() public {
        CommitteeId id = _committee();
        _leave(_bob);
        INodeRegistry.Node[] memory nodes = _registry.generationNodes(id, 1);
        vm.assertEq(nodes.length, 3);
        vm.assertEq(nodes[0].endpoint, "http://node");
        vm.assertEq(nodes[1].endpoint, "");
        vm.assertEq(nodes[1].stakeWei, 0);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.UnknownCommittee.selector, _id(2)));
        _registry.generationNodes(_id(2), 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.UnknownCommittee.selector, _id(0)));
        _registry.committeeById(_id(0));
    }

    function test_assigns_the_first_active_committee_unless_the_account_chooses() public {
        CommitteeId first = _committee();
        CommitteeId second = _committee();
        CommitteeId third = _committee();
        vm.assertTrue(_registry.committeeOf(_alice) == _id(0));
        _activate(second);
        vm.assertTrue(_registry.committeeOf(_alice) == second);
        _activate(first);
        vm.assertTrue(_registry.committeeOf(_alice) == second);

        vm.expectEmit(address(_registry));
        emit INodeRegistry.CommitteeAssigned(_alice, first);
        vm.prank(_alice);
        _registry.assignCommittee(first);
        vm.assertTrue(_registry.committeeOf(_alice) == first);
        vm.assertTrue(_registry.committeeOf(_bob) == second);

        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.CommitteeNotActive.selector, third));
        vm.prank(_alice);
        _registry.assignCommittee(third);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.UnknownCommittee.selector, _id(4)));
        vm.prank(_alice);
        _registry.assignCommittee(_id(4));
        vm.assertTrue(_registry.committeeOf(_alice) == first);
    }

    // Assignment

    function test_assigns_every_member_once_and_other_first_ones_in_other_epochs() public {
        CommitteeId id = _active();
        uint256[3] memory firsts;
        for (uint64 epoch = 0; epoch < 40; ++epoch) {
            address[] memory order = _registry.assignedNodes(id, address(this), epoch);
            vm.assertEq(order.length, 3);
            vm.assertTrue(order[0] != order[1] && order[1] != order[2] && order[2] != order[0]);
            ++firsts[_placeOf(order[0])];
        }
        // Of three equal stakes; all 40 are of one member with a probability of 3^-39.
        for (uint256 i = 0; i < 3; ++i) vm.assertTrue(firsts[i] > 0 && firsts[i] < 40);
    }

    function testFuzz_a_member_that_leaves_moves_behind_the_others_and_nobody_else(
        address user,
        uint64 epoch,
        uint256 which
    ) public {
        CommitteeId id = _active();
        address leaving = _three(_alice, _bob, _carol)[which % 3];
        address[] memory before = _registry.assignedNodes(id, user, epoch);
        vm.prank(leaving);
        _registry.requestExit();
        _expectBehind(leaving, before, _registry.assignedNodes(id, user, epoch));
        vm.warp(block.timestamp + DELAY);
        vm.prank(leaving);
        _registry.withdrawStake(payable(leaving));
        _expectBehind(leaving, before, _registry.assignedNodes(id, user, epoch));
    }

    function test_assigns_by_stake() public {
        (address rich, ) = _account("rich");
        uint256 stake = STAKE * 1e18;
        vm.deal(rich, stake);
        vm.prank(rich);
        _registry.registerNode{ value: stake }("http://rich", HPKE);
        vm.prank(_alice);
        CommitteeId id = _registry.createCommittee(_three(_alice, rich, _carol), 2);
        _attest(_alice, id, 1, "group", _shares(7));
        _attest(rich, id, 1, "group", _shares(7));
        _attest(_carol, id, 1, "group", _shares(7));
        for (uint64 epoch = 0; epoch < 20; ++epoch) {
            vm.assertEq(_registry.assignedNodes(id, _bob, epoch)[0], rich);
        }
    }

    function test_assigns_the_members_of_the_active_generation_only() public {
        CommitteeId id = _committee();
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.CommitteeNotActive.selector, id));
        _registry.assignedNodes(id, _alice, 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.UnknownCommittee.selector, _id(9)));
        _registry.assignedNodes(_id(9), _alice, 1);
        _activate(id);
        (address dave, ) = _account("dave");
        _register(dave);
        _propose(_alice, id, 2, _three(_alice, _bob, dave), 2);
        _propose(_bob, id, 2, _three(_alice, _bob, dave), 2);
        for (uint256 i = 0; i < 3; ++i) vm.assertTrue(_registry.assignedNodes(id, _alice, 1)[i] != dave);
    }

    // Helpers

    /// @dev Position in the committee of `_active`.
    function _placeOf(address member) private view returns (uint256) {
        return
            member == _alice
                ? 0
                : member == _bob
                    ? 1
                    : 2;
    }

    function _expectBehind(address leaving, address[] memory before, address[] memory later) private pure {
        vm.assertEq(later.length, before.length);
        vm.assertEq(later[later.length - 1], leaving);
        uint256 place;
        for (uint256 i = 0; i < before.length; ++i) {
            if (before[i] != leaving) vm.assertEq(later[place++], before[i]);
        }
    }

    function _id(uint64 number) private pure returns (CommitteeId) {
        return CommitteeId.wrap(number);
    }

    function _register(address operator) private {
        vm.deal(operator, STAKE);
        vm.prank(operator);
        _registry.registerNode{ value: STAKE }("http://node", HPKE);
    }

    function _leave(address operator) private {
        vm.startPrank(operator);
        _registry.requestExit();
        vm.warp(_registry.nodeOf(operator).exitAt);
        _registry.withdrawStake(payable(operator));
        vm.stopPrank();
    }

    function _three(address a, address b, address c) private pure returns (address[] memory members) {
        members = new address[](3);
        (members[0], members[1], members[2]) = (a, b, c);
    }

    function _shares(uint256 first) private pure returns (bytes32[] memory shares) {
        shares = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) shares[i] = bytes32(first + i);
    }

    function _committee() private returns (CommitteeId) {
        vm.prank(_alice);
        return _registry.createCommittee(_three(_alice, _bob, _carol), 2);
    }

    function _active() private returns (CommitteeId id) {
        id = _committee();
        _activate(id);
    }

    /// @dev A refresh: the same members and threshold.
    function _open(CommitteeId id, uint32 number) private {
        _propose(_alice, id, number, _three(_alice, _bob, _carol), 2);
        _propose(_bob, id, number, _three(_alice, _bob, _carol), 2);
    }

    function _propose(
        address member,
        CommitteeId id,
        uint32 number,
        address[] memory members,
        uint16 threshold
    ) private returns (uint16) {
        vm.prank(member);
        return _registry.proposeGeneration(id, number, members, threshold);
    }

    function _two() private pure returns (bytes32[] memory shares) {
        shares = new bytes32[](2);
        (shares[0], shares[1]) = (bytes32(uint256(1)), bytes32(uint256(2)));
    }

    /// @dev The shares of the record key are the complement of those given.
    function _material(
        bytes32 groupPublicKey,
        bytes32[] memory shares
    ) private pure returns (INodeRegistry.KeyMaterial memory) {
        bytes32[] memory recordShares = new bytes32[](shares.length);
        for (uint256 i = 0; i < shares.length; ++i) recordShares[i] = shares[i] == 0 ? bytes32(0) : ~shares[i];
        return INodeRegistry.KeyMaterial(groupPublicKey, bytes32("record"), shares, recordShares);
    }

    function _attest(
        address member,
        CommitteeId id,
        uint32 number,
        bytes32 groupPublicKey,
        bytes32[] memory shares
    ) private {
        vm.prank(member);
        _registry.attestGeneration(id, number, _material(groupPublicKey, shares));
    }

    function _activate(CommitteeId id) private {
        _attest(_alice, id, 1, "group", _shares(7));
        _attest(_bob, id, 1, "group", _shares(7));
        _attest(_carol, id, 1, "group", _shares(7));
    }
}
