// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Directory of accounts, their successors and their delegates
/// @notice An account whose key may be known to somebody else names the account that takes its place. From then on
/// daemons open no session for the first one, and policies release nothing to it; what it owns is its successor's.
///
/// An account has one successor at most, and one predecessor at most, so accounts form lines. A line is known by its
/// first account, the origin, whatever its length: an account may act for every earlier one of its line while it is the
/// last, which is two words to read.
///
/// A delegate is the key of a device that acts for an account within a scope and until an expiry (a session key). It
/// belongs to this account for good. It never withdraws, retires, deletes, names successors or has delegates.
interface IAccountDirectory {
    /// @notice An account without a successor, or what took its place.
    /// @param successor Zero while the account has none.
    /// @param replacedAt Unix seconds of the block that named the successor; zero while there is none.
    /// @param replacedAtBlock Number of that block.
    struct Replacement {
        address successor;
        uint48 replacedAt;
        uint48 replacedAtBlock;
    }

    /// @notice What a key may do for an account, or that it is no delegate.
    /// @param account Zero for a key that is no delegate.
    /// @param expiresAt Unix seconds of the first moment at which the key may do nothing any more.
    /// @param scopes Sum of `READ` and `WRITE`.
    /// @param isRevoked Whether the account has revoked it, for good.
    struct Delegation {
        address account;
        uint48 expiresAt;
        uint8 scopes;
        bool isRevoked;
    }

    /// @notice An account was replaced.
    /// @param account The account that acts no more.
    /// @param successor The account that acts in its place.
    event AccountReplaced(address indexed account, address indexed successor);

    /// @notice A key may act for an account.
    /// @param account The account.
    /// @param key The delegate.
    /// @param scopes Sum of `READ` and `WRITE`.
    /// @param expiresAt Unix seconds.
    event Delegated(address indexed account, address indexed key, uint8 scopes, uint64 expiresAt);
    /// @notice A delegate may do nothing any more.
    /// @param key The delegate.
    /// @param by Who revoked it: the account, the last account of its line, or the key itself.
    event DelegateRevoked(address indexed key, address indexed by);
    /// @notice A delegate may sign updates of a data set up to a fee, or of this one no more.
    /// @param key The delegate.
    /// @param dataSet Id of the data set.
    /// @param feeLimit Highest fee per epoch of a state that it signs; 0 for none.
    event FeeLimited(address indexed key, bytes32 indexed dataSet, uint96 feeLimit);

    /// @notice One of the accounts is the zero address, or both are the same.
    /// @param account The account to be replaced.
    /// @param successor The account named.
    error NotTwoAccounts(address account, address successor);
    /// @notice The account has a successor already, and an account has one at most.
    /// @param account The account.
    /// @param successor The one that it has.
    error AlreadyReplaced(address account, address successor);
    /// @notice The account named succeeds another one already, and an account succeeds one at most.
    /// @param successor The account named.
    /// @param predecessor The one that it has.
    error AlreadySuccessor(address successor, address predecessor);
    /// @notice The handover is longer than `MAX_HANDOVER_BYTES`.
    /// @param maximum The longest.
    /// @param length The length given.
    error HandoverLength(uint256 maximum, uint256 length);
    /// @notice The signatures are too old.
    /// @param deadline Unix seconds.
    /// @param blockTime Unix seconds of this block.
    error DeadlinePassed(uint64 deadline, uint64 blockTime);
    /// @notice A signature is not by the account that it should be by.
    /// @param account That account.
    error InvalidSignature(address account);

    /// @notice The scopes are none, or there are others among them than `READ` and `WRITE`.
    /// @param scopes The scopes given.
    error InvalidScopes(uint8 scopes);
    /// @notice The expiry has passed, or lies further ahead than `MAX_DELEGATION_SECONDS`.
    /// @param expiresAt Unix seconds given.
    /// @param latest The latest that may be given.
    error InvalidExpiry(uint64 expiresAt, uint64 latest);
    /// @notice The key is a delegate, and belongs to one account for good.
    /// @param key The key.
    /// @param account The account that it acts for.
    error IsDelegate(address key, address account);
    /// @notice The account has delegates, a predecessor or a successor, and becomes no delegate itself.
    /// @param key The account.
    error HasOthers(address key);
    /// @notice The key is no delegate.
    /// @param key The key.
    error NotDelegate(address key);
    /// @notice The delegate was revoked.
    /// @param key The key.
    error AlreadyRevoked(address key);
    /// @notice Only the account of a delegate, or the last one of its line, may do this.
    /// @param caller Who wants it.
    /// @param account The account of the delegate.
    error NotOfDelegate(address caller, address account);

    /// @notice Names the successor of an account, for good. Any account may send this: both accounts sign the same
    /// EIP-712 message, so that nobody is named against its will.
    /// @param account The account to be replaced. Has no successor.
    /// @param successor Has neither a successor nor a predecessor.
    /// @param handover At most `MAX_HANDOVER_BYTES`; see `handoverOf`.
    /// @param deadline Unix seconds up to which the signatures may be used.
    /// @param accountSignature The account's over `Succession`: 65 bytes, or what its EIP-1271 wallet accepts.
    /// @param successorSignature The successor's over the same message.
    function replace(
        address account,
        address successor,
        bytes calldata handover,
        uint64 deadline,
        bytes calldata accountSignature,
        bytes calldata successorSignature
    ) external;

