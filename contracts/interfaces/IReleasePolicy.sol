// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Policy for the release of sealed secrets
/// @notice A secret is sealed to a committee under a label that names a policy contract. A key node gives its
/// decryption share to a requester only when that contract says so, in the state of a confirmed block of the node's own
/// endpoint. The node names the block by its hash, and its signed receipt names the block, the label, the requester,
/// the session key and keccak256 of the evidence: anybody who has these can ask the contract the same question again.
///
/// What a node does before it asks: it takes the label from the request and from its deployment (chain and ledger), and
/// checks the proof in the sealed bytes, which shows that whoever sealed them meant this label. It checks that
/// `requester` signed the request (ECDSA or EIP-1271), which names the sealed bytes and the session key, and that
/// keccak256(policyData) is the hash in the label. It does not look the label up on the chain: that a record has this
/// id, or that the author knows of the secret, is for the policy to check.
///
/// What it does with the answer: exactly one 32-byte word with the value 1 means yes. Everything else means no: the
/// value 0, a revert, an answer of another length, another word, no code at the address, or more gas than the cap. A
/// failure of the endpoint means neither, and neither does a confirmed block that is too old for the node.
///
/// The cap is 500,000 gas for the whole call, without the 21,000 and the call data of a transaction. The answer may
/// depend on the state, on the time of the block and on the arguments, and must not depend on the caller, which is the
/// zero address, on the gas that is left or on the gas price. A policy that says yes once may say no later. Nodes
/// answer at different blocks, so a release that is stopped after it has begun may have reached some of them.
interface IReleasePolicy {
    /// @param ledger The ledger in the label: that of the node's deployment.
    /// @param version The version in the label.
    /// @param author The author in the label. Whoever sealed the secret named it; nothing shows that it is the same.
    /// @param sessionKey X25519 public key that the shares are sealed to, signed by the requester.
    /// @param policyData The data whose keccak256 is in the label. At most 4096 bytes.
    /// @param evidence What the requester adds for this policy, unchecked and not signed. At most 4096 bytes.
    struct ReleaseContext {
        address ledger;
        uint32 version;
        address author;
        bytes32 sessionKey;
        bytes policyData;
        bytes evidence;
    }

    /// @notice Whether the secret with this label may be released to the requester now.
    /// @param recordId The record id in the label. What it identifies is up to the policy: under `IOwnersPolicy` it is
    /// a hash of a record's header without the payload, and not the id of the record on the ledger.
    /// @param requester The account that signed the request, which may be a contract.
    /// @param context abi.encode of a `ReleaseContext`. Reverts when it is malformed, which releases nothing.
    /// @return True when a node may give its decryption share, sealed to the session key.
    function mayRelease(bytes32 recordId, address requester, bytes calldata context) external view returns (bool);
}
