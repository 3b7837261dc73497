// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Policy for the release of sealed secrets
/// @notice A secret is sealed to a committee under a label that names a policy contract. A key node gives its
/// decryption share to a requester only when that contract says so, in the state of a confirmed block that the node
/// reads from its own endpoint.
///
/// What a node does before it asks: it derives the label from the chain, checks the sealed bytes under it, checks that
/// `requester` signed the request and that keccak256(policyData) is the hash in the label. What it does with the
/// answer: exactly one 32-byte word with the value 1 means yes. Everything else means no: the value 0, a revert, an
/// answer of another length, another word, no code at the address, or more gas than GAS_CAP.
///
/// GAS_CAP is 500,000 gas for the whole call, without the 21,000 and the call data of a transaction. The answer may
/// depend on the state, on the time of the block and on the arguments, and must not depend on the caller, on the gas
/// that is left or on the gas price. A policy that says yes once may say no later. Nodes answer at different blocks, so
/// a release that is stopped after it has begun may have reached some of them.
interface IReleasePolicy {
    /// @param ledger The ledger in the label.
    /// @param version The version in the label.
    /// @param author The author in the label: the account that sealed the secret.
    /// @param sessionKey X25519 public key that the shares are sealed to, signed by the requester.
    /// @param policyData The data whose keccak256 is in the label. At most 4096 bytes.
    /// @param evidence What the requester adds for this policy, unchecked. At most 4096 bytes.
    struct ReleaseContext {
        address ledger;
        uint32 version;
        address author;
        bytes32 sessionKey;
        bytes policyData;
        bytes evidence;
    }

    /// @notice Whether the secret with this label may be released to the requester now.
    /// @param recordId The record id in the label.
    /// @param requester The account that signed the request.
    /// @param context abi.encode of a `ReleaseContext`. Reverts when it is malformed, which releases nothing.
    /// @return True when a node may give its decryption share, sealed to the session key.
    function mayRelease(bytes32 recordId, address requester, bytes calldata context) external view returns (bool);
}
