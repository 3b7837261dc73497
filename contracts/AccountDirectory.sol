// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { IAccountDirectory } from "./interfaces/IAccountDirectory.sol";
import { AccountSignature } from "./libraries/AccountSignature.sol";

/// @title Directory of accounts, their successors and their delegates
/// @notice Holds two links, an origin and a handover for each account that takes part, and a word for each delegate. It
/// holds no money, has no administrator, and calls no account except to ask a contract wallet for its signature.
///
/// Who may call: any account, as a relay of signatures; only the account of a delegate limits its fees. Nothing but
/// these limits can be undone: whoever has a stolen key could otherwise name itself again.
///
/// INV-1  An account gets a successor only after both signed exactly this naming, with its handover.
/// INV-2  A successor stays: no call changes or removes it, its handover, or the time at which it was named.
/// INV-3  An account has one successor and one predecessor at most, and `predecessorOf` is the inverse of
///        `replacementOf`.
/// INV-4  Lines have no cycle: from every account, predecessors lead to its origin, which has none.
/// INV-5  `mayActFor` holds for the last account of a line, and its delegates with the scope READ, and the accounts of
///        that line and their delegates, and for nothing else.
/// INV-6  A key becomes a delegate only after it and the account both signed exactly this delegation. Account, scopes
///        and expiry of a delegate never change.
/// INV-7  A delegate that is revoked, has expired, or whose account has a successor, may do nothing, and never may
///        again.
/// INV-8  No account of a delegate is a delegate, and no delegate is in a line of two or more.
contract AccountDirectory is IAccountDirectory, EIP712 {
    uint256 public constant MAX_HANDOVER_BYTES = 128;

    /// @notice Scope of a delegate: fetch what the account has stored, and have its keys released.
    uint8 public constant READ = 1;
    /// @notice Scope of a delegate: store, record keys, and sign updates that only add to a data set.
    uint8 public constant WRITE = 2;
    /// @notice Longest time for which a key becomes a delegate.
    uint64 public constant MAX_DELEGATION_SECONDS = 366 days;

    bytes32 private constant SUCCESSION_TYPEHASH = keccak256(
        "Succession(address account,address successor,bytes32 handoverHash,uint64 deadline)"
    );

    bytes32 private constant DELEGATION_TYPEHASH = keccak256(
        "Delegation(address account,address key,uint8 scopes,uint64 expiresAt,uint64 deadline)"
    );
    bytes32 private constant REVOCATION_TYPEHASH = keccak256("DelegateRevocation(address by,address key)");

    mapping(address account => Replacement replacement) private _replacements;
    /// @inheritdoc IAccountDirectory
    /// @dev In storage and not in an event: it opens all that the account has stored, and may be needed after years,
    /// when endpoints have dropped old logs.
    mapping(address account => bytes handover) public handoverOf;
    /// @inheritdoc IAccountDirectory
    mapping(address account => address predecessor) public predecessorOf;
    /// @dev Zero for an account without a predecessor.
    mapping(address account => address origin) private _origins;

    mapping(address key => Delegation delegation) private _delegations;
    mapping(address account => address[] keys) private _delegates;
    mapping(address key => mapping(bytes32 dataSet => uint96 feeLimit)) private _feeLimits;

    constructor() EIP712("Tallystick", "1") {}

    /// @inheritdoc IAccountDirectory
    function replace(
        address account,
        address successor,
        bytes calldata handover,
        uint64 deadline,
        bytes calldata accountSignature,
        bytes calldata successorSignature
    ) external {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, uint64(block.timestamp));
        if (account == address(0) || successor == address(0) || account == successor) {
            revert NotTwoAccounts(account, successor);
        }
        if (handover.length > MAX_HANDOVER_BYTES) revert HandoverLength(MAX_HANDOVER_BYTES, handover.length);
        _requireNoDelegate(account);
        _requireNoDelegate(successor);
        _requireLast(account);
        // An account that was replaced never acts again, so it cannot be named either. This keeps lines free of cycles.
        _requireLast(successor);
        if (predecessorOf[successor] != address(0)) revert AlreadySuccessor(successor, predecessorOf[successor]);

        bytes32 digest = successionSignatureHash(account, successor, keccak256(handover), deadline);
        // Contract wallets are called by staticcall, so no state changes between the checks above and the writes below.
        if (!AccountSignature.isValid(account, digest, accountSignature)) revert InvalidSignature(account);
        if (!AccountSignature.isValid(successor, digest, successorSignature)) revert InvalidSignature(successor);

        _replacements[account] = Replacement(successor, uint48(block.timestamp), uint48(block.number));
        handoverOf[account] = handover;
        predecessorOf[successor] = account;
        _origins[successor] = originOf(account);
        emit AccountReplaced(account, successor);
    }

    /// @inheritdoc IAccountDirectory
    function delegate(
        address account,
        address key,
        uint8 scopes,
        uint64 expiresAt,
        uint64 deadline,
        bytes calldata accountSignature,
        bytes calldata keySignature
    ) external {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, uint64(block.timestamp));
        if (account == address(0) || key == address(0) || account == key) revert NotTwoAccounts(account, key);
        if (scopes == 0 || scopes > READ | WRITE) revert InvalidScopes(scopes);
        uint64 latest = uint64(block.timestamp) + MAX_DELEGATION_SECONDS;
        if (expiresAt <= block.timestamp || expiresAt > latest) revert InvalidExpiry(expiresAt, latest);
        _requireNoDelegate(account);
        _requireNoDelegate(key);
        _requireLast(account);
        bool isAlone = _replacements[key].successor == address(0) && predecessorOf[key] == address(0);
        if (!isAlone || _delegates[key].length > 0) revert HasOthers(key);

        bytes32 digest = delegationSignatureHash(account, key, scopes, expiresAt, deadline);
        if (!AccountSignature.isValid(account, digest, accountSignature)) revert InvalidSignature(account);
        // Not a wallet: the escrow finds out who signed an update by recovering the key.
        (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecoverCalldata(digest, keySignature);
        if (failure != ECDSA.RecoverError.NoError || signer != key) revert InvalidSignature(key);

        _delegations[key] = Delegation(account, uint48(expiresAt), scopes, false);
        _delegates[account].push(key);
        emit Delegated(account, key, scopes, expiresAt);
    }

    /// @inheritdoc IAccountDirectory
    function revoke(address by, address key, bytes calldata signature) external {
        Delegation storage delegation = _requireDelegate(key);
        if (by != key && !_isLastOf(by, delegation.account)) revert NotOfDelegate(by, delegation.account);
        if (delegation.isRevoked) revert AlreadyRevoked(key);
        if (msg.sender != by && !AccountSignature.isValid(by, revocationSignatureHash(by, key), signature)) {
            revert InvalidSignature(by);
        }
        delegation.isRevoked = true;
        emit DelegateRevoked(key, by);
    }

    /// @inheritdoc IAccountDirectory
    function limitFee(address key, bytes32 dataSet, uint96 feeLimit) external {
        Delegation storage delegation = _requireDelegate(key);
        if (!_isLastOf(msg.sender, delegation.account)) revert NotOfDelegate(msg.sender, delegation.account);
        if (delegation.scopes & WRITE == 0) revert InvalidScopes(delegation.scopes);
        _feeLimits[key][dataSet] = feeLimit;
        emit FeeLimited(key, dataSet, feeLimit);
    }

    /// @inheritdoc IAccountDirectory
    function delegationOf(address key) external view returns (Delegation memory) {
        return _delegations[key];
    }

    /// @inheritdoc IAccountDirectory
    function delegatesOf(address account) external view returns (address[] memory) {
        return _delegates[account];
    }

    /// @inheritdoc IAccountDirectory
    function feeLimitOf(address key, address account, bytes32 dataSet) external view returns (uint256) {
        if (_delegations[key].account != account || !hasScope(key, WRITE)) return 0;
        return _feeLimits[key][dataSet];
    }

    /// @inheritdoc IAccountDirectory
    function replacementOf(address account) external view returns (Replacement memory) {
        return _replacements[account];
    }

    /// @inheritdoc IAccountDirectory
    function mayActFor(address account, address owner) external view returns (bool) {
        address principal = _delegations[account].account;
        if (principal != address(0)) {
            if (!hasScope(account, READ)) return false;
            account = principal;
        }
        principal = _delegations[owner].account;
        return _isLastOf(account, principal == address(0) ? owner : principal);
    }

    /// @inheritdoc IAccountDirectory
    function hasScope(address key, uint8 scope) public view returns (bool) {
        Delegation storage delegation = _delegations[key];
        return
            delegation.scopes & scope != 0 &&
            !delegation.isRevoked &&
            block.timestamp < delegation.expiresAt &&
            _replacements[delegation.account].successor == address(0);
    }

    /// @inheritdoc IAccountDirectory
    function originOf(address account) public view returns (address) {
        address origin = _origins[account];
        return origin == address(0) ? account : origin;
    }

    /// @inheritdoc IAccountDirectory
    function successionSignatureHash(
        address account,
        address successor,
        bytes32 handoverHash,
        uint64 deadline
    ) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(SUCCESSION_TYPEHASH, account, successor, handoverHash, deadline)));
    }

    /// @inheritdoc IAccountDirectory
    function delegationSignatureHash(
        address account,
        address key,
        uint8 scopes,
        uint64 expiresAt,
        uint64 deadline
    ) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(DELEGATION_TYPEHASH, account, key, scopes, expiresAt, deadline)));
    }

    /// @inheritdoc IAccountDirectory
    function revocationSignatureHash(address by, address key) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(REVOCATION_TYPEHASH, by, key)));
    }

    /// @dev The last account of a line is unique, so every other one of it is earlier.
    function _isLastOf(address account, address earlier) private view returns (bool) {
        return _replacements[account].successor == address(0) && originOf(account) == originOf(earlier);
    }

    function _requireDelegate(address key) private view returns (Delegation storage delegation) {
        delegation = _delegations[key];
        if (delegation.account == address(0)) revert NotDelegate(key);
    }

    function _requireNoDelegate(address key) private view {
        address account = _delegations[key].account;
        if (account != address(0)) revert IsDelegate(key, account);
    }

    function _requireLast(address account) private view {
        address successor = _replacements[account].successor;
        if (successor != address(0)) revert AlreadyReplaced(account, successor);
    }
}
