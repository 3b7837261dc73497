// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { OprfDisputes } from "./OprfDisputes.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { CommitteeId } from "./types/CommitteeId.sol";

/// @title Registry of key nodes and their committees
/// @notice Holds the stakes of registered nodes, and no other money. Only its operator can withdraw a node's stake, and
/// only a conviction by the contract for disputes, which this contract deploys, can take it before.
///
/// Who may call: any account may register as a node; an operator manages only its own node; a member proposes a
/// committee, and each member attests for itself; an account chooses only its own committee. There is no administrator.
///
/// INV-1  The contract's balance is the sum of the stakes of registered nodes.
/// INV-2  Each stake is at least the minimum, and its operator can withdraw all of it after the exit delay, unless
///        the node was slashed before.
/// INV-3  A committee's members and threshold never change; members are distinct; 1 <= threshold <= size <= 32.
/// INV-4  A committee is active exactly when every member attested to the one key material that it holds, and that
///        key material then never changes.
/// INV-5  The committee of any account, chosen or default, is active, or there is no active committee at all.
contract NodeRegistry is INodeRegistry {
    uint256 public constant MAX_ENDPOINT_BYTES = 256;
    uint256 public constant MAX_COMMITTEE_SIZE = 32;
    uint64 public constant MAX_EXIT_DELAY_SECONDS = 365 days;
    /// @dev The bond of a challenge, as a part of the minimum stake.
    uint256 private constant BONDS_PER_STAKE = 100;

    /// @inheritdoc INodeRegistry
    uint256 public immutable MIN_STAKE_WEI;
    /// @inheritdoc INodeRegistry
    uint64 public immutable EXIT_DELAY_SECONDS;
    /// @inheritdoc INodeRegistry
    address public immutable DISPUTES;

    /// @inheritdoc INodeRegistry
    uint64 public committeeCount;
    /// @inheritdoc INodeRegistry
    CommitteeId public defaultCommittee;

    address[] private _operators;
    /// @dev Position in `_operators` plus one, so that removal takes constant time; 0: not in the list.
    mapping(address operator => uint256) private _placeOf;
    mapping(address operator => Node) private _nodes;
    mapping(CommitteeId id => Committee) private _committees;
    /// @inheritdoc INodeRegistry
    mapping(CommitteeId id => mapping(address member => bytes32)) public attestationOf;
    /// @inheritdoc INodeRegistry
    mapping(CommitteeId id => mapping(bytes32 keyMaterialHash => uint16)) public agreementOn;
    mapping(address account => CommitteeId) private _assigned;

    constructor(uint256 minStakeWei, uint64 exitDelaySeconds) {
        // A node with no stake would look like one that has left.
        if (minStakeWei == 0) revert StakeTooLow(1, 0);
        if (minStakeWei > type(uint128).max) revert StakeTooHigh(type(uint128).max, minStakeWei);
        if (exitDelaySeconds > MAX_EXIT_DELAY_SECONDS) {
            revert ExitDelayTooLong(MAX_EXIT_DELAY_SECONDS, exitDelaySeconds);
        }
        MIN_STAKE_WEI = minStakeWei;
        EXIT_DELAY_SECONDS = exitDelaySeconds;
        DISPUTES = address(new OprfDisputes(this, minStakeWei / BONDS_PER_STAKE));
    }

    /// @inheritdoc INodeRegistry
    function registerNode(string calldata endpoint, bytes32 hpkePublicKey) external payable {
        if (msg.value < MIN_STAKE_WEI) revert StakeTooLow(MIN_STAKE_WEI, msg.value);
        if (msg.value > type(uint128).max) revert StakeTooHigh(type(uint128).max, msg.value);
        if (_placeOf[msg.sender] != 0) revert AlreadyRegistered(msg.sender);

        Node storage node = _nodes[msg.sender];
        node.stakeWei = uint128(msg.value);
        node.registeredAt = uint64(block.timestamp);
        _setContact(node, endpoint, hpkePublicKey);
        _operators.push(msg.sender);
        _placeOf[msg.sender] = _operators.length;
        emit NodeRegistered(msg.sender, msg.value, uint64(block.timestamp), hpkePublicKey, endpoint);
    }

    /// @inheritdoc INodeRegistry
    function updateNode(string calldata endpoint, bytes32 hpkePublicKey) external {
        _setContact(_registered(msg.sender), endpoint, hpkePublicKey);
        emit NodeUpdated(msg.sender, hpkePublicKey, endpoint);
    }

    /// @inheritdoc INodeRegistry
    function requestExit() external {
        Node storage node = _staying(msg.sender);
        uint64 exitAt = uint64(block.timestamp) + EXIT_DELAY_SECONDS;
        node.exitAt = exitAt;
        emit ExitRequested(msg.sender, exitAt);
    }

    /// @inheritdoc INodeRegistry
    function withdrawStake(address payable to) external {
        if (to == address(0)) revert ZeroRecipient();
        Node storage node = _registered(msg.sender);
        uint64 exitAt = node.exitAt;
        if (exitAt == 0) revert ExitNotRequested(msg.sender);
        if (block.timestamp < exitAt) revert ExitPending(exitAt, uint64(block.timestamp));

        // The node is deleted before the money moves, so a recipient that re-enters cannot withdraw twice.
        uint256 stakeWei = node.stakeWei;
        delete _nodes[msg.sender];
        _unlist(msg.sender);
        emit StakeWithdrawn(msg.sender, to, stakeWei);
        (bool paid, ) = to.call{ value: stakeWei }("");
        if (!paid) revert StakeTransferFailed(to, stakeWei);
    }

    /// @inheritdoc INodeRegistry
    function slash(address operator) external returns (uint256 stakeWei) {
        if (msg.sender != DISPUTES) revert NotDisputes(msg.sender);
        stakeWei = _registered(operator).stakeWei;
        delete _nodes[operator];
        _unlist(operator);
        emit NodeSlashed(operator, stakeWei);
        (bool paid, ) = msg.sender.call{ value: stakeWei }("");
        if (!paid) revert StakeTransferFailed(msg.sender, stakeWei);
    }

    /// @inheritdoc INodeRegistry
    function createCommittee(address[] calldata members, uint16 threshold) external returns (CommitteeId id) {
        uint256 size = members.length;
        if (size == 0 || size > MAX_COMMITTEE_SIZE) revert CommitteeSize(MAX_COMMITTEE_SIZE, size);
        if (threshold == 0 || threshold > size) revert ThresholdOutOfRange(size, threshold);

        id = CommitteeId.wrap(++committeeCount);
        bool creatorIsMember;
        for (uint256 i = 0; i < size; ++i) {
            address member = members[i];
            _staying(member);
            for (uint256 j = 0; j < i; ++j) {
                if (members[j] == member) revert DuplicateMember(member);
            }
            if (member == msg.sender) creatorIsMember = true;
        }
        if (!creatorIsMember) revert NotMember(id, msg.sender);

        Committee storage committee = _committees[id];
        committee.status = CommitteeStatus.Forming;
        committee.size = uint16(size);
        committee.threshold = threshold;
        committee.createdAt = uint64(block.timestamp);
        committee.members = members;
        emit CommitteeCreated(id, msg.sender, threshold, uint64(block.timestamp), members);
    }

    /// @inheritdoc INodeRegistry
    function attestCommittee(CommitteeId id, bytes32 groupPublicKey, bytes32[] calldata verificationShares) external {
        Committee storage committee = _known(id);
        if (committee.status != CommitteeStatus.Forming) revert CommitteeNotForming(id);
        uint16 size = committee.size;
        if (!_isMember(committee, size, msg.sender)) revert NotMember(id, msg.sender);
        _staying(msg.sender);
        if (verificationShares.length != size) revert VerificationShareCount(size, verificationShares.length);
        if (groupPublicKey == 0) revert IdentityElement(0);
        for (uint256 i = 0; i < size; ++i) {
            if (verificationShares[i] == 0) revert IdentityElement(i + 1);
        }

        bytes32 stated = keccak256(abi.encode(groupPublicKey, verificationShares));
        bytes32 before = attestationOf[id][msg.sender];
        uint16 agreeing = agreementOn[id][stated];
        if (before != stated) {
            if (before != 0) --agreementOn[id][before];
            attestationOf[id][msg.sender] = stated;
            agreementOn[id][stated] = ++agreeing;
        }
        emit CommitteeAttested(id, msg.sender, stated, agreeing);

        if (agreeing == size) {
            committee.status = CommitteeStatus.Active;
            committee.groupPublicKey = groupPublicKey;
            committee.verificationShares = verificationShares;
            if (defaultCommittee == CommitteeId.wrap(0)) defaultCommittee = id;
            emit CommitteeActivated(id, groupPublicKey, verificationShares);
        }
    }

    /// @inheritdoc INodeRegistry
    function assignCommittee(CommitteeId id) external {
        if (_known(id).status != CommitteeStatus.Active) revert CommitteeNotActive(id);
        _assigned[msg.sender] = id;
        emit CommitteeAssigned(msg.sender, id);
    }

    /// @inheritdoc INodeRegistry
    function nodeOf(address operator) external view returns (Node memory) {
        return _nodes[operator];
    }

    /// @inheritdoc INodeRegistry
    function nodeCount() external view returns (uint256) {
        return _operators.length;
    }

    /// @inheritdoc INodeRegistry
    function operators(uint256 offset, uint256 limit) external view returns (address[] memory page) {
        uint256 count = _operators.length;
        uint256 left = offset < count ? count - offset : 0;
        page = new address[](limit < left ? limit : left);
        for (uint256 i = 0; i < page.length; ++i) {
            page[i] = _operators[offset + i];
        }
    }

    /// @inheritdoc INodeRegistry
    function committeeById(CommitteeId id) external view returns (Committee memory) {
        return _known(id);
    }

    /// @inheritdoc INodeRegistry
    function committeeNodes(CommitteeId id) external view returns (Node[] memory nodes) {
        Committee storage committee = _known(id);
        uint256 size = committee.size;
        nodes = new Node[](size);
        for (uint256 i = 0; i < size; ++i) {
            nodes[i] = _nodes[committee.members[i]];
        }
    }

    /// @inheritdoc INodeRegistry
    function isActive(CommitteeId id) external view returns (bool) {
        return _committees[id].status == CommitteeStatus.Active;
    }

    /// @inheritdoc INodeRegistry
    function hashKeyMaterial(
        bytes32 groupPublicKey,
        bytes32[] calldata verificationShares
    ) external pure returns (bytes32) {
        return keccak256(abi.encode(groupPublicKey, verificationShares));
    }

    /// @inheritdoc INodeRegistry
    function committeeOf(address account) external view returns (CommitteeId id) {
        id = _assigned[account];
        if (id == CommitteeId.wrap(0)) id = defaultCommittee;
    }

    function _setContact(Node storage node, string calldata endpoint, bytes32 hpkePublicKey) private {
        uint256 length = bytes(endpoint).length;
        if (length == 0 || length > MAX_ENDPOINT_BYTES) revert EndpointLength(MAX_ENDPOINT_BYTES, length);
        if (hpkePublicKey == 0) revert ZeroHpkePublicKey();
        node.endpoint = endpoint;
        node.hpkePublicKey = hpkePublicKey;
    }

    /// @dev Moves the last operator to the position of the leaving one.
    function _unlist(address operator) private {
        uint256 place = _placeOf[operator];
        address last = _operators[_operators.length - 1];
        _operators[place - 1] = last;
        _placeOf[last] = place;
        _operators.pop();
        // After the move, because the leaving operator may itself be the last one.
        delete _placeOf[operator];
    }

    function _registered(address operator) private view returns (Node storage node) {
        node = _nodes[operator];
        if (node.stakeWei == 0) revert NotRegistered(operator);
    }

    function _staying(address operator) private view returns (Node storage node) {
        node = _registered(operator);
        if (node.exitAt != 0) revert NodeExiting(operator, node.exitAt);
    }

    function _known(CommitteeId id) private view returns (Committee storage committee) {
        committee = _committees[id];
        if (committee.status == CommitteeStatus.None) revert UnknownCommittee(id);
    }

    function _isMember(Committee storage committee, uint256 size, address account) private view returns (bool) {
        for (uint256 i = 0; i < size; ++i) {
            if (committee.members[i] == account) return true;
        }
        return false;
    }
}
