// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CommitteeId } from "../types/CommitteeId.sol";

/// @title Registry of key nodes and their committees
/// @notice Key nodes register with a stake, an endpoint and an HPKE key; form committees that share two keys (any
/// `threshold` of the members can use them); and leave with their whole stake after a delay. A node that
/// signed a wrong answer loses its stake instead.
///
/// A committee outlives its members. Its keys are made by generation 1. Each later generation has the same two group
/// public keys, and shares of its own for the members that it names: the same ones (a refresh, which makes stolen
/// shares useless), or others, with any threshold (resharing, the replacement of a member, retirement).
///
/// Who may propose: a next generation is opened when as many members of the active one as its threshold have proposed
/// the same members and threshold. Fewer could not deal it, and as many hold the keys anyway, so the rule gives nobody
/// more than it has. A member that is leaving, or has left, proposes as well: it still holds its shares.
///
/// Who must attest: all members of the new generation, each for the same key material. A node attests after its own
/// shares, checked against this key material, are on its disk. So every honest member surely has its shares when the
/// old ones may be erased, whatever the other members did; a quorum of 2 * threshold - 1 would give the same for
/// `threshold` of them, and is all members in most committees. A member that does not attest delays a generation: it
/// expires, or the members of the active one open another without it. The number of a generation that failed is not
/// used again.
interface INodeRegistry {
    /// @dev `Forming` until all members have attested to the same key material, then `Active` until the next one is.
    /// `Expired`: not active in time. `Abandoned`: the members of the active generation opened another one.
    enum GenerationStatus {
        None,
        Forming,
        Active,
        Replaced,
        Expired,
        Abandoned
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

    /// @param active Number of the active generation; 0 while there is none.
    /// @param latest Number of the generation that was opened last.
    /// @param oprfPublicKey ristretto255 encoding of the OPRF group public key; zero while there is none.
    /// @param recordPublicKey The same of the key that secrets are sealed to.
    struct Committee {
        uint32 active;
        uint32 latest;
        bytes32 oprfPublicKey;
        bytes32 recordPublicKey;
    }

    /// @param from The generation whose members deal; 0 in the first one, which its own members deal.
    /// @param createdAt Unix seconds.
    /// @param activatedAt Unix seconds; 0 while not activated.
    /// @param activatedBlock The block whose `GenerationActivated` event has the key material.
    /// @param keyMaterialHash `hashKeyMaterial` of what all members attested; zero while not activated.
    /// @param members Operators; position + 1 is the index of the member's shares.
    struct Generation {
        GenerationStatus status;
        uint16 size;
        uint16 threshold;
        uint32 from;
        uint64 createdAt;
        uint64 activatedAt;
        uint64 activatedBlock;
        bytes32 keyMaterialHash;
        address[] members;
    }

