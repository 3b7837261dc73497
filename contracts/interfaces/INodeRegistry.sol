// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CommitteeId } from "../types/CommitteeId.sol";

/// @title Registry of key nodes and their committees
/// @notice Key nodes register with a stake, an endpoint and an HPKE key; form committees that hold one shared OPRF key
/// (any `threshold` of the members can use it); and leave with their whole stake after a delay. A node that signed a
/// wrong answer loses its stake instead.
interface INodeRegistry {
    /// @dev `Forming` until all members have attested to the same key material, then `Active` for ever.
    enum CommitteeStatus {
        None,
        Forming,
        Active
    }

    /// @param stakeWei What the operator deposited and gets back. 0: not registered.
    /// @param registeredAt Unix seconds.
    /// @param exitAt Unix seconds from which the stake may be withdrawn; 0 while no exit was requested.
    /// @param hpkePublicKey X25519 public key (RFC 9180 DHKEM) that shares are sealed to.
    /// @param endpoint Base URL of the daemon.
    struct Node {
        uint128 stakeWei;
        uint64 registeredAt;
        uint64 exitAt;
        bytes32 hpkePublicKey;
        string endpoint;
    }

    /// @param members Operators; position + 1 is the index of the member's share.
    /// @param groupPublicKey ristretto255 encoding of k·G; zero until active.
    /// @param verificationShares ristretto255 encodings of k_j·G in index order; empty until active.
    struct Committee {
        CommitteeStatus status;
        uint16 size;
        uint16 threshold;
        uint64 createdAt;
        address[] members;
        bytes32 groupPublicKey;
        bytes32[] verificationShares;
    }

    /// @notice A node has registered, for the first time or again after it had left.
    /// @param operator The node's account.
    /// @param stakeWei The stake.
    /// @param registeredAt Unix seconds.
    /// @param hpkePublicKey X25519 public key that shares are sealed to.
    /// @param endpoint Base URL of the daemon.
    event NodeRegistered(
        address indexed operator,
        uint256 stakeWei,
        uint64 registeredAt,
        bytes32 hpkePublicKey,
        string endpoint
    );
    /// @notice A node has changed its endpoint or key.
    /// @param operator The node's account.
    /// @param hpkePublicKey X25519 public key that shares are sealed to.
    /// @param endpoint Base URL of the daemon.
    event NodeUpdated(address indexed operator, bytes32 hpkePublicKey, string endpoint);
    /// @notice A node has requested to leave: it can join no further committee.
    /// @param operator The node's account.
    /// @param exitAt Unix seconds from which the stake may be withdrawn.
    event ExitRequested(address indexed operator, uint64 exitAt);
    /// @notice A node has left with its stake.
    /// @param operator The node's account.
    /// @param to Who receives the stake.
    /// @param stakeWei The stake.
    event StakeWithdrawn(address indexed operator, address indexed to, uint256 stakeWei);
    /// @notice A node has been convicted: it has lost its stake and is no longer registered.
    /// @param operator The node's account.
    /// @param stakeWei The stake.
    event NodeSlashed(address indexed operator, uint256 stakeWei);
    /// @notice A committee has been proposed.
    /// @param id Number of the committee.
    /// @param creator The member that proposed it.
    /// @param threshold How many members together can use the key.
    /// @param createdAt Unix seconds.
    /// @param members Operators in index order.
    event CommitteeCreated(
        CommitteeId indexed id,
        address indexed creator,
        uint16 threshold,
        uint64 createdAt,
        address[] members
    );
    /// @notice A member has stated the outcome of key generation.
    /// @param id Number of the committee.
    /// @param member The operator.
    /// @param keyMaterialHash `hashKeyMaterial` of what was stated.
    /// @param agreeing Number of members that have stated the same so far.
    event CommitteeAttested(CommitteeId indexed id, address indexed member, bytes32 keyMaterialHash, uint16 agreeing);
    /// @notice All members have stated the same key material: the committee is active.
    /// @param id Number of the committee.
    /// @param groupPublicKey ristretto255 encoding of k·G.
    /// @param verificationShares ristretto255 encodings of k_j·G in index order.
    event CommitteeActivated(CommitteeId indexed id, bytes32 groupPublicKey, bytes32[] verificationShares);
    /// @notice An account has chosen its committee.
    /// @param account The account.
    /// @param id Number of the committee.
    event CommitteeAssigned(address indexed account, CommitteeId indexed id);

