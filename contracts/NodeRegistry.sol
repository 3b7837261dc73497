// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { OprfDisputes } from "./OprfDisputes.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { Rendezvous } from "./libraries/Rendezvous.sol";
import { CommitteeId } from "./types/CommitteeId.sol";

/// @title Registry of key nodes and their committees
/// @notice Holds the stakes of registered nodes, and no other money. Only its operator can withdraw a node's stake, and
/// only a conviction by the contract for disputes, which this contract deploys, can take it before.
///
/// Who may call: any account may register as a node; an operator manages only its own node; a member proposes a
/// committee or the next generation of its committee, and each member attests for itself; an account chooses only its
/// own committee. There is no administrator.
///
/// INV-1  The contract's balance is the sum of the stakes of registered nodes.
/// INV-2  Each stake is at least the minimum, and its operator can withdraw all of it after the exit delay, unless
///        the node was slashed before.
/// INV-3  The members and the threshold of a generation never change; members are distinct; 1 <= threshold <= size <=
///        32; no number is used for two generations of a committee.
/// INV-4  A generation has key material exactly when every member of it attested to it, and the key material then never
///        changes. Its two group public keys are those of generation 1.
/// INV-5  A committee has one active generation from its first activation on: a generation is replaced only by the
///        activation of a later one, which as many members of it proposed as its threshold says.
/// INV-6  The committee of any account, chosen or default, is active, or there is no active committee at all.
contract NodeRegistry is INodeRegistry {
    uint256 public constant MAX_ENDPOINT_BYTES = 256;
    uint256 public constant MAX_COMMITTEE_SIZE = 32;
    uint64 public constant MAX_EXIT_DELAY_SECONDS = 365 days;
    /// @dev The bond of a challenge, as a part of the minimum stake.
    uint256 private constant BONDS_PER_STAKE = 100;
    /// @inheritdoc INodeRegistry
    uint64 public constant FORMING_SECONDS = 1 days;
    /// @inheritdoc INodeRegistry
    uint64 public constant ASSIGNMENT_EPOCH_SECONDS = 1 days;
    uint32 private constant FIRST_GENERATION = 1;

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
    mapping(CommitteeId id => mapping(uint32 number => Generation)) private _generations;
    /// @inheritdoc INodeRegistry
    mapping(CommitteeId id => mapping(address member => bytes32)) public proposalOf;
    /// @inheritdoc INodeRegistry
    mapping(CommitteeId id => mapping(bytes32 proposal => uint16)) public agreementOnProposal;
    /// @inheritdoc INodeRegistry
    mapping(CommitteeId id => mapping(uint32 number => mapping(address member => bytes32))) public attestationOf;
    /// @inheritdoc INodeRegistry
    mapping(CommitteeId id => mapping(uint32 number => mapping(bytes32 keyMaterialHash => uint16))) public agreementOn;
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
        id = CommitteeId.wrap(++committeeCount);
        _checkMembers(members, threshold);
        bool creatorIsMember;
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i] == msg.sender) creatorIsMember = true;
        }
        if (!creatorIsMember) revert NotMember(id, FIRST_GENERATION, msg.sender);
        _open(id, FIRST_GENERATION, 0, members, threshold);
    }

    /// @inheritdoc INodeRegistry
    function proposeGeneration(
        CommitteeId id,
        uint32 number,
        address[] calldata members,
        uint16 threshold
    ) external returns (uint16 agreeing) {
        Committee storage committee = _known(id);
        uint32 active = committee.active;
        if (active == 0) revert CommitteeNotActive(id);
        uint32 next = committee.latest + 1;
        if (number != next) revert GenerationOutOfTurn(id, next, number);
        Generation storage current = _generations[id][active];
        if (!_isMember(current, msg.sender)) revert NotMember(id, active, msg.sender);
        _checkMembers(members, threshold);

        // With the generation that proposes, so that votes of a replaced one count for nothing.
        bytes32 proposal = keccak256(abi.encode(active, number, members, threshold));
        bytes32 before = proposalOf[id][msg.sender];
        agreeing = agreementOnProposal[id][proposal];
        if (before != proposal) {
            if (before != 0) --agreementOnProposal[id][before];
            proposalOf[id][msg.sender] = proposal;
            agreementOnProposal[id][proposal] = ++agreeing;
        }
        emit GenerationProposed(id, number, msg.sender, proposal, agreeing);

        if (agreeing == current.threshold) {
            Generation storage latest = _generations[id][committee.latest];
            if (latest.status == GenerationStatus.Forming) {
                latest.status = GenerationStatus.Abandoned;
                emit GenerationAbandoned(id, committee.latest);
            }
            _open(id, number, active, members, threshold);
        }
    }

    /// @inheritdoc INodeRegistry
    function attestGeneration(CommitteeId id, uint32 number, KeyMaterial calldata keys) external {
        Committee storage committee = _known(id);
        Generation storage generation = _knownGeneration(id, number);
        if (_statusOf(generation) != GenerationStatus.Forming) revert GenerationNotForming(id, number);
        if (!_isMember(generation, msg.sender)) revert NotMember(id, number, msg.sender);
        _staying(msg.sender);
        uint16 size = generation.size;
        _checkKeys(id, committee, size, keys);

        bytes32 stated = keccak256(abi.encode(keys));
        bytes32 before = attestationOf[id][number][msg.sender];
        uint16 agreeing = agreementOn[id][number][stated];
        if (before != stated) {
            if (before != 0) --agreementOn[id][number][before];
            attestationOf[id][number][msg.sender] = stated;
            agreementOn[id][number][stated] = ++agreeing;
        }
        emit GenerationAttested(id, number, msg.sender, stated, agreeing);
        if (agreeing == size) _activate(id, committee, number, stated, keys);
    }

    /// @inheritdoc INodeRegistry
    function assignCommittee(CommitteeId id) external {
        if (_known(id).active == 0) revert CommitteeNotActive(id);
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
    function generationById(CommitteeId id, uint32 number) external view returns (Generation memory generation) {
        generation = _knownGeneration(id, number);
        generation.status = _statusOf(_generations[id][number]);
    }

    /// @inheritdoc INodeRegistry
    function generationNodes(CommitteeId id, uint32 number) external view returns (Node[] memory nodes) {
        Generation storage generation = _knownGeneration(id, number);
        uint256 size = generation.size;
        nodes = new Node[](size);
        for (uint256 i = 0; i < size; ++i) {
            nodes[i] = _nodes[generation.members[i]];
        }
    }

    /// @inheritdoc INodeRegistry
    function verificationSharesOf(
        CommitteeId id,
        uint32 number,
        uint16 index,
        KeyMaterial calldata keys
    ) external view returns (address operator, bytes32 oprfShare, bytes32 recordShare) {
        Generation storage generation = _knownGeneration(id, number);
        bytes32 expected = generation.keyMaterialHash;
        bytes32 received = keccak256(abi.encode(keys));
        // Before activation the stored hash is zero, which nothing hashes to.
        if (received != expected) revert OtherKeyMaterial(expected, received);
        if (index == 0 || index > generation.size) revert NoSuchIndex(generation.size, index);
        return (generation.members[index - 1], keys.oprfShares[index - 1], keys.recordShares[index - 1]);
    }

    /// @inheritdoc INodeRegistry
    function isActive(CommitteeId id) external view returns (bool) {
        return _committees[id].active != 0;
    }

    /// @inheritdoc INodeRegistry
    function hashKeyMaterial(KeyMaterial calldata keys) external pure returns (bytes32) {
        return keccak256(abi.encode(keys));
    }

    /// @inheritdoc INodeRegistry
    function committeeOf(address account) external view returns (CommitteeId id) {
        id = _assigned[account];
        if (id == CommitteeId.wrap(0)) id = defaultCommittee;
    }

    /// @inheritdoc INodeRegistry
    function assignedNodes(CommitteeId id, address user, uint64 epoch) external view returns (address[] memory) {
        uint32 active = _known(id).active;
        if (active == 0) revert CommitteeNotActive(id);
        address[] memory members = _generations[id][active].members;
        uint256[] memory weights = new uint256[](members.length);
        for (uint256 i = 0; i < members.length; ++i) {
            Node storage node = _nodes[members[i]];
            weights[i] = node.exitAt == 0 ? node.stakeWei : 0;
        }
        return Rendezvous.order(id, epoch, user, members, weights);
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
        if (committee.latest == 0) revert UnknownCommittee(id);
    }

    function _knownGeneration(CommitteeId id, uint32 number) private view returns (Generation storage generation) {
        _known(id);
        generation = _generations[id][number];
        if (generation.status == GenerationStatus.None) revert UnknownGeneration(id, number);
    }

    /// @dev Expiry is not stored: nothing happens at that time.
    function _statusOf(Generation storage generation) private view returns (GenerationStatus status) {
        status = generation.status;
        if (status == GenerationStatus.Forming && block.timestamp > generation.createdAt + FORMING_SECONDS) {
            return GenerationStatus.Expired;
        }
    }

    function _isMember(Generation storage generation, address account) private view returns (bool) {
        uint256 size = generation.size;
        for (uint256 i = 0; i < size; ++i) {
            if (generation.members[i] == account) return true;
        }
        return false;
    }

    function _checkMembers(address[] calldata members, uint16 threshold) private view {
        uint256 size = members.length;
        if (size == 0 || size > MAX_COMMITTEE_SIZE) revert CommitteeSize(MAX_COMMITTEE_SIZE, size);
        if (threshold == 0 || threshold > size) revert ThresholdOutOfRange(size, threshold);
        for (uint256 i = 0; i < size; ++i) {
            _staying(members[i]);
            for (uint256 j = 0; j < i; ++j) {
                if (members[j] == members[i]) revert DuplicateMember(members[i]);
            }
        }
    }

    /// @dev The group public keys are set by generation 1 and bind all later ones.
    function _checkKeys(
        CommitteeId id,
        Committee storage committee,
        uint256 size,
        KeyMaterial calldata keys
    ) private view {
        if (keys.oprfShares.length != size) revert VerificationShareCount(size, keys.oprfShares.length);
        if (keys.recordShares.length != size) revert VerificationShareCount(size, keys.recordShares.length);
        if (keys.oprfPublicKey == 0 || keys.recordPublicKey == 0) revert IdentityElement(0);
        for (uint256 i = 0; i < size; ++i) {
            if (keys.oprfShares[i] == 0 || keys.recordShares[i] == 0) revert IdentityElement(i + 1);
        }
        if (committee.active == 0) return;
        if (keys.oprfPublicKey != committee.oprfPublicKey || keys.recordPublicKey != committee.recordPublicKey) {
            revert GroupKeyChanged(id);
        }
    }

    function _open(CommitteeId id, uint32 number, uint32 from, address[] calldata members, uint16 threshold) private {
        _committees[id].latest = number;
        Generation storage generation = _generations[id][number];
        generation.status = GenerationStatus.Forming;
        generation.size = uint16(members.length);
        generation.threshold = threshold;
        generation.from = from;
        generation.createdAt = uint64(block.timestamp);
        generation.members = members;
        for (uint256 i = 0; i < members.length; ++i) {
            emit MemberNamed(members[i], id, number);
        }
        emit GenerationOpened(id, number, from, threshold, uint64(block.timestamp), members);
    }

    function _activate(
        CommitteeId id,
        Committee storage committee,
        uint32 number,
        bytes32 stated,
        KeyMaterial calldata keys
    ) private {
        uint32 before = committee.active;
        if (before == 0) {
            committee.oprfPublicKey = keys.oprfPublicKey;
            committee.recordPublicKey = keys.recordPublicKey;
            if (defaultCommittee == CommitteeId.wrap(0)) defaultCommittee = id;
        } else {
            _generations[id][before].status = GenerationStatus.Replaced;
        }
        committee.active = number;
        Generation storage generation = _generations[id][number];
        generation.status = GenerationStatus.Active;
        generation.activatedAt = uint64(block.timestamp);
        generation.activatedBlock = uint64(block.number);
        generation.keyMaterialHash = stated;
        emit GenerationActivated(id, number, stated, keys);
    }
}