    /// @dev All elements are ristretto255 encodings. Only its hash is stored.
    /// @param oprfPublicKey s*G of the OPRF key.
    /// @param recordPublicKey s*G of the key that secrets are sealed to.
    /// @param oprfShares s_j*G of the OPRF key in index order.
    /// @param recordShares s_j*G of the record key in index order.
    struct KeyMaterial {
        bytes32 oprfPublicKey;
        bytes32 recordPublicKey;
        bytes32[] oprfShares;
        bytes32[] recordShares;
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
    /// @notice A member of the active generation has proposed the next one.
    /// @param id Number of the committee.
    /// @param number Number that the generation will have.
    /// @param member The operator.
    /// @param proposal keccak256(abi.encode(active, number, members, threshold)), with the active generation.
    /// @param agreeing Number of members that propose the same.
    event GenerationProposed(
        CommitteeId indexed id,
        uint32 indexed number,
        address indexed member,
        bytes32 proposal,
        uint16 agreeing
    );
    /// @notice A generation is forming; the first one together with its committee.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    /// @param from The generation that deals; 0 for the first one.
    /// @param threshold How many members together can use the keys.
    /// @param createdAt Unix seconds.
    /// @param members Operators in index order.
    event GenerationOpened(
        CommitteeId indexed id,
        uint32 indexed number,
        uint32 from,
        uint16 threshold,
        uint64 createdAt,
        address[] members
    );
    /// @notice A generation that was opened names a member; once for each. A node finds the generations that concern it
    /// by this topic, however many others are opened.
    /// @param member Operator.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    event MemberNamed(address indexed member, CommitteeId indexed id, uint32 indexed number);
    /// @notice Another generation was opened before this one was active.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    event GenerationAbandoned(CommitteeId indexed id, uint32 indexed number);
    /// @notice A member has stated the outcome of a run.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    /// @param member The operator.
    /// @param keyMaterialHash `hashKeyMaterial` of what was stated.
    /// @param agreeing Number of members that have stated the same so far.
    event GenerationAttested(
        CommitteeId indexed id,
        uint32 indexed number,
        address indexed member,
        bytes32 keyMaterialHash,
        uint16 agreeing
    );
    /// @notice All members have stated the same key material: the generation is active, and replaces the one before.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    /// @param keyMaterialHash `hashKeyMaterial` of the key material.
    /// @param keys The key material.
    event GenerationActivated(CommitteeId indexed id, uint32 indexed number, bytes32 keyMaterialHash, KeyMaterial keys);
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
    /// @notice The account is no member of the generation.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    /// @param account The account.
    error NotMember(CommitteeId id, uint32 number, address account);
    /// @notice There is no committee of this number.
    /// @param id Number of the committee.
    error UnknownCommittee(CommitteeId id);
    /// @notice The committee has no generation of this number.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    error UnknownGeneration(CommitteeId id, uint32 number);
    /// @notice The generation is active or replaced already, or has expired, or was abandoned.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    error GenerationNotForming(CommitteeId id, uint32 number);
    /// @notice The next generation has another number: somebody was faster.
    /// @param id Number of the committee.
    /// @param expected Number of the next generation.
    /// @param received Number given.
    error GenerationOutOfTurn(CommitteeId id, uint32 expected, uint32 received);
    /// @notice A group public key is not the one of the first generation.
    /// @param id Number of the committee.
    error GroupKeyChanged(CommitteeId id);
    /// @notice The key material is not that of the generation.
    /// @param expected Hash of the generation's; zero while it was never active.
    /// @param received Hash of the one given.
    error OtherKeyMaterial(bytes32 expected, bytes32 received);
    /// @notice The generation has no member of this index.
    /// @param size Number of members; indices are 1 to this number.
    /// @param index Index given.
    error NoSuchIndex(uint16 size, uint16 index);
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

    /// @notice Proposes a committee and opens its first generation. The caller must be one of the members; all must be
    /// registered and not exiting. It has no effect until every member has attested; a committee whose first generation
    /// expires never has a key.
    /// @param members 1 to 32 distinct operators; position + 1 becomes the index of the member's shares.
    /// @param threshold How many members together can use the keys, 1 to `members.length`.
    /// @return id Number of the committee.
    function createCommittee(address[] calldata members, uint16 threshold) external returns (CommitteeId id);

    /// @notice A member of the active generation proposes the next one, in place of what it proposed before. It is
    /// opened when as many members as the threshold of the active generation propose the same; one that is still
    /// forming is abandoned by that.
    /// @param id Number of the committee.
    /// @param number The latest generation's number plus one, so that a proposal is never counted for a later turn.
    /// @param members 1 to 32 distinct operators, registered and not exiting, in index order.
    /// @param threshold How many members together can use the keys, 1 to `members.length`.
    /// @return agreeing Number of members that propose the same now.
    function proposeGeneration(
        CommitteeId id,
        uint32 number,
        address[] calldata members,
        uint16 threshold
    ) external returns (uint16 agreeing);

    /// @notice A member states the outcome of a run. The generation becomes active when all members have stated the
    /// same. Until then a member may correct itself, so that one wrong statement does not block the generation.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    /// @param keys The key material; from the second generation on with the group public keys of the first.
    function attestGeneration(CommitteeId id, uint32 number, KeyMaterial calldata keys) external;

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

    /// @notice Time within which a generation has to become active.
    /// @return Seconds.
    function FORMING_SECONDS() external view returns (uint64); // solhint-disable-line func-name-mixedcase

