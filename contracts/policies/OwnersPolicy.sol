// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IAccountDirectory } from "../interfaces/IAccountDirectory.sol";
import { IKeyLedger } from "../interfaces/IKeyLedger.sol";
import { IOwnersPolicy } from "../interfaces/IOwnersPolicy.sol";

/// @title Release to the owners of a record
/// @notice Holds nothing but the addresses of the ledger and of the directory of accounts. It has no data of its own
/// and no way to change who is an owner, so that no owner can bind another one: what one of them may have released, all
/// may.
///
/// INV-1  Releases only to an account that is listed as an owner of a record with this secret id in the ledger, or that
///        made it, or to the last account of such a one's line of successors, or to delegates of that account.
/// INV-2  Releases nothing of a record that is not on the ledger, and nothing of another ledger.
/// INV-3  The answer is the same whoever sealed the secret, in whichever version, and to whichever session key.
/// INV-4  Releases nothing to an account that was replaced, and to a delegate only what its account, or a delegate of
///        that account, may have released, while it may read.
contract OwnersPolicy is IOwnersPolicy {
    /// @dev Bytes of an ABI-encoded `RecordHeader`: six words.
    uint256 private constant HEADER_BYTES = 192;
    /// @dev The same, and the account whose right the requester uses.
    uint256 private constant CLAIM_BYTES = 224;

    /// @inheritdoc IOwnersPolicy
    IKeyLedger public immutable LEDGER;

    /// @inheritdoc IOwnersPolicy
    IAccountDirectory public immutable DIRECTORY;

    constructor(IKeyLedger ledger, IAccountDirectory directory) {
        if (address(ledger).code.length == 0) revert NotAContract(address(ledger));
        if (address(directory).code.length == 0) revert NotAContract(address(directory));
        LEDGER = ledger;
        DIRECTORY = directory;
    }

    /// @inheritdoc IOwnersPolicy
    function mayRelease(bytes32 recordId, address requester, bytes calldata context) external view returns (bool) {
        ReleaseContext memory asked = abi.decode(context, (ReleaseContext));
        if (asked.ledger != address(LEDGER) || asked.policyData.length != 0) return false;
        if (requester == address(0)) return false;
        (bool isWellFormed, IKeyLedger.RecordHeader memory header, address owner) = _claim(asked.evidence, requester);
        if (!isWellFormed) return false;
        if (_secretId(header) != recordId) return false;
        bytes32 onLedger = LEDGER.recordIdOf(header);
        if (LEDGER.recordedAt(onLedger) == 0) return false;
        if (header.account != owner && !LEDGER.isOwner(onLedger, owner)) return false;
        return DIRECTORY.mayActFor(requester, owner);
    }

    /// @inheritdoc IOwnersPolicy
    function secretIdOf(IKeyLedger.RecordHeader calldata header) external pure returns (bytes32) {
        return _secretId(header);
    }

    /// @dev Evidence of one of two lengths. Whoever names nobody uses a right of its own.
    function _claim(
        bytes memory evidence,
        address requester
    ) private pure returns (bool isWellFormed, IKeyLedger.RecordHeader memory header, address owner) {
        if (evidence.length == HEADER_BYTES) {
            (isWellFormed, header, owner) = (true, abi.decode(evidence, (IKeyLedger.RecordHeader)), requester);
        } else if (evidence.length == CLAIM_BYTES) {
            isWellFormed = true;
            (header, owner) = abi.decode(evidence, (IKeyLedger.RecordHeader, address));
        }
    }

    /// @dev A record's id is a hash of its payload too, and the payload holds the sealed secret.
    function _secretId(IKeyLedger.RecordHeader memory header) private pure returns (bytes32) {
        return
            keccak256(
                abi.encode(header.account, header.fileTag, header.committeeId, header.keyTime, header.ownershipKey)
            );
    }
}
