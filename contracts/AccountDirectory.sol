// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { IAccountDirectory } from "./interfaces/IAccountDirectory.sol";
import { AccountSignature } from "./libraries/AccountSignature.sol";

/// @title Directory of accounts and their successors
/// @notice Holds two links, an origin and a handover for each account that takes part. It holds no money, has no
/// administrator, and calls no account except to ask a contract wallet for its signature.
///
/// Who may call: any account, as a relay of two signatures. Nothing can be undone: whoever has a stolen key could
/// otherwise name itself again.
///
/// INV-1  An account gets a successor only after both signed exactly this naming, with its handover.
/// INV-2  A successor stays: no call changes or removes it, its handover, or the time at which it was named.
/// INV-3  An account has one successor and one predecessor at most, and `predecessorOf` is the inverse of
///        `replacementOf`.
/// INV-4  Lines have no cycle: from every account, predecessors lead to its origin, which has none.
/// INV-5  `mayActFor` holds for the last account of a line and the accounts of that line, and for nothing else.
contract AccountDirectory is IAccountDirectory, EIP712 {
    uint256 public constant MAX_HANDOVER_BYTES = 128;

    bytes32 private constant SUCCESSION_TYPEHASH = keccak256(
        "Succession(address account,address successor,bytes32 handoverHash,uint64 deadline)"
    );

    mapping(address account => Replacement replacement) private _replacements;
    /// @inheritdoc IAccountDirectory
    /// @dev In storage and not in an event: it opens all that the account has stored, and may be needed after years,
    /// when endpoints have dropped old logs.
    mapping(address account => bytes handover) public handoverOf;
    /// @inheritdoc IAccountDirectory
    mapping(address account => address predecessor) public predecessorOf;
    /// @dev Zero for an account without a predecessor.
    mapping(address account => address origin) private _origins;

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
    function replacementOf(address account) external view returns (Replacement memory) {
        return _replacements[account];
    }

    /// @inheritdoc IAccountDirectory
    function mayActFor(address account, address owner) external view returns (bool) {
        // The last account of a line is unique, so every other one of it is earlier.
        return _replacements[account].successor == address(0) && originOf(account) == originOf(owner);
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

    function _requireLast(address account) private view {
        address successor = _replacements[account].successor;
        if (successor != address(0)) revert AlreadyReplaced(account, successor);
    }
}