    /// @notice The exit delay given at deployment would lock stakes for too long.
    /// @param maximumSeconds Longest delay allowed.
    /// @param receivedSeconds Delay given.
    error ExitDelayTooLong(uint64 maximumSeconds, uint64 receivedSeconds);
    /// @notice The value sent is less than the minimum stake.
    /// @param minimumWei Minimum stake.
    /// @param receivedWei Value sent.
    error StakeTooLow(uint256 minimumWei, uint256 receivedWei);
    /// @notice The value sent does not fit the 128 bits in which stakes are stored.
    /// @param maximumWei Highest stake.
    /// @param receivedWei Value sent.
    error StakeTooHigh(uint256 maximumWei, uint256 receivedWei);
    /// @notice The caller is registered already.
    /// @param operator The node's account.
    error AlreadyRegistered(address operator);
    /// @notice The account is not a registered node.
    /// @param operator The node's account.
    error NotRegistered(address operator);
    /// @notice The endpoint is empty or too long.
    /// @param maximumBytes Most bytes allowed.
    /// @param receivedBytes Bytes given.
    error EndpointLength(uint256 maximumBytes, uint256 receivedBytes);
    /// @notice The HPKE key is zero.
    error ZeroHpkePublicKey();
    /// @notice The stake would go to the zero address.
    error ZeroRecipient();
    /// @notice The node has requested to leave and can join no further committee.
    /// @param operator The node's account.
    /// @param exitAt Unix seconds from which the stake may be withdrawn.
    error NodeExiting(address operator, uint64 exitAt);
    /// @notice The node has not requested to leave.
    /// @param operator The node's account.
    error ExitNotRequested(address operator);
    /// @notice The delay is not over.
    /// @param exitAt Unix seconds from which the stake may be withdrawn.
    /// @param nowAt Time of the block, Unix seconds.
    error ExitPending(uint64 exitAt, uint64 nowAt);
    /// @notice The recipient rejected the stake; the node is still registered.
    /// @param to Who receives the stake.
    /// @param stakeWei The stake.
    error StakeTransferFailed(address to, uint256 stakeWei);
    /// @notice Only the contract for disputes may slash.
    /// @param sender Who called.
    error NotDisputes(address sender);
    /// @notice The committee has no members or too many.
    /// @param maximum Most members.
    /// @param received Number given.
    error CommitteeSize(uint256 maximum, uint256 received);
    /// @notice The threshold is zero or more than there are members.
    /// @param size Number of members.
    /// @param threshold How many members together can use the key.
    error ThresholdOutOfRange(uint256 size, uint16 threshold);
    /// @notice An operator is named twice.
    /// @param member The operator.
    error DuplicateMember(address member);
    /// @notice The account is no member of the committee.
    /// @param id Number of the committee.
    /// @param account The account.
    error NotMember(CommitteeId id, address account);
    /// @notice There is no committee of this number.
    /// @param id Number of the committee.
    error UnknownCommittee(CommitteeId id);
    /// @notice The committee is already active.
    /// @param id Number of the committee.
    error CommitteeNotForming(CommitteeId id);
    /// @notice The committee is not active yet.
    /// @param id Number of the committee.
    error CommitteeNotActive(CommitteeId id);
    /// @notice The number of verification shares is not the number of members.
    /// @param expected Number of members.
    /// @param received Number given.
    error VerificationShareCount(uint256 expected, uint256 received);
    /// @notice An all-zero group element, which encodes the identity of ristretto255.
    /// @param position 0 is the group key, j the verification share of member j.
    error IdentityElement(uint256 position);

    /// @notice Registers the caller as a node. The value sent is its stake.
    /// @param endpoint Base URL, 1 to 256 bytes.
    /// @param hpkePublicKey X25519 public key, not zero.
    function registerNode(string calldata endpoint, bytes32 hpkePublicKey) external payable;

    /// @notice Replaces endpoint and HPKE key of the caller's node. Shares sealed to an earlier key stay sealed to it,
    /// so a node keeps its old private keys.
    /// @param endpoint Base URL of the daemon.
    /// @param hpkePublicKey X25519 public key that shares are sealed to.
    function updateNode(string calldata endpoint, bytes32 hpkePublicKey) external;

    /// @notice Starts the exit delay. This cannot be undone: to stay, withdraw the stake and register again.
    function requestExit() external;

    /// @notice Pays the caller's whole stake to `to` once the exit delay is over, and removes the node.
    /// @param to Who receives the stake.
    function withdrawStake(address payable to) external;

