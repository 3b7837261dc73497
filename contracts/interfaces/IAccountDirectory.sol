// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Directory of accounts and their successors
/// @notice An account whose key may be known to somebody else names the account that takes its place. From then on
/// daemons open no session for the first one, and policies release nothing to it; what it owns is its successor's.
///
/// An account has one successor at most, and one predecessor at most, so accounts form lines. A line is known by its
/// first account, the origin, whatever its length: an account may act for every earlier one of its line while it is the
/// last, which is two words to read.
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

    /// @notice An account was replaced.
    /// @param account The account that acts no more.
    /// @param successor The account that acts in its place.
    event AccountReplaced(address indexed account, address indexed successor);

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

    /// @notice Whether an account may use what another one owns: it has no successor, and it is the other one, or
    /// succeeds it, directly or over any number of accounts between.
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
}
