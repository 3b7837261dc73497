// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CommitteeId } from "../types/CommitteeId.sol";
import { IReleasePolicy } from "./IReleasePolicy.sol";

/// @title Recovery of a secret by a wallet or by guardians
/// @notice The policy of a secret that its author must be able to get back after losing every key, such as an identity.
/// The author names a recovery wallet, or guardians with a threshold, or both, in the policy's data. The label's hash
/// binds that data, so it never changes; other guardians take a new version of the secret, and `retire` ends the old
/// one.
///
/// Only accounts that the data names can open a request. Each has one request at a time, in a place of its own, so that
/// none of them can remove or delay the request of another. A request becomes releasable after its delay, which begins
/// when it has the consent that it needs, and stays so for a limited time. Until then the author can veto it; a veto
/// bars that account from this version for good.
///
/// `publish` keeps the sealed secret beside its data, so that somebody who has lost everything finds both in the state
/// of the chain, by the account of the author or by the event that names a wallet or a guardian. It takes an author's
/// own transaction: nobody puts another secret in its place.
///
/// In all else an account acts by sending the transaction itself, or by an EIP-712 signature that anyone may relay: 65
/// bytes, or what its EIP-1271 wallet accepts.
interface IRecoveryPolicy is IReleasePolicy {
    /// @notice The two ways to a release.
    enum Path {
        Wallet,
        Guardians
    }

    /// @notice The policy's data. abi.encode of it is what the label's hash is made of.
    /// @param wallet The recovery wallet; the zero address for none.
    /// @param walletDelay Seconds from a wallet's request to its release; 0 without a wallet.
    /// @param guardians Up to 16 accounts, in strictly ascending order.
    /// @param threshold How many of them must approve a request; 0 without guardians.
    /// @param guardianDelay Seconds from the last approval that is needed to the release; 0 for none, which takes a
    /// threshold of 2 or more.
    /// @param window Seconds for which approvals are collected, and for which a release stays possible.
    struct RecoveryData {
        address wallet;
        uint32 walletDelay;
        address[] guardians;
        uint8 threshold;
        uint32 guardianDelay;
        uint32 window;
    }

    /// @notice The part of the label that names the secret, without the policy.
    struct Secret {
        address ledger;
        bytes32 recordId;
        uint32 version;
        address author;
    }

    /// @param path The way to the release.
    /// @param proposer Who opens the request: the recovery wallet or a guardian.
    /// @param requester Who may have the secret released, as the proposer names it.
    /// @param sessionKey X25519 public key that shares are sealed to.
    /// @param number 1 for the first request of this proposer for this secret, then one more for each.
    struct Request {
        Path path;
        address proposer;
        address requester;
        bytes32 sessionKey;
        uint64 number;
    }

    /// @notice The latest request of one proposer.
    /// @param requestId `requestIdOf` the request; zero before the first.
    /// @param number Number of the request.
    /// @param releasableAt Unix seconds from which it is releasable; 0 while approvals are missing.
    /// @param closesAt Unix seconds up to which, inclusive, it is.
    /// @param approvers Bit i is set when guardian i of the data has approved.
    /// @param approvals How many bits are set.
    /// @param isBarred Whether the author has vetoed the proposer.
    struct RequestState {
        bytes32 requestId;
        uint64 number;
        uint64 releasableAt;
        uint64 closesAt;
        uint16 approvers;
        uint8 approvals;
        bool isBarred;
    }

    /// @notice A sealed secret that its author has published.
    /// @param version Version in its label; 0 when there is none.
    /// @param committeeId The committee that it was sealed to.
    /// @param data The policy's data.
    /// @param sealedSecret The sealed bytes. What they are is checked by whoever opens them.
    struct Publication {
        uint32 version;
        CommitteeId committeeId;
        RecoveryData data;
        bytes sealedSecret;
    }