    /// @notice Takes the whole stake of a node, also of one that has requested to leave, sends it to the caller and
    /// removes the node. Only for the contract for disputes.
    /// @param operator The node's account.
    /// @return stakeWei The stake.
    function slash(address operator) external returns (uint256 stakeWei);

    /// @notice Proposes a committee. The caller must be one of the members; all must be registered and not exiting. It
    /// has no effect until every member has attested.
    /// @param members 1 to 32 distinct operators; position + 1 becomes the member's share index.
    /// @param threshold How many members together can use the key, 1 to `members.length`.
    /// @return id Number of the committee.
    function createCommittee(address[] calldata members, uint16 threshold) external returns (CommitteeId id);

    /// @notice A member states the outcome of key generation. The committee becomes active when all members have
    /// stated the same. Until then a member may correct itself, so that one wrong statement does not block the
    /// committee.
    /// @param id Number of the committee.
    /// @param groupPublicKey ristretto255 encoding of k·G.
    /// @param verificationShares ristretto255 encodings of k_j·G in index order.
    function attestCommittee(CommitteeId id, bytes32 groupPublicKey, bytes32[] calldata verificationShares) external;

    /// @notice Chooses the committee whose nodes hold the caller's key shares. Must be active.
    /// @param id Number of the committee.
    function assignCommittee(CommitteeId id) external;

    /// @notice Minimum stake of a node.
    /// @return Minimum stake in wei.
    function MIN_STAKE_WEI() external view returns (uint256); // solhint-disable-line func-name-mixedcase

    /// @notice Time from `requestExit` until the stake may be withdrawn.
    /// @return Seconds.
    function EXIT_DELAY_SECONDS() external view returns (uint64); // solhint-disable-line func-name-mixedcase

    /// @notice Where a node is challenged with an answer that it signed.
    /// @return The contract `OprfDisputes`, deployed by this one.
    function DISPUTES() external view returns (address); // solhint-disable-line func-name-mixedcase

    /// @notice All zero when `operator` is not registered.
    /// @param operator The node's account.
    /// @return The node's entry.
    function nodeOf(address operator) external view returns (Node memory);

    /// @notice Number of registered nodes.
    /// @return Number of nodes.
    function nodeCount() external view returns (uint256);

    /// @notice One page of operators in no particular order; shorter or empty past the end.
    /// @param offset Position of the first operator.
    /// @param limit Most operators to return.
    /// @return Their accounts.
    function operators(uint256 offset, uint256 limit) external view returns (address[] memory);

    /// @notice Number of committees ever created: ids are 1 to this number.
    /// @return Number of committees.
    function committeeCount() external view returns (uint64);

    /// @notice Reverts with `UnknownCommittee` when there is none.
    /// @param id Number of the committee.
    /// @return The committee.
    function committeeById(CommitteeId id) external view returns (Committee memory);

    /// @notice The members' node entries in index order; an entry is all zero when the member has left.
    /// @param id Number of the committee.
    /// @return One entry per member.
    function committeeNodes(CommitteeId id) external view returns (Node[] memory);

    /// @notice Whether the committee is active.
    /// @param id Number of the committee.
    /// @return False also when there is no such committee.
    function isActive(CommitteeId id) external view returns (bool);

    /// @notice What a member attested to.
    /// @param id Number of the committee.
    /// @param member The operator.
    /// @return keyMaterialHash Hash of what the member attested to; zero when it has not.
    function attestationOf(CommitteeId id, address member) external view returns (bytes32 keyMaterialHash);

    /// @notice How many members agree on some key material.
    /// @param id Number of the committee.
    /// @param keyMaterialHash `hashKeyMaterial` of what was stated.
    /// @return How many members attested to key material of this hash.
    function agreementOn(CommitteeId id, bytes32 keyMaterialHash) external view returns (uint16);

    /// @notice The hash under which attestations are compared.
    /// @param groupPublicKey ristretto255 encoding of k·G.
    /// @param verificationShares ristretto255 encodings of k_j·G in index order.
    /// @return keccak256(abi.encode(groupPublicKey, verificationShares))
    function hashKeyMaterial(
        bytes32 groupPublicKey,
        bytes32[] calldata verificationShares
    ) external pure returns (bytes32);

    /// @notice The committee of accounts that have chosen none.
    /// @return The committee that became active first; 0 before there is one.
    function defaultCommittee() external view returns (CommitteeId);

    /// @notice The committee that holds an account's new key shares.
    /// @param account The account.
    /// @return The committee the account chose, else the default one; 0 before there is any.
    function committeeOf(address account) external view returns (CommitteeId);
}