    /// @notice Reverts with `UnknownCommittee` when there is none.
    /// @param id Number of the committee.
    /// @return The committee.
    function committeeById(CommitteeId id) external view returns (Committee memory);

    /// @notice Reverts with `UnknownGeneration` when there is none.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    /// @return The generation.
    function generationById(CommitteeId id, uint32 number) external view returns (Generation memory);

    /// @notice The members' node entries in index order; an entry is all zero when the member has left.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    /// @return One entry per member.
    function generationNodes(CommitteeId id, uint32 number) external view returns (Node[] memory);

    /// @notice A member and its verification shares, out of key material that is compared with the stored hash. Also of
    /// generations that were replaced.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    /// @param index Of the member, from 1.
    /// @param keys Key material of the generation, as its `GenerationActivated` event has it.
    /// @return operator The member.
    /// @return oprfShare s_j*G of the OPRF key.
    /// @return recordShare s_j*G of the record key.
    function verificationSharesOf(
        CommitteeId id,
        uint32 number,
        uint16 index,
        KeyMaterial calldata keys
    ) external view returns (address operator, bytes32 oprfShare, bytes32 recordShare);

    /// @notice Whether the committee has an active generation; once it has, it always has.
    /// @param id Number of the committee.
    /// @return False also when there is no such committee.
    function isActive(CommitteeId id) external view returns (bool);

    /// @notice What a member proposed last.
    /// @param id Number of the committee.
    /// @param member The operator.
    /// @return proposal keccak256(abi.encode(active, number, members, threshold)), with the active generation; zero
    /// when it has proposed nothing.
    function proposalOf(CommitteeId id, address member) external view returns (bytes32 proposal);

    /// @notice How many members propose the same.
    /// @param id Number of the committee.
    /// @param proposal keccak256(abi.encode(active, number, members, threshold)), with the active generation.
    /// @return Number of members.
    function agreementOnProposal(CommitteeId id, bytes32 proposal) external view returns (uint16);

    /// @notice What a member attested to.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    /// @param member The operator.
    /// @return keyMaterialHash Hash of what the member attested to; zero when it has not.
    function attestationOf(
        CommitteeId id,
        uint32 number,
        address member
    ) external view returns (bytes32 keyMaterialHash);

    /// @notice How many members agree on some key material.
    /// @param id Number of the committee.
    /// @param number Number of the generation.
    /// @param keyMaterialHash `hashKeyMaterial` of what was stated.
    /// @return How many members attested to key material of this hash.
    function agreementOn(CommitteeId id, uint32 number, bytes32 keyMaterialHash) external view returns (uint16);

    /// @notice The hash under which attestations are compared.
    /// @param keys The key material.
    /// @return keccak256(abi.encode(keys))
    function hashKeyMaterial(KeyMaterial calldata keys) external pure returns (bytes32);

    /// @notice The committee of accounts that have chosen none.
    /// @return The committee that became active first; 0 before there is one.
    function defaultCommittee() external view returns (CommitteeId);

    /// @notice The committee that holds an account's new key shares.
    /// @param account The account.
    /// @return The committee the account chose, else the default one; 0 before there is any.
    function committeeOf(address account) external view returns (CommitteeId);

    /// @notice Length of an epoch of the assignment: epoch e begins at e times this in Unix time, on every chain.
    /// @return Seconds.
    function ASSIGNMENT_EPOCH_SECONDS() external view returns (uint64); // solhint-disable-line func-name-mixedcase

    /// @notice The members of the active generation in the order in which an account asks them, by rendezvous hashing
    /// weighted with their stakes. Members that have asked to leave, or have left, come last. The first `threshold` are
    /// the account's quorum, the others take over in this order. Nothing enforces it: any `threshold` members can
    /// answer. Reverts with `CommitteeNotActive` when there is no active generation. As of another block, members and
    /// stakes are those of that block.
    /// @param id Number of the committee.
    /// @param user The account.
    /// @param epoch Unix seconds divided by `ASSIGNMENT_EPOCH_SECONDS`, rounded down; any number is ranked.
    /// @return Operators, all members.
    function assignedNodes(CommitteeId id, address user, uint64 epoch) external view returns (address[] memory);
}
