// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { NodeRegistry } from "../NodeRegistry.sol";
import { INodeRegistry } from "../interfaces/INodeRegistry.sol";
import { CommitteeId } from "../types/CommitteeId.sol";
import { TestBase } from "./TestBase.sol";
import { vm } from "./Vm.sol";

/// @dev Acts as all operators, and keeps a model of the state that the registry should have.
contract NodeRegistryHandler is TestBase {
    uint256 public constant ACTORS = 4;
    uint256 public constant MAX_COMMITTEES = 4;

    NodeRegistry public immutable REGISTRY;
    address[ACTORS] public actors;
    /// @dev What each actor has deposited and not got back.
    mapping(address actor => uint256) public deposited;
    /// @dev keccak256(abi.encode(members, threshold)) when the generation was opened.
    mapping(uint64 id => mapping(uint32 number => bytes32)) public membershipAtOpening;
    /// @dev The last attestation of each member, and the key material of the generation at its activation.
    mapping(uint64 id => mapping(uint32 number => mapping(address member => bytes32))) public said;
    mapping(uint64 id => mapping(uint32 number => bytes32)) public keysAtActivation;
    /// @dev The generation that was activated last, and the group key of the first.
    mapping(uint64 id => uint32) public activated;
    mapping(uint64 id => bytes32) public groupKey;

    constructor(NodeRegistry registry) {
        REGISTRY = registry;
        for (uint256 i = 0; i < ACTORS; ++i) (actors[i], ) = _account(vm.toString(i));
    }

    /// @dev Where every sequence starts: all registered, one committee forming.
    function begin() external {
        for (uint256 i = 0; i < ACTORS; ++i) register(i, 1 ether);
        create(0, 3, 2);
    }

    function register(uint256 who, uint256 stake) public {
        address actor = actors[who % ACTORS];
        if (deposited[actor] != 0) return;
        stake = _bound(stake, REGISTRY.MIN_STAKE_WEI(), 100 ether);
        vm.deal(actor, stake);
        vm.prank(actor);
        REGISTRY.registerNode{ value: stake }("http://node", bytes32("hpke"));
        deposited[actor] = stake;
    }

    function requestExit(uint256 who) external {
        address actor = actors[who % ACTORS];
        if (deposited[actor] == 0 || REGISTRY.nodeOf(actor).exitAt != 0) return;
        vm.prank(actor);
        REGISTRY.requestExit();
    }

    function withdraw(uint256 who) external {
        address actor = actors[who % ACTORS];
        uint64 exitAt = REGISTRY.nodeOf(actor).exitAt;
        if (exitAt == 0 || block.timestamp < exitAt) return;
        uint256 before = actor.balance;
        vm.prank(actor);
        REGISTRY.withdrawStake(payable(actor));
        require(actor.balance - before == deposited[actor], "not the whole stake");
        deposited[actor] = 0;
    }

    function create(uint256 first, uint256 size, uint16 threshold) public {
        if (REGISTRY.committeeCount() == MAX_COMMITTEES) return;
        (address[] memory members, uint16 bounded) = _pick(first, size, threshold);
        if (members.length == 0) return;
        vm.prank(members[0]);
        CommitteeId id = REGISTRY.createCommittee(members, bounded);
        membershipAtOpening[CommitteeId.unwrap(id)][1] = keccak256(abi.encode(members, bounded));
    }

    function propose(uint64 number, uint256 who, uint256 first, uint256 size, uint16 threshold) external {
        uint64 count = REGISTRY.committeeCount();
        if (count == 0) return;
        CommitteeId id = CommitteeId.wrap(1 + (number % count));
        INodeRegistry.Committee memory committee = REGISTRY.committeeById(id);
        if (committee.active == 0) return;
        // Few different ones, so that members agree often.
        (address[] memory members, uint16 bounded) = _pick(first % 2, 3 + (size % 2), 2 + (threshold % 2));
        if (members.length == 0) return;
        INodeRegistry.Generation memory current = REGISTRY.generationById(id, committee.active);
        uint32 next = committee.latest + 1;
        vm.prank(current.members[who % current.size]);
        REGISTRY.proposeGeneration(id, next, members, bounded);
        if (REGISTRY.committeeById(id).latest == next) {
            membershipAtOpening[CommitteeId.unwrap(id)][next] = keccak256(abi.encode(members, bounded));
        }
    }

    function attest(uint64 committeeNumber, uint256 who, uint256 version) external {
        uint64 count = REGISTRY.committeeCount();
        if (count == 0) return;
        committeeNumber = 1 + (committeeNumber % count);
        CommitteeId id = CommitteeId.wrap(committeeNumber);
        uint32 number = REGISTRY.committeeById(id).latest;
        INodeRegistry.Generation memory generation = REGISTRY.generationById(id, number);
        if (generation.status != INodeRegistry.GenerationStatus.Forming) return;
        address member = generation.members[who % generation.size];
        if (deposited[member] == 0 || REGISTRY.nodeOf(member).exitAt != 0) return;
        // Two versions, so that members disagree often and agree sometimes.
        INodeRegistry.KeyMaterial memory keys;
        bytes32 first = groupKey[committeeNumber];
        keys.oprfPublicKey = first == 0 ? bytes32(1 + (version % 2)) : first;
        keys.recordPublicKey = bytes32("record");
        keys.oprfShares = new bytes32[](generation.size);
        for (uint256 i = 0; i < generation.size; ++i) keys.oprfShares[i] = bytes32(i + 1 + (version % 2));
        keys.recordShares = keys.oprfShares;
        vm.prank(member);
        REGISTRY.attestGeneration(id, number, keys);
        bytes32 statement = keccak256(abi.encode(keys));
        said[committeeNumber][number][member] = statement;
        if (REGISTRY.committeeById(id).active != number) return;
        keysAtActivation[committeeNumber][number] = statement;
        activated[committeeNumber] = number;
        if (first == 0) groupKey[committeeNumber] = keys.oprfPublicKey;
    }

    /// @dev Empty when one of them is not registered to stay.
    function _pick(
        uint256 first,
        uint256 size,
        uint16 threshold
    ) private view returns (address[] memory members, uint16 bounded) {
        size = _bound(size, 1, ACTORS);
        bounded = uint16(_bound(threshold, 1, size));
        members = new address[](size);
        for (uint256 i = 0; i < size; ++i) {
            members[i] = actors[((first % ACTORS) + i) % ACTORS];
            if (deposited[members[i]] == 0 || REGISTRY.nodeOf(members[i]).exitAt != 0) return (new address[](0), 0);
        }
    }

    function assign(uint256 who, uint64 number) external {
        number = 1 + (number % uint64(MAX_COMMITTEES));
        if (!REGISTRY.isActive(CommitteeId.wrap(number))) return;
        vm.prank(actors[who % ACTORS]);
        REGISTRY.assignCommittee(CommitteeId.wrap(number));
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + _bound(time, 1, 2 days));
    }
}