    /// @notice An author has published a secret, in place of its earlier version, which is retired.
    /// @param author Author of the secret.
    /// @param ledger Ledger of the secret.
    /// @param recordId Record id of the secret.
    /// @param version Its version.
    /// @param committeeId The committee that it was sealed to.
    event SecretPublished(
        address indexed author,
        address indexed ledger,
        bytes32 indexed recordId,
        uint32 version,
        CommitteeId committeeId
    );
    /// @notice A publication names an account. Anybody can name any account, so it says nothing about that account.
    /// @param author Author of the secret.
    /// @param named The recovery wallet, or a guardian.
    /// @param path Which of them.
    /// @param ledger Ledger of the secret.
    /// @param recordId Record id of the secret.
    /// @param version Its version.
    event RecoveryNamed(
        address indexed author,
        address indexed named,
        Path path,
        address ledger,
        bytes32 recordId,
        uint32 version
    );
    /// @notice A request was opened. It replaces the proposer's earlier one.
    /// @param author Author of the secret, who can veto.
    /// @param secretId `secretIdOf` the secret.
    /// @param requestId `requestIdOf` the request.
    /// @param secret The secret.
    /// @param request The request.
    /// @param closesAt Unix seconds up to which approvals are collected.
    event RecoveryRequested(
        address indexed author,
        bytes32 indexed secretId,
        bytes32 indexed requestId,
        Secret secret,
        Request request,
        uint64 closesAt
    );
    /// @notice A guardian has approved a request. A guardian approves its own request by opening it.
    /// @param author Author of the secret, who can veto.
    /// @param requestId `requestIdOf` the request.
    /// @param guardian Who approved.
    /// @param approvals How many have approved now.
    /// @param threshold How many must.
    event RecoveryApproved(
        address indexed author,
        bytes32 indexed requestId,
        address indexed guardian,
        uint8 approvals,
        uint8 threshold
    );
    /// @notice A request has the consent that it needs, and its delay has begun.
    /// @param author Author of the secret, who can veto until `releasableAt`.
    /// @param secretId `secretIdOf` the secret.
    /// @param requestId `requestIdOf` the request.
    /// @param requester Who may have the secret released.
    /// @param releasableAt Unix seconds from which it is releasable.
    /// @param closesAt Unix seconds up to which, inclusive, it is.
    event RecoveryScheduled(
        address indexed author,
        bytes32 indexed secretId,
        bytes32 indexed requestId,
        address requester,
        uint64 releasableAt,
        uint64 closesAt
    );
    /// @notice The author has vetoed a request. Its proposer can open none for this version any more.
    /// @param author Author of the secret.
    /// @param secretId `secretIdOf` the secret.
    /// @param requestId `requestIdOf` the request.
    /// @param path The way of the request.
    /// @param proposer Who is barred.
    event RecoveryVetoed(
        address indexed author,
        bytes32 indexed secretId,
        bytes32 indexed requestId,
        Path path,
        address proposer
    );
    /// @notice The author has ended earlier versions of a secret.
    /// @param author Author of the secret.
    /// @param ledger Ledger of the secret.
    /// @param recordId Record id of the secret.
    /// @param firstLiveVersion Versions before this one are never released again.
    event VersionsRetired(
        address indexed author,
        address indexed ledger,
        bytes32 indexed recordId,
        uint32 firstLiveVersion
    );