    /// @notice Makes a key a delegate of an account, once and for good. Any account may send this: both sign the same
    /// EIP-712 message, the key so that nobody makes another one's account a delegate.
    /// @param account Has no successor and is no delegate.
    /// @param key Has no predecessor, successor or delegates, and is no delegate. A key of secp256k1.
    /// @param scopes Sum of `READ` and `WRITE`.
    /// @param expiresAt Unix seconds, at most `MAX_DELEGATION_SECONDS` ahead.
    /// @param deadline Unix seconds up to which the signatures may be used.
    /// @param accountSignature The account's over `Delegation`: 65 bytes, or what its EIP-1271 wallet accepts.
    /// @param keySignature The key's over the same message, 65 bytes.
    function delegate(
        address account,
        address key,
        uint8 scopes,
        uint64 expiresAt,
        uint64 deadline,
        bytes calldata accountSignature,
        bytes calldata keySignature
    ) external;

    /// @notice Ends what a delegate may do, at once and for good.
    /// @param by Who wants it: the account of the delegate, the last one of its line, or the delegate itself.
    /// @param key The delegate.
    /// @param signature Of `by` over `DelegateRevocation`; not looked at when `by` sends this.
    function revoke(address by, address key, bytes calldata signature) external;

    /// @notice Lets a delegate sign updates of a data set up to a fee. The account of the delegate sends this, or the
    /// last one of its line.
    /// @param key A delegate with the scope `WRITE`.
    /// @param dataSet Id of a data set of the account.
    /// @param feeLimit Highest fee per epoch of a state that the delegate signs; 0 for no updates.
    function limitFee(address key, bytes32 dataSet, uint96 feeLimit) external;

    /// @notice What a key may do, whether or not it may do so still.
    /// @param key Any account.
    /// @return The delegation; all zero when the key is no delegate.
    function delegationOf(address key) external view returns (Delegation memory);

    /// @notice Every key that is or was a delegate of an account, in the order in which they became delegates.
    /// @param account Any account.
    /// @return The keys.
    function delegatesOf(address account) external view returns (address[] memory);

    /// @notice Whether a delegate may do something now: it has the scope, has not expired and is not revoked, and its
    /// account has no successor.
    /// @param key Any account.
    /// @param scope `READ` or `WRITE`.
    /// @return True when it may.
    function hasScope(address key, uint8 scope) external view returns (bool);

    /// @notice Up to which fee a delegate may sign an update of a data set now.
    /// @param key Any account.
    /// @param account The user of the data set.
    /// @param dataSet Its id.
    /// @return The highest fee per epoch; 0 when it may sign none.
    function feeLimitOf(address key, address account, bytes32 dataSet) external view returns (uint256);

    /// @notice What took an account's place.
    /// @param account Any account.
    /// @return The successor and when it was named; all zero when there is none.
    function replacementOf(address account) external view returns (Replacement memory);

    /// @notice What an account left to its successor, which the contract does not read: its recovery phrase, sealed, so
    /// that the successor's phrase alone opens what both have stored.
    /// @param account Any account.
    /// @return The bytes; empty when it has no successor.
    function handoverOf(address account) external view returns (bytes memory);

    /// @notice The account that this one replaced.
    /// @param account Any account.
    /// @return The predecessor; zero when there is none.
    function predecessorOf(address account) external view returns (address);

    /// @notice The first account of a line.
    /// @param account Any account.
    /// @return The origin; the account itself when it has no predecessor.
    function originOf(address account) external view returns (address);

    /// @notice Whether an account may have released what another one owns: it has no successor, and it is the other
    /// one, or succeeds it, directly or over any number of accounts between. A delegate counts as its account: as one
    /// that acts only with the scope `READ`, and as one that owns always.
    /// @param account Who acts.
    /// @param owner Whose right is used.
    /// @return True when it may.
    function mayActFor(address account, address owner) external view returns (bool);

    /// @notice What both accounts sign.
    /// @param account The account to be replaced.
    /// @param successor The account named.
    /// @param handoverHash keccak256 of the handover.
    /// @param deadline Unix seconds.
    /// @return The EIP-712 digest of `Succession`.
    function successionSignatureHash(
        address account,
        address successor,
        bytes32 handoverHash,
        uint64 deadline
    ) external view returns (bytes32);

    /// @notice What account and delegate both sign.
    /// @param account The account.
    /// @param key The delegate.
    /// @param scopes Sum of `READ` and `WRITE`.
    /// @param expiresAt Unix seconds.
    /// @param deadline Unix seconds.
    /// @return The EIP-712 digest of `Delegation`.
    function delegationSignatureHash(
        address account,
        address key,
        uint8 scopes,
        uint64 expiresAt,
        uint64 deadline
    ) external view returns (bytes32);

    /// @notice What is signed to revoke a delegate.
    /// @param by Who signs.
    /// @param key The delegate.
    /// @return The EIP-712 digest of `DelegateRevocation`.
    function revocationSignatureHash(address by, address key) external view returns (bytes32);
}