contract NodeRegistryInvariants is TestBase {
    NodeRegistry private _registry;
    NodeRegistryHandler private _handler;

    function setUp() public {
        vm.warp(1_800_000_000);
        _registry = new NodeRegistry(1 ether, 3 days);
        _handler = new NodeRegistryHandler(_registry);
        _handler.begin();
        bytes4[] memory selectors = new bytes4[](8);
        selectors[0] = NodeRegistryHandler.register.selector;
        selectors[1] = NodeRegistryHandler.requestExit.selector;
        selectors[2] = NodeRegistryHandler.withdraw.selector;
        selectors[3] = NodeRegistryHandler.create.selector;
        selectors[4] = NodeRegistryHandler.attest.selector;
        selectors[5] = NodeRegistryHandler.assign.selector;
        selectors[6] = NodeRegistryHandler.wait.selector;
        selectors[7] = NodeRegistryHandler.propose.selector;
        _targetSelectors(address(_handler), selectors);
    }

    /// @dev After every call of every sequence; one campaign for all, since each checks the same states.
    /// hardhat-config: invariant.failOnRevert = true
    function invariant_everything() public {
        _balanceIsTheSumOfStakes();
        _everyWeiOfStakeCanLeave();
        _membershipNeverChanges();
        _activeMeansThatAllMembersSaidTheSame();
        _theLastActivatedGenerationIsActive();
        _everyAccountHasAnActiveCommitteeOnceThereIsOne();
    }

    /// @dev INV-1, and that the list of operators is exactly those with a stake.
    function _balanceIsTheSumOfStakes() private view {
        address[] memory listed = _registry.operators(0, type(uint256).max);
        uint256 sum;
        for (uint256 i = 0; i < listed.length; ++i) {
            uint256 stake = _registry.nodeOf(listed[i]).stakeWei;
            vm.assertGe(stake, _registry.MIN_STAKE_WEI());
            sum += stake;
            for (uint256 j = 0; j < i; ++j) vm.assertNotEq(listed[i], listed[j]);
        }
        vm.assertEq(address(_registry).balance, sum);
        uint256 expected;
        uint256 depositors;
        for (uint256 i = 0; i < _handler.ACTORS(); ++i) {
            uint256 deposited = _handler.deposited(_handler.actors(i));
            expected += deposited;
            if (deposited != 0) ++depositors;
            vm.assertEq(_registry.nodeOf(_handler.actors(i)).stakeWei, deposited);
        }
        vm.assertEq(sum, expected);
        vm.assertEq(listed.length, depositors);
    }

    /// @dev INV-2: whatever happened before, every operator can leave, and the balance is then zero.
    function _everyWeiOfStakeCanLeave() private {
        uint256 snapshot = vm.snapshotState();
        uint256 latest = block.timestamp + _registry.EXIT_DELAY_SECONDS();
        for (uint256 i = 0; i < _handler.ACTORS(); ++i) {
            address actor = _handler.actors(i);
            if (_handler.deposited(actor) == 0 || _registry.nodeOf(actor).exitAt != 0) continue;
            vm.prank(actor);
            _registry.requestExit();
        }
        vm.warp(latest);
        for (uint256 i = 0; i < _handler.ACTORS(); ++i) {
            address actor = _handler.actors(i);
            uint256 deposited = _handler.deposited(actor);
            if (deposited == 0) continue;
            uint256 before = actor.balance;
            vm.prank(actor);
            _registry.withdrawStake(payable(actor));
            vm.assertEq(actor.balance - before, deposited);
        }
        vm.assertEq(address(_registry).balance, 0);
        vm.assertEq(_registry.nodeCount(), 0);
        vm.assertTrue(vm.revertToState(snapshot));
    }

    /// @dev INV-3
    function _membershipNeverChanges() private view {
        for (uint64 number = 1; number <= _registry.committeeCount(); ++number) {
            CommitteeId id = CommitteeId.wrap(number);
            uint32 latest = _registry.committeeById(id).latest;
            for (uint32 turn = 1; turn <= latest; ++turn) {
                INodeRegistry.Generation memory generation = _registry.generationById(id, turn);
                uint256 size = generation.size;
                vm.assertEq(
                    keccak256(abi.encode(generation.members, generation.threshold)),
                    _handler.membershipAtOpening(number, turn)
                );
                vm.assertEq(size, generation.members.length);
                vm.assertTrue(generation.threshold >= 1 && generation.threshold <= size && size <= 32);
                for (uint256 i = 0; i < size; ++i) {
                    for (uint256 j = 0; j < i; ++j) vm.assertNotEq(generation.members[i], generation.members[j]);
                }
            }
        }
    }

    /// @dev INV-4
    function _activeMeansThatAllMembersSaidTheSame() private view {
        for (uint64 number = 1; number <= _registry.committeeCount(); ++number) {
            CommitteeId id = CommitteeId.wrap(number);
            INodeRegistry.Committee memory committee = _registry.committeeById(id);
            vm.assertEq(committee.oprfPublicKey, _handler.groupKey(number));
            for (uint32 turn = 1; turn <= committee.latest; ++turn) {
                INodeRegistry.Generation memory generation = _registry.generationById(id, turn);
                bytes32 first = _handler.said(number, turn, generation.members[0]);
                bool unanimous = first != 0;
                for (uint256 i = 0; i < generation.size; ++i) {
                    bytes32 statement = _handler.said(number, turn, generation.members[i]);
                    vm.assertEq(_registry.attestationOf(id, turn, generation.members[i]), statement);
                    if (statement != first) unanimous = false;
                }
                vm.assertEq(generation.keyMaterialHash, unanimous ? first : bytes32(0));
                vm.assertEq(generation.keyMaterialHash, _handler.keysAtActivation(number, turn));
            }
        }
    }

    /// @dev INV-5
    function _theLastActivatedGenerationIsActive() private view {
        for (uint64 number = 1; number <= _registry.committeeCount(); ++number) {
            CommitteeId id = CommitteeId.wrap(number);
            INodeRegistry.Committee memory committee = _registry.committeeById(id);
            vm.assertEq(committee.active, _handler.activated(number));
            vm.assertEq(_registry.isActive(id), committee.active != 0);
            for (uint32 turn = 1; turn <= committee.latest; ++turn) {
                INodeRegistry.Generation memory generation = _registry.generationById(id, turn);
                bool wasActive = generation.keyMaterialHash != 0;
                vm.assertEq(generation.status == INodeRegistry.GenerationStatus.Active, turn == committee.active);
                vm.assertEq(
                    generation.status == INodeRegistry.GenerationStatus.Replaced,
                    wasActive && turn != committee.active
                );
            }
        }
    }

    /// @dev INV-6
    function _everyAccountHasAnActiveCommitteeOnceThereIsOne() private view {
        bool any;
        for (uint64 number = 1; number <= _registry.committeeCount(); ++number) {
            if (_registry.isActive(CommitteeId.wrap(number))) any = true;
        }
        for (uint256 i = 0; i < _handler.ACTORS(); ++i) {
            CommitteeId id = _registry.committeeOf(_handler.actors(i));
            if (any) vm.assertTrue(_registry.isActive(id));
            else vm.assertTrue(id == CommitteeId.wrap(0));
        }
    }
}