    /// @notice The data names neither a wallet nor guardians.
    error NobodyNamed();
    /// @notice There are too many guardians.
    /// @param maximum Most guardians allowed.
    /// @param received Received value.
    error TooManyGuardians(uint256 maximum, uint256 received);
    /// @notice A guardian is the zero address, or not above the one before it.
    /// @param position Its position, from 0.
    error GuardiansNotAscending(uint256 position);
    /// @notice The threshold is 0, or above the number of guardians.
    /// @param guardians How many guardians there are.
    /// @param received Received value.
    error ThresholdOutOfRange(uint256 guardians, uint8 received);
    /// @notice A delay or the window is too short or too long.
    /// @param minimum Fewest seconds allowed.
    /// @param maximum Most seconds allowed.
    /// @param received Received value.
    error SecondsOutOfRange(uint32 minimum, uint32 maximum, uint32 received);
    /// @notice The author is the zero address, which can veto nothing.
    error ZeroAuthor();
    /// @notice The requester is the zero address, which can sign nothing.
    error ZeroRequester();
    /// @notice The session key is zero, which nothing can be sealed to.
    error ZeroSessionKey();
    /// @notice The data does not name this account for this path.
    /// @param path The way of the request.
    /// @param account The account.
    error NotNamed(Path path, address account);
    /// @notice The version is not the one after all that were published or retired.
    /// @param expected The version that can be published.
    /// @param received Received value.
    error WrongVersion(uint32 expected, uint32 received);
    /// @notice The sealed secret is empty, or too long.
    /// @param maximum Most bytes allowed.
    /// @param received Received value.
    error SealedSecretLength(uint256 maximum, uint256 received);
    /// @notice The author has vetoed this proposer.
    /// @param proposer Who is barred.
    error ProposerBarred(address proposer);
    /// @notice The request does not have the next number.
    /// @param expected The next number of this proposer.
    /// @param received Received value.
    error WrongNumber(uint64 expected, uint64 received);
    /// @notice The proposer's request is another one, or there is none.
    /// @param current `requestIdOf` the latest request of the proposer; zero without one.
    /// @param received `requestIdOf` the request that was named.
    error NotCurrentRequest(bytes32 current, bytes32 received);
    /// @notice The guardian has approved this request already.
    /// @param requestId `requestIdOf` the request.
    /// @param guardian Who approved.
    error AlreadyApproved(bytes32 requestId, address guardian);
    /// @notice The request has all approvals that it needs.
    /// @param requestId `requestIdOf` the request.
    error AlreadyScheduled(bytes32 requestId);
    /// @notice The time for approvals is over.
    /// @param closedAt Unix seconds up to which it ran.
    /// @param nowAt Time of the block, Unix seconds.
    error RequestClosed(uint64 closedAt, uint64 nowAt);
    /// @notice The proposer has no request that could be vetoed: it never had one, or its time is over.
    /// @param proposer The proposer.
    error NothingToVeto(address proposer);
    /// @notice The request is releasable, so nodes may have answered. `retire` stops those that have not.
    /// @param releasableAt Unix seconds from which it is.
    /// @param nowAt Time of the block, Unix seconds.
    error VetoTooLate(uint64 releasableAt, uint64 nowAt);
    /// @notice The author has ended this version.
    /// @param firstLiveVersion The first version that is released.
    /// @param received Version of the secret.
    error VersionRetired(uint32 firstLiveVersion, uint32 received);
    /// @notice Those versions are ended already.
    /// @param firstLiveVersion The first version that is released.
    /// @param received Received value.
    error NothingToRetire(uint32 firstLiveVersion, uint32 received);
    /// @notice The signature has expired.
    /// @param deadline Unix seconds up to which the signature may be used.
    /// @param nowAt Time of the block, Unix seconds.
    error DeadlinePassed(uint64 deadline, uint64 nowAt);
    /// @notice The signature is not the signer's over exactly these values.
    /// @param signer Who should have signed, or sent the transaction.
    error InvalidSignature(address signer);

    /// @notice Publishes a secret of the sender, in place of its earlier version, and retires that one.
    /// @param ledger Ledger of the secret.
    /// @param recordId Record id of the secret.
    /// @param version One more than the last that was published, or the first live version if that is later.
    /// @param committeeId The committee that it was sealed to.
    /// @param data The policy's data. Refused when `open` would refuse it.
    /// @param sealedSecret The sealed bytes, 1 to 1169.
    function publish(
        address ledger,
        bytes32 recordId,
        uint32 version,
        CommitteeId committeeId,
        RecoveryData calldata data,
        bytes calldata sealedSecret
    ) external;

    /// @notice Opens a request, in place of the proposer's earlier one. A guardian's request has its own approval.
    /// @param secret The secret.
    /// @param data The policy's data.
    /// @param request What is requested.
    /// @param deadline Unix seconds up to which `signature` may be used.
    /// @param signature The proposer's over EIP-712 `RecoveryOpening`; not read when the proposer is the sender.
    function open(
        Secret calldata secret,
        RecoveryData calldata data,
        Request calldata request,
        uint64 deadline,
        bytes calldata signature
    ) external;

    /// @notice Approves the current request of a guardian.
    /// @param secret The secret.
    /// @param data The policy's data.
    /// @param request The request, with everything that is approved.
    /// @param guardian Who approves.
    /// @param signature The guardian's over EIP-712 `RecoveryApproval`; not read when the guardian is the sender.
    function approve(
        Secret calldata secret,
        RecoveryData calldata data,
        Request calldata request,
        address guardian,
        bytes calldata signature
    ) external;

