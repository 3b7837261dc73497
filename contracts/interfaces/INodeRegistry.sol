// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CommitteeId } from "../types/CommitteeId.sol";

/// @title Registry of key nodes and their committees
/// @notice Key nodes register with a stake, an endpoint and an HPKE key; form committees that hold one shared OPRF key
/// (any `threshold` of the members can use it); and leave with their whole stake after a delay.
interface INodeRegistry {
    /// @dev `Forming` until all members have attested to the same key material, then `Active` for good.
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

    event NodeRegistered(
        address indexed operator,
        uint256 stakeWei,
        uint64 registeredAt,
        bytes32 hpkePublicKey,
        string endpoint
    );
    event NodeUpdated(address indexed operator, bytes32 hpkePublicKey, string endpoint);
    event ExitRequested(address indexed operator, uint64 exitAt);
    event StakeWithdrawn(address indexed operator, address indexed to, uint256 stakeWei);
    event CommitteeCreated(
        CommitteeId indexed id,
        address indexed creator,
        uint16 threshold,
        uint64 createdAt,
        address[] members
    );
    event CommitteeAttested(CommitteeId indexed id, address indexed member, bytes32 keyMaterialHash, uint16 agreeing);
    event CommitteeActivated(CommitteeId indexed id, bytes32 groupPublicKey, bytes32[] verificationShares);
    event CommitteeAssigned(address indexed account, CommitteeId indexed id);

    /// @notice The exit delay given at deployment would lock stakes for too long.
    error ExitDelayTooLong(uint64 maximumSeconds, uint64 receivedSeconds);
    error StakeTooLow(uint256 minimumWei, uint256 receivedWei);
    error StakeTooHigh(uint256 maximumWei, uint256 receivedWei);
    error AlreadyRegistered(address operator);
    error NotRegistered(address operator);
    error EndpointLength(uint256 maximumBytes, uint256 receivedBytes);
    error ZeroHpkePublicKey();
    error ZeroRecipient();
    /// @notice The node has asked to leave and takes on nothing new.
    error NodeExiting(address operator, uint64 exitAt);
    error ExitNotRequested(address operator);
    /// @notice The delay is not over.
    error ExitPending(uint64 exitAt, uint64 nowAt);
    error StakeTransferFailed(address to, uint256 stakeWei);
    error CommitteeSize(uint256 maximum, uint256 received);
    error ThresholdOutOfRange(uint256 size, uint16 threshold);
    error DuplicateMember(address member);
    error NotMember(CommitteeId id, address account);
    error UnknownCommittee(CommitteeId id);
    error CommitteeNotForming(CommitteeId id);
    error CommitteeNotActive(CommitteeId id);
    error VerificationShareCount(uint256 expected, uint256 received);
    /// @notice An all-zero group element, which encodes the identity of ristretto255. `position` 0 is the group key,
    /// j the verification share of member j.
    error IdentityElement(uint256 position);

    /// @notice Registers the caller as a node. The value sent is its stake.
    /// @param endpoint Base URL, 1 to 256 bytes.
    /// @param hpkePublicKey X25519 public key, not zero.
    function registerNode(string calldata endpoint, bytes32 hpkePublicKey) external payable;

    /// @notice Replaces endpoint and HPKE key of the caller's node. Shares sealed to an earlier key stay sealed to it,
    /// so a node keeps its old private keys.
    function updateNode(string calldata endpoint, bytes32 hpkePublicKey) external;

    /// @notice Starts the exit delay. It cannot be taken back: withdraw, then register again.
    function requestExit() external;

    /// @notice Pays the caller's whole stake to `to` once the exit delay is over, and removes the node.
    function withdrawStake(address payable to) external;

    /// @notice Proposes a committee. The caller must be one of the members; all must be registered and not exiting. It
    /// binds nobody until every member has attested.
    /// @param members 1 to 32 distinct operators; position + 1 becomes the member's share index.
    /// @param threshold How many members together can use the key, 1 to `members.length`.
    function createCommittee(address[] calldata members, uint16 threshold) external returns (CommitteeId id);

    /// @notice A member states the outcome of key generation. The committee becomes active when all members have
    /// stated the same. Until then a member may correct itself, so that one wrong statement blocks nothing.
    function attestCommittee(CommitteeId id, bytes32 groupPublicKey, bytes32[] calldata verificationShares) external;

    /// @notice Chooses the committee whose nodes hold the caller's key shares. Must be active.
    function assignCommittee(CommitteeId id) external;

    /// @return Least stake of a node, wei.
    // solhint-disable-next-line func-name-mixedcase
    function MIN_STAKE_WEI() external view returns (uint256);

    /// @return Seconds between asking to leave and getting the stake.
    // solhint-disable-next-line func-name-mixedcase
    function EXIT_DELAY_SECONDS() external view returns (uint64);

    /// @notice All zero when `operator` is not registered.
    function nodeOf(address operator) external view returns (Node memory);

    function nodeCount() external view returns (uint256);

    /// @notice One page of operators in no particular order; shorter or empty past the end.
    function operators(uint256 offset, uint256 limit) external view returns (address[] memory);

    /// @return How many committees were ever created: ids are 1 to this.
    function committeeCount() external view returns (uint64);

    /// @notice Reverts with `UnknownCommittee` when there is none.
    function committeeById(CommitteeId id) external view returns (Committee memory);

    /// @notice The members' node entries in index order; an entry is all zero when the member has left.
    function committeeNodes(CommitteeId id) external view returns (Node[] memory);

    function isActive(CommitteeId id) external view returns (bool);

    /// @return keyMaterialHash Hash of what the member attested to; zero when it has not.
    function attestationOf(CommitteeId id, address member) external view returns (bytes32 keyMaterialHash);

    /// @return How many members attested to key material of this hash.
    function agreementOn(CommitteeId id, bytes32 keyMaterialHash) external view returns (uint16);

    /// @return keccak256(abi.encode(groupPublicKey, verificationShares))
    function hashKeyMaterial(
        bytes32 groupPublicKey,
        bytes32[] calldata verificationShares
    ) external pure returns (bytes32);

    /// @return The committee that became active first; 0 before there is one.
    function defaultCommittee() external view returns (CommitteeId);

    /// @return The committee the account chose, else the default one; 0 before there is any.
    function committeeOf(address account) external view returns (CommitteeId);
}
