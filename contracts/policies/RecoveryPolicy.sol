// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { IRecoveryPolicy } from "../interfaces/IRecoveryPolicy.sol";
import { IReleasePolicy } from "../interfaces/IReleasePolicy.sol";
import { AccountSignature } from "../libraries/AccountSignature.sol";
import { CommitteeId } from "../types/CommitteeId.sol";

/// @title Recovery of a secret by a wallet or by guardians
/// @notice Holds the latest request of each proposer for each secret, and for each author and record id the first
/// version that may be released and the secret that was published last. It holds no money, has no administrator, and
/// calls no account except to ask a contract wallet for its signature.
///
/// Who may call: any account, as a relay of signatures. Only accounts that the data names open and approve requests,
/// each in a place of its own; only the author of a secret vetoes and retires. What an account does under another
/// author's name or with other data concerns another secret id, so it touches nothing.
///
/// INV-1  Releases only what an open request names: this secret, this requester and this session key.
/// INV-2  Releases to a wallet's request only from `walletDelay` seconds after it was opened, and to a guardian's only
///        from `guardianDelay` seconds after its last approval; never after `window` more seconds.
/// INV-3  Releases to a guardian's request only if `threshold` different guardians of the same data approved exactly
///        this request within `window` seconds of its opening.
/// INV-4  Releases nothing to a request that was vetoed, and takes no later request of its proposer for this secret.
/// INV-5  Releases nothing of a version that was retired. The first live version never falls.
/// INV-6  What one proposer does never changes the request of another.
/// INV-7  A publication is changed by its author's own transaction only, and its version only rises.
/// INV-8  A signature counts for the account that it names alone, also where contract wallets share a key.
contract RecoveryPolicy is IRecoveryPolicy, EIP712 {
    uint256 public constant MAX_GUARDIANS = 16;
    /// @dev Longest payload of a sealed secret, 1024 bytes, and what sealing adds.
    uint256 public constant MAX_SEALED_BYTES = 1169;
    /// @dev Of delays and of the window. The shortest delay leaves time to see an event and to send a veto.
    uint32 public constant MIN_SECONDS = 1 hours;
    uint32 public constant MAX_SECONDS = 365 days;

    bytes32 private constant OPENING_TYPEHASH = keccak256(
        "RecoveryOpening(bytes32 secretId,uint8 path,address proposer,address requester,bytes32 sessionKey,"
        "uint64 number,uint64 deadline)"
    );
    bytes32 private constant APPROVAL_TYPEHASH = keccak256(
        "RecoveryApproval(bytes32 secretId,uint8 path,address proposer,address requester,bytes32 sessionKey,"
        "uint64 number,address guardian)"
    );
    bytes32 private constant VETO_TYPEHASH = keccak256("RecoveryVeto(bytes32 secretId,uint8 path,address proposer)");
    bytes32 private constant RETIREMENT_TYPEHASH = keccak256(
        "RecoveryRetirement(address ledger,bytes32 recordId,uint32 firstVersion,address author)"
    );

    /// @dev By `_placeOf` secret, path and proposer.
    mapping(bytes32 place => RequestState state) private _requests;
    /// @inheritdoc IRecoveryPolicy
    mapping(address ledger => mapping(bytes32 recordId => mapping(address author => uint32))) public firstLiveVersion;

    mapping(address ledger => mapping(bytes32 recordId => mapping(address author => Publication)))
        private _publications;

    constructor() EIP712("Tallystick", "1") {}

    /// @inheritdoc IRecoveryPolicy
    /// @dev The secret is in storage and not in an event, because it may be needed after years, when endpoints have
    /// dropped old logs.
    function publish(
        address ledger,
        bytes32 recordId,
        uint32 version,
        CommitteeId committeeId,
        RecoveryData calldata data,
        bytes calldata sealedSecret
    ) external {
        if (sealedSecret.length == 0 || sealedSecret.length > MAX_SEALED_BYTES) {
            revert SealedSecretLength(MAX_SEALED_BYTES, sealedSecret.length);
        }
        _dataHash(data);
        Publication storage published = _publications[ledger][recordId][msg.sender];
        uint32 first = firstLiveVersion[ledger][recordId][msg.sender];
        uint32 next = published.version + 1 > first ? published.version + 1 : first;
        if (version != next) revert WrongVersion(next, version);

        (published.version, published.committeeId) = (version, committeeId);
        published.data = data;
        published.sealedSecret = sealedSecret;
        emit SecretPublished(msg.sender, ledger, recordId, version, committeeId);
        if (data.wallet != address(0)) {
            emit RecoveryNamed(msg.sender, data.wallet, Path.Wallet, ledger, recordId, version);
        }
        for (uint256 i = 0; i < data.guardians.length; ++i) {
            emit RecoveryNamed(msg.sender, data.guardians[i], Path.Guardians, ledger, recordId, version);
        }
        if (version > first) _retire(ledger, recordId, msg.sender, version);
    }

    /// @inheritdoc IRecoveryPolicy
    function open(
        Secret calldata secret,
        RecoveryData calldata data,
        Request calldata request,
        uint64 deadline,
        bytes calldata signature
    ) external {
        if (secret.author == address(0)) revert ZeroAuthor();
        if (request.requester == address(0)) revert ZeroRequester();
        if (request.sessionKey == bytes32(0)) revert ZeroSessionKey();
        _checkLive(secret);
        bytes32 secretId = _secretId(secret, _dataHash(data));
        uint16 approver = _proposerBit(data, request);

        RequestState storage state = _requests[_placeOf(secretId, request.path, request.proposer)];
        if (state.isBarred) revert ProposerBarred(request.proposer);
        if (request.number != state.number + 1) revert WrongNumber(state.number + 1, request.number);
        if (msg.sender != request.proposer) {
            if (block.timestamp > deadline) revert DeadlinePassed(deadline, uint64(block.timestamp));
            _checkSignature(request.proposer, openingSignatureHash(secretId, request, deadline), signature);
        }

        bytes32 requestId = _requestId(secretId, request);
        (state.requestId, state.number) = (requestId, request.number);
        (state.releasableAt, state.closesAt) = (0, uint64(block.timestamp) + data.window);
        (state.approvers, state.approvals) = (0, 0);
        emit RecoveryRequested(secret.author, secretId, requestId, secret, request, state.closesAt);
        if (request.path == Path.Wallet) _schedule(state, secret.author, secretId, request.requester, data);
        else _approve(state, secret.author, secretId, request, data, request.proposer, approver);
    }

    /// @inheritdoc IRecoveryPolicy
    function approve(
        Secret calldata secret,
        RecoveryData calldata data,
        Request calldata request,
        address guardian,
        bytes calldata signature
    ) external {
        _checkLive(secret);
        bytes32 secretId = _secretId(secret, _dataHash(data));
        uint16 approver = _guardianBit(data, guardian);
        if (request.path != Path.Guardians) revert NotNamed(request.path, guardian);

        RequestState storage state = _requests[_placeOf(secretId, request.path, request.proposer)];
        bytes32 requestId = _requestId(secretId, request);
        if (state.isBarred) revert ProposerBarred(request.proposer);
        if (state.requestId != requestId) revert NotCurrentRequest(state.requestId, requestId);
        if (state.approvers & approver != 0) revert AlreadyApproved(requestId, guardian);
        if (state.releasableAt != 0) revert AlreadyScheduled(requestId);
        if (block.timestamp > state.closesAt) revert RequestClosed(state.closesAt, uint64(block.timestamp));
        _authorise(guardian, approvalSignatureHash(secretId, request, guardian), signature);

        _approve(state, secret.author, secretId, request, data, guardian, approver);
    }

    /// @inheritdoc IRecoveryPolicy
    function veto(
        Secret calldata secret,
        bytes32 dataHash,
        Path path,
        address proposer,
        bytes calldata signature
    ) external {
        _checkLive(secret);
        bytes32 secretId = _secretId(secret, dataHash);
        RequestState storage state = _requests[_placeOf(secretId, path, proposer)];
        if (state.isBarred) revert ProposerBarred(proposer);
        if (state.requestId == bytes32(0) || block.timestamp > state.closesAt) revert NothingToVeto(proposer);
        if (_isDue(state)) revert VetoTooLate(state.releasableAt, uint64(block.timestamp));
        _authorise(secret.author, vetoSignatureHash(secretId, path, proposer), signature);

        state.isBarred = true;
        emit RecoveryVetoed(secret.author, secretId, state.requestId, path, proposer);
    }

    /// @inheritdoc IRecoveryPolicy
    function retire(
        address ledger,
        bytes32 recordId,
        address author,
        uint32 firstVersion,
        bytes calldata signature
    ) external {
        uint32 current = firstLiveVersion[ledger][recordId][author];
        if (firstVersion <= current) revert NothingToRetire(current, firstVersion);
        _authorise(author, retirementSignatureHash(ledger, recordId, firstVersion, author), signature);

        _retire(ledger, recordId, author, firstVersion);
    }

    /// @inheritdoc IReleasePolicy
    /// @dev Reads at most 1 + 17 places. Data that `open` refuses, or in another encoding than the canonical one, has a
    /// hash under which nothing was ever opened.
    function mayRelease(bytes32 recordId, address requester, bytes calldata context) external view returns (bool) {
        ReleaseContext memory asked = abi.decode(context, (ReleaseContext));
        RecoveryData memory data = abi.decode(asked.policyData, (RecoveryData));
        if (asked.version < firstLiveVersion[asked.ledger][recordId][asked.author]) return false;
        if (data.guardians.length > MAX_GUARDIANS) return false;
        bytes32 secretId = keccak256(
            abi.encode(asked.ledger, recordId, asked.version, asked.author, keccak256(asked.policyData))
        );
        if (_isReleasable(secretId, Path.Wallet, data.wallet, requester, asked.sessionKey)) return true;
        for (uint256 i = 0; i < data.guardians.length; ++i) {
            if (_isReleasable(secretId, Path.Guardians, data.guardians[i], requester, asked.sessionKey)) return true;
        }
        return false;
    }

    /// @inheritdoc IRecoveryPolicy
    function publicationOf(
        address ledger,
        bytes32 recordId,
        address author
    ) external view returns (Publication memory) {
        return _publications[ledger][recordId][author];
    }

    /// @inheritdoc IRecoveryPolicy
    function requestOf(bytes32 secretId, Path path, address proposer) external view returns (RequestState memory) {
        return _requests[_placeOf(secretId, path, proposer)];
    }

    /// @inheritdoc IRecoveryPolicy
    function dataHashOf(RecoveryData calldata data) external pure returns (bytes32 dataHash) {
        return _dataHash(data);
    }

    /// @inheritdoc IRecoveryPolicy
    function secretIdOf(Secret calldata secret, bytes32 dataHash) external pure returns (bytes32) {
        return _secretId(secret, dataHash);
    }

    /// @inheritdoc IRecoveryPolicy
    function requestIdOf(bytes32 secretId, Request calldata request) external pure returns (bytes32) {
        return _requestId(secretId, request);
    }

    /// @inheritdoc IRecoveryPolicy
    function openingSignatureHash(
        bytes32 secretId,
        Request calldata request,
        uint64 deadline
    ) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(OPENING_TYPEHASH, secretId, request, deadline)));
    }

    /// @inheritdoc IRecoveryPolicy
    function approvalSignatureHash(
        bytes32 secretId,
        Request calldata request,
        address guardian
    ) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(APPROVAL_TYPEHASH, secretId, request, guardian)));
    }

    /// @inheritdoc IRecoveryPolicy
    function vetoSignatureHash(bytes32 secretId, Path path, address proposer) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(VETO_TYPEHASH, secretId, path, proposer)));
    }

    /// @inheritdoc IRecoveryPolicy
    function retirementSignatureHash(
        address ledger,
        bytes32 recordId,
        uint32 firstVersion,
        address author
    ) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(RETIREMENT_TYPEHASH, ledger, recordId, firstVersion, author)));
    }

    function _approve(
        RequestState storage state,
        address author,
        bytes32 secretId,
        Request calldata request,
        RecoveryData calldata data,
        address guardian,
        uint16 approver
    ) private {
        (state.approvers, state.approvals) = (state.approvers | approver, state.approvals + 1);
        emit RecoveryApproved(author, state.requestId, guardian, state.approvals, data.threshold);
        if (state.approvals == data.threshold) _schedule(state, author, secretId, request.requester, data);
    }

    /// @dev Sums of a block time and two durations of at most a year fit 64 bits.
    function _schedule(
        RequestState storage state,
        address author,
        bytes32 secretId,
        address requester,
        RecoveryData calldata data
    ) private {
        // A wallet's request has no approvals, a guardian's has at least its own.
        uint64 delay = state.approvals == 0 ? data.walletDelay : data.guardianDelay;
        state.releasableAt = uint64(block.timestamp) + delay;
        state.closesAt = state.releasableAt + data.window;
        emit RecoveryScheduled(author, secretId, state.requestId, requester, state.releasableAt, state.closesAt);
    }

    function _retire(address ledger, bytes32 recordId, address author, uint32 firstVersion) private {
        firstLiveVersion[ledger][recordId][author] = firstVersion;
        emit VersionsRetired(author, ledger, recordId, firstVersion);
    }

    function _authorise(address account, bytes32 digest, bytes calldata signature) private view {
        if (msg.sender != account) _checkSignature(account, digest, signature);
    }

    /// @dev A contract wallet is called by staticcall, so no state changes between the checks and the writes.
    function _checkSignature(address account, bytes32 digest, bytes calldata signature) private view {
        if (!AccountSignature.isValid(account, digest, signature)) revert InvalidSignature(account);
    }

    function _checkLive(Secret calldata secret) private view {
        uint32 first = firstLiveVersion[secret.ledger][secret.recordId][secret.author];
        if (secret.version < first) revert VersionRetired(first, secret.version);
    }

    function _isReleasable(
        bytes32 secretId,
        Path path,
        address proposer,
        address requester,
        bytes32 sessionKey
    ) private view returns (bool) {
        RequestState storage state = _requests[_placeOf(secretId, path, proposer)];
        bytes32 requestId = state.requestId;
        if (requestId == bytes32(0) || state.isBarred || !_isDue(state) || block.timestamp > state.closesAt) {
            return false;
        }
        return requestId == keccak256(abi.encode(secretId, path, proposer, requester, sessionKey, state.number));
    }

    function _isDue(RequestState storage state) private view returns (bool) {
        return state.releasableAt != 0 && block.timestamp >= state.releasableAt;
    }

    /// @return approver Bit of the proposer among the guardians; 0 for a wallet.
    function _proposerBit(RecoveryData calldata data, Request calldata request) private pure returns (uint16 approver) {
        if (request.path == Path.Guardians) return _guardianBit(data, request.proposer);
        // The zero address is no wallet, though it stands for none in the data.
        if (data.wallet == address(0) || request.proposer != data.wallet) {
            revert NotNamed(request.path, request.proposer);
        }
    }

    function _guardianBit(RecoveryData calldata data, address guardian) private pure returns (uint16) {
        for (uint256 i = 0; i < data.guardians.length; ++i) {
            if (data.guardians[i] == guardian) return uint16(1 << i);
        }
        revert NotNamed(Path.Guardians, guardian);
    }

    function _dataHash(RecoveryData calldata data) private pure returns (bytes32) {
        uint256 count = data.guardians.length;
        if (count == 0 && data.wallet == address(0)) revert NobodyNamed();
        if (count > MAX_GUARDIANS) revert TooManyGuardians(MAX_GUARDIANS, count);
        address previous = address(0);
        for (uint256 i = 0; i < count; ++i) {
            if (data.guardians[i] <= previous) revert GuardiansNotAscending(i);
            previous = data.guardians[i];
        }
        // Without guardians the threshold must be 0, otherwise 1 to their number.
        if (data.threshold > count || (data.threshold == 0 && count > 0)) {
            revert ThresholdOutOfRange(count, data.threshold);
        }
        if (data.wallet == address(0)) _checkSeconds(data.walletDelay, 0, 0);
        else _checkSeconds(data.walletDelay, MIN_SECONDS, MAX_SECONDS);
        // No account may have the secret released by itself without a time in which the author can object.
        if (count == 0) _checkSeconds(data.guardianDelay, 0, 0);
        else if (data.threshold == 1 || data.guardianDelay != 0) {
            _checkSeconds(data.guardianDelay, MIN_SECONDS, MAX_SECONDS);
        }
        _checkSeconds(data.window, MIN_SECONDS, MAX_SECONDS);
        return keccak256(abi.encode(data));
    }

    function _checkSeconds(uint32 received, uint32 minimum, uint32 maximum) private pure {
        if (received < minimum || received > maximum) revert SecondsOutOfRange(minimum, maximum, received);
    }

    function _placeOf(bytes32 secretId, Path path, address proposer) private pure returns (bytes32) {
        return keccak256(abi.encode(secretId, path, proposer));
    }

    function _secretId(Secret calldata secret, bytes32 dataHash) private pure returns (bytes32) {
        // A struct of value types encodes as its fields in order (ABI specification, "static types").
        return keccak256(abi.encode(secret, dataHash));
    }

    function _requestId(bytes32 secretId, Request calldata request) private pure returns (bytes32) {
        return keccak256(abi.encode(secretId, request));
    }
}