    /// @notice Vetoes the current request of a proposer, whichever it is, and bars the proposer from this version.
    /// @param secret The secret; its author vetoes.
    /// @param dataHash keccak256 of the policy's data.
    /// @param path The way of the request.
    /// @param proposer Whose request.
    /// @param signature The author's over EIP-712 `RecoveryVeto`; not read when the author is the sender.
    function veto(
        Secret calldata secret,
        bytes32 dataHash,
        Path path,
        address proposer,
        bytes calldata signature
    ) external;

    /// @notice Ends all versions before one, with their requests. Nothing of them is released from then on.
    /// @param ledger Ledger of the secret.
    /// @param recordId Record id of the secret.
    /// @param author Author of the secret, who retires.
    /// @param firstVersion The first version that stays.
    /// @param signature The author's over EIP-712 `RecoveryRetirement`; not read when the author is the sender.
    function retire(
        address ledger,
        bytes32 recordId,
        address author,
        uint32 firstVersion,
        bytes calldata signature
    ) external;

    /// @notice The secret that an author has published last. Compare its version with `firstLiveVersion`.
    /// @param ledger Ledger of the secret.
    /// @param recordId Record id of the secret.
    /// @param author Author of the secret.
    /// @return Version 0 when there is none.
    function publicationOf(address ledger, bytes32 recordId, address author) external view returns (Publication memory);

    /// @notice The first version that may be released.
    /// @param ledger Ledger of the secret.
    /// @param recordId Record id of the secret.
    /// @param author Author of the secret.
    /// @return 0 before the first `retire`.
    function firstLiveVersion(address ledger, bytes32 recordId, address author) external view returns (uint32);

    /// @notice The latest request of a proposer.
    /// @param secretId `secretIdOf` the secret.
    /// @param path The way of the request.
    /// @param proposer Whose request.
    /// @return All zeros when there was none.
    function requestOf(bytes32 secretId, Path path, address proposer) external view returns (RequestState memory);

    /// @notice Checks the policy's data. Call it before a secret is sealed under it.
    /// @param data The policy's data.
    /// @return dataHash keccak256 of abi.encode(data), for the label. Reverts when `open` would refuse the data.
    function dataHashOf(RecoveryData calldata data) external pure returns (bytes32 dataHash);

    /// @notice Names a secret together with its policy's data.
    /// @param secret The secret.
    /// @param dataHash keccak256 of the policy's data.
    /// @return keccak256(abi.encode(ledger, recordId, version, author, dataHash))
    function secretIdOf(Secret calldata secret, bytes32 dataHash) external pure returns (bytes32);

    /// @notice Names a request.
    /// @param secretId `secretIdOf` the secret.
    /// @param request The request.
    /// @return keccak256(abi.encode(secretId, path, proposer, requester, sessionKey, number))
    function requestIdOf(bytes32 secretId, Request calldata request) external pure returns (bytes32);

    /// @notice The digest that the proposer signs to open a request.
    /// @param secretId `secretIdOf` the secret.
    /// @param request The request.
    /// @param deadline Unix seconds up to which the signature may be used.
    /// @return EIP-712 digest.
    function openingSignatureHash(
        bytes32 secretId,
        Request calldata request,
        uint64 deadline
    ) external view returns (bytes32);

    /// @notice The digest that a guardian signs to approve a request.
    /// @param secretId `secretIdOf` the secret.
    /// @param request The request.
    /// @param guardian Who approves: wallets that share a key each need a signature of their own.
    /// @return EIP-712 digest.
    function approvalSignatureHash(
        bytes32 secretId,
        Request calldata request,
        address guardian
    ) external view returns (bytes32);

    /// @notice The digest that the author signs to veto.
    /// @param secretId `secretIdOf` the secret.
    /// @param path The way of the request.
    /// @param proposer Whose request.
    /// @return EIP-712 digest.
    function vetoSignatureHash(bytes32 secretId, Path path, address proposer) external view returns (bytes32);

    /// @notice The digest that the author signs to retire versions.
    /// @param ledger Ledger of the secret.
    /// @param recordId Record id of the secret.
    /// @param firstVersion The first version that stays.
    /// @param author Author of the secret.
    /// @return EIP-712 digest.
    function retirementSignatureHash(
        address ledger,
        bytes32 recordId,
        uint32 firstVersion,
        address author
    ) external view returns (bytes32);
}
